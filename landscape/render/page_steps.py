"""What the pages of gradient flow, of probed steps and of ranges over runs are made of, as plain values for their script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex

from landscape.render.flow import (
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
from landscape.render.options import Options
from landscape.render.page_parts import (
    CHART,
    LINE,
    PAGE,
    axis_range,
    band,
    gap,
    grid,
    groups,
    mode,
    own_axis,
    scale_content,
    texts,
)
from landscape.render.ranges import BAND_ALPHA, Spec, Track, beyond, beyond_words, range_scale
from landscape.render.stability import read_stability, stability_caption
from landscape.render.steps import read_run_ranges, read_steps, run_range_caption, steps_caption
from landscape.render.style import number


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


def steps_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.render.steps.steps_figure`."""
    tracks, specs = read_steps(datasets, options)
    return ranges_content(tracks, specs, options, steps_caption(tracks, specs, options))


def run_range_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.render.steps.run_range_figure`."""
    tracks, specs = read_run_ranges(datasets, options)
    return ranges_content(tracks, specs, options, run_range_caption(tracks, specs, options))


def stability_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.render.stability.stability_figure`."""
    tracks, specs = read_stability(datasets, options)
    return ranges_content(tracks, specs, options, stability_caption(tracks, specs, options))


def ranges_content(tracks: Sequence[Track], specs: Sequence[Spec], options: Options, caption: str) -> dict[str, Any]:
    """A chart for each spec. The first one has the page's scale, the others, of other quantities, their own."""
    living = [track for track in tracks if not track.dead] or list(tracks)
    drawn = [track.values(name) for track in living for name in specs[0].names]
    styles = [f"shade: {specs[0].band_words}"] if specs[0].band else []
    dashed = ["dashed: dead network"] if any(track.dead for track in tracks) else []
    return {
        **PAGE,
        "caption": caption,
        "scale": scale_content(drawn, "", options.scale, options.loss_max if specs[0].of_loss else None),
        "groups": groups([track.title for track in tracks], [track.colour for track in tracks]),
        "styles": [*styles, *dashed, "×\u00a0not finite"],
        "charts": [_ranges_chart(tracks, spec, options, scaled=spec is specs[0]) for spec in specs],
    }


def _ranges_chart(tracks: Sequence[Track], spec: Spec, options: Options, *, scaled: bool) -> dict[str, Any]:
    scale = range_scale(tracks, spec, options.scale, options.loss_max)
    units = {str(track.dataset[name].attrs.get("units", "1")) for track in tracks for name in spec.names} - {"1"}
    numbered = [(f"g{i}", track) for i, track in enumerate(tracks)]
    marks = [
        gap(track.steps, track.nonfinite(spec), f"{track.title}: not finite", track.colour, group)
        for group, track in numbered
    ]
    return {
        **CHART,
        "title": spec.title[:1].upper() + spec.title[1:],
        "notes": [beyond_words(track, spec, side) for track in tracks if (side := beyond(track, spec, scale))],
        "xLabel": "training step",
        "yLabel": spec.label + (f" ({units.pop()})" if units else ""),
        "range": axis_range(np.concatenate([track.steps for track in tracks]), 0.02),
        "whole": True,
        "scaled": scaled,
        "axis": None if scaled else own_axis(scale),
        "lines": [line for group, track in numbered for line in _track_lines(track, spec, group)],
        "gaps": [mark for of_track in marks for mark in of_track],
    }


def _track_lines(track: Track, spec: Spec, group: str) -> list[dict[str, Any]]:
    """The shade belongs to the line, or to its upper edge where there is no line."""
    base = {**LINE, "x": track.steps.tolist(), "colour": track.colour, "group": group, "mode": mode(track.steps.size)}
    base |= {"dash": "dot" if track.dead else "solid"}
    lines: list[dict[str, Any]] = []
    if spec.band is not None:
        for name, what in zip(spec.band, ("lowest", "highest"), strict=True):
            values = track.values(name)
            words = texts(f"{track.title}, {what}", "step", track.steps, values)
            lines.append({**base, "width": 0.6, "y": grid(values), "texts": words})
        lower, upper = (track.values(name) for name in spec.band)
        lines[-1]["bands"] = [band(lower, upper, track.colour, BAND_ALPHA)]
    if spec.line is not None:
        values = track.values(spec.line)
        words = texts(track.title, "step", track.steps, values)
        lines.append({**base, "width": 1.4, "y": grid(values), "texts": words})
    return lines
