"""TLS on both legs: sessions, handshakes, octets and idle sessions, against peers in the same run.

    python benchmarks/tls.py [--mailspy "mailspy"] [--mitmdump PATH] [--python PATH] [--rounds 3]

A POP3 server and its clients, in TLS by Python's asyncio in processes of their own, with a peer between them.  They cost more
than any peer does, so that rates are told by what a session, a handshake or a MB costs the peer: its CPU time, as the kernel
counts it.  A rate is what one core would carry: one divided by that.

Knows the works and how they are measured.  Must not know what a peer does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import shlex
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import process
from bench import free_ports

LETTER: Final = b"Subject: one\r\n\r\n" + b"a line of a letter, as letters have them\r\n" * 14
MB: Final = 1_000_000
BULK: Final = b"x" * 998 + b"\r\n"
AT_ONCE: Final = 20


# The server


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One POP3 session."""
    writer.write(b"+OK ready\r\n")
    try:
        while line := await reader.readline():
            await answer(line.split(), writer)
            if line.startswith(b"QUIT"):
                break
        writer.close()
    except (ConnectionError, ssl.SSLError):
        writer.transport.abort()


async def answer(words: list[bytes], writer: asyncio.StreamWriter) -> None:
    """`RETR n` gives a letter, or one of so many MB when it is more than one."""
    if words[0] == b"RETR":
        size = int(words[1])
        writer.write(b"+OK\r\n")
        if size == 1:
            writer.write(LETTER)
        else:
            for _ in range(size * 10):
                writer.write(BULK * 100)
                await writer.drain()
        writer.write(b".\r\n")
    else:
        writer.write(b"+OK\r\n")


def server(port: int, pem: str) -> None:
    """A process of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def run() -> None:
        listening = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context, backlog=2000, limit=1 << 20)
        await listening.serve_forever()

    asyncio.run(run())


# The clients


def connecting() -> ssl.SSLContext:
    """Trusts whomever: the peers show certificates of their own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Client:
    """A connection to the peer."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port, self._context = port, context

    async def open(self) -> None:
        """Up to the greeting."""
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, server_hostname="localhost", limit=1 << 20)
        assert (await self._reader.readline()).startswith(b"+OK")

    async def ask(self, command: bytes) -> None:
        """A command with a reply of one line."""
        self._writer.write(command)
        assert (await self._reader.readline()).startswith(b"+OK")

    async def fetch(self, number: int) -> int:
        """RETR; returns the octets of the letter."""
        await self.ask(b"RETR %d\r\n" % number)
        size, tail = 0, b""
        while tail != b"\r\n.\r\n":
            data = await self._reader.read(1 << 18)
            assert data
            size += len(data)
            tail = (tail + data)[-5:]
        return size

    async def close(self) -> None:
        """After QUIT."""
        await self.ask(b"QUIT\r\n")
        self._writer.close()


async def session(client: Client) -> None:
    """A whole one."""
    await client.open()
    for command in (b"USER natkin\r\n", b"PASS monpass\r\n", b"STAT\r\n"):
        await client.ask(command)
    await client.fetch(1)
    await client.close()


async def handshake(client: Client) -> None:
    """A greeting and good-bye."""
    await client.open()
    await client.close()


async def many(port: int, work: Callable[[Client], Awaitable[None]], count: int) -> None:
    """So many sessions, some at once."""
    context, left = connecting(), iter(range(count))

    async def one_after_the_other() -> None:
        for _ in left:
            await work(Client(port, context))

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


async def bulk(port: int, size: int) -> None:
    """One letter of so many MB."""
    client = Client(port, connecting())
    await client.open()
    assert await client.fetch(size) > size * MB
    await client.close()


async def idle(port: int, count: int, look: Callable[[], int]) -> float:
    """KiB that a session costs that only waits."""
    context = connecting()
    before = look()
    clients = [Client(port, context) for _ in range(count)]
    for place in range(0, count, AT_ONCE):
        await asyncio.gather(*(client.open() for client in clients[place:place + AT_ONCE]))
    await asyncio.sleep(1)
    grown = look() - before
    for client in clients:
        client._writer.transport.abort()
    return grown / count


# The peers


def commands(arguments: argparse.Namespace, folder: Path, listen: int, back: int) -> dict[str, list[str]]:
    """By name."""
    pem = str(folder / "both.pem")
    return {
        "mailspy": [*shlex.split(arguments.mailspy), "--listen", f"pop3s://127.0.0.1:{listen}", "--upstream",
                    f"pop3s://127.0.0.1:{back}", "--upstream-ca", str(folder / "cert.pem"), "--ca-dir", str(folder / "ca"),
                    "--json"],
        "forwarder": [arguments.python, str(Path(__file__).with_name("forwarder.py")), "--tls", pem, f"{listen}:{back}"],
        "mitmdump": [arguments.mitmdump, "-q", "--set", "flow_detail=0", "--set", "ssl_insecure=true", "--set",
                     f"confdir={folder / 'mitm'}", "--mode", f"reverse:tls://127.0.0.1:{back}@127.0.0.1:{listen}"],
    }


def measured(peer: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All works with one peer."""
    listen, back = free_ports(2)
    serving = multiprocessing.get_context("spawn").Process(target=server, args=(back, str(folder / "both.pem")), daemon=True)
    serving.start()
    with (folder / "output").open("wb") as output:
        proxy = process.start(commands(arguments, folder, listen, back)[peer], folder, output, output)
        try:
            asyncio.run(until_it_greets(listen))
            found: dict[str, Any] = {"peer": peer}
            asyncio.run(many(listen, session, 50))
            found["idle_kib"] = asyncio.run(idle(listen, arguments.idle, lambda: process.memory_kib(proxy.pid, "VmRSS")))
            for name, work, count in (("session", session, arguments.sessions), ("handshake", handshake, arguments.sessions)):
                wall, cpu = timed(proxy.pid, partial(many, listen, work, count))
                found[f"{name}_us"], found[f"{name}s_per_s"] = cpu / count * 1e6, count / wall
            wall, cpu = timed(proxy.pid, partial(bulk, listen, arguments.bulk))
            found["mb_us"], found["mb_per_s"] = cpu / arguments.bulk * 1e6, arguments.bulk / wall
            return found
        finally:
            process.stop(proxy)
            serving.kill()


