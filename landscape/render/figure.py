"""Data sets in, one matplotlib figure out."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr
from matplotlib.figure import Figure

from landscape.errors import InputError, unknown_choice
from landscape.render.contour import contour_figure
from landscape.render.curves import curves_figure
from landscape.render.line import line_figure
from landscape.render.reading import checked, loss_clip, read_planes
from landscape.render.style import paper_style
from landscape.render.surface import surface_figure

KINDS = ("auto", "line", "contour", "surface", "curves")
_PLANE_FIGURES = {"line": line_figure, "contour": contour_figure, "surface": surface_figure}
_NEEDS = {"line": "a 1-D plane", "contour": "a 2-D plane", "surface": "a 2-D plane", "curves": "a training history"}


def plot(
    datasets: xr.Dataset | Sequence[xr.Dataset],
    *,
    kind: str = "auto",
    quantity: str = "loss",
    scale: str = "auto",
    loss_max: float | None = None,
    labels: Sequence[str] | None = None,
    share: bool = True,
    seed: int | str | None = None,
    width: float | str | None = None,
) -> Figure:
    """A picture of one data set, or of several side by side on one scale, with a caption that says what was measured.

    Values are drawn as they are: nothing is smoothed, extrapolated or filled in. Points that are NaN or infinite are crosses,
    points not measured are rings, and the legend counts both.

    Args:
        datasets: of kind ``plane`` (over x, or over y and x) or ``history``; all of the same shape.
        kind: ``line`` for a 1-D plane; ``contour`` or ``surface`` for a 2-D plane; ``curves`` for a history; ``auto``: by
            the data, a contour for a 2-D plane.
        quantity: of a plane ``loss``, ``accuracy`` or ``loss_standard_error``. Of a history ``loss`` (with the accuracy
            beside it), ``accuracy``, ``learning_rate`` or ``all``.
        scale: of the loss: ``linear``, ``log``, or ``auto``: log where positive values span more than 1.5 decades.
        loss_max: larger losses are drawn clipped to it, and the picture says so.
        labels: a title for each data set; otherwise model and norm from its attributes.
        share: one scale for all panels; False gives each its own.
        seed: which direction seed of a plane; None or ``"mean"``: the mean where there are several, with their spread
            beside it.
        width: ``"column"`` (3.5 in), ``"page"`` (7 in) or inches; None: what the panels need. The height follows.

    Returns:
        A figure that belongs to no window; ``savefig`` writes PNG, PDF (with TrueType fonts) or SVG (with text as text).

    Raises:
        InputError: naming the argument, for data sets that cannot be drawn or not together, and for unknown choices.

    References:
        Li et al. 2018 (arXiv 1712.09913) for the pictures of planes; Okabe and Ito 2008 for the colours of lines.
    """
    if kind not in KINDS:
        raise unknown_choice("kind", kind, KINDS)
    sets = checked(datasets, labels)
    possible = _possible(sets[0])
    if kind != "auto" and kind not in possible:
        raise InputError(
            f"kind: {kind!r} draws {_NEEDS[kind]}, and this is {_NEEDS[possible[0]]}. Try {possible[0]!r}."
        )
    chosen = possible[0] if kind == "auto" else kind
    loss_max = loss_clip(sets, quantity, loss_max)
    with paper_style():
        if chosen == "curves":
            if seed is not None:
                raise InputError(f"seed: a training history has no direction seeds, got {seed!r}. Leave it out.")
            return curves_figure(
                sets, quantity=quantity, scale=scale, loss_max=loss_max, labels=labels, share=share, width=width
            )
        planes = read_planes(sets, quantity, labels)
        draw = _PLANE_FIGURES[chosen]
        return draw(planes, scale=scale, loss_max=loss_max, share=share, seed=seed, width=width)


def _possible(dataset: xr.Dataset) -> tuple[str, ...]:
    """The kinds of picture that a checked data set allows, the usual one first."""
    if dataset.attrs["kind"] == "history":
        return ("curves",)
    return ("contour", "surface") if "y" in dataset["loss"].dims else ("line",)
