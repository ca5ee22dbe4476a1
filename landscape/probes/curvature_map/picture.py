"""Curvature maps: λ_min/λ_max of the Hessian as colours around 0, with contours of the loss over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape.errors import InputError
from landscape.pictures import markers
from landscape.pictures.arrays import Floats, Mask
from landscape.pictures.caption import once
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import INK, PaperFigure, number
from landscape.probes.plane.contour import planes_figure
from landscape.probes.plane.panels import Panel
from landscape.probes.plane.reading import PlaneData, read_planes
from landscape.probes.plane.result import MEASURED

QUANTITY = "curvature_ratio"
UNSETTLED: dict[str, Any] = {
    "marker": "s",
    "color": "none",
    "markeredgecolor": INK,
    "linestyle": "none",
    "markeredgewidth": 0.6,
}
_LOSS_LINE: dict[str, Any] = {"colors": INK, "linewidths": 0.6, "alpha": 0.8}


def curvature_map_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A panel for each map; see :func:`landscape.probes.plot.plot`."""
    planes = read_maps(datasets, options)
    losses = read_losses(datasets, [plane.label for plane in planes])
    scale = choose_scale([loss.field(options.seed).values for loss in losses])

    def overlay(axes: Axes, panel: Panel) -> list[markers.Entry]:
        loss = next(loss for loss, plane in zip(losses, planes, strict=True) if plane is panel.plane)
        return [*_draw_loss(axes, loss, options.seed, scale), *_mark_unsettled(axes, panel)]

    return planes_figure(planes, options, note=map_note(planes), overlay=overlay)


def read_maps(datasets: Sequence[xr.Dataset], options: Options) -> list[PlaneData]:
    """The ratio over each plane.

    Raises:
        InputError: for another quantity.
    """
    if options.quantity not in (QUANTITY, "spread"):
        raise InputError(
            f"quantity: a curvature map draws {QUANTITY!r}, or the 'spread' of it over seeds, got {options.quantity!r}. "
            "Its loss has the contours over it."
        )
    return read_planes(datasets, QUANTITY, options.labels)


def read_losses(datasets: Sequence[xr.Dataset], labels: Sequence[str]) -> list[PlaneData]:
    """The loss over each plane, which was measured by itself."""
    return read_planes([d.drop_vars("status").rename(loss_status="status") for d in datasets], "loss", labels)


def map_note(planes: Sequence[PlaneData]) -> str:
    """What the colours mean, and how well the eigenvalues are known."""
    labels = [plane.label for plane in planes]
    meaning = "Red: the Hessian of all parameters has negative curvature; a ratio of −1: as much downward as upward"
    found = [f"{number(float(p.attrs['eigenvalue_tolerance']), 2)} of the larger |λ|" for p in planes]
    return f"{meaning}. {once(labels, found, 'Eigenvalues by Lanczos, converged at residuals of ')}"


def unsettled(plane: PlaneData, seeds: Sequence[int]) -> Mask:
    """Where an eigenvalue of any of the seeds was measured and has not converged, ``(y, x)``."""
    part = plane.dataset.sel(seed=list(seeds)).transpose("seed", "y", "x", ...)
    converged = (part["eigenvalue_largest_converged"] == 1) & (part["eigenvalue_smallest_converged"] == 1)
    measured = (part["status"] == MEASURED) & np.isfinite(part[QUANTITY])
    return np.asarray((measured & ~converged).any("seed").values)


def _draw_loss(axes: Axes, loss: PlaneData, seed: int | str | None, scale: Scale | None) -> list[markers.Entry]:
    values: Floats = loss.field(seed).values
    shown = np.ma.masked_invalid(values)
    levels = [] if scale is None else [v for v in scale.lines() if shown.min() < v < shown.max()]
    if not levels or min(values.shape) < 2 or loss.y is None:
        return []
    axes.contour(loss.x.values, loss.y.values, shown, levels=levels, **_LOSS_LINE)
    unit = f" ({loss.unit})" if loss.unit else ""
    return [(Line2D([], [], color=INK, linewidth=0.8), f"loss{unit}")]


def _mark_unsettled(axes: Axes, panel: Panel) -> list[markers.Entry]:
    mask = unsettled(panel.plane, panel.field.seeds)
    if not mask.any() or panel.plane.y is None:
        return []
    x, y = np.meshgrid(panel.plane.x.values, panel.plane.y.values)
    size = float(np.clip(80.0 / max(x.shape), 2.0, 5.0))
    axes.plot(x[mask], y[mask], **{**UNSETTLED, "markersize": size}, zorder=3, clip_on=False)
    count = int(mask.sum())
    return [(markers.handle(UNSETTLED, 4), f"not converged: {count:,} point{'s' if count != 1 else ''}")]
