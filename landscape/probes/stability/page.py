"""What the page of the edge of stability is made of, as plain values for its script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from landscape.pictures.options import Options
from landscape.pictures.range_page import ranges_content
from landscape.probes.stability.picture import read_stability, stability_caption


def stability_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.probes.stability.picture.stability_figure`."""
    tracks, specs = read_stability(datasets, options)
    return ranges_content(tracks, specs, options, stability_caption(tracks, specs, options))
