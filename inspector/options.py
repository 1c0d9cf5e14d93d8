"""Options: how a plugin declares what can be set, and the frozen values that it is given.

Knows names, types and defaults.  Must not know the command line, the environment or any file format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from inspector.errors import PluginError

TYPES: Final = (str, int, float, bool)
"""The types that an option can have."""
NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""What an option can be called."""


@dataclass(frozen=True, slots=True)
class Option:
    """One setting, `--name` on the command line, `MAILSPY_NAME` in the environment, `name` in the TOML file."""

    name: str
    """With dashes, without the leading two: `local-domain`."""
    help: str
    """One line, a sentence without its full stop."""
    type: type = str
    default: Any = None
    metavar: str = ""
    multiple: bool = False
    """May be given several times; its value is then a tuple, empty by default."""
    plugin: str = ""
    """Who declared it; empty for the program itself."""

    @property
    def key(self) -> str:
        """The name as a Python identifier: `local_domain`."""
        return self.name.replace("-", "_")


@dataclass(slots=True)
class OptionParser:
    """What `add_options` is given: collects the options of one plugin."""

    plugin: str
    options: list[Option] = field(default_factory=list)

    def add(self, name: str, *, help: str, type: type = str, default: Any = None, metavar: str = "",
            multiple: bool = False) -> None:
        """Declares an option.  `type` is str, int, float or bool (a bool is a flag).  Raises PluginError."""
        name = name.removeprefix("--") if isinstance(name, str) else ""
        if not NAME.fullmatch(name):
            raise PluginError(f"plugin {self.plugin}: the name of an option is of small letters, digits and dashes, such as "
                              "`local-domain`")
        if type not in TYPES:
            raise PluginError(f"plugin {self.plugin}: option --{name} has type {getattr(type, '__name__', 'unknown')}; "
                              "it can be str, int, float or bool")
        if not isinstance(help, str) or not isinstance(metavar, str):
            raise PluginError(f"plugin {self.plugin}: option --{name}: `help` and `metavar` are texts")
        if any(option.name == name for option in self.options):
            raise PluginError(f"plugin {self.plugin}: declares --{name} twice")
        if type is bool and default is None:
            default = False
        if default is not None and not multiple and not isinstance(default, (int, float) if type is float else type):
            raise PluginError(f"plugin {self.plugin}: option --{name}: its default is no {type.__name__}")
        self.options.append(Option(name, help, type, default, metavar, multiple, self.plugin))


class Options(Mapping[str, Any]):
    """The values of all options, read-only: `options["local-domain"]` or `options.local_domain`."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = MappingProxyType({name.replace("-", "_"): value for name, value in (values or {}).items()})

    def __getitem__(self, name: str) -> Any:
        return self._values[name.replace("-", "_")]

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"no option {name!r}") from None

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
