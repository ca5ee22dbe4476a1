"""Which kinds of data set can be drawn, and how: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from landscape.errors import InputError, unknown_choice
from landscape.render.comparison import comparison_figure
from landscape.render.contour import contour_figure
from landscape.render.curvature_figure import curvature_figure
from landscape.render.curvature_map import curvature_map_figure
from landscape.render.curves import curves_figure
from landscape.render.flow import flow_figure
from landscape.render.line import line_figure
from landscape.render.options import Options
from landscape.render.page_charts import curves_content, lines_content
from landscape.render.page_comparison import comparison_content
from landscape.render.page_curvature import curvature_content
from landscape.render.page_curvature_map import curvature_map_content
from landscape.render.page_path import path_content
from landscape.render.page_planes import planes_content
from landscape.render.page_sharpness import sharpness_content
from landscape.render.page_steps import flow_content, run_range_content, stability_content, steps_content
from landscape.render.page_topology import topology_content
from landscape.render.page_trajectory import trajectory_content
from landscape.render.path import path_figure
from landscape.render.reading import grid_dims, loss_clip
from landscape.render.sharpness import sharpness_figure
from landscape.render.stability import stability_figure
from landscape.render.steps import run_range_figure, steps_figure
from landscape.render.style import PaperFigure
from landscape.render.surface import surface_figure
from landscape.render.texts import with_printable_texts
from landscape.render.topology import topology_figure
from landscape.render.trajectory import trajectory_figure

Picture = Callable[[Sequence[xr.Dataset], Options], PaperFigure]
Content = Callable[[Sequence[xr.Dataset], Options], dict[str, Any]]


@dataclass(frozen=True)
class Drawn:
    """How one kind of data set is drawn.

    Attributes:
        kind: the data set's attribute of that name.
        words: what it is, in messages.
        pictures: kind of picture -> its figure; the usual one first.
        page: what its interactive page is made of.
        quantity: what is drawn where nothing else is asked for.
        uses: the names of :data:`landscape.render.options.NEEDS` that it has a use for.
        grid: of a plane, over how many axes; None for everything else.
    """

    kind: str
    words: str
    pictures: Mapping[str, Picture]
    page: Content
    quantity: str
    uses: frozenset[str]
    grid: int | None = None


_PLANES = {"contour": contour_figure, "surface": surface_figure}
DRAWN = (
    Drawn(
        "plane", "a 1-D plane", {"line": line_figure}, lines_content, "loss",
        frozenset({"seed", "loss_max", "share"}), grid=1,
    ),
    Drawn(
        "plane", "a 2-D plane", _PLANES, planes_content, "loss",
        frozenset({"seed", "loss_max", "share", "points"}), grid=2,
    ),
    Drawn(
        "trajectory", "a trajectory", {"trajectory": trajectory_figure}, trajectory_content, "loss",
        frozenset({"loss_max", "share", "points"}), grid=2,
    ),
    Drawn(
        "history", "a training history", {"curves": curves_figure}, curves_content, "loss",
        frozenset({"loss_max", "share"}),
    ),
    Drawn(
        "gradient_flow", "a gradient flow", {"flow": flow_figure}, flow_content, "mean_abs_gradient",
        frozenset({"share"}),
    ),
    Drawn(
        "steps", "probed training steps", {"steps": steps_figure}, steps_content, "all",
        frozenset({"loss_max", "share", "along"}),
    ),
    Drawn(
        "run_range", "a range over training runs", {"run-range": run_range_figure}, run_range_content, "all",
        frozenset({"loss_max", "share"}),
    ),
    Drawn(
        "sharpness", "a sharpness", {"sharpness": sharpness_figure}, sharpness_content, "all", frozenset(),
    ),
    Drawn(
        "curvature", "a curvature", {"spectrum": curvature_figure}, curvature_content, "all", frozenset({"share"}),
    ),
    Drawn(
        "path", "a path", {"path": path_figure}, path_content, "all", frozenset({"loss_max", "share"}),
    ),
    Drawn(
        "topology", "a topology", {"topology": topology_figure}, topology_content, "all", frozenset({"seed", "share"}),
    ),
    Drawn(
        "stability", "an edge of stability", {"stability": stability_figure}, stability_content, "all",
        frozenset({"loss_max", "share"}),
    ),
    Drawn(
        "curvature_map", "a curvature map", {"curvature-map": curvature_map_figure}, curvature_map_content, "curvature_ratio",
        frozenset({"seed", "share", "points"}), grid=2,
    ),
    Drawn(
        "comparison", "a comparison", {"comparison": comparison_figure}, comparison_content, "all", frozenset(),
    ),
)  # fmt: skip
PICTURES = ("auto", *(name for drawn in DRAWN for name in drawn.pictures))


def drawn_as(dataset: xr.Dataset) -> Drawn:
    """How a data set is drawn.

    Raises:
        InputError: for a kind that cannot be, or a plane over other axes than x, or y and x.
    """
    kind = str(dataset.attrs.get("kind"))
    of_kind = [drawn for drawn in DRAWN if drawn.kind == kind]
    if not of_kind:
        raise unknown_choice("datasets: attribute kind", kind, {drawn.kind for drawn in DRAWN})
    if of_kind[0].grid is None:
        return of_kind[0]
    axes = len(grid_dims(dataset))
    return next(drawn for drawn in of_kind if drawn.grid == axes)


def checked(
    datasets: xr.Dataset | Sequence[xr.Dataset], labels: Sequence[str] | None
) -> tuple[list[xr.Dataset], Drawn]:
    """The data sets as a list, with texts that can be shown, and how they are drawn, which is the same for all of them.

    Raises:
        InputError: for none, for something else, for kinds that cannot share a picture, or for too few labels.
    """
    several = [datasets] if isinstance(datasets, xr.Dataset) else datasets
    if not isinstance(several, Sequence) or not all(isinstance(d, xr.Dataset) for d in several):
        raise InputError(f"datasets: expected an xarray.Dataset or a sequence of them, got {_types(datasets)}.")
    if not several:
        raise InputError("datasets: expected at least one xarray.Dataset, got none.")
    forms = [drawn_as(dataset) for dataset in several]
    if any(form is not forms[0] for form in forms):
        words = ", ".join(form.words for form in forms)
        raise InputError(f"datasets: these cannot share one picture: {words}. Draw each kind by itself.")
    if labels is not None and (isinstance(labels, str) or len(labels) != len(several)):
        raise InputError(f"labels: expected one for each of the {len(several)} data set(s), got {labels!r}.")
    return [with_printable_texts(dataset) for dataset in several], forms[0]


def picture_of(drawn: Drawn, kind: str) -> Picture:
    """The figure of a kind of picture; ``auto``: the usual one.

    Raises:
        InputError: for one that does not exist, or that the data set does not allow.
    """
    if kind not in PICTURES:
        raise unknown_choice("kind", kind, PICTURES)
    usual = next(iter(drawn.pictures))
    if kind != "auto" and kind not in drawn.pictures:
        needs = " or ".join(other.words for other in DRAWN if kind in other.pictures)
        raise InputError(f"kind: {kind!r} draws {needs}, and this is {drawn.words}. Try {usual!r}.")
    return drawn.pictures[usual if kind == "auto" else kind]


def fitting(options: Options, drawn: Drawn, datasets: Sequence[xr.Dataset]) -> Options:
    """The options with the loss clipped where an adaptive plane stops being known, and with the data sets' own notes.

    Raises:
        InputError: for an option that such data sets have no use for, or a clip beyond what they know.
    """
    options.check_uses(drawn.words, drawn.uses)
    notes = dict.fromkeys(str(dataset.attrs["note"]) for dataset in datasets if dataset.attrs.get("note"))
    clip = loss_clip(datasets, options.quantity, options.loss_max)
    return replace(options, loss_max=clip, note=" ".join(notes))


def _types(given: object) -> str:
    if isinstance(given, Sequence) and not isinstance(given, str):
        return f"a sequence of {', '.join(sorted({type(one).__name__ for one in given}))}"
    return type(given).__name__
