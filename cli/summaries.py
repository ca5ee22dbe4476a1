"""The few lines that say what a probe found, by the kind of its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .summaries_curvature import curvature_map_lines
from .summaries_path import path_lines
from .summaries_sharpness import noise_lines, sharpness_lines
from .summaries_spectrum import curvature_lines
from .summaries_trajectory import trajectory_lines


def summary_lines(dataset: Any) -> list[str]:
    """What a person wants to know of a result first."""
    return _LINES[dataset.attrs["kind"]](dataset)


def _plane_lines(dataset: Any) -> list[str]:
    made = dataset.attrs
    lines = []
    if "picture_error" in made:
        lines.append(
            f"{made['measured_points']} of {dataset['status'].size} points measured ({made['image_passes']:.0f} passes over "
            f"the images), the rest interpolated: 95 % of the picture is known to {100 * made['picture_error']:.2g} % of its "
            "range. --full measures every point."
        )
    loss, error = float(dataset["checkpoint_loss"]), float(dataset["checkpoint_loss_standard_error"])
    lines.append(
        f"loss at the checkpoint {loss:.5g} ± {error:.2g} over {made['n_samples']} images; "
        f"on the grid {float(dataset['loss'].min()):.5g} to {float(dataset['loss'].max()):.5g}"
    )
    bad = int((~np.isfinite(dataset["loss"]) & (dataset["status"] == 1)).sum())
    if bad:
        lines.append(f"{bad} points are NaN or infinite; they are kept as they are.")
    lines += _dead(dataset)
    if dataset.sizes["seed"] == 1 and made["directions"] == "random":
        lines.append(
            "One random plane is one sample: --seeds 0,1,2 shows the spread; --images and --full ask for more."
        )
    return lines


def _step_lines(dataset: Any) -> list[str]:
    steps = dataset["step"].values
    lines = [f"{steps.size} steps measured, from {steps[0]} to {steps[-1]}" if steps.size else "no step was measured"]
    for along in dataset["along"].values:
        one = dataset.sel(along=along)
        words = ", ".join(
            f"{name} {float(one[variable].median()):.3g}"
            for name, variable in (
                ("loss variation", "loss_variation"),
                ("gradient predictiveness", "gradient_predictiveness"),
                ("effective β", "effective_beta"),
            )
        )
        lines.append(f"along the {along}, medians: {words}")
    return lines + _dead(dataset)


def _dead(dataset: Any) -> list[str]:
    if not dataset.attrs.get("dead"):
        return []
    return [f"Dead network: {dataset.attrs['dead_reason']}. Its flat surface says nothing about smoothness."]


_LINES: dict[str, Callable[[Any], list[str]]] = {
    "plane": _plane_lines,
    "steps": _step_lines,
    "sharpness": lambda dataset: [*sharpness_lines(dataset), *_dead(dataset)],
    "noise_scale": lambda dataset: [*noise_lines(dataset), *_dead(dataset)],
    "curvature": lambda dataset: [*curvature_lines(dataset), *_dead(dataset)],
    "trajectory": trajectory_lines,
    "path": lambda dataset: [*path_lines(dataset), *_dead(dataset)],
    "curvature_map": lambda dataset: [*curvature_map_lines(dataset), *_dead(dataset)],
}
