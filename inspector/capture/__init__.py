"""Captures: traffic saved as pcapng, and read back as the same events.

Knows files and synthetic TCP; `writer` is for live traffic, `reader` for replay.
Must not know PDUs, plugins or sockets.
"""
