"""The protocols that mailspy reads: in each folder a `grammar` (what a line says), `phases` (tables) and `session`.

Knows the standards.  Must not know plugins, sockets, files or screens.
"""
