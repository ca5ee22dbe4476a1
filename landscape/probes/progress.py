"""How far a measurement is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr


@dataclass(frozen=True)
class Progress:
    """What an observer of a measurement hears.

    Attributes:
        done, total: parts of the work; the total may be a guess.
        dataset: the result as it stands, made when asked for.
        unit: what the parts are, such as points, draws or Hessian products.
    """

    done: int
    total: int
    dataset: Callable[[], xr.Dataset]
    unit: str = "points"


ProgressObserver = Callable[[Progress], None]
