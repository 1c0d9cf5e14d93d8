"""How programs and systems are told to trust an authority, and how they forget it.

Knows their commands.  Must not know what is in a certificate.
"""

from __future__ import annotations

from typing import Final

TARGETS: Final[dict[str, tuple[str, str]]] = {
    "debian": ("Debian, Ubuntu and their kin: all programs that use the system's store", """\
sudo install -m 644 {path} /usr/local/share/ca-certificates/mailspy.crt
sudo update-ca-certificates
# to undo:
sudo rm /usr/local/share/ca-certificates/mailspy.crt && sudo update-ca-certificates --fresh"""),
    "thunderbird": ("Thunderbird, which has a store of its own", """\
Settings > Privacy & Security > Certificates > Manage Certificates… > Authorities > Import…
    file: {path}
    tick: Trust this CA to identify websites
# to undo, in the same list: select “{name}”, Delete or Distrust…"""),
    "curl": ("curl, for one call", """\
curl --cacert {path} --ssl-reqd pop3://127.0.0.1:1110 --user NAME
# nothing to undo"""),
    "openssl": ("openssl s_client, for one call", """\
openssl s_client -CAfile {path} -starttls pop3 -connect 127.0.0.1:1110 -verify_return_error
# nothing to undo"""),
    "java": ("Java: the store of one Java installation, or one of your own", """\
keytool -importcert -noprompt -alias mailspy -file {path} -cacerts -storepass changeit
# or for one program:
keytool -importcert -noprompt -alias mailspy -file {path} -keystore mailspy.jks -storepass changeit
java -Djavax.net.ssl.trustStore=mailspy.jks -Djavax.net.ssl.trustStorePassword=changeit …
# to undo:
keytool -delete -alias mailspy -cacerts -storepass changeit"""),
    "python": ("Python: smtplib, poplib, imaplib", """\
context = ssl.create_default_context(cafile="{path}")
poplib.POP3("127.0.0.1", 1110).stls(context)
# or, for a program as it is:
SSL_CERT_FILE={path} python program.py
# nothing to undo"""),
    "windows": ("Windows: all programs of this user that use the system's store", """\
certutil -user -addstore Root {path}
# to undo:
certutil -user -delstore Root "{name}\""""),
    "macos": ("macOS: all programs of this user that use the system's store", """\
security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db {path}
# to undo:
security delete-certificate -c "{name}" ~/Library/Keychains/login.keychain-db"""),
}
"""What each is, and what to do."""


def text(target: str, path: str, name: str) -> str:
    """What to do for one of them."""
    what, commands = TARGETS[target]
    body = commands.format(path=path, name=name)
    return f"{target}: {what}\n\n" + "\n".join(f"    {line}" if line else "" for line in body.splitlines()) + "\n"
