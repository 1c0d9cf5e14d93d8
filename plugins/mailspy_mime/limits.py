"""How much the MIME reader keeps: every bound with its derivation and what happens past it.

Together they bound the memory of one message to about one header block and a few segments, whatever its size.

Knows numbers.  Must not know who keeps to them.
"""

from __future__ import annotations

from typing import Final

HEADER: Final = 1_048_576
"""Octets of one header block: ten times Postfix's `header_size_limit` (102,400).  Past it the header counts as ended
and the rest is read as body, so that an endless header cannot hide the parts behind it."""

FIELDS: Final = 1_000
"""Fields of interest in one header block; RFC 5322 §3.6 allows each of them once.  Past it they are not looked at."""

VALUE: Final = 65_536
"""Octets of a Content-* field that are read: room for `PARAMETERS` parameters of 255 octets twice over.  Past it:
cut."""

TEXT: Final = 4_096
"""Octets of a field for people (Subject, From, To …) that are decoded: four lines of 998 (RFC 5322 §2.1.1).  Past it:
cut."""

PARAMETERS: Final = 100
"""Parameters of one field (hostile case M08); honest mail has five.  Past it they are not looked at."""

ADDRESSES: Final = 10_000
"""Addresses of one field that are told: a hundred times what Postfix delivers at once; Dovecot's parsers stop there too.
Past it: not looked at."""

WORDS: Final = 50_000
"""Words and marks of one field of addresses: five for each of ADDRESSES.  Past it: not looked at."""

REFERENCES: Final = 1_000
"""Message-Ids of one field that are told.  Past it: not looked at."""

HOPS: Final = 100
"""Received fields of one message that are read: servers take more than that for a loop (RFC 5321 §6.3).  Past it: not
looked at."""

NAME: Final = 1_024
"""Characters of a file name that are told: four times NAME_MAX.  Past it: cut."""

TOKEN: Final = 255
"""Octets of a content type: 127 + 1 + 127 (RFC 6838 §4.2); and of other tokens.  Past it: cut."""

BOUNDARY: Final = 2_048
"""Octets of a boundary that are compared, as in Postfix; RFC 2046 §5.1.1 allows 70.  Past it: cut, and the beginning is
enough to match."""

BOUNDARIES: Final = 4
"""Boundaries of one multipart that are looked for, where readers may take different ones; honest mail has one."""

READINGS: Final = 3
"""Ways to decode one part where its fields contradict each other; honest mail has one."""

CANDIDATES: Final = 1_000
"""Parts of one message whose contradictions are listed; in more of them only the first reading is told."""

ENCLOSED: Final = 10
"""Messages within each other that are encoded (RFC 6532 §3.7 allows it, once): each is decoded as often as it is
deep.  Past it one is a leaf."""

DEPTH: Final = 100
"""Multiparts and messages within each other, as in Zeek, Postfix and Dovecot.  Past it a container is a leaf, unread
inside."""

PARTS: Final = 10_000
"""Entities of one message, as in Dovecot.  The last of them takes all that follows."""

ODD_LINES: Final = 40_000
"""Lines of one uuencoded file that are not as long as lines are: honest files have one, or, where blanks at the ends of
lines were lost, one in three of the 17,000 of a mebibyte.  Past it they are skipped."""

LINE: Final = 4_096
"""Octets of an unfinished base64 line that are kept before it is decoded as far as it goes; RFC 2045 §6.8 allows 76."""

STREAMS: Final = 10_000
"""Paddings in one base64 body at which decoding begins anew; honest mail has one.  Past it `=` is skipped like other
junk."""
