"""What a user asks of a line or a plane."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
        return self


class PlaneSettings(DirectedSettings, HeightSettings):
    """A plane, and what a line has of it."""

    kind: Literal["plane", "line"] = "plane"


_PLANE_ALONE = Option("Of a plane alone.", GRID, study=True)


class LineSettings(PlaneSettings):
    """A line: every point of it is measured, along one direction."""

    kind: Literal["line"] = "line"
    y: Annotated[str | None, _PLANE_ALONE] = None
    adaptive: Annotated[bool | None, _PLANE_ALONE] = None
    tolerance: Annotated[float, _PLANE_ALONE] = 0.01
    loss_max: Annotated[float | None, _PLANE_ALONE] = None
    max_points: Annotated[int | None, _PLANE_ALONE] = None
    minutes: Annotated[float | None, _PLANE_ALONE] = None
    orthogonalize: Annotated[bool, _PLANE_ALONE] = False
    quantity: Annotated[Literal["loss"], Option("Of a plane alone.", GRID, study=True, later=True)] = "loss"

    @model_validator(mode="after")
    def _line(self) -> Self:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if _PLANE_ALONE in field.metadata and value is not False and value != field.default:
                raise InputError(
                    f"{name}: is of a plane alone; a line has one direction and is measured at every point. Leave it out."
                )
        return self

    def refinement(self, axes: Sequence[str]) -> None:
        return None
