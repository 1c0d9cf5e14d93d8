"""Secrets said by mistake through a living mailspy: none shows in JSON, logs, captures, nor in what is made of those.

One process without judges and one with; each has all the plants.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Final

import pytest
from integration.harness import environment
from planting import GREETINGS, LINES, PLACES, Plant, b64, dialogues, headers, said

from inspector.pdu import C2S, S2C

from .kit import Peers, Proxy

WORD: Final = b"Kq7zW"
"""Stands in every secret that is planted."""
TOKEN: Final = re.compile(rb"[A-Za-z0-9+/]{8,}")
PATIENCE: Final = {"nobody judges": 5.0, "somebody judges": 0.15}
"""Seconds in which octets come that are on their way; mailspy may answer in the server's place, and then none do."""
TELLS: Final = {"smtp": "smtp", "lmtp": "lmtp", "pop3": "pop3", "imap": "", "sieve": "", "ftp": "", "": "", "crash": ""}
"""How a server speaks → the scheme that is given."""

PLUGIN: Final = '''
"""Raises with the line in hand in its message; reads a protocol, and raises with the line there, too."""
from inspector import Machine, Protocol, Session, hookimpl

class Crash(Session):
    __slots__ = ()

    def __init__(self, flow, observer, limits):
        super().__init__(flow, observer, limits, Machine({"": {}}, ""))

    def client_line(self, line, size):
        raise RuntimeError(f"what is {line!r}?")

    def server_line(self, line, size):
        pass

@hookimpl
def register_protocols():
    return [Protocol("crash", (9,), Crash, greeting=b"CRASH")]

@hookimpl
def HOOK(pdu, session):
    raise ValueError(f"what is {pdu.raw!r}, {pdu.command and pdu.command.raw!r}?")
'''
HOOKS: Final = {"nobody judges": "pdu_seen", "somebody judges": "judge_pdu"}
OPTIONS: Final = {"nobody judges": ("--transport", "epoll"),
                  "somebody judges": ("--enforce-relay", "--local-domain", "here.example")}
COMMANDS: Final = (
    "replay -v {c}", "replay --json {c}", "replay --plugin {p} {c}", "sessions {c}", "sessions --csv {c}", "stats {c}",
    "stats --json {c}", "show {c}", "show --raw --message 1 {c}", "show --json {c}",
    "export --eml {o}/eml --envelope json --incomplete {c}", "export --mbox {o}/box --envelope headers {c}",
    "export --maildir {o}/maildir {c}", "export --jsonl {o}/jsonl --eve {o}/eve --zeek {o}/zeek --pcapng {o}/again.pcapng {c}",
    "export --report html --output {o}/report.html {c}", "export --ladder html --output {o}/ladder.html {c}",
    "export --ladder svg --output {o}/svg/ {c}", "export --ladder mermaid --output {o}/mermaid/ {c}")
DRIVER: Final = '''
import contextlib, io, json, sys
from inspector.capture.reader import read_all
from inspector.cli import main
from inspector.segment import Segment
for line in json.loads(sys.argv[2]):
    out = io.TextIOWrapper(io.BytesIO())
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(line.split())
    out.flush()
    print("::", code, line, file=sys.stderr)
    sys.stdout.buffer.write(out.buffer.getvalue())
streams = {}
for event in read_all([sys.argv[1]]):
    if isinstance(event, Segment):
        streams.setdefault((event.flow, event.direction), []).append(event.data)
for pieces in streams.values():
    sys.stdout.buffer.write(b"".join(pieces) + b"\\n")
'''


