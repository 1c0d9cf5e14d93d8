"""A plain TCP forwarder with mailspy's command line: the control of the experiment.

A test that fails with mailspy and passes with this (`MAILSPY_STAND_IN=1 pytest tests/integration`) has found a fault of
mailspy's.  It sees nothing and writes nothing; it passes on octets, half-closes and aborts, and answers where there is
no server.

Knows sockets.  Must not know mailspy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import struct
import sys
from urllib.parse import urlsplit

SORRY = {"pop3": b"-ERR no server\r\n", "smtp": b"421 no server\r\n", "lmtp": b"421 no server\r\n"}


def abort(writer: asyncio.StreamWriter) -> None:
    """Ends a connection by RST."""
    end = writer.get_extra_info("socket")
    if end is not None:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter) -> None:
    """Passes one direction on, to its end, whatever that is."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        abort(writer)
        abort(back)


async def main() -> None:
    """Listens, forwards, and stops at SIGTERM when the last session is over, at a second one at once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--upstream", required=True)
    options, _ = parser.parse_known_args()
    host, _, port = options.listen.rpartition(":")
    upstream = urlsplit(options.upstream)
    sessions: set[asyncio.Task[None]] = set()

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        sessions.add(task)
        try:
            other, server = await asyncio.open_connection(upstream.hostname, upstream.port)
        except OSError:
            writer.write(SORRY[upstream.scheme])
            writer.close()
            sessions.discard(task)
            return
        for end in (writer, server):
            end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(pump(reader, server, writer), pump(other, writer, server))
        writer.close()
        server.close()
        sessions.discard(task)

    stopped, again = asyncio.Event(), asyncio.Event()
    listener = await asyncio.start_server(session, host, int(port), backlog=200)
    loop = asyncio.get_running_loop()

    def asked() -> None:
        (again if stopped.is_set() else stopped).set()

    loop.add_signal_handler(signal.SIGTERM, asked)
    await stopped.wait()
    listener.close()
    end = loop.time() + 5
    while sessions and not again.is_set() and loop.time() < end:
        await asyncio.sleep(0.02)
    print("stand-in: done", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main())
