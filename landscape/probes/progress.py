"""How far a measurement is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr


@dataclass(frozen=True)
class Progress:
    """What an observer of a measurement hears.

    Attributes:
        done, total: parts, such as points, values or products; the total may be a guess.
        dataset: the result as it stands, made when asked for.
    """

    done: int
    total: int
    dataset: Callable[[], xr.Dataset]


ProgressObserver = Callable[[Progress], None]
