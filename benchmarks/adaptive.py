"""What adaptive planes save and how honest they are, replayed on planes of which every point is known.

    landscape probe --checkpoint … --full --images 1000 --seeds 0,1 --out outputs/full.h5
    python -m benchmarks.adaptive outputs/full.h5 …
    python -m benchmarks.adaptive outputs/full.h5 … --times outputs/benchmarks/TIME.json    # end to end, from measured times

The refinement is the library's own; only its measurements are looked up. A point that is given up after part of the samples answers
with its mean over all of them, which is displayed alike: at the clip.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from benchmarks.report import table
from landscape.errors import InputError, LandscapeError
from landscape.numerics.audit import QUANTILE
from landscape.numerics.refinement import Refinement, default_budget, refine
from landscape.objective.values import CEILING_ERRORS, head_samples
from landscape.results import atomic_write, load_result

Floats = NDArray[np.float64]
MEASURED = 1


@dataclass(frozen=True)
class Replay:
    """One refinement of one known plane; errors are 95th percentiles as fractions of the displayed range.

    ``passes`` counts passes over all images, ``own_seconds`` what the refinement itself took besides measuring.
    """

    file: str
    direction_seed: int
    seed: int
    grid: int
    points: int
    passes: float
    true_error: float
    estimated_error: float
    own_seconds: float

    @property
    def saving(self) -> float:
        """How many times fewer image passes than the full grid."""
        return self.grid / self.passes

    @property
    def honesty(self) -> float:
        """The tool's own estimate divided by the true error."""
        return self.estimated_error / self.true_error if self.true_error > 0 else float("nan")


def replay(dataset: xr.Dataset, number: int, settings: Refinement, seed: int, *, name: str) -> Replay:
    """Refine the plane of direction seed ``number`` with measurements looked up in ``dataset``."""
    plane = dataset.isel(seed=number)
    loss = plane["loss"].values
    settings = settings.around(float(dataset["checkpoint_loss"]))
    top = settings.value_max
    assert top is not None
    passes = point_passes(
        loss.ravel(),
        plane["loss_standard_error"].values.ravel(),
        samples=int(dataset.attrs["n_samples"]),
        ceiling=top,
    )

    def measure(points: NDArray[np.int64]) -> Floats:
        answers: Floats = loss.ravel()[points]
        return answers

    start = time.perf_counter()
    refined = refine(loss.shape, settings, measure, seed=seed, passes=lambda points: passes[points])
    seconds = time.perf_counter() - start
    truth = displayed(loss.ravel(), refined.scale, top)
    error = np.abs(displayed(refined.values, refined.scale, top) - truth)
    return Replay(
        file=name,
        direction_seed=int(plane["seed"]),
        seed=seed,
        grid=loss.size,
        points=int(refined.measured.sum()),
        passes=float(passes[refined.measured].sum()),
        true_error=float(np.quantile(error, QUANTILE) / np.ptp(truth)) if np.ptp(truth) > 0 else 0.0,
        estimated_error=refined.known.limit,
        own_seconds=seconds,
    )


def point_passes(loss: Floats, standard_error: Floats, *, samples: int, ceiling: float) -> Floats:
    """What each point costs, in passes over all samples, by the rule of ``Objective.evaluate_points``.

    A point is given up after :func:`head_samples` of the samples, if their mean lies more than three of their standard errors above
    the ceiling. That mean is not known here: the one over all samples stands for it, with the standard error of that many samples,
    s √(N / n).
    """
    seen = head_samples(samples)
    given_up = ~(loss - CEILING_ERRORS * standard_error * np.sqrt(samples / seen) <= ceiling)
    return np.where(given_up, seen / samples, 1.0)


def displayed(values: Floats, scale: str, top: float) -> Floats:
    """On the displayed scale, clipped; NaN and +inf lie above the clip."""
    clipped = np.minimum(np.nan_to_num(values, nan=np.inf, posinf=np.inf), top)
    shown: Floats = np.log10(clipped) if scale == "log" else clipped
    return shown


