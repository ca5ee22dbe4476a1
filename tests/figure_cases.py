"""The critic's list: every kind of picture, of few and many data sets, with hostile names and what else goes wrong."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import render_samples as samples
import render_step_samples as steps
import xarray as xr
from comparison_samples import batch_sizes
from door_samples import X, Y, net, objective

import landscape as ls
from landscape.probes.topology.measure import topology
from landscape.results import load_result

HOSTILE = (
    "שלום עולם, רשת עם נרמול",
    "🙂 emoji 🚀 run",
    "x" * 80,
    "<b>bold</b> & $x_1$ _under_ \\frac{1}{2}",
    "many words " * 8,
    "a\nb",
    "شبكة عميقة",
    "vgg38, BatchNorm",
    "vgg38, BatchNorm, seed 1",
    "0.0001",
    "/home/somebody/" + "a-long-folder/" * 6 + "last.pt",
    "∇θ‖₂ ≈ 10⁻³",
)
FROZEN = Path(__file__).parent / "frozen" / "0.1.0"
COUNTS = (1, 2, 3, 12)
WIDTHS = (3.3, 7.0)


@cache
def frozen(name: str) -> xr.Dataset:
    return load_result(FROZEN / f"{name}.h5")


def _several(make: Callable[..., xr.Dataset]) -> Callable[[int], list[xr.Dataset]]:
    return lambda count: [make(k) for k in range(count)]


def _copies(name: str) -> Callable[[int], list[xr.Dataset]]:
    return lambda count: [frozen(name).assign_attrs(norm=f"norm {k}" if k else "batch") for k in range(count)]


@cache
def _probed(probe: str) -> xr.Dataset:
    """What a probe finds of a small network."""
    measure = importlib.import_module(f"landscape.probes.{probe}.measure")
    found: xr.Dataset = getattr(measure, probe)(objective())
    return found


@cache
def _watched() -> xr.Dataset:
    """Critical steps along a short training."""
    probe = ls.CriticalSharpnessProbe(every=2)
    ls.fit(net(), (X, Y), ls.TrainingConfig(epochs=4, batch_size=10), observers=[probe], device="cpu")
    return probe.dataset()


def _measured(probe: str) -> Callable[[int], list[xr.Dataset]]:
    return lambda count: [_probed(probe).assign_attrs(norm=f"norm {k}" if k else "batch") for k in range(count)]


# a kind of picture -> its data sets by their number, and options
KINDS: dict[str, tuple[Callable[[int], list[xr.Dataset]], dict[str, Any]]] = {
    "contour": (_several(lambda k: samples.plane(13, 13, norm=f"norm {k}")), {}),
    "contour of a low plane": (_several(lambda k: samples.plane(13, 7, extent=(-1, 1, -0.4, 0.4), norm=f"n{k}")), {}),
    "accuracy": (_several(lambda k: samples.plane(13, 13, norm=f"norm {k}")), {"quantity": "accuracy"}),
    "spread": (_several(lambda k: samples.plane(9, 9, seeds=(0, 1, 2), norm=f"norm {k}")), {"quantity": "spread"}),
    "own scales": (_several(lambda k: samples.plane(9, 9, norm=f"norm {k}")), {"share": False}),
    "surface": (_several(lambda k: samples.plane(9, 9, norm=f"norm {k}")), {"kind": "surface", "loss_max": 100}),
    "line": (_several(lambda k: samples.line(21, norm=f"norm {k}")), {}),
    "line panels": (_several(lambda k: samples.line(21, norm=f"norm {k}")), {"share": False}),
    "curves": (_several(lambda k: samples.history(20, norm=f"norm {k}", offset=0.01 * k)), {"quantity": "all"}),
    "sweep": (lambda count: steps.sweep(values=[10.0 ** (-k / 2) for k in range(count)], seeds=(0, 1)), {}),
    "flow": (_several(lambda k: steps.flow(12, 6, norm=f"norm {k}")), {}),
    "steps": (_several(lambda k: steps.steps(30, norm=f"norm {k}")), {}),
    "normalized steps": (_several(lambda k: steps.steps(30, norm=f"norm {k}")), {"quantity": "normalized"}),
    "run range": (_several(lambda k: steps.run_range(30, norm=f"norm {k}")), {}),
    "stability": (_several(lambda k: steps.stability(norm=f"norm {k}")), {}),
    "noise scale": (_several(lambda k: steps.noise_scale(1200.0 + 90 * k, norm=f"norm {k}")), {}),
    "forest": (lambda count: [batch_sizes(min(count + 1, 4))], {"kind": "forest"}),
    "comparison": (lambda count: [steps.comparison()], {"kind": "comparison"}),
    "trend": (lambda count: [batch_sizes(3)], {"kind": "trend"}),
    "weight noise": (_measured("weight_noise"), {}),
    "critical sharpness": (_measured("critical_sharpness"), {}),
    "critical steps": (
        lambda count: [_watched().assign_attrs(norm=f"norm {k}" if k else "batch") for k in range(count)],
        {},
    ),
    "basin radius": (_measured("basin_radius"), {}),
    "path": (_copies("path"), {}),
    "trajectory": (_copies("trajectory"), {}),
    "topology": (lambda count: [topology(samples.plane(9, 9, norm=f"norm {k}")) for k in range(count)], {}),
    "sharpness": (_copies("sharpness"), {}),
    "spectrum": (_copies("curvature"), {}),
    "layers": (_copies("curvature_per_layer"), {}),
    "curvature map": (_copies("curvature_map"), {}),
}


# what cannot have its share, the least that it has, and why
LESS = {
    "contour of a low plane": (
        0.4,
        "both axes have one scale, so the plane is low however wide it is, and the words stay",
    ),
    "own scales, 12": (0.5, "each of twelve small panels has a colour bar of its own with its numbers"),
    "trajectory, 12": (0.5, "each of twelve low rows has a name, and what its components hold, over it"),
}


def least_share(name: str, usual: float) -> float:
    """The part of the figure that the axes of a case have to have."""
    return next((least for case, (least, _) in LESS.items() if name.startswith(case)), usual)


def nothing(dataset: xr.Dataset) -> xr.Dataset:
    empty = dataset.copy(deep=True)
    empty["loss"][...] = np.nan
    return empty


# what goes wrong -> data sets and options
ODD: dict[str, tuple[Callable[[], Sequence[xr.Dataset]], dict[str, Any]]] = {
    "no number": (lambda: [nothing(samples.plane(7, 7))], {}),
    "no number on a surface": (lambda: [nothing(samples.plane(7, 7))], {"kind": "surface"}),
    "no number beside numbers": (lambda: [nothing(samples.plane(7, 7)), samples.plane(7, 7, norm="none")], {}),
    "holes": (lambda: [samples.with_holes(samples.plane(21, 21))], {"loss_max": 10}),
    "holes in a surface": (lambda: [samples.with_holes(samples.plane(21, 21))], {"kind": "surface"}),
    "one point": (lambda: [samples.plane(1, 1)], {}),
    "one point of a line": (lambda: [samples.line(1)], {}),
    "one row": (lambda: [samples.plane(9, 1)], {}),
    "one column": (lambda: [samples.plane(1, 9)], {}),
    "one row on a surface": (lambda: [samples.plane(9, 1)], {"kind": "surface"}),
    "dead": (lambda: [samples.dead_plane(9, 9)], {}),
    "dead surface": (lambda: [samples.dead_plane(9, 9)], {"kind": "surface"}),
    "dead beside living": (lambda: [samples.dead_plane(9, 9), samples.plane(9, 9)], {}),
    "dead surfaces": (lambda: [samples.dead_plane(9, 9), samples.plane(9, 9)], {"kind": "surface"}),
    "dead flow": (lambda: [steps.dead_flow(12, 6), steps.flow(12, 6)], {}),
    "dead steps": (lambda: [steps.dead_steps(30), steps.steps(30)], {}),
    "dead setting": (lambda: [steps.comparison(dead=["5e-2"])], {"kind": "comparison"}),
    "regression": (
        lambda: [samples.history(9).drop_vars(["train_accuracy", "validation_accuracy", "test_accuracy"])],
        {"quantity": "all"},
    ),
    "one epoch": (lambda: [samples.history(1)], {}),
    "near ln 10": (
        lambda: [samples.plane(9, 9, surface=lambda x, y, seed: 2.301 + 0.008 * (x**2 + y**2))],
        {},
    ),
    "tiny": (lambda: [samples.plane(9, 9, surface=lambda x, y, seed: 1e-9 * (1 + x**2 + y**2))], {"kind": "surface"}),
    "huge": (lambda: [samples.line(9, surface=lambda x, y, seed: 1e12 * (1 + 1e-3 * x**2))], {}),
    "ranges of their own": (
        lambda: [samples.plane(9, 9), samples.plane(9, 9, extent=(-0.5, 0.5, -0.5, 0.5), norm="none")],
        {},
    ),
    "surfaces with ranges of their own": (
        lambda: [samples.plane(9, 9), samples.plane(9, 9, extent=(-0.5, 0.5, -0.5, 0.5), norm="none")],
        {"kind": "surface"},
    ),
    "a narrow range": (lambda: [samples.plane(9, 9, extent=(-2e-4, 2e-4, -2e-4, 2e-4))], {}),
}


def every() -> Iterator[tuple[str, Callable[[], Sequence[xr.Dataset]], dict[str, Any]]]:
    """All cases: each with a name, its data sets, and options without the width."""
    for kind, (make, options) in KINDS.items():
        for count in COUNTS:
            if (kind in ("comparison", "trend") and count > 1) or (kind == "forest" and count == 12):
                continue
            yield f"{kind}, {count}", (lambda make=make, count=count: make(count)), options
            if kind not in ("comparison", "trend", "forest"):
                sets = 2 * count if kind == "sweep" else count  # which has two seeds of each
                named = {**options, "labels": [HOSTILE[k % len(HOSTILE)] for k in range(sets)]}
                yield f"{kind}, {count}, hostile", (lambda make=make, count=count: make(count)), named
    for name, (make_odd, options) in ODD.items():
        yield name, make_odd, options
