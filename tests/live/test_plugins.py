"""Plugins that fail and plugins that judge, in the living proxy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .kit import Peers, Proxy, ending, exactly, line, rest, until

FAILING = '''
from inspector import hookimpl

class Plugin:
    pass

def failing(name, arguments):
    source = f"def {name}(self, {arguments}):\\n    FAULT\\n"
    scope = {"time": __import__("time"), "sys": __import__("sys")}
    exec(source, scope)
    setattr(Plugin, name, hookimpl(scope[name]))

for name, arguments in {"flow_opened": "flow", "flow_closed": "flow, reason", "judge_pdu": "pdu, session",
                        "pdu_seen": "pdu, session", "phase_changed": "session, before", "open_message": "message, session",
                        "exchange_completed": "exchange, session", "anomaly_found": "anomaly, session"}.items():
    if HOOKS:
        failing(name, arguments)

plugin = Plugin()
'''

PROTOCOL = '''
from inspector import Machine, Protocol, Session, hookimpl

class Odd(Session):
    __slots__ = ()
    def __init__(self, flow, observer, limits):
        super().__init__(flow, observer, limits, Machine({"": {}}, ""))
    def client_line(self, line, size):
        if b"BOOM" in line:
            raise RuntimeError("a bug")
    def server_line(self, line, size):
        pass

@hookimpl
def register_protocols():
    return [Protocol("odd", (9,), Odd)]
'''

JUDGE = '''
from inspector import Answer, Close, Replace, hookimpl

@hookimpl
def judge_pdu(pdu):
    if pdu.kind.value == "command":
        if pdu.verb == "DELE":
            return Answer(b"-ERR not today\\r\\n")
        if pdu.verb == "TOP":
            return Replace(b"NOOP\\r\\n")
        if pdu.verb == "RSET":
            return Close(b"-ERR that is the end\\r\\n")
    return None
'''


def plugin(folder: Path, source: str) -> str:
    """The path of a plugin file."""
    path = folder / "culprit.py"
    path.write_text(source)
    return str(path)


def session(peers: Peers, port: int, judged: bool = False) -> None:
    """A POP3 session of ten commands, exact at both ends; where somebody judges, LF alone leaves as CRLF."""
    client, server = peers.meet(port)
    server.sendall(b"+OK\r\n")
    assert line(client) == b"+OK\r\n"
    for asked, answer in [(b"USER a\r\n", b"+OK\r\n"), (b"PASS b\r\n", b"+OK\r\n"), *[(b"NOOP\r\n", b"+OK\r\n")] * 5,
                          (b"RETR 1\r\n", b"+OK\r\na: b\r\n\r\nc\r\n.\r\n"), (b"WHAT\n", b"-ERR\r\n"),
                          (b"QUIT\r\n", b"+OK bye\r\n")]:
        client.sendall(asked)
        leaves = asked.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if judged else asked
        assert exactly(server, len(leaves)) == leaves
        server.sendall(answer)
        assert exactly(client, len(answer)) == answer
    client.close()
    assert rest(server) == b""
    server.close()


@pytest.mark.parametrize("fault", ["raise RuntimeError('on purpose')", "sys.exit(3)", "raise KeyboardInterrupt",
                                   "raise GeneratorExit", "raise BaseException('on purpose')"])
def test_a_plugin_that_fails_everywhere(tmp_path: Path, fault: str) -> None:
    """Its faults change no octet; each hook is named once, and after three faults it is switched off."""
    path = plugin(tmp_path, FAILING.replace("FAULT", fault).replace("HOOKS", "True"))
    with Peers() as peers, Proxy(tmp_path / "run", "--json", "--plugin", path,
                                 upstreams=(peers,)) as proxy:
        session(peers, proxy.port, judged=True)
        session(peers, proxy.port, judged=True)
    faults = [said for said in proxy.stderr.splitlines() if "plugin culprit: " in said]
    assert len(faults) <= 4
    assert faults[-1].endswith("switched off after 3 faults")
    assert len(set(faults)) == len(faults)
    assert len(proxy.events("flow_closed")) == 2


def test_a_plugin_that_takes_its_time(tmp_path: Path) -> None:
    """A hook that blocks for a fifth of a second makes the session slow, and nothing else; it is named, at most once a minute."""
    path = plugin(tmp_path, FAILING.replace("FAULT", "time.sleep(0.2)").replace("HOOKS", "name == 'phase_changed'"))
    with Peers() as peers, Proxy(tmp_path / "run", "--json", "--plugin", path,
                                 upstreams=(peers,)) as proxy:
        begun = time.monotonic()
        session(peers, proxy.port)
        assert 0.2 < time.monotonic() - begun < 3
    told = [said for said in proxy.stderr.splitlines() if "culprit" in said]
    assert "plugin culprit: phase_changed took longer than 100 ms once, 0.2" in told[0]
    assert len(told) == 2, "when it was slow first, and at the end how often it was since"
    assert "phase_changed took longer than 100 ms" in told[1]


def test_a_fault_in_a_protocol(tmp_path: Path) -> None:
    """A bug in reading makes that flow a raw relay, flagged; a flow beside it is read as before."""
    path = plugin(tmp_path, PROTOCOL)
    with Peers("odd") as odd, Peers("pop3") as pop3, Proxy(tmp_path / "run", "--json", "--plugin", path,
                                                           upstreams=(odd, pop3)) as proxy:
        client, server = odd.meet(proxy.ports[0])
        for asked in (b"fine\r\n", b"BOOM\r\n", b"after\r\n"):
            client.sendall(asked)
            assert exactly(server, len(asked)) == asked
            server.sendall(asked)
            assert exactly(client, len(asked)) == asked
        session(pop3, proxy.ports[1])
        client.close()
        server.close()
    assert proxy.stderr.count("a fault in reading it") == 1
    assert [event["flow"] for event in proxy.events("anomaly") if event["name"] == "parser_fault"] == [1]
    assert proxy.events("flow_closed")[0]["flow"] in (1, 2)
    assert "RETR" in {event["verb"] for event in proxy.events("pdu") if event["flow"] == 2}


@pytest.fixture
def judged(tmp_path: Path, transport: str):
    """A proxy with a judge, and its server."""
    path = plugin(tmp_path, JUDGE)
    options = ("--transport", transport, "--json", "-w", "capture.pcapng", "--plugin", path)
    with Peers() as peers, Proxy(tmp_path / "run", *options, upstreams=(peers,)) as proxy:
        yield peers, proxy


def test_answers_take_their_turn(judged: tuple[Peers, Proxy]) -> None:
    """Among pipelined commands the answered ones never reach the server; each answer stands at its place."""
    peers, proxy = judged
    client, server = peers.meet(proxy.port)
    server.sendall(b"+OK\r\n")
    line(client)
    client.sendall(b"DELE 1\r\nNOOP\r\nDELE 2\r\nDELE 3\r\nSTAT\r\nTOP 1 0\r\nDELE 4\r\n")
    no = b"-ERR not today\r\n"
    assert exactly(server, 18) == b"NOOP\r\nSTAT\r\nNOOP\r\n"
    assert line(client) == no
    server.sendall(b"+OK noop\r\n")
    expected = b"+OK noop\r\n" + no + no
    assert exactly(client, len(expected)) == expected
    server.sendall(b"+OK 1 2\r\n+O")
    assert line(client) == b"+OK 1 2\r\n"
    server.sendall(b"K noop\r\n")
    client.shutdown(1)
    assert rest(server) == b""
    server.close()
    assert rest(client).endswith(b"+OK noop\r\n" + no)


def test_a_verdict_that_closes(judged: tuple[Peers, Proxy]) -> None:
    """The client gets the farewell and FIN, the server an abort and not the command."""
    peers, proxy = judged
    client, server = peers.meet(proxy.port)
    server.sendall(b"+OK\r\n")
    line(client)
    client.sendall(b"NOOP\r\nRSET\r\nNOOP\r\n")
    assert rest(client).endswith(b"-ERR that is the end\r\n")
    assert ending(server) == "reset"
    client.close()
    until(lambda: proxy.events("flow_closed"), "the end of the flow", 3)


def test_a_half_close_behind_a_judge(judged: tuple[Peers, Proxy]) -> None:
    """A client that sends everything, then FIN: all of it reaches the server although some of it had to wait for a verdict."""
    peers, proxy = judged
    client, server = peers.meet(proxy.port)
    server.sendall(b"+OK\r\n")
    line(client)
    client.sendall(b"AUTH PLAIN\r\nAGEAYg==\r\nNOOP\r\nQUIT\r\n")
    client.shutdown(1)
    assert line(server) == b"AUTH PLAIN\r\n"
    server.sendall(b"+ \r\n")
    assert line(server) == b"AGEAYg==\r\n"
    server.sendall(b"+OK\r\n")
    assert line(server) == b"NOOP\r\n"
    assert rest(server) == b"QUIT\r\n"
    server.sendall(b"+OK\r\n+OK bye\r\n")
    server.close()
    assert rest(client).endswith(b"+OK bye\r\n")
