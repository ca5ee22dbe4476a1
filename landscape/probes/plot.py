"""Data sets in, one matplotlib figure out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.errors import InputError
from landscape.pictures.inset import put_into, width_in
from landscape.pictures.options import Options
from landscape.pictures.style import paper_style
from landscape.pictures.texts import printable_labels
from landscape.printable import printable
from landscape.probes.drawn import checked, fitting, picture_of
from landscape.results import load_result

Drawable = xr.Dataset | xr.DataArray | str | os.PathLike[str]


def plot(
    *datasets: Drawable | Sequence[Drawable],
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
    height: float | None = None,
    title: str | None = None,
    caption: str = "short",
    view: tuple[float, float] | None = None,
    cmap: str | None = None,
    style: str | Path | None = None,
    study: Sequence[xr.Dataset] = (),
    ax: Axes | None = None,
) -> Figure:
    """A picture of one data set, or of several side by side on one scale, with a caption that says what was measured.

    Values are drawn as they are: nothing is smoothed, extrapolated or filled in. Points that are NaN or infinite are crosses,
    points not measured are rings, and the legend counts both.

    Args:
        datasets: data sets, or files of them, one or several, all of one kind, a plane being over x, or over y and x. An array,
            such as ``plane["accuracy"].sel(seed=0)``, is drawn as the plane that it is part of. Histories that differ in
            nothing but their seed are one curve, their mean, in the range over the seeds; those that differ in the learning rate or
            the batch size alone are coloured in its order.
        kind: ``line`` for a 1-D plane; ``contour`` or ``surface`` for a 2-D plane; the others have one picture, which
            ``landscape plot --help`` names. ``auto``: by the data, a contour for a 2-D plane.
        quantity: of a plane ``loss``, ``accuracy``, ``loss_standard_error`` or, over several direction seeds, ``spread``.
            Of a history ``loss`` (with the accuracy beside it), ``loss_alone``, ``accuracy``, ``learning_rate`` or ``all``.
            Of a gradient flow ``mean_abs_gradient`` or ``gradient_norm``. Of steps ``all`` (loss, predictiveness and β), ``loss``,
            ``predictiveness``, ``beta``, ``lipschitz``, or ``normalized``: those that do not change where weights are rescaled
            before BatchNorm. Of a range
            over runs ``all``, ``loss`` or ``gradient_norm``. Of stability ``all``, ``ratio``, ``sharpness`` or ``loss``. Of
            paths ``all``, ``loss`` or ``accuracy``. Of a topology ``all``, ``tree`` or ``barcode``. Of a curvature ``all``,
            ``density`` or ``eigenvalues``; by layer also ``trace`` and ``frobenius_norm``. Of what has several measures, such as
            sharpness or a comparison, ``all`` or one of them. None: the first named.
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
        width: ``"column"`` (3.5 in), ``"page"`` (7 in) or inches; None: what the panels need.
        height: inches; None: what the panels and their words need.
        title: over all panels; None: what the data sets have in common.
        caption: what of the caption stands on the figure: ``short``, one line of it, ``full`` or ``none``. All of it is the
            figure's attribute ``caption``, and is in the metadata of what is saved.
        view: azimuth and elevation in degrees from which a surface is seen; None: (-58, 28).
        cmap: a colour map of matplotlib for everything that has one.
        style: a style sheet of matplotlib, a file or a name; it goes over ``matplotlib.rcParams``, and these over ours.
        study: all data sets that colours are shared with, so that a setting has one colour in all their pictures.
        ax: axes of a figure of your own, in whose place the whole picture is drawn, at their width and at most their height.

    Returns:
        A figure that belongs to no window, or with ``ax`` the one that has them; ``save`` and ``savefig`` write PNG, PDF (with
        TrueType fonts) or SVG (with text as text), and a notebook shows it.

    Raises:
        InputError: naming the argument, for data sets that cannot be drawn or not together, and for unknown choices.

    References:
        Li et al. 2018 (arXiv 1712.09913) for the pictures of planes; Santurkar et al. 2018 (arXiv 1805.11604), Fig. 4, for
        those of steps; Okabe and Ito 2008 for the colours of lines.

    Example:
        >>> plane = ls.plane(objective, x=(-1, 1, 5), y=(-1, 1, 5))
        >>> ls.plot(plane).save("plane.png")
        PosixPath('plane.png')
    """
    given, name = opened(datasets)
    sets, drawn = checked(given[0] if len(given) == 1 else given, labels)
    draw = picture_of(drawn, kind)
    named = printable_labels(labels)
    chosen = (name or drawn.quantity) if quantity is None else quantity
    if ax is not None:
        if width is not None:
            raise InputError(f"width: the axes of ax decide it, got {width!r}. Leave one of them out.")
        width = width_in(ax)
    options = Options(
        chosen, scale, loss_max, named, share, seed, along, points, width,
        height=height, title=None if title is None else printable(title), caption=caption, view=view,
        study=tuple(dict(other.attrs) for other in study),
    )  # fmt: skip
    with paper_style(style, cmap):
        picture = draw(sets, fitting(options, drawn, sets))
    if ax is None:
        return picture
    put_into(picture, ax)
    return ax.figure.get_figure(root=True)


def opened(given: Sequence[Any]) -> tuple[list[Any], str]:
    """The data sets of what is to be drawn, and the quantity that arrays among them are of; empty where there are none.

    Raises:
        InputError: for an array that is no plane, or arrays of several quantities.
        ResultFileError: for a file that is no result.
    """
    flat = [one for each in given for one in (each if isinstance(each, list | tuple) else (each,))]
    names = list(dict.fromkeys(str(one.name or "loss") for one in flat if isinstance(one, xr.DataArray)))
    if len(names) > 1:
        raise InputError(
            f"datasets: arrays of one quantity share a picture, got {', '.join(names)}. Draw each by itself."
        )
    made = [load_result(one) if isinstance(one, str | os.PathLike) else one for one in flat]
    made = [_plane_of(one) if isinstance(one, xr.DataArray) else one for one in made]
    return made, names[0] if names else ""


def _plane_of(values: xr.DataArray) -> xr.Dataset:
    """The plane that an array over x, or y and x, is part of; more of it is not known."""
    axes = {str(name) for name in values.dims} - {"seed"}
    if axes not in ({"x"}, {"x", "y"}):
        raise InputError(
            f"datasets: expected an array over x, or over y and x, got the dimensions {', '.join(map(str, values.dims))}. Rename "
            "them, such as values.rename(alpha='x', beta='y')."
        )
    for name in axes - {str(one) for one in values.coords}:
        values = values.assign_coords({name: range(values.sizes[name])})
    made = {str(values.name or "loss"): values, "loss": values}
    return xr.Dataset(made, attrs={"title": str(values.attrs.get("long_name", "")), **values.attrs, "kind": "plane"})
