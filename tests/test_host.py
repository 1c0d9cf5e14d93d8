"""Plugins loaded, called, and contained."""

from __future__ import annotations

import pytest

from inspector import OptionError, Options, PluginError, hookimpl
from inspector.host import STRIKES, Host


class Good:
    def __init__(self) -> None:
        self.seen = []

    @hookimpl
    def pdu_seen(self, pdu):
        self.seen.append(pdu)


class Bad:
    @hookimpl
    def pdu_seen(self, pdu, session):
        raise ZeroDivisionError("by design")

    @hookimpl
    def flow_opened(self, flow):
        raise SystemExit("leave")


def host_with(*plugins) -> tuple[Host, list[str]]:
    alarms: list[str] = []
    host = Host(alarms.append)
    for number, plugin in enumerate(plugins):
        host.register(f"plugin{number}", plugin)
    return host, alarms


def test_a_plugin_that_raises_stops_no_other_and_is_named_once_per_hook():
    """pluggy alone would let the first exception end the call."""
    good = Good()
    host, alarms = host_with(good, Bad())
    tell = host.teller("pdu_seen")
    tell(1, None)
    tell(2, None)
    assert good.seen == [1, 2]
    assert len(alarms) == 1
    assert "plugin1: pdu_seen: ZeroDivisionError: by design (test_host.py:" in alarms[0]


def test_after_three_faults_a_plugin_is_switched_off():
    """Whatever the hooks in which it failed."""
    host, alarms = host_with(Bad())
    tell, opened = host.teller("pdu_seen"), host.teller("flow_opened")
    opened(None)
    for _ in range(5):
        tell(1, None)
    assert host.loaded[0].faults == STRIKES
    assert alarms[-1] == "plugin plugin0: switched off after 3 faults"
    assert len(alarms) == 3


def test_a_misspelt_hook_stops_the_program():
    """Otherwise it would silently never be called."""
    class Misspelt:
        @hookimpl
        def pdu_sene(self, pdu): ...

    with pytest.raises(PluginError, match="pdu_sene"):
        host_with(Misspelt())


def test_an_argument_that_the_hook_does_not_have_stops_the_program():
    """The text names plugin and hook."""
    class Wrong:
        @hookimpl
        def pdu_seen(self, packet): ...

    with pytest.raises(PluginError, match=r"plugin0.*pdu_seen.*packet"):
        host_with(Wrong())


def test_a_plugin_without_hooks_is_told_so():
    """A forgotten @hookimpl is the usual cause."""
    class Nothing:
        def pdu_seen(self, pdu): ...

    with pytest.raises(PluginError, match="implements no hook"):
        host_with(Nothing())


def test_a_plugin_file_is_loaded_and_its_errors_are_told(tmp_path):
    """`--plugin FILE.py`."""
    host = Host(print)
    good = tmp_path / "counter.py"
    good.write_text("from inspector import hookimpl\n@hookimpl\ndef pdu_seen(pdu): ...\n")
    host.load_file(str(good))
    assert host.loaded[0].hooks == ["pdu_seen"]
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_that_name\n")
    with pytest.raises(PluginError, match="ModuleNotFoundError"):
        host.load_file(str(broken))
    with pytest.raises(PluginError, match="no such file"):
        host.load_file(str(tmp_path / "absent.py"))


def test_options_of_plugins_are_collected_and_may_not_clash():
    """Two plugins cannot both own an option."""
    class One:
        @hookimpl
        def add_options(self, parser):
            parser.add("colour", help="Which colour", default="red")

    host, _ = host_with(One())
    assert [(option.name, option.plugin) for option in host.options()] == [("colour", "plugin0")]
    twice, _ = host_with(One(), One())
    with pytest.raises(PluginError, match="both declare --colour"):
        twice.options()


def test_a_plugin_may_refuse_to_start():
    """OptionError is for the user; anything else is the plugin's fault and names it."""
    class Refuses:
        @hookimpl
        def configure(self, options):
            raise OptionError("--colour: no such colour")

    class Fails:
        @hookimpl
        def configure(self, options):
            raise KeyError("x")

    with pytest.raises(OptionError, match="no such colour"):
        host_with(Refuses())[0].configure(Options())
    with pytest.raises(PluginError, match="plugin0: KeyError"):
        host_with(Fails())[0].configure(Options())


def test_disable_names_must_exist():
    """A misspelt --disable would leave the plugin on."""
    host, _ = host_with(Good())
    host.check_disabled(["plugin0"])
    with pytest.raises(PluginError, match="no plugin of that name"):
        host.check_disabled(["plugin7"])


def test_a_plugin_may_leave_out_some_of_its_hooks():
    """Its options decide: one that enforces nothing is no judge."""
    plugin = Bad()
    plugin.idle = frozenset({"flow_opened"})
    host, _ = host_with(plugin)
    assert not host.implementations("flow_opened")
    assert host.implementations("pdu_seen")
    plugin.idle = True
    assert not host_with(plugin)[0].implementations("pdu_seen")
