"""The benchmark of the live proxy: mailspy and its peers in turn, under the same loads, in the same run.

Knows the command line and the order of rounds.  Must not know how one run is made (`bench`) or shown (`summary`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import generator
import process
import summary
from bench import Bench
from peers import PEERS, Peer, Programs, another, default_mailspy
from works import WORKS


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--works", default="S,R,M,B,BW,C2,C9,G", help="of S,R,M,B,BW,C2,C9,G (default: all)")
    add("--peers", default=",".join(PEERS), help=f"of {','.join(PEERS)} (default: all)")
    add("--rounds", type=int, default=3, help="how often each peer gets each work (default: 3)")
    add("--scale", type=float, default=1.0, help="multiplies the amounts of S, R, M, B and BW (default: 1)")
    add("--out", type=Path, metavar="FILE.jsonl", help="append each record to this file as well")
    add("--pin", choices=("one", "none"), default="one", help="proxy, client and server on one CPU, or anywhere")
    add("--mailspy", action="append", metavar="CMD",
        help="the command that starts mailspy; a second one measures another build in the same run, as mailspy-2")
    add("--mitmdump", default=shutil.which("mitmdump") or "", metavar="PATH", help="default: the one on PATH")
    add("--haproxy", default=shutil.which("haproxy") or "", metavar="PATH", help="default: the one on PATH")
    add("--python", default=sys.executable, metavar="PATH", help="a Python with Twisted for the forwarder")
    found = parser.parse_args()
    found.mailspy = found.mailspy or [default_mailspy()]
    for option, names, known in (("works", found.works, WORKS), ("peers", found.peers, PEERS)):
        for name in names.split(","):
            if name not in known:
                parser.error(f"--{option}: no {name!r}; there are {','.join(known)}")
    return found


def present(names: str, programs: Programs, builds: Sequence[str]) -> list[Peer]:
    """The peers that can run here, with the other builds of mailspy; says which cannot."""
    others = [another(number, command) for number, command in enumerate(builds, 2)]
    chosen = [peer for name in names.split(",") for peer in (PEERS[name], *(others if name == "mailspy" else []))]
    reasons = {peer.name: peer.absent(programs) for peer in chosen}
    for name, reason in reasons.items():
        if reason:
            print(f"{name} is left out: {reason}", file=sys.stderr)
    return [peer for peer in chosen if not reasons[peer.name]]


def records(bench: Bench, options: argparse.Namespace, peers: list[Peer]) -> Iterator[dict[str, Any]]:
    """Round by round, work by work, peer by peer; in every other round from the last peer to the first."""
    begun = round(time.time(), 3)
    for number in range(options.rounds):
        for name in options.works.split(","):
            for peer in reversed(peers) if number % 2 else peers:
                for record in bench.run(WORKS[name], peer):
                    yield {"run": begun, "round": number, "pin": options.pin, "scale": options.scale,
                           "load": os.getloadavg()[0], **record}


def keep(record: dict[str, Any], out: Path | None) -> None:
    """Writes a record down and tells of it."""
    told = record.get("error") or f"{summary.rate(record)}, cost {summary.cost(record)}"
    print(f"{record['round']} {record['work']:7} {record['peer']:10} {told}", file=sys.stderr, flush=True)
    if out:
        with out.open("a") as lines:
            print(json.dumps(record), file=lines)


def measure(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """All records of the run; stops early, and keeps what there is, on an interrupt."""
    programs = Programs(options.mailspy[0], options.mitmdump, options.haproxy, options.python)
    bench = Bench(generator.build(folder), programs, options.scale)
    process.prepare(options.pin == "one")
    done: list[dict[str, Any]] = []
    try:
        for record in records(bench, options, present(options.peers, programs, options.mailspy[1:])):
            done.append(record)
            keep(record, options.out)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    return done


def main() -> int:
    """Runs, prints the table; 1 when a run failed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    with TemporaryDirectory(prefix="mailspy-bench-") as folder:
        try:
            done = measure(options, Path(folder))
        except generator.LoadError as error:
            print(error, file=sys.stderr)
            return 2
    if done:
        print(summary.table(done))
    return int(any("error" in record for record in done))


if __name__ == "__main__":
    sys.exit(main())
