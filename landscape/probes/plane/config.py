"""What a user asks of a line or a plane."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import field_validator, model_validator

from landscape.checking import Option
from landscape.errors import InputError, unknown_choice
from landscape.numerics.directions import NORMALIZATIONS
from landscape.probes.plane.changes import EXAMPLES, is_change, is_drawn
from landscape.probes.settings import DIRECTIONS, GRID, HeightSettings, RefinedSettings

ALONG = ("random", "gradient", "update", "difference")


class DirectedSettings(RefinedSettings):
    """Of a probe along directions.

    ``along`` names what the axes follow instead of random directions: ``random``, ``gradient``, ``update``, ``difference``,
    ``eigenvector1``, ``eigenvector2``, …; see :mod:`landscape.probes.plane.directions`. ``quantize4``, ``nf4``, ``prune50``,
    ``decay`` and ``lowrank1``, and ``NAME:PATTERN`` for a part of the tensors, are those of :mod:`landscape.probes.plane.changes`.
    """

    seeds: Annotated[
        tuple[int, ...], Option("Direction seeds, such as 0,1,2: a plane or line for each.", DIRECTIONS)
    ] = (0,)
    normalization: Annotated[str, Option("filter, layer or none.", DIRECTIONS)] = "filter"
    along: Annotated[
        tuple[str, ...],
        Option(
            "random, gradient, update, difference (--to), eigenvector1 (--directions), quantize4, nf4, prune50, decay, lowrank1, …",
            DIRECTIONS,
            "random",
        ),
    ] = ()
    orthogonalize: Annotated[bool, Option("Make the second direction orthogonal to the first.", DIRECTIONS)] = False

    @field_validator("normalization")
    @classmethod
    def _normalization(cls, value: str) -> str:
        if value not in NORMALIZATIONS:
            raise unknown_choice("normalization", value, NORMALIZATIONS)
        return value

    @field_validator("along")
    @classmethod
    def _along(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            kind = name.partition(":")[0]
            if kind not in ALONG and not re.fullmatch(r"eigenvector[1-9]\d*", kind) and not is_change(kind):
                raise unknown_choice("along", name, [*ALONG, "eigenvector1", *EXAMPLES])
        return names

    @model_validator(mode="after")
    def _directed(self) -> Self:
        count = 1 if self.kind == "line" else 2
        if self.along and len(self.along) != count:
            raise InputError(f"along: a {self.kind} has {count} direction(s), got {','.join(self.along)!r}.")
        if self.along and len(self.seeds) > 1 and not any(is_drawn(name.partition(":")[0]) for name in self.along):
            raise InputError(f"seeds: none of the directions is random, so there is one alone; got {self.seeds!r}.")
        if self.orthogonalize and self.kind == "line":
            raise InputError("orthogonalize: a line has one direction. Leave it out, or choose kind plane.")
        return self


class PlaneSettings(DirectedSettings, HeightSettings):
    """A plane or a line."""

    kind: Literal["plane", "line"] = "plane"


class LineSettings(PlaneSettings):
    """A line."""

    kind: Literal["line"] = "line"
    y: Annotated[str | None, Option("Of a plane alone.", GRID, study=True)] = None
    quantity: Annotated[Literal["loss"], Option("Of a plane alone.", GRID, study=True, later=True)] = "loss"
