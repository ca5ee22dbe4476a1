"""What the pages of gradient flow, of probed steps and of ranges over runs are made of, as plain values for their script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from landscape.pictures.options import Options
from landscape.pictures.range_page import ranges_content
from landscape.probes.steps.picture import read_run_ranges, read_steps, run_range_caption, steps_caption


def steps_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.probes.steps.picture.steps_figure`."""
    tracks, specs = read_steps(datasets, options)
    return ranges_content(tracks, specs, options, steps_caption(tracks, specs, options))


def run_range_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.probes.steps.picture.run_range_figure`."""
    tracks, specs = read_run_ranges(datasets, options)
    return ranges_content(tracks, specs, options, run_range_caption(tracks, specs, options))
