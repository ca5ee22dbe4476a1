"""Work that is done by others: values, pictures and files are those of this process, whoever does it and whoever dies."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import multiprocessing
import os
import pickle
import platform
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from execution_samples import AXIS, FEW, PROBES, own_loss
from kills import STUDY
from networks import conv_net, images
from samefiles import differing, same_file

import landscape as ls
from landscape.errors import ExecutionError, InputError
from landscape.execution.pickling import packed
from landscape.execution.team import KILLS, Team, Work, team_of
from landscape.execution.worker import Answer, Order, carry_out
from landscape.numerics.refinement import Refinement, Refiner, refine
from landscape.places import Places
from landscape.studies.settings import load_study
from landscape.studies.study import measure_study, run_study
from landscape.studies.variations import part_of

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def objective(one_thread: None) -> ls.Objective:
    return ls.Objective(conv_net(), own_loss, images(40), device="cpu")


@pytest.fixture(scope="module")
def two(one_thread: None) -> Iterator[Team]:
    from landscape.execution.cluster import local_team

    with local_team(2, 1) as team:
        yield team


@pytest.fixture(scope="module")
def here(objective: ls.Objective) -> dict[str, xr.Dataset]:
    return {name: probe(objective) for name, probe in PROBES.items()}


class Backwards(Executor):
    """Does what it is given in this process, the last first, and everything twice."""

    def __init__(self) -> None:
        self._given: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []
        self._lock = threading.Lock()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            self._given.append((future, function, arguments))
            if len(self._given) == 1:
                threading.Timer(0.01, self._work).start()
        return future

    def _work(self) -> None:
        with self._lock:
            given, self._given = self._given, []
        for future, function, arguments in reversed(given):
            if future.set_running_or_notify_cancel():
                function(*arguments)
                future.set_result(function(*arguments))


@pytest.mark.parametrize("name", PROBES)
def test_values_do_not_depend_on_who_measures_them(
    name: str, objective: ls.Objective, here: dict[str, xr.Dataset]
) -> None:
    """In whatever order they come, and however often."""
    xr.testing.assert_identical(PROBES[name](objective, executor=Backwards()), here[name])


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_nor_on_how_many_workers_a_cluster_has(
    workers: int, objective: ls.Objective, here: dict[str, xr.Dataset], two: Team
) -> None:
    client = two.executor._client  # type: ignore[attr-defined]
    addresses = list(client.scheduler_info(n_workers=-1)["workers"])[:workers]
    some = Team(client.get_executor(pure=False, workers=addresses), counted=lambda: workers)
    for name in ("plane", "adaptive plane", "sharpness", "spectrum"):
        xr.testing.assert_identical(PROBES[name](objective, executor=some), here[name])


@pytest.mark.slow
def test_nor_on_whether_four_share_two_cores(objective: ls.Objective, here: dict[str, xr.Dataset]) -> None:
    from landscape.execution.cluster import local_team

    with local_team(4, 1) as team:
        for name, whole in here.items():
            xr.testing.assert_identical(PROBES[name](objective, executor=team), whole)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_nor_on_workers_that_die(kills: int, objective: ls.Objective, here: dict[str, xr.Dataset], two: Team) -> None:
    """Killed every few seconds; what they had not given back is measured by others."""
    draws, done = random.Random(0), threading.Event()
    client = two.executor._client  # type: ignore[attr-defined]

    def kill() -> None:
        for _ in range(kills):
            time.sleep(draws.uniform(1, 5))
            pids = [nanny.pid for nanny in client.cluster.workers.values() if nanny.pid]
            with contextlib.suppress(OSError, IndexError):
                os.kill(draws.choice(pids), signal.SIGKILL)
        done.set()

    killer = threading.Thread(target=kill)
    killer.start()
    while not done.is_set():
        for name in ("adaptive plane", "sharpness", "spectrum"):
            xr.testing.assert_identical(PROBES[name](objective, executor=two), here[name])
    killer.join()


def test_what_is_measured_is_measured_once(objective: ls.Objective, tmp_path: Path) -> None:
    """No point goes out twice while its first worker lives, nor points that were known, not even those measured ahead."""
    seen: list[tuple[int, int]] = []

    class Counting(Backwards):
        def submit(self, function: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
            number, points, *_ = arguments[0].arguments
            seen.extend((number, place.tobytes()) for place in points)
            return super().submit(function, *arguments, **more)

    PROBES["adaptive plane"](objective, executor=Counting())
    assert len(seen) == len(set(seen))
    part = ls.plane(objective, x=FEW, y=FEW, seeds=[0, 1])
    seen.clear()
    ls.plane(objective, x=FEW, y=FEW, seeds=[0, 1], resume=part, executor=Counting())
    assert not seen


@pytest.mark.parametrize("lag", [1, 3, 40])
def test_a_refinement_asks_the_same_whatever_was_measured_ahead(lag: int) -> None:
    """However many points are measured before they are wanted, its questions and its end are those of one that waits."""
    x, y = np.meshgrid(np.linspace(-1, 1, 31), np.linspace(-1, 1, 31))
    values = (1 + 5 * x**2 + 3 * np.sin(4 * y * x) ** 2).ravel()
    asked: list[list[int]] = []

    def measure(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        asked.append(points.tolist())
        found: np.ndarray[Any, Any] = values[points]
        return found

    whole = refine((31, 31), Refinement(max_points=250), measure)
    refiner, wanted = Refiner((31, 31), Refinement(max_points=250)), []
    while refiner.result is None:
        wanted.append(refiner.wanted.tolist())
        ahead = refiner.ahead(lag)
        assert not set(ahead.tolist()) & set(refiner.wanted.tolist())
        refiner.give(values[refiner.wanted])
    assert wanted == asked
    assert np.array_equal(refiner.result.values, whole.values) and refiner.result.known == whole.known


def test_the_standard_library_measures(objective: ls.Objective, here: dict[str, xr.Dataset]) -> None:
    """Processes that are started anew, to which the user's own functions are sent."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        xr.testing.assert_identical(PROBES["plane"](objective, executor=pool), here["plane"])


