"""Means and their uncertainty, in float64 and in a fixed order."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def mean_and_standard_error(
    values: Tensor, weights: Tensor | None = None, clusters: Tensor | None = None
) -> tuple[float, float]:
    """The mean of ``values`` ``(N,)`` and its standard error s / √N, s with N − 1 in the denominator.

    Both are taken in float64 over the whole array at once, so neither depends on how the values were batched. NaN and
    ±inf propagate: a mean over a non-finite value is non-finite, its standard error NaN. One value has no
    standard error (NaN).

    With ``weights`` wᵢ ``(N,)`` the values are numerators, and the mean is the ratio R = Σ vᵢ / Σ wᵢ, whose standard error is
    the linearised one, √(N / (N − 1) Σ (vᵢ − R wᵢ)²) / Σ wᵢ. With ``clusters``, a number from 0 on for each value, the values of
    one cluster belong together: the sum runs over the clusters' summed residuals, and N is the number of clusters.

    References:
        Cochran 1977, Sampling Techniques, 3rd ed., sections 2.11 and 9A.
    """
    wide = values.detach().double()
    count = wide.numel()
    if count == 0:
        return math.nan, math.nan
    if weights is None and clusters is None:
        mean = wide.mean()
        return float(mean), math.nan if count == 1 else float(wide.std(correction=1) / math.sqrt(count))
    parts = torch.ones_like(wide) if weights is None else weights.detach().double().to(wide.device)
    total = parts.sum()
    mean = wide.sum() / total
    residuals = wide - mean * parts
    if clusters is not None:
        places = clusters.to(wide.device)
        residuals = wide.new_zeros(int(places.max()) + 1).index_add_(0, places, residuals)
    groups = len(residuals)
    if groups == 1:
        return float(mean), math.nan
    return float(mean), float((residuals.square().sum() * groups / (groups - 1)).sqrt() / total)
