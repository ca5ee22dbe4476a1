"""How data sets are drawn, as their kinds say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import xarray as xr

from landscape.errors import InputError, unknown_choice
from landscape.pictures.arrays import grid_dims
from landscape.pictures.options import Options, loss_clip
from landscape.pictures.style import PaperFigure
from landscape.pictures.texts import with_printable_texts
from landscape.registry import Drawn, found, of_file, picture_kinds, probes

Picture = Callable[[Sequence[xr.Dataset], Options], PaperFigure]


def drawn_as(dataset: xr.Dataset) -> Drawn:
    """How a data set is drawn.

    Raises:
        InputError: for a kind that cannot be, or a plane over other axes than x, or y and x.
    """
    kind = str(dataset.attrs.get("kind"))
    record = of_file(kind)
    if record is None or not record.drawn:
        raise unknown_choice(
            "datasets: attribute kind", kind, {probe.of_file for probe in probes().values() if probe.drawn}
        )
    if record.drawn[0].grid is None:
        return record.drawn[0]
    axes = len(grid_dims(dataset))
    return next(drawn for drawn in record.drawn if drawn.grid == axes)


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
    kinds = picture_kinds()
    if kind not in kinds:
        raise unknown_choice("kind", kind, kinds)
    usual = next(iter(drawn.pictures))
    if kind != "auto" and kind not in drawn.pictures:
        others = (other for probe in probes().values() for other in probe.drawn)
        needs = " or ".join(other.words for other in others if kind in other.pictures)
        raise InputError(f"kind: {kind!r} draws {needs}, and this is {drawn.words}. Try {usual!r}.")
    picture: Picture = found(drawn.pictures[usual if kind == "auto" else kind])
    return picture


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