def chosen() -> list[tuple[str, Plant]]:
    """How the server speaks, and what is said: each line in one place, as its number has it."""
    found: list[tuple[str, Plant]] = []
    kinds = [kind for kind in TELLS if kind != "crash"]
    for number, (how, form) in enumerate(LINES.items()):
        secret, kind = b"s%03dKq7zW77" % number, kinds[number % 3 if number % 4 else number // 4 % len(kinds)]
        told = dict(dialogues(said(form, secret), kind))
        places = [place for place in PLACES if place in told]
        place = places[number * 5 % len(places)]
        found.append((kind, Plant(f"{how}, {place}", TELLS[kind], secret, told[place])))
        if not number % 10:
            steps = [(S2C, b"CRASH\r\n"), (C2S, said(form, secret)), (S2C, b"what is " + said(form, secret))]
            found.append(("crash", Plant(f"{how}, read by a plugin", "", secret, steps)))
    found += [(plant.protocol, plant) for plant in headers()]
    secret = b"s999Kq7zW77"
    found.append(("smtp", Plant("with a message", "smtp", secret, [
        (S2C, GREETINGS["smtp"]), (C2S, b"EHLO me\r\n"), (S2C, b"250-mx\r\n250 AUTH PLAIN\r\n"),
        (C2S, b"AUTH PLAIN " + b64(b"\0alice\0" + secret) + b"\r\n"), (S2C, b"235 ok\r\n"),
        (C2S, b"MAIL FROM:<a@here.example>\r\n"), (S2C, b"250 ok\r\n"),
        (C2S, b"RCPT TO:<b@here.example> " + secret + b"\r\n"), (S2C, b"250 ok " + secret + b"\r\n"),
        (C2S, b"DATA\r\n"), (S2C, b"354 go\r\n"), (C2S, b"Subject: hello\r\nFrom: a@here.example\r\n\r\nhi\r\n.\r\n"),
        (S2C, b"250 ok\r\n"), (C2S, b"QUIT " + secret + b"\r\n"), (S2C, b"221 what is " + secret + b"\r\n")])))
    return found


def drained(link: socket.socket, size: int) -> bool:
    """Takes what comes, up to so many octets; whether all came."""
    with contextlib.suppress(OSError):
        while size > 0 and (data := link.recv(65_536)):
            size -= len(data)
    return size <= 0


def play(plant: Plant, client: socket.socket, server: socket.socket, patience: float) -> None:
    """Says it all, in pieces; the server says nothing more once something has not come to it."""
    chance, heard = random.Random(plant.name), True
    for link in (client, server):
        link.settimeout(patience)
    for who, data in plant.steps:
        sender, taker = (client, server) if who is C2S else (server, client)
        if sender is server and not heard:
            continue
        cuts = {chance.randrange(len(data)), chance.randrange(len(data))}
        # Of a plugin's own protocol what is not a whole line yet is shown: only the plugin could tell what is secret.
        places = sorted({0, len(data)} if "read by a plugin" in plant.name else {0, *cuts, len(data)})
        with contextlib.suppress(OSError):
            for first, last in pairwise(places):
                sender.sendall(data[first:last])
        came = drained(taker, len(data))
        heard = heard and (came or taker is client)
    client.close()
    server.close()


def shown_in(output: bytes) -> bool:
    """Whether any of the secrets shows: raw, in base64, or in something that is base64."""
    return WORD.lower() in output.lower() or any(
        WORD in base64.b64decode(token[at:at + (len(token) - at) // 4 * 4])
        for token in {*TOKEN.findall(output)} for at in range(4))


@pytest.fixture(scope="module", params=OPTIONS)
def left(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Whatever a mailspy with these options has left: names and octets."""
    folder = tmp_path_factory.mktemp("planted")
    doors, lock = {scheme: Peers(scheme) for scheme in ("", "smtp", "lmtp", "pop3")}, threading.Lock()
    plugin = folder / "culprit.py"
    plugin.write_text(PLUGIN.replace("HOOK", HOOKS[request.param]))
    upstreams = [str(peers) if scheme else f"127.0.0.1:{peers.port}" for scheme, peers in doors.items()]
    options = ("--json", "-v", "-w", "capture.pcapng", "--log", "log.txt", "--plugin", str(plugin), *OPTIONS[request.param])

    def meet(kind: str, plant: Plant) -> None:
        scheme = TELLS[kind]
        with lock:
            client, server = doors[scheme].meet(ports[scheme])
        play(plant, client, server, PATIENCE[request.param])

    with Proxy(folder, *options, upstreams=tuple(upstreams)) as proxy:
        ports = dict(zip(doors, proxy.ports, strict=True))
        with ThreadPoolExecutor(48) as pool:
            list(pool.map(lambda pair: meet(*pair), chosen()))
    for peers in doors.values():
        peers.listener.close()
    out = folder / "out"
    out.mkdir()
    lines = [command.format(c=proxy.capture, o=out, p=plugin) for command in COMMANDS]
    done = subprocess.run([sys.executable, "-c", DRIVER, str(proxy.capture), json.dumps(lines)], check=True, capture_output=True,
                          cwd=folder, env=environment(folder), timeout=120)
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path != plugin}
    return found | {"names": "\n".join(found).encode(), "told": done.stdout, "codes": done.stderr}


def test_no_secret_shows(left: dict[str, bytes]) -> None:
    """Nowhere."""
    assert b"Traceback" not in left["codes"]
    assert left["codes"].count(b":: 0 ") == len(COMMANDS), left["codes"].decode()
    assert {"events.jsonl", "stderr.txt", "log.txt", "capture.pcapng", "out/box", "out/jsonl", "out/eve", "out/again.pcapng",
            "out/report.html", "out/ladder.html"} <= {*left}
    assert {"out/eml", "out/maildir", "out/zeek", "out/svg", "out/mermaid"} <= {name[:name.find("/", 4)] for name in left}
    assert not [(name, line[:400]) for name, octets in left.items() if shown_in(octets)
                for line in octets.splitlines() if shown_in(line)]


def test_the_secrets_were_there_to_be_shown(left: dict[str, bytes]) -> None:
    """Most flows were told, and the plugin's faults."""
    assert left["events.jsonl"].count(b'"flow_closed"') == len(chosen()) > 150
    assert b"parser_fault" in left["events.jsonl"]
    assert b"culprit" in left["stderr.txt"]
