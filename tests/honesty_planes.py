"""Does the upper limit of an adaptive plane's error hold? ``python tests/honesty_planes.py`` prints the table of docs/honesty.md.

Ten landscapes made to fool an interpolant, in random positions, and three trained networks. A picture is refined, its sample is
drawn anew many times, and the true 95th percentile of its error, of every point of the grid, is held against what each sample says.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from landscape.numerics.refinement import Refinement, _State, default_budget

Floats = NDArray[np.float64]
Surface = Callable[[int, np.random.Generator], Floats]


def _plane(size: int, draws: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """x, y, and the distance from a line of random direction and place."""
    axis = np.linspace(-1, 1, size)
    x, y = np.meshgrid(axis, axis)
    turn = draws.uniform(0, 2 * math.pi)
    return x, y, math.cos(turn) * x + math.sin(turn) * y - draws.uniform(0, 0.4)


def cliff(size: int, draws: np.random.Generator) -> Floats:
    return np.where(_plane(size, draws)[2] > 0, 5.0, 0.5)


def kink(size: int, draws: np.random.Generator) -> Floats:
    return 0.5 + 6 * np.abs(_plane(size, draws)[2])


def strip(size: int, draws: np.random.Generator) -> Floats:
    x, y, away = _plane(size, draws)
    return 1 + x**2 + y**2 + 5 * (np.abs(away) < 0.03)


def rough_patch(size: int, draws: np.random.Generator) -> Floats:
    x, y, away = _plane(size, draws)
    return 1 + x**2 + y**2 + (away > 0.1) * draws.random(x.shape)


def holes(size: int, draws: np.random.Generator) -> Floats:
    x, y, _ = _plane(size, draws)
    return np.where(draws.random(x.shape) < 0.06, 8.0, 1 + x**2 + y**2)


def spike(size: int, draws: np.random.Generator) -> Floats:
    x, y, _ = _plane(size, draws)
    at = draws.uniform(-0.7, 0.7, 2)
    return 1 + x**2 + y**2 + 6 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 0.004)


def ravine(size: int, draws: np.random.Generator) -> Floats:
    x, _, away = _plane(size, draws)
    return 4 + 0.3 * x - 3.5 * np.exp(-((away / 0.08) ** 2))


def nan_half(size: int, draws: np.random.Generator) -> Floats:
    x, y, away = _plane(size, draws)
    return np.where(away > 0, np.nan, 1 + x**2 + 2 * y**2)


def inf_disc(size: int, draws: np.random.Generator) -> Floats:
    x, y, _ = _plane(size, draws)
    at = draws.uniform(-0.5, 0.5, 2)
    return np.where((x - at[0]) ** 2 + (y - at[1]) ** 2 < 0.15, np.inf, 1 + x**2 + 2 * y**2)


def egg_crate(size: int, draws: np.random.Generator) -> Floats:
    """At the frequency of the coarse mesh, or above it."""
    x, y, _ = _plane(size, draws)
    frequency, phase = 10 * math.pi * draws.choice([0.5, 1.0, 1.7]), draws.uniform(0, 2 * math.pi, 2)
    return 2 + np.sin(frequency * x + phase[0]) * np.sin(frequency * y + phase[1])


SURFACES: tuple[Surface, ...] = (
    cliff, kink, strip, rough_patch, holes, spike, ravine, nan_half, inf_disc, egg_crate,
)  # fmt: skip


def displayed(values: Floats, log: bool, top: float) -> Floats:
    clipped = np.minimum(np.nan_to_num(values, nan=np.inf, posinf=np.inf), top)
    return np.log10(clipped) if log else clipped


def judged(values: Floats, seed: int, samples: int) -> Iterator[tuple[bool, float, float, float, float]]:
    """For each sample of one refined picture: does the limit hold, limit and estimate over the true error, added passes, and
    the share of interpolated points that are within their own bound."""
    settings = Refinement(max_passes=default_budget(values.shape)).around(
        float(values[tuple(n // 2 for n in values.shape)])
    )
    state = _State((values.shape[0], values.shape[1]), settings, seed, "auto", 10, None)
    flat = values.ravel()

    points = state.coarse_mesh()
    state.tell(points, flat[points])
    while not state.is_done():
        points = state.next_points()
        state.tell(points, flat[points])
    top = float(settings.value_max or 10.0)
    truth = displayed(flat, state.log, top)
    for number in range(samples):
        one = copy.copy(state)
        one.values, one.measured, one.predicted = state.values.copy(), state.measured.copy(), state.predicted.copy()
        one.lost, one.bounds = state.lost.copy(), state.bounds.copy()
        one.draws = np.random.default_rng([seed, number])
        points = one.sample()
        known = one.audited(points, flat[points])
        refined = one.outcome(known)
        shown = displayed(refined.values, state.log, top)
        error = float(np.quantile(np.abs(truth - shown), 0.95) / np.ptp(truth))
        added = known.audits / float(state.measured.sum())
        left = ~refined.measured
        off = np.abs(truth - shown)[left] / np.ptp(displayed(flat[refined.measured], state.log, top))
        within = float(np.mean(off <= refined.bounds[left] + 1e-12))
        yield (
            error <= known.limit + 1e-12,
            known.limit / max(error, 1e-9),
            known.error / max(error, 1e-9),
            added,
            within,
        )


def network_planes(size: int) -> Iterator[tuple[str, Floats]]:
    """Whole loss planes around three networks that were trained here, on real images."""
    import landscape as ls

    data = ls.load_data("fashion-mnist-10k")
    for name, options, seed in (
        ("mlp", {"hidden": 64}, 0),
        ("vgg08", {"norm": "batch"}, 1),
        ("vgg08", {"norm": "input"}, 2),
    ):
        module = ls.build_model(name, seed=seed, classes=data.classes, **options)
        ls.fit(module, data, ls.TrainingConfig(epochs=2, train_images=2000, learning_rate=1e-3))
        objective = ls.Objective(module.eval(), "cross_entropy", data.train, samples=100)
        whole = ls.plane(objective, x=(-1, 1, size), y=(-1, 1, size), seeds=[seed])
        yield f"{name}, {options}", whole["loss"].values[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20, help="of each landscape")
    parser.add_argument("--samples", type=int, default=20, help="of each picture")
    parser.add_argument("--sizes", type=int, nargs="*", default=[25, 51])
    parser.add_argument("--no-networks", action="store_true")
    given = parser.parse_args()
    said = (
        "limit holds",
        "limit / true error, median",
        "estimate / true error",
        "sample / other passes",
        "points within their bound",
    )
    print(f"| landscape | grid | draws | {' | '.join(said)} |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for size in given.sizes:
        for surface in SURFACES:
            found = [
                one
                for picture in range(given.pictures)
                for one in judged(surface(size, np.random.default_rng(picture)), picture, given.samples)
            ]
            _row(surface.__name__.replace("_", " "), size, found)
        for name, values in () if given.no_networks else network_planes(size):
            found = [one for picture in range(given.pictures) for one in judged(values, picture, given.samples)]
            _row(name, size, found)


def _row(name: str, size: int, found: list[tuple[bool, float, float, float, float]]) -> None:
    held, limit, estimate, added, within = (np.array(column, dtype=float) for column in zip(*found, strict=True))
    print(
        f"| {name} | {size} × {size} | {len(held)} | {100 * held.mean():.1f} % "
        f"| {np.median(limit):.2f} | {np.median(estimate):.2f} | {100 * np.median(added):.0f} % | {100 * within.mean():.1f} % |",
        flush=True,
    )


if __name__ == "__main__":
    main()
