"""Binary formats: octets on one side, typed values on the other.

Knows the layouts of pcapng, pcap, link, IP, TCP and TLS records.  Must not know flows, files or sockets.

Every layout is declared with construct in `declared`, one `Struct` a record.  Where a layout lies on the
way of live traffic it is written a second time with `struct` (construct takes 50 to 100 times as long), and
a test keeps the two equal octet for octet.  Nothing outside this package imports construct.
"""