def markdown(replays: list[Replay], times: Mapping[str, Any] | None) -> str:
    """A row for each plane: medians over the refinement's seeds, and the worst of them."""
    head = ["plane", "points", "image passes", "times fewer", "true error", "worst", "own estimate", "estimate / true"]
    speedups = {} if times is None else end_to_end_times(times)
    rows = []
    for file, direction_seed in dict.fromkeys((r.file, r.direction_seed) for r in replays):
        own = [r for r in replays if (r.file, r.direction_seed) == (file, direction_seed)]
        honesty = [r.honesty for r in own]
        row = [
            f"{file}, directions {direction_seed}",
            f"{median(r.points for r in own):g} of {own[0].grid}",
            f"{median(r.passes for r in own):.4g}",
            f"{median(r.saving for r in own):.3g}",
            f"{median(r.true_error for r in own):.2%}",
            f"{max(r.true_error for r in own):.2%}",
            f"{median(r.estimated_error for r in own):.2%}",
            f"{median(honesty):.2f} ({min(honesty):.2f}–{max(honesty):.2f})",
        ]
        rows.append(
            [
                *row,
                *(
                    f"{median(r.grid * a / (r.passes * b + r.own_seconds) for r in own):.3g}"
                    for a, b in speedups.values()
                ),
            ]
        )
    return table([*head, *(f"end to end, {name}" for name in speedups)], rows)


def end_to_end_times(benchmark: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Seconds a point of the plain loop and of the library, for each precision that was timed."""
    groups = {group["name"]: group for group in benchmark["groups"]}
    cases = {case["name"]: case["seconds"] for case in groups.get("plane", {"cases": []})["cases"]}
    if not cases.get("plain-loop"):
        raise InputError("times: expected a file of benchmarks.run with the case plane/plain-loop.")
    plain = median(cases["plain-loop"])
    named = {"fp32": "auto", "bf16": "bf16"}
    return {label: (plain, median(cases[name])) for label, name in named.items() if cases.get(name)}


def load_full(path: Path) -> xr.Dataset:
    """A plane of which every point was measured over all samples."""
    dataset = load_result(path)
    if dataset.attrs.get("kind") != "plane" or "y" not in dataset.dims:
        raise InputError(f"{path}: expected a plane of landscape probe --full.")
    if not bool((dataset["status"] == MEASURED).all()):
        raise InputError(f"{path}: not every point was measured. Probe with --full, and to the end.")
    return dataset


def main() -> None:
    given = _arguments()
    try:
        replays = []
        for path in given.files:
            dataset = load_full(path)
            most = default_budget(dataset["loss"].shape[1:]) if given.max_points is None else None
            settings = Refinement(given.tolerance, given.loss_max, given.max_points, max_passes=most)
            for number in range(dataset.sizes["seed"]):
                replays += [replay(dataset, number, settings, seed, name=path.stem) for seed in range(given.seeds)]
        times = None if given.times is None else json.loads(given.times.read_text("utf-8"))
        text = markdown(replays, times)
        file = given.out or Path("outputs/benchmarks") / time.strftime(
            "adaptive-%Y-%m-%dT%H-%M-%SZ.json", time.gmtime()
        )
        atomic_write(file, json.dumps([dataclasses.asdict(r) for r in replays], indent=1).encode())
    except LandscapeError as error:
        sys.exit(f"benchmarks: {error}")
    print(f"wrote {file}", file=sys.stderr)
    print(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.adaptive",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", type=Path, nargs="+", help="results of landscape probe --full")
    parser.add_argument(
        "--seeds", type=int, default=5, help="refinements of each plane, with other audits (default: 5)"
    )
    parser.add_argument("--tolerance", type=float, default=0.01)
    parser.add_argument("--loss-max", type=float, help="the clip (default: that of landscape probe)")
    parser.add_argument("--max-points", type=int, help="budget (default: that of landscape probe)")
    parser.add_argument("--times", type=Path, help="a JSON file of benchmarks.run, for the end-to-end ratios")
    parser.add_argument("--out", type=Path, help="the JSON file (default: outputs/benchmarks/adaptive-TIME.json)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
