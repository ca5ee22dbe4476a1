"""What the page of a gradient flow is made of, as plain values for its script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex

from landscape.pictures.options import Options
from landscape.pictures.page_parts import CHART, LINE, PAGE, axis_range, gap, grid, mode, scale_content
from landscape.pictures.style import number
from landscape.probes.gradient_flow.picture import (
    Flow,
    axis_words,
    counted,
    flow_caption,
    flow_scale,
    read_flows,
    record_colours,
    round_places,
    somewhere,
    value_words,
)


def flow_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each data set, a line for each record, in the record's colour."""
    flows = read_flows(datasets, options)
    scale = flow_scale(flows, options.scale)
    kind = options.scale if options.scale != "auto" else "linear" if scale is None else "log"
    when = np.unique(np.concatenate([flow.when for flow in flows]))
    colours = [to_hex(colour) for colour in record_colours(flows).to_rgba(when)]
    return {
        **PAGE,
        "caption": flow_caption(flows, options.quantity),
        "scale": scale_content([flow.values for flow in flows], options.quantity, kind, None),
        "styles": ["▾\u00a0exactly 0, which has no logarithm", "×\u00a0not finite"],
        "records": {"name": flows[0].clock, "values": when.tolist(), "colours": colours},
        "charts": [_flow_chart(flow, when.tolist(), colours, options.quantity) for flow in flows],
    }


def _flow_chart(flow: Flow, when: list[float], colours: list[str], quantity: str) -> dict[str, Any]:
    marks = [
        gap(flow.x, somewhere(flow.zero), "exactly 0 in a record", "#222222", "", bottom=True, log_only=True),
        gap(flow.x, somewhere(flow.nonfinite), "not finite in a record", "#222222", ""),
    ]
    counts = [(flow.zero, "exactly 0"), (flow.nonfinite, "not finite")]
    reason = str(flow.dataset.attrs.get("dead_reason", "")) if flow.dataset.attrs.get("dead") else ""
    notes = [f"dead network: {reason}"] if reason else []
    places = round_places(float(flow.x[0]), float(flow.x[-1]))
    return {
        **CHART,
        "title": flow.title,
        "notes": [*notes, *(f"{what}: {counted(mask)}" for mask, what in counts if mask.any())],
        "xLabel": axis_words(flow),
        "yLabel": value_words(flow, quantity),
        "range": axis_range(flow.x, 0.03),
        "ticks": {"values": places, "words": [f"{place:g}" for place in places]},
        "scaled": True,
        "lines": [_record(flow, row, when, colours) for row in range(flow.when.size)],
        "gaps": [mark for of_kind in marks for mark in of_kind],
    }


def _record(flow: Flow, row: int, when: list[float], colours: list[str]) -> dict[str, Any]:
    index = when.index(float(flow.when[row]))
    values = flow.values[row]
    words = [
        f"{html.escape(name, quote=False)}<br>{flow.clock} {flow.when[row]:g}: {number(float(value), 4)}"
        for name, value in zip(flow.names, values, strict=True)
    ]
    look = {"colour": colours[index], "width": 1.2, "mode": mode(max(flow.values.shape)), "record": index, "group": ""}
    return {**LINE, **look, "x": flow.x.tolist(), "y": grid(values), "texts": words}