MPI = """
import sys, torch
sys.path[:0] = [{tests!r}]
import landscape as ls
from mpi4py.futures import MPICommExecutor
from networks import conv_net, images
from execution_samples import PROBES, own_loss
if __name__ == "__main__":
    torch.set_num_threads(1)
    with MPICommExecutor() as executor:
        if executor is not None:
            objective = ls.Objective(conv_net(), own_loss, images(40), device="cpu")
            ls.save(PROBES["plane"](objective, executor=executor), {out!r})
"""


@pytest.mark.slow
def test_mpi_measures(here: dict[str, xr.Dataset], tmp_path: Path) -> None:
    # Not imported here: a process of MPI starts no others.
    if shutil.which("mpirun") is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip("no mpirun, or no mpi4py")
    script, out = tmp_path / "script.py", tmp_path / "plane.h5"
    script.write_text(MPI.format(tests=str(Path(__file__).parent), out=str(out)))
    command = [
        "mpirun",
        "-n",
        "3",
        "--oversubscribe",
        "--allow-run-as-root",
        sys.executable,
        "-m",
        "mpi4py.futures",
        str(script),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    ls.save(here["plane"], tmp_path / "here.h5")
    assert same_file(out, tmp_path / "here.h5")


# A run of each batch size; what is compared and drawn of several seeds is the same work on more of them.
FEWER = STUDY.replace("seed = [0, 1]", "seed = 0").replace("train_images = 300", "train_images = 100")


def test_a_study_is_the_same_by_workers_in_parts_and_here(
    two: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.toml").write_text(FEWER)
    monkeypatch.chdir(tmp_path)
    study = load_study("study.toml")

    def run(**by: Any) -> Path:
        places = Places(checkpoints=Path("files/checkpoints"), outputs=Path("files/outputs"), device="cpu", **by)
        for part in range(1, 4) if not by else ():
            measure_study(part_of(study, part, 3), places)
        outcome = run_study(study, places)
        assert not outcome.failures
        return Path("files").rename(f"done-{len(list(Path().glob('done-*')))}")

    # The page says when it was written.
    assert differing(run(), run(executor=two)) == ["outputs/small/report.html"]


# What goes wrong.


class Answers(Executor):
    """Gives one answer to everything, or fails in one way."""

    def __init__(self, answer: Answer | BaseException) -> None:
        self._answer = answer

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if isinstance(self._answer, Answer):
            future.set_result(self._answer)
        else:
            future.set_exception(self._answer)
        return future


class KilledWorker(Exception):
    """As Dask calls it."""


class KillsAt(Backwards):
    """A point in a corner ends every worker that takes it."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
        points = arguments[0].arguments[1]
        if (np.abs(points - 1.0).sum(axis=1) == 0).any():
            future: Future[Any] = Future()
            future.set_exception(KilledWorker())
            return future
        return super().submit(function, *arguments, **more)


@pytest.mark.parametrize("name", ["plane", "adaptive plane"])
def test_a_point_that_ends_its_workers_is_named_and_costs_no_other(
    name: str, objective: ls.Objective, here: dict[str, xr.Dataset], tmp_path: Path
) -> None:
    found = PROBES[name](objective, executor=KillsAt())
    assert found.attrs["lost_points"].startswith("x = 1, y = 1 of seed 0; x = 1, y = 1 of seed 1:")
    lost, corner = (found["status"] == 4).values, [len(found["y"]) - 1, len(found["x"]) - 1]
    assert np.argwhere(lost).tolist() == [[0, *corner], [1, *corner]]
    assert np.isnan(found["loss"].values[lost]).all()
    measured = (found["status"] == 1) & (here[name]["status"] == 1)
    assert np.array_equal(found["loss"].values[measured], here[name]["loss"].values[measured])
    ls.save(found, tmp_path / "plane.h5")
    ls.plot(ls.load(tmp_path / "plane.h5"))
    again = PROBES[name](objective, resume=found, executor=Answers(ValueError()))  # nobody is asked again
    xr.testing.assert_identical(again, found)


class Storm(Executor):
    """Loses every part as often as ``deaths`` says, before a worker begins it or while one is at it, and then does it."""

    def __init__(self, deaths: int, *, begun: bool) -> None:
        self.left: dict[int, int] = {}
        self.deaths, self.begun = deaths, begun

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        order: Order = arguments[0]
        future: Future[Any] = Future()
        left = self.left[order.number] = self.left.get(order.number, self.deaths) - 1
        if left < 0:
            future.set_result(function(order))
            return future
        if self.begun:
            with Path(order.journal).open("ab") as file:
                file.write(f"{order.number}\n".encode() * KILLS)
        future.set_exception(KilledWorker())
        return future


@pytest.mark.parametrize("name", ["plane", "spectrum"])
def test_parts_that_only_waited_for_workers_that_died_are_not_given_up(
    name: str, objective: ls.Objective, here: dict[str, xr.Dataset]
) -> None:
    xr.testing.assert_identical(PROBES[name](objective, executor=Storm(3, begun=False)), here[name])
    with pytest.raises(ExecutionError, match="every worker that took"):
        PROBES[name](objective, executor=Storm(3, begun=True))


def test_work_that_nobody_survives_ends(objective: ls.Objective) -> None:
    with pytest.raises(ExecutionError, match=r"every worker that took them.*too little memory"):
        PROBES["plane"](objective, executor=Answers(KilledWorker()))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer("node7:3", refusal="has torch 2.6, where this process has 2.7"), "node7:3 has torch 2.6"),
        (ConnectionResetError("gone"), "gives no more answers .ConnectionResetError: gone.*ask for the same again"),
        (Answer("node7:3", error=InputError("loss: is no number.")), "loss: is no number"),
    ],
)
def test_workers_that_do_not_suit_are_named(answer: Any, said: str, objective: ls.Objective) -> None:
    with pytest.raises((ExecutionError, InputError), match=said):
        PROBES["plane"](objective, executor=Answers(answer))


def test_other_versions_are_refused_before_anything_is_run() -> None:
    order = Order(lambda: pytest.fail("was run"), (), (), 1, {"landscape": "0", "torch": "1", "Python": "3"})
    said = carry_out(order).refusal
    assert "landscape" in said and "torch" in said and "Install the same" in said


def test_pieces_reach_workers_that_see_no_files(objective: ls.Objective, here: dict[str, xr.Dataset]) -> None:
    class Elsewhere(Backwards):
        def submit(self, function: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
            order = arguments[0]
            hidden = tuple(type(p)(p.digest, "/nowhere", p.payload) for p in order.pieces)
            return super().submit(function, type(order)(**{**vars(order), "pieces": hidden}), **more)

    from landscape.execution import worker

    worker._BUILT.clear()
    xr.testing.assert_identical(PROBES["plane"](objective, executor=Elsewhere()), here["plane"])


def test_what_a_killed_process_of_this_machine_laid_down_is_taken_away(
    objective: ls.Objective, here: dict[str, xr.Dataset], tmp_path: Path
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, other = (tmp_path / f".0123-{host}-{gone.pid}.piece" for host in (platform.node(), "elsewhere"))
    running = tmp_path / f".4567-{platform.node()}-{os.getpid()}.piece"
    for path in (left, other, running):
        path.touch()
    xr.testing.assert_identical(PROBES["plane"](objective, executor=Team(Backwards(), folder=tmp_path)), here["plane"])
    assert set(tmp_path.iterdir()) == {other, running}


def test_the_module_may_be_trained_on_meanwhile(one_thread: None) -> None:
    net = conv_net(dtype=torch.float32)
    objective = ls.Objective(net, "cross_entropy", images(40, dtype=torch.float32), device="cpu")
    before = objective.evaluate()
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.add_(1)
    assert pickle.loads(packed(objective.recipe())).build().evaluate() == before


def test_every_argument_of_an_objective_travels_with_it(objective: ls.Objective) -> None:
    """All of the constructor's, by the arguments that are sent: the data with its targets, and its samples by number."""
    given = {*inspect.signature(ls.Objective).parameters} - {"module", "data", "targets", "sample_seed"}
    assert given == {*objective.recipe().arguments}


def test_other_heights_are_measured_by_others_too(one_thread: None) -> None:
    objective = ls.Objective(conv_net(), own_loss, images(40), device="cpu", metrics={"largest": _largest}, draws=2)
    whole = ls.plane(objective, x=FEW, y=FEW)
    xr.testing.assert_identical(ls.plane(objective, x=FEW, y=FEW, executor=Backwards()), whole)
    adaptive = Refinement(max_points=115)
    whole = ls.plane(objective, x=AXIS, y=AXIS, refinement=adaptive)
    xr.testing.assert_identical(ls.plane(objective, x=AXIS, y=AXIS, refinement=adaptive, executor=Backwards()), whole)


def _largest(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return outputs.amax(dim=1)


@pytest.mark.parametrize("given", [3, "tcp://127.0.0.1:8786", object()])
def test_what_is_no_executor_is_refused(given: Any, objective: ls.Objective) -> None:
    with pytest.raises(InputError, match=r"executor: expected a concurrent.futures.Executor"):
        ls.plane(objective, executor=given)


def test_nothing_is_sent_where_nobody_is_asked(objective: ls.Objective) -> None:
    assert team_of(None) is None
    assert list(Work(pow, (2,)).each([("a", (3,)), ("b", (5,))])) == [("a", 8), ("b", 32)]