def timed(pid: int, work: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[float, float]:
    """Seconds by the clock, and CPU seconds of the peer."""
    before, begin = process.settle(pid), time.monotonic()
    asyncio.run(work())
    wall = time.monotonic() - begin
    return wall, process.settle(pid) - before


async def until_it_greets(port: int) -> None:
    """Waits for the peer and the server behind it."""
    end = time.monotonic() + 30
    while True:
        try:
            await handshake(Client(port, connecting()))
            return
        except (OSError, ssl.SSLError, AssertionError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)


def prepare(folder: Path, arguments: argparse.Namespace) -> None:
    """The server's certificate, and mailspy's authority."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out",
                    str(folder / "cert.pem"), "-keyout", str(folder / "key.pem")], check=True, capture_output=True)
    (folder / "both.pem").write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    if "mailspy" in arguments.peers:
        subprocess.run([*shlex.split(arguments.mailspy), "ca", "create", "--ca-dir", str(folder / "ca")], check=True,
                       capture_output=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("mailspy", "mailspy"), ("mitmdump", "mitmdump"), ("python", sys.executable),
                          ("peers", "mailspy,forwarder,mitmdump")):
        parser.add_argument(f"--{name}", default=default)
    for name, number in (("rounds", 3), ("sessions", 500), ("bulk", 200), ("idle", 1000)):
        parser.add_argument(f"--{name}", type=int, default=number)
    arguments = parser.parse_args()
    process.prepare(False)
    found: dict[str, list[dict[str, Any]]] = {}
    with TemporaryDirectory(prefix="mailspy-bench-") as name:
        prepare(Path(name), arguments)
        for _ in range(arguments.rounds):
            for peer in arguments.peers.split(","):
                record = measured(peer, arguments, Path(name))
                print(json.dumps({key: round(value, 1) if isinstance(value, float) else value for key, value in record.items()}))
                found.setdefault(peer, []).append(record)
    show(found)


def show(found: dict[str, list[dict[str, Any]]]) -> None:
    """The medians, and the ratios that the targets are about."""
    middle = {peer: {key: statistics.median(one[key] for one in records) for key in records[0] if key != "peer"}
              for peer, records in found.items()}
    print(f"\n{'peer':<10}{'sessions/core s':>17}{'handshakes/core s':>19}{'MB/core s':>11}{'idle KiB':>10}")
    for peer, one in middle.items():
        print(f"{peer:<10}{1e6 / one['session_us']:>17,.0f}{1e6 / one['handshake_us']:>19,.0f}{1e6 / one['mb_us']:>11,.0f}"
              f"{one['idle_kib']:>10,.0f}")
    ours = middle.get("mailspy")
    for peer, one in middle.items():
        if ours is not None and peer != "mailspy":
            print(f"mailspy/{peer}: sessions {one['session_us'] / ours['session_us']:.2f}, handshakes "
                  f"{one['handshake_us'] / ours['handshake_us']:.2f}, octets {one['mb_us'] / ours['mb_us']:.2f}")


if __name__ == "__main__":
    main()
