"""Means and their uncertainty, in float64 and in a fixed order."""

from __future__ import annotations

import math

from torch import Tensor


def mean_and_standard_error(values: Tensor) -> tuple[float, float]:
    """The mean of ``values`` ``(N,)`` and its standard error s / √N, s with N − 1 in the denominator.

    Both are taken in float64 over the whole array at once, so neither depends on how the values were batched. NaN and
    ±inf propagate: a mean over a non-finite value is non-finite, its standard error NaN. One value has no
    standard error (NaN).
    """
    wide = values.detach().double()
    count = wide.numel()
    if count == 0:
        return math.nan, math.nan
    mean = wide.mean()
    if count == 1:
        return float(mean), math.nan
    return float(mean), float(wide.std(correction=1) / math.sqrt(count))
