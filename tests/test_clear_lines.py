"""Clear text where TLS is due, longer than what is kept of a line: told the same however it is cut."""

from __future__ import annotations

import pytest
from dialogue import POP3, SMTP, Step, Witness, check_tiles, play

from inspector.limits import Limits
from inspector.pdu import C2S, S2C

BEGUN: dict[str, list[Step]] = {
    POP3: [(S2C, b"+OK\r\n"), (C2S, b"STLS\r\n"), (S2C, b"+OK go\r\n")],
    SMTP: [(S2C, b"220 mx\r\n"), (C2S, b"EHLO a\r\n"), (S2C, b"250 mx\r\n"), (C2S, b"STARTTLS\r\n"), (S2C, b"220 go\r\n")]}
LINE = 300
LIMITS = Limits(line=LINE, head=64)
LENGTHS = (LINE - 1, LINE, LINE + 1, LINE + 2, 3 * LINE)


def told(protocol: str, way: object, data: bytes, size: int) -> Witness:
    """What is told of that, in segments of so many octets, after TLS was agreed on."""
    pieces = [(way, data[at:at + size]) for at in range(0, len(data), size)]
    return play(protocol, [*BEGUN[protocol], *pieces], limits=LIMITS)


@pytest.mark.parametrize("protocol", [POP3, SMTP])
@pytest.mark.parametrize("way", [C2S, S2C])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("begin", [b"NOOP ", b"x", b"AUTH PLAIN ", b"\xff"])
@pytest.mark.parametrize("end", [b"\r\n", b"\n", b""])
def test_a_long_clear_line_is_told_the_same_in_any_cutting(protocol: str, way, length: int, begin: bytes, end: bytes) -> None:
    """Whole, in pieces around what is kept of a line, octet by octet; with a line after it, and cut short."""
    line = begin + b"y" * (length - len(begin) - len(end)) + end
    data = line + b"NOOP\r\n" if end else line
    whole = told(protocol, way, data, len(data))
    for size in (1, 7, LINE - 1, LINE, LINE + 1, len(line)):
        other = told(protocol, way, data, size)
        assert other.told == whole.told, size
    check_tiles(whole, way, b"".join(piece for side, piece in BEGUN[protocol] if side is way) + data)
    assert max(len(pdu.raw) for pdu in whole.pdus) <= LINE
