"""Data sets in, one self-contained page out: pictures that turn, zoom and answer the pointer."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any

import xarray as xr

from landscape.errors import InputError
from landscape.render.page_charts import curves_content, lines_content
from landscape.render.page_planes import planes_content
from landscape.render.reading import checked, labels_of, loss_clip, read_planes

MOST_NAMES = 3  # that a title spells out
_SCRIPTS = ("page.js", "planes.js", "charts.js")


def interactive(
    datasets: xr.Dataset | Sequence[xr.Dataset],
    *,
    quantity: str = "loss",
    scale: str = "auto",
    loss_max: float | None = None,
    labels: Sequence[str] | None = None,
    seed: int | str | None = None,
    title: str | None = None,
) -> str:
    """One HTML page, about 5 MB, that needs no network: plotly.js is inside.

    A 2-D plane is a surface that can be turned beside its contours: the point under the pointer in one is marked in the
    other, and in every other plane, and read out with its standard error and accuracy. Lines and histories are curves.
    The reader can switch the scale, clip high values and choose the direction seed.

    Args:
        datasets: of kind ``plane`` or ``history``, all of the same shape; they share one scale.
        quantity: as for :func:`landscape.render.plot`.
        scale: the scale it opens with: ``auto``, ``linear`` or ``log``.
        loss_max: the loss above which values are clipped when it opens.
        labels: a title for each data set; otherwise model and norm from its attributes.
        seed: the direction seed it opens with; None or ``"mean"``: the mean where there are several.
        title: of the page; None: from the data sets' attribute ``title`` and the labels.

    Returns:
        The page's text, to be written in UTF-8.

    Raises:
        InputError: as :func:`landscape.render.plot` does.
    """
    sets = checked(datasets, labels)
    loss_max = loss_clip(sets, quantity, loss_max)
    if sets[0].attrs["kind"] == "history":
        if seed is not None:
            raise InputError(f"seed: a training history has no direction seeds, got {seed!r}. Leave it out.")
        content = curves_content(sets, quantity=quantity, scale=scale, loss_max=loss_max, labels=labels)
    else:
        planes = read_planes(sets, quantity, labels)
        build = lines_content if planes[0].y is None else planes_content
        content = build(planes, scale=scale, loss_max=loss_max, seed=seed)
    return _page(_title(sets[0], labels_of(sets, labels)) if title is None else title, content)


def _title(dataset: xr.Dataset, labels: Sequence[str]) -> str:
    what = str(dataset.attrs.get("title") or "loss landscape")
    names = " | ".join(labels) if len(labels) <= MOST_NAMES else f"{len(labels)} data sets"
    return f"{what[:1].upper()}{what[1:]}: {names}"


def _page(title: str, content: dict[str, Any]) -> str:
    from plotly.offline import get_plotlyjs  # 5 MB of text, read only when a page is made

    return Template(_file("page.html")).substitute(
        title=html.escape(title),
        caption=html.escape(content["caption"]),
        style=_file("page.css"),
        plotly=get_plotlyjs(),
        data=_json(content),
        script="(() => {\n" + "\n".join(_file(name) for name in _SCRIPTS) + "\nstart();\n})();",
    )


def _file(name: str) -> str:
    return resources.files("landscape.render").joinpath(name).read_text(encoding="utf-8")


def _json(content: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in, whatever the labels hold."""
    return json.dumps(content, allow_nan=False, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
