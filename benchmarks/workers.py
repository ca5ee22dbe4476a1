"""What workers cost and gain: the overhead of a point, two of one thread against one process of two, and up to 1,000 simulated.

    python -m benchmarks.workers --checkpoint RUN/last.pt                    # 51 × 51, 1,000 images
    python -m benchmarks.workers --checkpoint RUN/last.pt --grid 13 --images 200 --only pace

The simulation runs the library's own dispatch of a plane's parts and rounds against workers on a virtual clock, with latencies as
they are measured here; the client's own work, such as interpolation, counts as it takes.
"""

from __future__ import annotations

import argparse
import heapq
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import table
from landscape.execution.cluster import local_team
from landscape.execution.team import Arrived, Flight, Team, Work
from landscape.numerics.grids import Axis, Grid
from landscape.numerics.refinement import Refinement, default_budget
from landscape.probes.plane.points import GridPoints

Indices = NDArray[np.int64]
PARTS = (1, 4, 16, 64)
WORKERS = (1, 2, 4, 16, 64, 256, 1000)
POINT_SECONDS = (0.01, 0.1, 1.0)
TIMED = """
import sys, time, torch
import landscape as ls
from benchmarks.workers import loaded
from landscape.execution.cluster import local_team
threads, workers, grid, images, adaptive, path = int(sys.argv[1]), int(sys.argv[2]), *map(int, sys.argv[3:6]), sys.argv[6]
if __name__ == "__main__":
    torch.set_num_threads(threads)
    objective, axis = loaded(path, images), (-1.0, 1.0, grid)
    refinement = ls.Refinement(max_passes=ls.numerics.refinement.default_budget((grid, grid))) if adaptive else None
    team = local_team(workers, threads) if workers else None
    warm = ls.plane(objective, x=(0.0, 1.0, 4), y=(0.0, 1.0, 4), executor=team)
    begun = time.perf_counter()
    ls.plane(objective, x=axis, y=axis, refinement=refinement, executor=team)
    print(time.perf_counter() - begun)
    if team is not None:
        team.close()
"""


def loaded(path: str, images: int) -> Any:
    """The objective of a checkpoint, which whoever runs this trusts."""
    from landscape.places import Places
    from landscape.probes.settings import SampledSettings
    from landscape.probes.subjects import Subject, open_subject

    places = Places(device="cpu")
    return open_subject(Subject(Path(path), trust=True), places).objective(
        SampledSettings(kind="plane", images=images), places
    )


def busy(seconds: float, points: int) -> int:
    """Points that take so long each, on a core of their own."""
    until = time.perf_counter() + points * seconds
    while time.perf_counter() < until:
        pass
    return points


