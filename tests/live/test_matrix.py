"""Every order of who speaks first, with and without a scheme, through every set of options: nothing hangs.

The oracle is the same dialogue without mailspy, with a server that does what the option is there to change.  One process serves
all cells of a set of options.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from integration.harness import environment
from integration.servers import certificate

from .kit import Proxy
from .matrix import ORDERS, PROTOCOLS, Server, Told, meet

JUDGE = '''
"""A judge that reads everything and lets it pass."""
from inspector import hookimpl


@hookimpl
def judge_pdu(pdu, session):
    return None


@hookimpl
def judge_message(message, session):
    return None
'''
# The servers of this test may be left with half a handshake.
pytestmark = [pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning"),
              pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
SCHEMES = ("scheme", "none")
CELLS = list(product(SCHEMES, ORDERS, PROTOCOLS))
REFUSAL = b"421 4.7.0 mailspy: "


class Set(NamedTuple):
    """A set of options."""

    options: tuple[str, ...]
    tls: str = ""
    """What the server of the oracle does about TLS."""
    refuses: bool = False
    """It may refuse what it cannot read, and says why."""


SETS = {
    "--tls pass": Set(("--tls", "pass")),
    "--tls intercept": Set(("--tls", "intercept", "--ca-dir", "{ca}", "--upstream-verify", "off")),
    "--tls refuse": Set(("--tls", "refuse"), "refuse"),
    "a judge": Set(("--plugin", "{judge}"), refuses=True),
    "--enforce-relay": Set(("--enforce-relay", "--local-domain", "here.example"), refuses=True),
    "--strip-starttls": Set(("--strip-starttls",), "strip"),
    "-w": Set(("-w", "{folder}/capture.pcapng")),
}


class Ground(NamedTuple):
    """What all sets share."""

    folder: Path
    context: ssl.SSLContext
    certificate: bytes


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("matrix")
    chain, key = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    done = subprocess.run([sys.executable, "-m", "inspector", "ca", "create", "--ca-dir", str(folder / "ca")], check=False,
                          env=environment(folder), capture_output=True)
    assert done.returncode == 0, done.stderr
    (folder / "judge.py").write_text(JUDGE)
    return Ground(folder, context, ssl.PEM_cert_to_DER_cert(chain.read_text()))


Oracle = dict[tuple[str, str, str], Told]


@pytest.fixture(scope="module")
def oracle(ground: Ground) -> Oracle:
    """What a client gets without mailspy, by what the server does about TLS, order and protocol."""
    cells = list(product(sorted({one.tls for one in SETS.values()}), ORDERS, PROTOCOLS))
    servers = [Server(protocol, order, ground.context, tls) for tls, order, protocol in cells]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda pair: meet(pair[0].port, pair[1][2], pair[1][1], ground.certificate),
                              zip(servers, cells, strict=True)))
    for server in servers:
        server.close()
    return dict(zip(cells, found, strict=True))


@pytest.fixture(scope="module", params=SETS)
def through(request: pytest.FixtureRequest, ground: Ground,
            oracle: Oracle) -> Iterator[tuple[str, dict[tuple[str, str, str], Told]]]:
    """What clients get through mailspy, by scheme, order and protocol; all cells of one set at once.

    What came wrong is tried once more, alone: a machine with much to do makes peers late.
    """
    chosen = SETS[request.param]
    folder = ground.folder / request.param.strip("-").replace(" ", "-")
    names = {"ca": ground.folder / "ca", "judge": ground.folder / "judge.py", "folder": folder}
    servers = [Server(protocol, order, ground.context) for _, order, protocol in CELLS]
    upstreams = tuple(
        f"{'smtp' if protocol == 'unknown' else protocol}://127.0.0.1:{server.port}" if scheme == "scheme"
        else f"127.0.0.1:{server.port}" for server, (scheme, _, protocol) in zip(servers, CELLS, strict=True))
    options = [option.format_map(names) for option in chosen.options]
    with Proxy(folder, "--json", *options, upstreams=upstreams) as proxy:
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda pair: meet(pair[0], pair[1][2], pair[1][1], ground.certificate),
                                  zip(proxy.ports, CELLS, strict=True)))
        told = dict(zip(CELLS, found, strict=True))
        late = [cell for cell, got in told.items() if not right(request.param, cell, got, oracle)]
        ports = dict(zip(CELLS, proxy.ports, strict=True))
        told.update({cell: meet(ports[cell], cell[2], cell[1], ground.certificate) for cell in late})
        yield request.param, told
        assert late or "held for" not in proxy.stderr
        assert "Traceback" not in proxy.stderr
    for server in servers:
        server.close()
    if request.param == "-w":
        assert proxy.replay() == proxy.events()


def wanted(name: str, order: str, direct: Told) -> Told:
    """What a client is to get through a set of options; where it is looked into TLS, mailspy shows the certificate."""
    if name == "--tls intercept" and order != "TLS first":
        return [("TLS with", b"mailspy") if word == "TLS with" else (word, said) for word, said in direct]
    return direct


def test_nothing_hangs(through: tuple[str, dict[tuple[str, str, str], Told]], oracle: Oracle) -> None:
    name, found = through
    wrong = [f"{', '.join(cell)}:\n  wanted {due(name, cell, oracle)}\n  found  {told}" for cell, told in found.items()
             if not right(name, cell, told, oracle)]
    assert not wrong, f"{len(wrong)} of {len(found)} cells\n" + "\n".join(wrong)


def due(name: str, cell: tuple[str, str, str], oracle: Oracle) -> Told:
    """What a client is to get in a cell.  What is offered in TLS is not seen."""
    _, order, protocol = cell
    return wanted(name, order, oracle["" if order == "TLS first" else SETS[name].tls, order, protocol])


def right(name: str, cell: tuple[str, str, str], told: Told, oracle: Oracle) -> bool:
    """Whether it got that, or was refused where that may be."""
    return told == due(name, cell, oracle) or (SETS[name].refuses and refused(told, cell[1]))


def refused(told: Told, order: str) -> bool:
    """Whether the client was told why there is no session; one in TLS cannot read that."""
    return REFUSAL in b"".join(said for _, said in told) or (order == "TLS first" and told[-1] == ("no TLS", b""))
