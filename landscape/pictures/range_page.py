"""What the pages of ranges over steps are made of, as plain values for their script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from landscape.pictures.options import Options
from landscape.pictures.page_parts import (
    CHART,
    LINE,
    PAGE,
    axis_range,
    band,
    dash,
    gap,
    grid,
    groups,
    mode,
    own_axis,
    scale_content,
    texts,
)
from landscape.pictures.ranges import BAND_ALPHA, Spec, Track, beyond, beyond_words, range_scale


def ranges_content(tracks: Sequence[Track], specs: Sequence[Spec], options: Options, caption: str) -> dict[str, Any]:
    """A chart for each spec. The first one has the page's scale, the others, of other quantities, their own."""
    living = [track for track in tracks if not track.dead] or list(tracks)
    drawn = [track.values(name) for track in living for name in specs[0].names]
    styles = [f"shade: {specs[0].band_words}"] if specs[0].band else []
    dashed = ["finely dashed: dead network"] if any(track.dead for track in tracks) else []
    return {
        **PAGE,
        "caption": caption,
        "scale": scale_content(drawn, "", options.scale, options.loss_max if specs[0].of_loss else None),
        "groups": groups([track.title for track in tracks], [t.colour for t in tracks], [t.dashes for t in tracks]),
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
    base |= {"dash": dash(track.dashes)}
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
