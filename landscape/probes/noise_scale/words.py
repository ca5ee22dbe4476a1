"""What is said of the noise of a gradient."""

from __future__ import annotations

import xarray as xr

from landscape.results.words import dead


def noise_lines(dataset: xr.Dataset) -> list[str]:
    """The noise scale with its parts, or that it is not resolved."""
    made = dataset.attrs

    def value(name: str) -> str:
        return f"{float(dataset[name]):.4g} ± {float(dataset[f'{name}_standard_error']):.2g}"

    batches = f"from batches of {made['small_batch']} and {made['big_batch']}"
    parts = f"tr Σ {value('noise_trace')}, ‖G‖² {value('gradient_norm_squared')}"
    if not int(dataset["resolved"]):
        unknown = "‖G‖² is not told apart from zero, so the noise scale has no upper end: ask for more --images."
        return [f"gradient noise scale not resolved, {batches}", parts, unknown]
    return [f"gradient noise scale {value('noise_scale')} images, {batches}", parts]


def words(dataset: xr.Dataset) -> list[str]:
    """What a person wants to know of the noise scale first."""
    return [*noise_lines(dataset), *dead(dataset)]
