"""Data sets in, one matplotlib figure out."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr
from matplotlib.figure import Figure

from landscape.pictures.options import Options
from landscape.pictures.style import paper_style
from landscape.pictures.texts import printable_labels
from landscape.probes.drawn import checked, fitting, picture_of


def plot(
    datasets: xr.Dataset | Sequence[xr.Dataset],
    *,
    kind: str = "auto",
    quantity: str | None = None,
    scale: str = "auto",
    loss_max: float | None = None,
    labels: Sequence[str] | None = None,
    share: bool = True,
    seed: int | str | None = None,
    along: str | None = None,
    points: bool = False,
    width: float | str | None = None,
) -> Figure:
    """A picture of one data set, or of several side by side on one scale, with a caption that says what was measured.

    Values are drawn as they are: nothing is smoothed, extrapolated or filled in. Points that are NaN or infinite are crosses,
    points not measured are rings, and the legend counts both.

    Args:
        datasets: of kind ``plane`` (over x, or over y and x), ``trajectory``, ``history``, ``gradient_flow``, ``steps``,
            ``run_range``, ``sharpness``, ``noise_scale``, ``path``, ``topology``, ``stability``, ``curvature``,
            ``curvature_map`` or ``comparison``; all of one kind. Histories that differ in nothing but their seed are one
            curve, their mean, in the range over the seeds; those that differ in the learning rate or the batch size alone are
            coloured in its order.
        kind: ``line`` for a 1-D plane; ``contour`` or ``surface`` for a 2-D plane; ``curves``, ``flow``, ``steps``,
            ``run-range``, ``trajectory``, ``sharpness``, ``noise-scale``, ``path``, ``topology``, ``stability``, ``spectrum`` (of a
            curvature), ``curvature-map`` and ``comparison`` for the others; ``auto``: by the data, a contour for a 2-D plane.
        quantity: of a plane ``loss``, ``accuracy`` or ``loss_standard_error``. Of a history ``loss`` (with the accuracy
            beside it), ``loss_alone``, ``accuracy``, ``learning_rate`` or ``all``. Of a gradient flow ``mean_abs_gradient`` or
            ``gradient_norm``. Of steps ``all`` (loss, predictiveness and β), ``loss``, ``predictiveness``, ``beta``,
            ``lipschitz``, or ``normalized``: those that do not change where weights are rescaled before BatchNorm. Of a range
            over runs ``all``, ``loss`` or ``gradient_norm``. Of sharpness and comparisons ``all``, or one measure. Of stability
            ``all``, ``ratio``, ``sharpness`` or ``loss``. Of paths ``all``, ``loss`` or ``accuracy``. Of a
            topology ``all``, ``tree`` or ``barcode``. Of a curvature ``all``, ``density`` or ``eigenvalues``; by layer
            also ``trace`` and ``frobenius_norm``. None: the first named.
        scale: ``linear``, ``log``, or ``auto``: log where positive values span more than 1.5 decades; a gradient flow is
            then always log, and a comparison says it for each measure.
        loss_max: larger losses are drawn clipped to it, and the picture says so.
        labels: a name for each data set; otherwise model, norm and what else differs, from its attributes.
        share: one scale, or one panel, for all; False gives each data set its own.
        seed: which direction seed of a plane; None or ``"mean"``: the mean where there are several, with their spread
            beside it. Of a topology, which has no mean, None draws every seed.
        along: the direction in which steps were probed, ``gradient`` (None) or ``update``, the optimiser's own.
        points: mark on a plane which of its points were measured, and which only as far as to know that they lie above what
            an adaptive plane shows.
        width: ``"column"`` (3.5 in), ``"page"`` (7 in) or inches; None: what the panels need. The height follows.

    Returns:
        A figure that belongs to no window; ``savefig`` writes PNG, PDF (with TrueType fonts) or SVG (with text as text).

    Raises:
        InputError: naming the argument, for data sets that cannot be drawn or not together, and for unknown choices.

    References:
        Li et al. 2018 (arXiv 1712.09913) for the pictures of planes; Santurkar et al. 2018 (arXiv 1805.11604), Fig. 4, for
        those of steps; Okabe and Ito 2008 for the colours of lines.
    """
    sets, drawn = checked(datasets, labels)
    draw = picture_of(drawn, kind)
    named = printable_labels(labels)
    chosen = drawn.quantity if quantity is None else quantity
    options = Options(chosen, scale, loss_max, named, share, seed, along, points, width)
    with paper_style():
        return draw(sets, fitting(options, drawn, sets))
