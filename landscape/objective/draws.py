"""Stochastic objectives: the same random numbers at every point, drawn several times."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from landscape.errors import InputError
from landscape.numerics.seeds import derive_seed

MODES = ("eval", "train")


@dataclass(frozen=True)
class Draws:
    """How often an objective that draws is measured at a point, and from which seed.

    Draw k seeds PyTorch's, numpy's and Python's global generators with the same number at every point before the pass, so that
    differences between points are not those of the draws (common random numbers).

    Attributes:
        count: of draws.
        seed: from which those of the draws are derived.
    """

    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise InputError(f"draws: expected how often to draw, such as 8, or None, got {self.count!r}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise InputError(f"draw_seed: expected a whole number, got {self.seed!r}.")

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """One for each draw."""
        return tuple(derive_seed(self.seed, "draw", number) for number in range(self.count))

    def attributes(self) -> dict[str, str | int]:
        """As a result says it; the seeds as text, which holds all of their 63 bits."""
        return {"draws": self.count, "draw_seeds": json.dumps(self.seeds)}
