"""Certificates of our own, for interception.

    authority    the CA of this installation: made, kept in a private folder, replaced
    leaf         certificates that look like a server's, signed by it
    installing   how programs are told to trust it

Knows X.509.  Must not know connections or commands.
"""
