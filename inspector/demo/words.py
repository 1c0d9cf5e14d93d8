"""What the demo says to people, in English and in French.

Knows texts.  Must not know when they are said.
"""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = ("en", "fr")

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "intro": (
        "Three plays from an exercise sheet on Internet mail, and one in TLS. A server of our own, mailspy in front of it, and\n"
        "a client that speaks through mailspy: what you see is what crossed the wire, each line with its phase.",
        "Trois pièces tirées d'une feuille d'exercices sur la messagerie Internet, et une en TLS. Un serveur embarqué, mailspy\n"
        "devant lui, et un client qui passe par mailspy : ce qui s'affiche est ce qui a circulé, chaque ligne avec sa phase."),
    "pop3": (
        "(a) natkin reads his mail (III.4). A POP3 client with five states fetches one message: its first password is\n"
        "wrong, the second is right. Watch the three phases: AUTHORIZATION, TRANSACTION, UPDATE.",
        "(a) natkin relève son courrier (III.4). Un client POP3 à cinq états va chercher un message : son premier mot de\n"
        "passe est faux, le second est bon. Suivez les trois phases : AUTHORIZATION, TRANSACTION, UPDATE."),
    "michel": (
        "(b) michel writes to pierre, both at cnam.fr (II.5), by hand, as one does with telnet: each line that he types\n"
        "gets one reply with a code of three digits.",
        "(b) michel écrit à pierre, tous deux à cnam.fr (II.5), à la main, comme avec telnet : à chaque ligne tapée répond\n"
        "un code de trois chiffres."),
    "relay": (
        "(c) A stranger asks cnam.fr to pass mail on to a third domain (II.6). SMTP's commands would allow it, since RCPT TO\n"
        "may name anyone; this server refuses, and --local-domain cnam.fr lets mailspy judge each recipient.",
        "(c) Un inconnu demande à cnam.fr de transmettre du courrier à un domaine tiers (II.6). Les commandes de SMTP le\n"
        "permettent, puisque RCPT TO accepte n'importe quelle adresse ; ce serveur refuse, et --local-domain cnam.fr fait\n"
        "juger chaque destinataire par mailspy."),
    "tls": (
        "(d) natkin looks whether there is mail, in TLS this time (RFC 2595): STLS, then the handshakes, the server's leg\n"
        "first. mailspy shows the client a certificate of a throw-away authority, and the session is still seen: here in the\n"
        "clear, in TLS on both legs.",
        "(d) natkin regarde s'il a du courrier, cette fois en TLS (RFC 2595) : STLS, puis les poignées de main, côté serveur\n"
        "d'abord. mailspy présente au client un certificat d'une autorité jetable, et la session reste visible : en clair\n"
        "ici, en TLS des deux côtés."),
    "waiting": ("waiting", "en attente"),
    "connecting": ("preparing and opening the TCP connection", "préparation des données et ouverture de la connexion TCP"),
    "authentication": ("authentication", "authentification"),
    "transaction": ("transaction: receiving and bringing into form", "transaction : réception des messages et mise en forme"),
    "update": ("updating the server, end of the transfers", "mise à jour du serveur et fin des transferts"),
    "gethostbyname": ("the resolver turns the server's name into an address",
                      "le résolveur traduit le nom du serveur en adresse"),
    "connect": ("TCP opens the connection", "TCP ouvre la connexion"),
    "convertbase64asciitobin": ("the MIME software decodes the base64 part into a file",
                                "le logiciel MIME décode la partie en base64 dans un fichier"),
    "close": ("TCP closes the connection", "TCP ferme la connexion"),
    "automaton": ("client automaton", "automate du client"),
    "saved": ("The attachment publi.doc, decoded: {path}", "La pièce jointe publi.doc, décodée : {path}"),
    "capture": ("All of it was saved: {path}", "Tout est enregistré : {path}"),
    "again": ("See it again with   mailspy replay {path}   or open it in Wireshark.",
              "Pour le revoir :   mailspy replay {path}   ou ouvrez-le dans Wireshark."),
    "serve": ("Servers and proxies are up. Try, from another terminal:",
              "Serveurs et mandataires sont en marche. Essayez, depuis un autre terminal :"),
    "account": ("The account is natkin, the password monpass; cnam.fr takes mail for gerard, michel, natkin and pierre.",
                "Compte natkin, mot de passe monpass ; cnam.fr accepte le courrier de gerard, michel, natkin et pierre."),
    "stop": ("Ctrl-C ends.", "Ctrl-C pour terminer."),
    "failed": ("The demo did not come to its end: {reason}", "La démonstration s'est interrompue : {reason}"),
}


def word(language: str, key: str, **values: object) -> str:
    """A text in a language, its places filled."""
    return _WORDS[key][LANGUAGES.index(language)].format(**values)
