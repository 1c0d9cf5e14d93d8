"""The command `relay-test`.

Knows its options, and the parts of `inspector.relaytest`.  Must not know how a server is asked.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from inspector import config as configuration
from inspector.cli.address import parse_upstream
from inspector.cli.options import COMMON, LIVE, configurable
from inspector.cli.start import Setup, say
from inspector.errors import MailspyError, OptionError
from inspector.host import Host, Loaded
from inspector.options import Options
from inspector.starttls import Mode

JUDGE: Final = "mailspy_relay"
"""The plugin that judges recipients."""
NOBODY: Final = "relay-test.invalid"
"""The only local domain where no policy is given: no server has it (RFC 2606 §2), so that all mail is relayed."""
NOTICE: Final = "test only servers that you run yourself, or whose owner has asked you to"
OPEN: Final = 1
"""Exit code when the server would relay against the policy."""
UNKNOWN: Final = 2

Values = dict[str, Any]


def relay_test(setup: Setup, values: Values) -> int:
    """Asks the server in each form; exit code 1 when it would relay what it must not."""
    scheme, host, port, mode = parse_upstream(values["server"], setup.protocols, "smtp", "relay-test")
    if mode not in (Mode.SAME, Mode.PLAIN):
        raise OptionError(f"relay-test {values['server']}: asks in the clear only, as a stranger would on port 25")
    if scheme not in ("", "smtp"):
        raise OptionError(f"relay-test {values['server']}: only SMTP servers relay; write smtp://{host} or {host}:25")
    sender, (user, there) = values["sender"], _address("--recipient", values["recipient"])
    _address("--sender", sender)
    plugin, policy = _judge(setup), _policy(setup, values["policy"])
    from inspector.relaytest.probe import Ear, Probe, Target
    from inspector.relaytest.talk import Lost

    ear = Ear()
    target = Target(host, port, values["timeout"], _hello(values["helo"]), sender, user, there, _home(policy))
    probe = Probe(target, _pipeline(setup, plugin, policy, ear), ear)
    say(f"relay-test {host}:{port}: {NOTICE}; no letter is sent")
    try:
        return _report(probe, values["json"])
    except Lost as error:
        raise MailspyError(f"relay-test {host}:{port}: {error}") from error


def _report(probe: Any, json: bool) -> int:
    from inspector.relaytest.report import as_json, show, summary

    results = []
    for result in probe.results():
        results.append(result)
        if json:
            sys.stdout.buffer.write(as_json(result, probe.server))
            sys.stdout.buffer.flush()
    if not json:
        show(results)
    say(summary(results, probe.server))
    if any(result.verdict == "open_relay" for result in results):
        return OPEN
    return UNKNOWN if any(result.reply is None for result in results) else 0


def _judge(setup: Setup) -> Loaded:
    plugin = next((loaded for loaded in setup.host.loaded if loaded.name == JUDGE), None)
    if plugin is None:
        raise OptionError(f"relay-test needs the plugin {JUDGE}: leave out --disable {JUDGE}, or install mailspy")
    return plugin


def _policy(setup: Setup, path: str | None) -> Values:
    """The options of the policy, by key, from the file or from the configuration.  Raises OptionError."""
    given = setup.config.common
    if path is not None:
        name, tables = configuration.read_file(path, "--policy")
        given = configuration.from_file(name, tables, configurable([*LIVE, *COMMON, *setup.options]), {}).common
    options = _judge(setup).options
    policy = {option.key: given.get(option.key, option.default) for option in options if option.name != "enforce-relay"}
    if path is not None and not any(policy.values()):
        raise OptionError(f"--policy {path}: no policy in it; write local-domain = [\"example.org\"], or leave --policy out")
    return policy if any(policy.values()) else {"local_domain": (NOBODY,)}


def _home(policy: Values) -> str:
    """A domain of the server, as the policy says; empty where it names none."""
    plain = [domain for domain in policy.get("local_domain") or () if domain[:1] not in (".", "*", "[") and domain != NOBODY]
    return plain[0].removeprefix("@") if plain and plain[0].isascii() else ""


def _pipeline(setup: Setup, plugin: Loaded, policy: Values, ear: Any) -> Any:
    """A pipeline with the relay plugin and the ear alone.  Raises OptionError."""
    from inspector.host import Hooks
    from inspector.pipeline import Pipeline

    host = Host(say)
    host.register(plugin.name, plugin.plugin, plugin.origin)
    host.register("ear", ear)
    host.configure(Options(policy))
    return Pipeline(Hooks(host, lambda head: ""), setup.protocols, alarm=say)


def _address(option: str, given: str) -> tuple[str, str]:
    """Local part and domain.  Raises OptionError for what would not stand in a command as it is."""
    local, _, domain = given.partition("@")
    if not (local and domain) or not given.isascii() or not given.isprintable() or set(given) & set(' <>"\\%!,:;()@{}') - {"@"} \
            or "@" in domain:
        raise OptionError(f"{option} {given}: expected a plain address, such as somebody@example.org")
    return local, domain


def _hello(given: str | None) -> str:
    if given and (not given.isascii() or not given.isprintable() or " " in given):
        raise OptionError(f"--helo {given}: expected a host name, such as client.example.org")
    return given or ""
