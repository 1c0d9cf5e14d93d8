"""Settings from outside the command line: `MAILSPY_*` in the environment, and a TOML file.

Rules.  The command line wins over the environment, the environment over the file.  A key that nobody knows or a value
of the wrong type in the file stops the program, naming file, key and expected type; an unknown variable is only told,
since the environment belongs to everybody.

Knows option tables and both formats.  Must not know click, nor what any option means.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from inspector.errors import OptionError
from inspector.options import Option

PREFIX: Final = "MAILSPY_"
FILE_NAME: Final = "mailspy.toml"
OWN: Final = frozenset({"MAILSPY_CONFIG", "MAILSPY_DEBUG"})
"""Variables that are no option of a file: where the file is, and whether an internal error shows its traceback."""

YES: Final = frozenset({"1", "true", "yes", "on"})
NO: Final = frozenset({"0", "false", "no", "off", ""})

NAMES: Final[Mapping[type, tuple[str, str]]] = {
    str: ("text", "texts"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "true or false"),
}
"""What a type is called, one value and several."""
FOUND: Final[Mapping[type, str]] = {str: "text", int: "a number", float: "a number", bool: "true or false",
                                    list: "a list", dict: "a table"}

Settings = dict[str, Any]
"""Values by option key."""


@dataclass(slots=True)
class Config:
    """What was set outside the command line: for the program, and for each of its commands."""

    common: Settings = field(default_factory=dict)
    commands: dict[str, Settings] = field(default_factory=dict)


def default_file() -> Path:
    """Where the file is looked for when nobody names one."""
    from platformdirs import user_config_dir

    return Path(user_config_dir("mailspy")) / FILE_NAME


def read_file(path: str | None, option: str = "--config") -> tuple[str, dict[str, Any]]:
    """The name and the tables of the file that the option names, or of the default one, if there is one.  Raises OptionError."""
    file = default_file() if path is None else Path(path)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        if path is None:
            return str(file), {}
        raise OptionError(f"{option} {path}: there is no such file") from None
    except OSError as error:
        raise OptionError(f"{file}: cannot be read: {error.strerror}") from error
    try:
        return str(file), tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise OptionError(f"{file}: not UTF-8 text, at octet {error.start}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise OptionError(f"{file}: not valid TOML: {error}") from error


def from_file(name: str, tables: Mapping[str, Any], common: Sequence[Option],
              commands: Mapping[str, Sequence[Option]]) -> Config:
    """The settings in a file that has been read.  Raises OptionError naming file, key and expected type."""
    config = Config()
    by_key = {option.key: option for option in common}
    for key, value in tables.items():
        plain = key.replace("-", "_")
        if plain in commands and isinstance(value, dict):
            own = {option.key: option for option in commands[plain]}
            config.commands[plain] = _table(f"{name}: [{key}]", value, own)
        else:
            config.common |= _table(name, {key: value}, by_key, extra=commands)
    return config


def _table(where: str, table: Mapping[str, Any], options: Mapping[str, Option], extra: Iterable[str] = ()) -> Settings:
    values: Settings = {}
    for key, value in table.items():
        plain = key.replace("-", "_")
        if plain not in options:
            raise OptionError(f"{where}: {key}: no such option{hint(plain, [*options, *extra])}")
        values[plain] = checked(f"{where}: {key}", value, options[plain])
    return values


def checked(where: str, value: Any, option: Option) -> Any:
    """A TOML value as the option takes it.  Raises OptionError."""
    if option.multiple:
        values = value if isinstance(value, list) else [value]
        if all(_fits(one, option.type) for one in values):
            return tuple(map(option.type, values))
    elif _fits(value, option.type):
        return option.type(value)
    raise OptionError(f"{where}: expected {expected(option)}, found {_found(value, option)}")


def _fits(value: Any, wanted: type) -> bool:
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is wanted


def _found(value: Any, option: Option) -> str:
    if option.multiple and isinstance(value, list):
        wrong = next(one for one in value if not _fits(one, option.type))
        return f"{FOUND.get(type(wrong), 'something else')} in the list"
    return FOUND.get(type(value), f"a {type(value).__name__}")


def expected(option: Option) -> str:
    """What an option takes, for people: `text or a list of texts`."""
    one, many = NAMES[option.type]
    return f"{one} or a list of {many}" if option.multiple else one


def from_environment(environ: Mapping[str, str], common: Sequence[Option], commands: Mapping[str, Sequence[Option]],
                     warn: Callable[[str], None]) -> Config:
    """The settings in `MAILSPY_LISTEN` and the like; of a command, `MAILSPY_REPLAY_SPEED`.  Raises OptionError."""
    config = Config({}, {command: {} for command in commands})
    names: dict[str, tuple[Option, Settings]] = {}
    for command, options in commands.items():
        names |= {f"{PREFIX}{command}_{option.key}".upper(): (option, config.commands[command]) for option in options}
    names |= {f"{PREFIX}{option.key}".upper(): (option, config.common) for option in common}
    for variable in sorted(name for name in environ if name.startswith(PREFIX) and name not in OWN):
        if variable in names:
            option, values = names[variable]
            values[option.key] = parsed(variable, environ[variable], option)
        else:
            warn(f"{variable}: no such option{hint(variable, names)}; it is left out")
    return config


def parsed(variable: str, text: str, option: Option) -> Any:
    """The value of a variable; several are separated by blanks.  Raises OptionError."""
    try:
        if option.multiple:
            return tuple(_READ[option.type](one) for one in text.split())
        return _READ[option.type](text)
    except ValueError:
        one, many = NAMES[option.type]
        wanted = f"{many} separated by blanks" if option.multiple else one
        raise OptionError(f"{variable}: expected {wanted}, found {text!r}") from None


def _truth(text: str) -> bool:
    word = text.strip().lower()
    if word not in YES | NO:
        raise ValueError(word)
    return word in YES


_READ: Final[Mapping[type, Callable[[str], Any]]] = {str: str, int: int, float: float, bool: _truth}


def merged(first: Config, over: Config) -> Config:
    """Both, `over` winning."""
    names = {*first.commands, *over.commands}
    return Config({**first.common, **over.common},
                  {name: {**first.commands.get(name, {}), **over.commands.get(name, {})} for name in names})


def hint(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` where something known is near."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
