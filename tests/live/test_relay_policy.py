"""`--enforce-relay` in the living proxy: what is forbidden never reaches the server, and replay says the same as live."""

from __future__ import annotations

from pathlib import Path

import pytest
from mailspy_relay import DENIED

from .kit import Peers, Proxy, ending, exactly, line, rest, until


def hello(peers: Peers, proxy: Proxy):
    """Both ends of a connection, greeted."""
    client, server = peers.meet(proxy.port)
    server.sendall(b"220 mx\r\n")
    assert line(client) == b"220 mx\r\n"
    client.sendall(b"EHLO c\r\n")
    assert line(server) == b"EHLO c\r\n"
    server.sendall(b"250 PIPELINING\r\n")
    assert line(client) == b"250 PIPELINING\r\n"
    return client, server


@pytest.fixture
def guarded(tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch):
    """A proxy that enforces a policy, which its replay knows too, and its server."""
    monkeypatch.setenv("MAILSPY_LOCAL_DOMAIN", "cnam.fr")
    monkeypatch.setenv("MAILSPY_ENFORCE_RELAY", "yes")
    options = ("--transport", transport, "--json", "-w", "capture.pcapng")
    with Peers("smtp") as peers, Proxy(tmp_path / "run", *options, upstreams=(peers,)) as proxy:
        yield peers, proxy


def test_recipients_among_pipelined_commands(guarded: tuple[Peers, Proxy]) -> None:
    """The client gets its replies in order, the server only what it may see; the events of the replay are the same."""
    peers, proxy = guarded
    client, server = hello(peers, proxy)
    client.sendall(b"MAIL FROM:<a@x.example>\r\nRCPT TO:<1@victim.example>\r\nRCPT TO:<2@cnam.fr>\r\n"
                   b"RCPT TO:<3%victim.example@cnam.fr>\r\nDATA\r\n")
    seen = b"MAIL FROM:<a@x.example>\r\nRCPT TO:<2@cnam.fr>\r\nDATA\r\n"
    assert exactly(server, len(seen)) == seen
    server.sendall(b"250 sender\r\n250 recip")
    expected = b"250 sender\r\n" + DENIED
    assert exactly(client, len(expected)) == expected
    server.sendall(b"ient\r\n354 go\r\n")
    expected = b"250 recipient\r\n" + DENIED + b"354 go\r\n"
    assert exactly(client, len(expected)) == expected
    client.sendall(b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n")
    seen = b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n"
    assert exactly(server, len(seen)) == seen
    server.sendall(b"250 queued\r\n221 bye\r\n")
    server.close()
    assert rest(client) == b"250 queued\r\n221 bye\r\n"
    client.close()
    until(lambda: proxy.events("flow_closed"), "the end of the flow", 3)
    proxy.stop()
    assert [(event["verdict"], event["enforced"]) for event in proxy.events("policy")] == [
        ("relay_refused", True), ("local_accepted", False), ("relay_refused", True)]
    assert proxy.replay() == proxy.events()


def test_a_hidden_recipient_ends_the_flow(guarded: tuple[Peers, Proxy]) -> None:
    """The client is told why; the server gets an abort; the replay tells the same."""
    peers, proxy = guarded
    client, server = hello(peers, proxy)
    client.sendall(b"NOOP\rRCPT TO:<x@victim.example>\r\n")
    assert rest(client).startswith(b"421 4.7.0 mailspy: ")
    assert ending(server) == "reset"
    client.close()
    until(lambda: proxy.events("flow_closed"), "the end of the flow", 3)
    proxy.stop()
    assert proxy.replay() == proxy.events()


def test_watching_alone_is_no_judging(tmp_path: Path, transport: str) -> None:
    """With a policy and nothing to enforce, half a line passes at once."""
    options = ("--transport", transport, "--json", "--local-domain", "cnam.fr")
    with Peers("smtp") as peers, Proxy(tmp_path / "run", *options, upstreams=(peers,)) as proxy:
        client, server = hello(peers, proxy)
        client.sendall(b"MAIL FR")
        assert exactly(server, 7) == b"MAIL FR"
        client.sendall(b"OM:<>\r\nRCPT TO:<x@victim.example>\r\n")
        assert exactly(server, 35) == b"OM:<>\r\nRCPT TO:<x@victim.example>\r\n"
        server.sendall(b"250 ok\r\n250 ok\r\n")
        assert exactly(client, 16) == b"250 ok\r\n250 ok\r\n"
        until(lambda: [event["verdict"] for event in proxy.events("policy")] == ["open_relay"], "the finding", 3)
