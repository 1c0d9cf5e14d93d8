"""The exercise sheet coming true: embedded servers, its five-state client, its dialogues; nothing else installed.

With `live`, the only package that speaks Twisted.
"""