def overheads(workers: int, points: int, seconds: float) -> tuple[str, float, float]:
    """A table of the overhead a point by points a part, and the seconds that a part takes to be sent and to come back."""
    rows, spent = [], []
    with local_team(workers, 1) as team:
        list(Work(busy, (seconds,), team).each((k, (1,)) for k in range(4 * workers)))
        for size in PARTS:
            begun, own = time.perf_counter(), time.thread_time()
            list(Work(busy, (seconds,), team).each((k, (size,)) for k in range(points // size)))
            wall = time.perf_counter() - begun
            spent.append((time.thread_time() - own) * size / points)
            over = wall * workers / points - seconds
            rows.append([f"{size}", f"{1e3 * over:.2f}", f"{100 * seconds / (seconds + over):.0f} %"])
        begun = time.perf_counter()
        for k in range(20):
            list(Work(busy, (seconds,), team).each([(k, (1,))]))
        latency = (time.perf_counter() - begun) / 20 - seconds
    head = ["points a part", "overhead a point, ms", f"of the speed without, at {1e3 * seconds:g} ms a point"]
    return table(head, rows), median(spent), max(latency, 1e-4)


def pace(path: str, grid: int, images: int, repeats: int) -> str:
    """Two workers of one thread against one process of two."""
    rows = []
    for adaptive in (0, 1):
        taken: dict[int, list[float]] = {0: [], 2: []}
        for _ in range(repeats):
            for workers, threads in ((0, 2), (2, 1)):
                command = [sys.executable, "-c", TIMED, *map(str, (threads, workers, grid, images, adaptive)), path]
                made = subprocess.run(command, check=True, capture_output=True, text=True)
                taken[workers].append(float(made.stdout.split()[-1]))
        ratio = median(one / two for one, two in zip(taken[0], taken[2], strict=True))
        kind = "adaptive" if adaptive else "full"
        rows.append([kind, f"{median(taken[0]):.1f}", f"{median(taken[2]):.1f}", f"{ratio:.2f}"])
    return table([f"{grid} × {grid}, {images} images", "one process of 2, s", "two workers of 1, s", "speed"], rows)


@dataclass
class Clock:
    """A virtual time, in seconds."""

    now: float = 0.0


class SimulatedFlight(Flight[tuple[int, Indices]]):
    """Workers on a virtual clock, who take parts in the order in which they were sent."""

    def __init__(self, team: Team, clock: Clock, point: float, sending: float, latency: float, values: Any) -> None:
        self.team, self._clock, self._values = team, clock, values
        self._point, self._sending, self._latency = point, sending, latency
        self._free = [0.0] * team.workers
        self._back: list[tuple[float, int, tuple[int, Indices]]] = []
        self._sent, self._worked = 0, time.process_time()

    def __exit__(self, *exception: object) -> None: ...

    def __len__(self) -> int:
        return len(self._back)

    def send(self, key: tuple[int, Indices], arguments: tuple[Any, ...], **_: Any) -> None:
        self._own()
        self._clock.now += self._sending
        begun = max(heapq.heappop(self._free), self._clock.now + self._latency / 2)
        ended = begun + len(key[1]) * self._point
        heapq.heappush(self._free, ended)
        heapq.heappush(self._back, (ended + self._latency / 2, self._sent, key))
        self._sent += 1
        self._worked = time.process_time()

    def next(self) -> Arrived[tuple[int, Indices]]:
        self._own()
        back, _, key = heapq.heappop(self._back)
        self._clock.now = max(self._clock.now, back)
        arrived = Arrived(key, self._values[key[1]], len(key[1]) * self._point)
        self._worked = time.process_time()
        return arrived

    def _own(self) -> None:
        """What the client did itself since it was last here."""
        self._clock.now += time.process_time() - self._worked


class SimulatedPoints(GridPoints):
    """A plane whose values are known, measured by simulated workers."""

    clock = Clock()
    timing: tuple[float, float, float] = (0.0, 0.0, 0.0)
    values: Any = None

    def flight(self) -> Flight[tuple[int, Indices]]:
        assert self.work.team is not None
        return SimulatedFlight(self.work.team, type(self).clock, *type(self).timing, type(self).values)


def simulated(workers: int, grid: int, point: float, sending: float, latency: float, *, adaptive: bool) -> float:
    """Seconds that a plane takes, of a surface with a basin, ripples and walls."""
    x, y = np.meshgrid(*2 * [np.linspace(-1, 1, grid)], indexing="ij")
    surface = (0.05 + 3 * (x**2 + 2 * y**2) + 0.4 * np.sin(5 * x * y) ** 2 + 30 * np.maximum(x - 0.7, 0)).ravel()
    values, known = np.full(grid * grid, np.nan), np.zeros(grid * grid, dtype=bool)

    def keep(number: int, points: Indices, found: Any) -> None:
        values[points], known[points] = found, True

    axis, team = Axis(-1.0, 1.0, grid), Team(executor=None, counted=lambda: workers)  # type: ignore[arg-type]
    nobody: Callable[..., Any] = lambda *_: None  # noqa: E731
    points = SimulatedPoints(
        Grid((axis, axis)),
        (0,),
        known=lambda _: known,
        shown=lambda _: values,
        work=Work(nobody, (), team),
        asked=lambda number, some: (),
        keep=keep,
        lose=nobody,
        lost=lambda _: np.zeros(grid * grid, dtype=bool),
        pace=point,
    )
    SimulatedPoints.clock, SimulatedPoints.timing, SimulatedPoints.values = Clock(), (point, sending, latency), surface
    if adaptive:
        list(points.refine(Refinement(max_passes=default_budget((grid, grid)), value_max=10.0)))
    else:
        points.measure_all()
    return SimulatedPoints.clock.now


def scaling(grid: int, sending: float, latency: float) -> str:
    """How many times faster than one worker, by workers and seconds a point."""
    head = ["workers", *(f"{kind}, {1e3 * p:g} ms a point" for kind in ("full", "adaptive") for p in POINT_SECONDS)]
    taken = {
        (kind, point): [simulated(n, grid, point, sending, latency, adaptive=kind) for n in WORKERS]
        for kind in (False, True)
        for point in POINT_SECONDS
    }
    rows = [[f"{n:,}", *(f"{column[0] / column[k]:.1f}" for column in taken.values())] for k, n in enumerate(WORKERS)]
    return table(head, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkpoint", help="what is measured for the pace")
    parser.add_argument("--grid", type=int, default=51)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", choices=("overhead", "pace", "scaling"))
    asked = parser.parse_args(arguments)
    sending, latency = 0.001, 0.01
    if asked.only in (None, "overhead", "scaling"):
        found, sending, latency = overheads(2, 512, 0.005)
        print(found, f"\n\nA part takes {1e3 * sending:.2f} ms to send, {1e3 * latency:.1f} ms there and back.\n")
    if asked.only in (None, "pace") and asked.checkpoint:
        print(pace(asked.checkpoint, asked.grid, asked.images, asked.repeats), "\n")
    if asked.only in (None, "scaling"):
        print(scaling(asked.grid, sending, latency))


if __name__ == "__main__":
    main()
