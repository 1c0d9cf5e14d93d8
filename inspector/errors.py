"""The exceptions of our own side; a peer's misbehaviour is never one of them, it is an `Anomaly`.

    MailspyError
    ├── OptionError      an option or a configuration key is wrong: the program refuses to start
    │   └── ExpressionError   a filter is wrong: knows the place in it
    ├── CaptureError     a capture cannot be read: says which file and at which octet
    └── PluginError      a plugin cannot be loaded or breaks the contract of a hook

Knows nothing of the rest of the package.
"""

from __future__ import annotations


class MailspyError(Exception):
    """Something that a person can mend; its text says what, where and how."""


class OptionError(MailspyError):
    """An option or configuration value that the program cannot start with."""


class ExpressionError(OptionError):
    """A filter that cannot be understood, with the place that is wrong."""

    def __init__(self, text: str, expression: str, column: int, width: int = 1) -> None:
        """`column` counts characters from 0; `width` is how many of them are wrong."""
        super().__init__(text)
        self.expression = expression
        self.column = column
        self.width = width


class CaptureError(MailspyError):
    """A capture file that cannot be read or written, with the path and the offset in octets."""

    damaged = False
    """It could be read up to there."""


class PluginError(MailspyError):
    """A plugin that cannot be loaded, or that does not keep the contract of a hook."""
