"""Configuration: the command line over the environment over the file; every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector import config
from inspector.config import Config
from inspector.errors import OptionError
from inspector.options import Option

COMMON = [
    Option("listen", "where", multiple=True),
    Option("max-sessions", "how many", int, 0),
    Option("drain", "how long", float, 5.0),
    Option("json", "lines", bool, False),
    Option("log", "file"),
]
COMMANDS = {"replay": [Option("speed", "how fast", float, 0.0), Option("json", "lines", bool, False)]}


def read(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "mailspy.toml"
    file.write_text(text)
    _, tables = config.read_file(str(file))
    return config.from_file("mailspy.toml", tables, COMMON, COMMANDS)


@pytest.mark.parametrize(("text", "values"), [
    ('listen = "1110"', {"listen": ("1110",)}),
    ('listen = ["1110", "1143"]', {"listen": ("1110", "1143")}),
    ("max-sessions = 3", {"max_sessions": 3}),
    ("max_sessions = 3", {"max_sessions": 3}),
    ("drain = 2", {"drain": 2.0}),
    ("drain = 2.5", {"drain": 2.5}),
    ("json = true", {"json": True}),
    ("", {}),
])
def test_keys_are_the_names_of_options(tmp_path: Path, text: str, values: dict[str, object]) -> None:
    assert read(tmp_path, text).common == values


def test_a_command_has_a_table_of_its_own(tmp_path: Path) -> None:
    found = read(tmp_path, "json = false\n[replay]\nspeed = 2\njson = true")
    assert found.commands == {"replay": {"speed": 2.0, "json": True}}


@pytest.mark.parametrize(("text", "message"), [
    ("listen = 1110", "mailspy.toml: listen: expected text or a list of texts, found a number"),
    ('listen = ["a", 1]', "mailspy.toml: listen: expected text or a list of texts, found a number in the list"),
    ("json = 1", "mailspy.toml: json: expected true or false, found a number"),
    ('drain = "2"', "mailspy.toml: drain: expected a number, found text"),
    ("drain = true", "mailspy.toml: drain: expected a number, found true or false"),
    ("max-sessions = 1.5", "mailspy.toml: max-sessions: expected a whole number, found a number"),
    ("log = [1]", "mailspy.toml: log: expected text, found a list"),
    ("log = 2026-11-23", "mailspy.toml: log: expected text, found a date"),
    ("lisen = 1", "mailspy.toml: lisen: no such option; did you mean listen?"),
    ("[reply]\nspeed = 1", "mailspy.toml: reply: no such option; did you mean replay?"),
    ("[replay]\nsped = 1", r"mailspy.toml: \[replay\]: sped: no such option; did you mean speed?"),
    ("zzz = 1", "mailspy.toml: zzz: no such option$"),
    ("replay = 1", "mailspy.toml: replay: no such option"),
])
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message.replace("?", r"\?")):
        read(tmp_path, text)


def test_broken_toml_tells_the_line(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"mailspy\.toml: not valid TOML: .*line 2"):
        read(tmp_path, "json = true\nlisten = yes")


def test_a_bomb_of_brackets_is_not_valid(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="not valid TOML"):
        read(tmp_path, "listen = " + "[" * 100_000)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"json = true\n\xff")
    with pytest.raises(OptionError, match="not UTF-8 text, at octet 12"):
        config.read_file(str(tmp_path / "x.toml"))


def test_a_file_named_must_exist_and_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--config nofile\.toml: there is no such file"):
        config.read_file("nofile.toml")
    with pytest.raises(OptionError, match="cannot be read: Is a directory"):
        config.read_file(str(tmp_path))


def test_the_default_file_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config.read_file(None) == (str(tmp_path / "mailspy" / "mailspy.toml"), {})
    (tmp_path / "mailspy").mkdir()
    (tmp_path / "mailspy" / "mailspy.toml").write_text("json = true")
    assert config.read_file(None)[1] == {"json": True}


@pytest.mark.parametrize(("variable", "text", "values"), [
    ("MAILSPY_LISTEN", "1110 [::1]:1143", {"listen": ("1110", "[::1]:1143")}),
    ("MAILSPY_MAX_SESSIONS", "7", {"max_sessions": 7}),
    ("MAILSPY_DRAIN", "1.5", {"drain": 1.5}),
    ("MAILSPY_JSON", "yes", {"json": True}),
    ("MAILSPY_JSON", "0", {"json": False}),
    ("MAILSPY_LOG", "a file", {"log": "a file"}),
])
def test_the_environment(variable: str, text: str, values: dict[str, object]) -> None:
    assert config.from_environment({variable: text}, COMMON, COMMANDS, pytest.fail).common == values


def test_a_command_has_variables_of_its_own() -> None:
    found = config.from_environment({"MAILSPY_REPLAY_SPEED": "2"}, COMMON, COMMANDS, pytest.fail)
    assert found.commands == {"replay": {"speed": 2.0}}


@pytest.mark.parametrize(("variable", "text", "message"), [
    ("MAILSPY_DRAIN", "soon", "MAILSPY_DRAIN: expected a number, found 'soon'"),
    ("MAILSPY_JSON", "maybe", "MAILSPY_JSON: expected true or false, found 'maybe'"),
    ("MAILSPY_MAX_SESSIONS", "1.5", "MAILSPY_MAX_SESSIONS: expected a whole number, found '1.5'"),
])
def test_a_mistake_in_the_environment_is_named(variable: str, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        config.from_environment({variable: text}, COMMON, COMMANDS, pytest.fail)


def test_an_unknown_variable_is_told_and_left_out() -> None:
    told: list[str] = []
    environ = {"MAILSPY_LISEN": "1", "MAILSPY_CONFIG": "f", "MAILSPY_DEBUG": "1", "PATH": "/bin"}
    assert config.from_environment(environ, COMMON, COMMANDS, told.append).common == {}
    assert told == ["MAILSPY_LISEN: no such option; did you mean MAILSPY_LISTEN?; it is left out"]


def test_the_environment_wins_over_the_file() -> None:
    file = Config({"json": True, "log": "f"}, {"replay": {"speed": 1.0}})
    both = config.merged(file, Config({"log": "e"}, {"replay": {"speed": 2.0}}))
    assert both == Config({"json": True, "log": "e"}, {"replay": {"speed": 2.0}})
