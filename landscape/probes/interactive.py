"""Data sets in, one self-contained page out: pictures that turn, zoom and answer the pointer."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from landscape.pictures.labels import labels_of, name_of
from landscape.pictures.options import Options
from landscape.pictures.report_page import PageFigure, report_page
from landscape.pictures.texts import printable_labels
from landscape.probes.drawn import checked, fitting, picture_of
from landscape.registry import found

_HEIGHT = 720  # pixels of a page within a notebook
MOST_NAMES = 3  # that a title spells out


class Page(str):
    """A page as its text, which a notebook shows in a frame of its own."""

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, and give its path."""
        file = Path(path)
        file.write_text(self, encoding="utf-8")
        return file

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        style = f"width: 100%; height: {_HEIGHT}px; border: 0"
        return f'<iframe srcdoc="{html.escape(self)}" style="{style}"></iframe>'


def interactive(
    datasets: xr.Dataset | Sequence[xr.Dataset],
    *,
    kind: str = "auto",
    quantity: str | None = None,
    scale: str = "auto",
    loss_max: float | None = None,
    labels: Sequence[str] | None = None,
    seed: int | str | None = None,
    along: str | None = None,
    points: bool = False,
    title: str | None = None,
    study: Sequence[xr.Dataset] = (),
) -> Page:
    """One HTML page, about 5 MB, that needs no network: plotly.js is inside.

    A 2-D plane is a surface that can be turned beside its contours: the point under the pointer in one is marked in the
    other, and in every other plane, and read out with its standard error and accuracy; all surfaces turn together. Everything
    else is curves, which say under the pointer what they are. The reader can switch the scale, clip high values, choose the
    direction seed, see which points were measured, single out a record of a gradient flow, hide runs, take the picture as PNG
    and the numbers as CSV, and print the page. It is light or dark, as the browser says or the reader, and works by keyboard.

    Args:
        datasets: as for :func:`landscape.probes.plot.plot`, all of one kind; they share one scale.
        kind: as for :func:`landscape.probes.plot.plot`; ``auto`` shows the contours of a plane beside its surface, and a
            comparison's forest plot above its measures, the others one of them alone.
        quantity: as for :func:`landscape.probes.plot.plot`.
        scale: the scale it opens with: ``auto``, ``linear`` or ``log``.
        loss_max: the loss above which values are clipped when it opens.
        labels: a name for each data set; otherwise model, norm and what else differs, from its attributes.
        seed: the direction seed it opens with; None or ``"mean"``: the mean where there are several.
        along: the direction in which steps were probed, as for :func:`landscape.probes.plot.plot`.
        points: whether it opens with the measured points of planes marked.
        title: of the page; None: from the data sets' attribute ``title`` and the labels.
        study: all data sets that colours are shared with, as for :func:`landscape.probes.plot.plot`.

    Returns:
        The page's text, to be written in UTF-8 (``page.save("page.html")``); a notebook shows it.

    Raises:
        InputError: as :func:`landscape.probes.plot.plot` does.

    Example:
        >>> plane = ls.plane(objective, x=(-1, 1, 5), y=(-1, 1, 5))
        >>> page = ls.interactive(plane, title="my plane")
        >>> "<title>my plane</title>" in page
        True
    """
    content = page_content(
        datasets,
        kind=kind, quantity=quantity, scale=scale, loss_max=loss_max, labels=labels, seed=seed, along=along, points=points,
        study=study,
    )  # fmt: skip
    named = content.pop("title") if title is None else title
    return Page(report_page(named, alone=[PageFigure("figure", named, content)]))


def page_content(
    datasets: xr.Dataset | Sequence[xr.Dataset],
    *,
    kind: str = "auto",
    quantity: str | None = None,
    scale: str = "auto",
    loss_max: float | None = None,
    labels: Sequence[str] | None = None,
    seed: int | str | None = None,
    along: str | None = None,
    points: bool = False,
    study: Sequence[xr.Dataset] = (),
) -> dict[str, Any]:
    """What :func:`interactive` shows, as plain values for the page's script, with ``title`` and ``caption``.

    ``members`` says of each panel, chart or group (``memberOf``) which of the data sets it shows.
    """
    sets, drawn = checked(datasets, labels)
    picture_of(drawn, kind)
    named = printable_labels(labels)
    chosen = drawn.quantity if quantity is None else quantity
    options = Options(
        chosen, scale, loss_max, named, seed=seed, along=along, points=points, kind=kind,
        study=tuple(dict(other.attrs) for other in study),
    )  # fmt: skip
    fitted = fitting(options, drawn, sets)
    content = dict(found(drawn.page)(sets, fitted))
    names = {name_of(dataset) for dataset in sets}
    common = names.pop() if len(names) == 1 else ""
    return {
        **content,
        **_members(content, len(sets)),
        "caption": f"{fitted.note} {content['caption']}".strip(),
        "title": _title(sets[0], labels_of(sets, named), common),
    }


def _members(content: dict[str, Any], count: int) -> dict[str, Any]:
    """Which data sets the panels, charts or groups show, where the room does not say it and there is one for each."""
    if "members" in content:
        return {}
    shown = ("panels",) if content["kind"] == "planes" else ("groups", "charts")
    of = next((name for name in shown if len(content[name]) == count), None)
    return {"memberOf": of, "members": [] if of is None else [[place] for place in range(count)]}


def _title(dataset: xr.Dataset, labels: Sequence[str], common: str) -> str:
    what = str(dataset.attrs.get("title") or "loss landscape")
    names = " | ".join(labels) if len(labels) <= MOST_NAMES else f"{len(labels)} data sets"
    of = f"{common}, {names}" if common and len(labels) > MOST_NAMES else names
    return f"{what[:1].upper()}{what[1:]}" + (f": {of}" if of != what else "")
