"""A Dask cluster as people start one, whose scheduler, workers and client are killed: the same command goes on to the same file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from kills import BASE, STUDY, Running, load
from samefiles import differing, same_file

import landscape as ls
from landscape.execution.cluster import local_team
from landscape.execution.team import Team
from landscape.places import Places, Silent
from landscape.studies.settings import load_study
from landscape.studies.study import run_study

pytest.importorskip("distributed")

SAVED = ["--save-every", "0.1", "--device", "cpu", "--out", "files/plane.h5"]
PLANE = ["probe", "plane", "base", "--x=-1:1:31", "--y=-1:1:31", "--images", "300", *SAVED]
# A worker that is killed is replaced at once, and a scheduler that is gone is not waited for.
ENVIRONMENT = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"}
SOON = 120.0


def started(*command: str) -> subprocess.Popen[str]:
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, *command], start_new_session=True, text=True, **silent)


def end(*processes: subprocess.Popen[str]) -> None:
    """Kill them, and whatever they have started."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def cluster(file: Path) -> Iterator[subprocess.Popen[str]]:
    """A scheduler, found by its file, with a worker of one thread."""
    file.unlink(missing_ok=True)
    told = ("--scheduler-file", str(file), "--no-dashboard")
    scheduler = started("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *told)
    worker = started("-m", "distributed.cli.dask_worker", "--nthreads", "1", "--memory-limit", "0", *told)
    try:
        until(file.exists)
        yield scheduler
    finally:
        end(scheduler, worker)


def until(done: Any) -> None:
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < SOON
        time.sleep(0.05)


def measured(file: Path) -> int:
    """How many points a plane's file has so far."""
    return int((ls.load(file)["status"] == 1).sum()) if file.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("rest", [["--full"], []], ids=["full", "adaptive"])
def test_scheduler_and_client_are_killed_and_the_same_command_goes_on(
    rest: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    load()
    command, file = [*PLANE, *rest], Path("scheduler.json")
    for words in ([*BASE, "--out", "base"], command):
        assert Running(words, tmp_path).wait() == 0
    out, whole = Path("files/plane.h5"), Path("whole.h5")
    out.rename(whole)
    command += ["--scheduler", str(file), "--threads", "1"]
    with cluster(file) as scheduler:
        client = Running(command, tmp_path)
        until(lambda: measured(out))
        client.kill(signal.SIGKILL)
        client.wait()
        before = measured(out)
        client = Running(command, tmp_path)
        until(lambda: measured(out) > before)
        scheduler.kill()
        assert client.wait(SOON) == 1
        said = Path("log.txt").read_text()
        assert "What was measured is kept; start it anew" in said and "Traceback" not in said, said
        assert before < measured(out) < measured(whole)
    with cluster(file):
        assert Running(command, tmp_path).wait(SOON) == 0
    assert same_file(out, whole)


class Killer(Silent):
    """Kills a worker, drawn at random, whenever a part of the study is done: while the others are at theirs."""

    def __init__(self, team: Team, kills: int) -> None:
        self._nannies: Any = team.executor._client.cluster.workers  # type: ignore[attr-defined]
        self._draws, self.left = random.Random(kills), kills

    def message(self, text: str) -> None:
        pids = [nanny.pid for nanny in self._nannies.values() if nanny.pid]
        if "done" in text and self.left and pids:
            with suppress(ProcessLookupError):
                os.kill(self._draws.choice(pids), signal.SIGKILL)
                self.left -= 1


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, 20])
def test_a_study_whose_workers_die(kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings and probes go on elsewhere, from what the dead have saved."""
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text(STUDY.replace("epochs = 2", "epochs = 8\ncheckpoint_every = 1"))
    study = load_study("study.toml")

    def run(folder: str, **by: Any) -> Path:
        places = Places(checkpoints=Path("files/checkpoints"), outputs=Path("files/outputs"), device="cpu", **by)
        assert not run_study(study, places).failures
        return Path("files").rename(folder)

    whole = run("whole")
    with local_team(2, 1) as team:
        killer = Killer(team, kills)
        while killer.left:
            assert differing(whole, run(f"killed-{killer.left}", executor=team, reporter=killer)) == [
                "outputs/small/report.html"
            ]
