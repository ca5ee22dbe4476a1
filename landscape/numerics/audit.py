"""What points drawn at random say of all that a picture interpolates: a percentile of its error, and a bound for each point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

Floats = NDArray[np.float64]

QUANTILE = 0.95
RISK = 0.04  # that the upper limit is too low: less than the 5 % that is said, so that chance does not show more


@dataclass(frozen=True)
class Known:
    """How well a picture is known, in fractions of its displayed range, from a random sample of what was interpolated.

    Attributes:
        error: the 95th percentile of the error over the grid, as the sample has it; NaN without a sample.
        limit: its upper limit, which holds in 95 of 100 draws of the sample; infinite where the sample is too small for one.
        audits: how many points the sample has.
    """

    error: float
    limit: float
    audits: int


def audits_for(points: int, open_points: int) -> int:
    """The smallest sample of ``open_points`` of a grid's ``points`` whose largest error bounds the 95th percentile of all.

    If more than 5 % of the grid were worse, all of the sample would be better in less than 5 of 100 draws.
    """
    worse = _allowed(points) + 1
    if open_points < worse:
        return 0
    counts = np.arange(1, open_points + 1)
    enough = hypergeom.cdf(0, open_points, worse, counts) <= RISK
    return int(counts[enough][0])


def known_by(errors: Floats, points: int, open_points: int) -> Known:
    """What the ``errors`` of points drawn at random among ``open_points`` say of a grid of ``points``; the others have none.

    The upper limit is the smallest order statistic that more than 5 % of the grid could exceed in less than 5 of 100 draws.
    """
    count, worse = len(errors), _allowed(points) + 1
    if open_points < worse:
        return Known(0.0, 0.0, count)
    if not count:
        return Known(math.nan, math.inf, 0)
    descending = np.sort(errors)[::-1]
    weight = open_points / count
    error = float(descending[min(int(_allowed(points) / weight), count - 1)])
    chances = hypergeom.cdf(np.arange(count), open_points, worse, count)
    usable = np.flatnonzero(chances <= RISK)
    return Known(error, float(descending[usable[-1]]) if usable.size else math.inf, count)


def bound_factor(ratios: Floats) -> float:
    """What an error is at most of its point's disagreement, in 95 of 100 interpolated points; infinite for too few ``ratios``.

    The ratios of error to disagreement are those of points drawn at random among the interpolated ones, so that the ratio of one
    more is as likely to have any rank among them: the ⌈0.95 (n + 1)⌉-th smallest of n is exceeded by at most 5 % of the draws of
    sample and point. Near a cliff more points than elsewhere may be beyond their bound.

    References:
        Lei et al. 2018, Distribution-free predictive inference for regression, section 5.2.
    """
    rank = math.ceil(QUANTILE * (len(ratios) + 1) - 1e-9)
    return math.inf if rank > len(ratios) else float(np.sort(ratios)[rank - 1])


def _allowed(points: int) -> int:
    """How many points of a grid lie beyond its 95th percentile."""
    return math.floor((1 - QUANTILE) * points + 1e-9)
