"""Frozen grids: named axes, index ↔ coordinate, and an order that goes from coarse to fine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.errors import InputError

AXIS_NAMES = ("x", "y", "z", "u", "v", "w")


@dataclass(frozen=True)
class Axis:
    """``count`` evenly spaced coordinates from ``start`` to ``stop``, both included.

    Example:
        >>> ls.Axis(-1, 1, 5).coordinates
        array([-1. , -0.5,  0. ,  0.5,  1. ])
        >>> ls.Axis.parse("0:1:3").coordinates.tolist()
        [0.0, 0.5, 1.0]
    """

    start: float
    stop: float
    count: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.stop)):
            raise InputError(f"axis: expected finite ends, got {self.start!r}:{self.stop!r}.")
        if isinstance(self.count, bool) or self.count != int(self.count) or self.count < 1:
            raise InputError(f"axis: expected a whole number of points of at least 1, got {self.count!r}.")
        if self.count > 1 and not self.start < self.stop:
            raise InputError(f"axis: expected start < stop, got {self.start!r}:{self.stop!r}:{self.count}.")

    @classmethod
    def parse(cls, text: str, *, argument: str = "axis") -> Axis:
        """An axis from ``"start:stop:count"``, such as ``-1:1:51``.

        Raises:
            InputError: naming ``argument``, the form expected and what arrived.
        """
        parts = text.split(":")
        try:
            start, stop, count = float(parts[0]), float(parts[1]), int(parts[2])
            if len(parts) != 3:
                raise ValueError
        except (ValueError, IndexError):
            raise InputError(
                f"{argument}: expected start:stop:count with a whole count, such as -1:1:51, got {text!r}."
            ) from None
        try:
            return cls(start, stop, count)
        except InputError as error:
            raise InputError(f"{argument}: {error} Try -1:1:51.") from None

    @classmethod
    def of(cls, values: NDArray[np.float64], *, argument: str = "axis") -> Axis:
        """The axis with these coordinates, as ``np.linspace`` gives them.

        Raises:
            InputError: naming ``argument``, for coordinates that are not evenly spaced.
        """
        if values.ndim == 1 and values.size > 1 and values[0] < values[-1]:
            axis = cls(float(values[0]), float(values[-1]), values.size)
            if np.allclose(axis.coordinates, values, rtol=0, atol=1e-9 * float(np.ptp(values))):
                return axis
        raise InputError(
            f"{argument}: expected evenly spaced coordinates, as np.linspace(-1, 1, 51) or (-1, 1, 51), got an array of shape "
            f"{values.shape}."
        )

    @classmethod
    def given(cls, value: Any, *, argument: str = "axis") -> Axis:
        """An axis as people write it: ``(start, stop, count)``, ``"start:stop:count"``, evenly spaced coordinates, or an axis.

        Raises:
            InputError: naming ``argument``, for anything else.

        Example:
            >>> ls.Axis.given((-1, 1, 5)) == ls.Axis.given(torch.linspace(-1, 1, 5)) == ls.Axis.given("-1:1:5")
            True
        """
        if isinstance(value, Axis):
            return value
        if isinstance(value, str):
            return cls.parse(value, argument=argument)
        try:
            numbers = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            numbers = np.array(math.nan)
        triple = isinstance(value, tuple | list) and len(value) <= 3
        wrong = numbers.ndim != 1 or not np.isfinite(numbers).all()
        if wrong or (triple and (len(value) < 3 or numbers[2] != int(numbers[2]))):
            raise InputError(
                f"{argument}: expected (start, stop, count), such as (-1, 1, 51), or evenly spaced coordinates, got {value!r:.80}."
            )
        if not triple:
            return cls.of(numbers, argument=argument)
        start, stop, count = float(numbers[0]), float(numbers[1]), int(numbers[2])
        if count == 1 and start != stop:
            raise InputError(
                f"{argument}: {value!r} is (start, stop, count), of one point between two ends. Coordinates are given as an array: "
                f"np.array({list(value)})."
            )
        return cls(start, stop, count)

    @cached_property
    def coordinates(self) -> NDArray[np.float64]:
        """Shape ``(count,)``. Written as a weighted mean of the ends, so that a symmetric axis holds 0 exactly."""
        if self.count == 1:
            return np.array([self.start])
        steps = np.arange(self.count, dtype=np.float64)
        last = self.count - 1
        return (self.start * (last - steps) + self.stop * steps) / last

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """How fine the mesh must be for each index to be on it: 0 for ends and every 2^kth point, growing by halves."""
        if self.count == 1:
            return np.zeros(1, dtype=np.int64)
        # Start from the largest power of two that leaves about three points, so that level 0 is already a picture.
        top = max(int(math.log2(self.count - 1)) - 1, 0)
        index = np.arange(self.count)
        levels = np.full(self.count, top, dtype=np.int64)
        for level in range(top, -1, -1):
            levels[index % (1 << (top - level)) == 0] = level
        levels[-1] = 0
        return levels


@dataclass(frozen=True)
class Grid:
    """The product of axes. Axis 0 is x, axis 1 is y, …; arrays over the grid are indexed ``[…, y, x]``.

    Example:
        >>> grid = ls.Grid((ls.Axis(-1, 1, 5), ls.Axis(0, 1, 3)))
        >>> grid.shape, grid.dims
        ((3, 5), ('y', 'x'))
        >>> grid.coefficients(np.arange(2))
        array([[-1. ,  0. ],
               [-0.5,  0. ]])
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.axes) <= len(AXIS_NAMES):
            raise InputError(f"grid: expected 1 to {len(AXIS_NAMES)} axes, got {len(self.axes)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """x, y, z, … in the order of the coefficients."""
        return AXIS_NAMES[: len(self.axes)]

    @property
    def dims(self) -> tuple[str, ...]:
        """The array dimensions: the names reversed, so that a 2-D array is ``[y, x]``."""
        return self.names[::-1]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an array over the grid, in the order of :attr:`dims`."""
        return tuple(axis.count for axis in reversed(self.axes))

    def __len__(self) -> int:
        return math.prod(self.shape)

    def coefficients(self, flat: NDArray[np.int64]) -> NDArray[np.float64]:
        """The points ``(P, axes)`` as coefficients (x, y, …) of the flat indices ``(P,)`` into an array of :attr:`shape`."""
        index = np.unravel_index(flat, self.shape)
        return np.stack([axis.coordinates[i] for axis, i in zip(self.axes, reversed(index), strict=True)], axis=-1)

    @cached_property
    def coarse_to_fine(self) -> NDArray[np.int64]:
        """All flat indices, the coarsest mesh first: a run stopped at any moment is a picture of the whole plane."""
        per_axis = [axis.levels for axis in reversed(self.axes)]
        level = np.zeros(self.shape, dtype=np.int64)
        for position, levels in enumerate(per_axis):
            shape = [1] * len(per_axis)
            shape[position] = -1
            level = np.maximum(level, levels.reshape(shape))
        return np.argsort(level.ravel(), kind="stable").astype(np.int64)

    def nearest(self, point: tuple[float, ...]) -> tuple[int, ...]:
        """The array index (in the order of :attr:`dims`) of the grid point nearest to (x, y, …)."""
        pairs = zip(self.axes, point, strict=True)
        return tuple(int(np.abs(axis.coordinates - value).argmin()) for axis, value in pairs)[::-1]
