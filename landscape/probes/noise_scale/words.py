"""What is said of the noise of a gradient."""

from __future__ import annotations

import xarray as xr

from landscape.results.words import dead


def noise_lines(dataset: xr.Dataset) -> list[str]:
    """The noise scale with its parts, and whether it has an upper end."""
    made = dataset.attrs

    def value(name: str) -> str:
        return f"{float(dataset[name]):.4g} ± {float(dataset[f'{name}_standard_error']):.2g}"

    lines = [
        f"gradient noise scale {value('noise_scale')} images, from batches of {made['small_batch']} and {made['big_batch']}",
        f"tr Σ {value('noise_trace')}, ‖G‖² {value('gradient_norm_squared')}",
    ]
    if not int(dataset["resolved"]):
        lines.append("‖G‖² is not told apart from zero, so the noise scale has no upper end: ask for more --images.")
    return lines


def words(dataset: xr.Dataset) -> list[str]:
    """What a person wants to know of the noise scale first."""
    return [*noise_lines(dataset), *dead(dataset)]
