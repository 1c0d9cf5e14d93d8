"""A Dask cluster reads captures: a real scheduler and two workers, one of which is killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.cli import main

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

CAPTURES = sorted((Path(__file__).parent.parent / "captures").glob("*.pcapng"))


class Cluster:
    """A scheduler and two workers, processes of their own."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "scheduler.json"
        self._processes = [self._start("scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1")]
        deadline = time.monotonic() + 60
        while not self._file.exists() or not self._file.read_text():
            assert time.monotonic() < deadline, "the scheduler does not come up"
            time.sleep(0.1)
        self.address = "dask://" + json.loads(self._file.read_text())["address"].removeprefix("tcp://")
        self.workers = [self._start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory",
                                    str(folder / f"worker{number}")) for number in range(2)]
        self._processes += self.workers

    def _start(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_" + what, "--scheduler-file", str(self._file),
                                 *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    one = Cluster(tmp_path_factory.mktemp("dask"))
    yield one
    one.close()


def replay(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "inspector", "replay", *arguments], capture_output=True, check=False,
                          timeout=120)


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "view"])
def test_the_output_is_that_of_one_process(form: list[str], cluster: Cluster) -> None:
    files = list(map(str, CAPTURES))
    one, many = replay(*form, *files), replay(*form, "--engine", cluster.address, *files)
    assert (many.returncode, many.stdout) == (0, one.stdout)
    assert many.stderr.splitlines()[-1] == one.stderr.splitlines()[-1]


def test_a_damaged_capture_hides_no_other(cluster: Cluster, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pcapng"
    words = CAPTURES[3].read_bytes()
    damaged.write_bytes(words[:len(words) // 2 // 4 * 4] + b"\xff" * 50)
    files = [str(damaged), str(CAPTURES[0])]
    one, many = replay("--json", *files), replay("--json", "--engine", cluster.address, *files)
    # A flow that is still open at the end of its file is closed there, and not at the end of all files.
    assert (many.returncode, sorted(many.stdout.splitlines())) == (one.returncode, sorted(one.stdout.splitlines())) != (0, [])
    assert b"damaged.pcapng" in many.stderr


def test_a_worker_that_is_killed_midway_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """Last of the tests here: one worker is left."""
    files = []
    for number in range(60):
        files.append(str(tmp_path / f"{number:03}.pcapng"))
        shutil.copy(CAPTURES[number % len(CAPTURES)], files[-1])
    one = replay("--json", *files)
    with subprocess.Popen([sys.executable, "-m", "inspector", "replay", "--json", "--engine", cluster.address, *files],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        first = process.stdout.readline()
        cluster.workers[0].kill()
        rest = process.stdout.read()
        assert process.wait(120) == 0
    assert first + rest == one.stdout


@pytest.mark.parametrize(("arguments", "said"), [
    (["--engine", "spark://x:1"], "dask://HOST:PORT"), (["--engine", "dask://localhost"], "dask://HOST:PORT"),
    (["--engine", "dask://x:1", "--merge"], "--merge"), (["--engine", "dask://x:1", "--jobs", "2"], "--jobs"),
])
def test_mistakes(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", *arguments, str(CAPTURES[0])]) == 2
    assert said in capsys.readouterr().err
