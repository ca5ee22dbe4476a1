"""What a user asks of a line or a plane."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from landscape.errors import InputError, unknown_choice
from landscape.numerics.directions import NORMALIZATIONS
from landscape.probes.settings import RefinedSettings

ALONG = ("random", "gradient", "update", "difference")


class DirectedSettings(RefinedSettings):
    """Of a probe along directions.

    ``along`` names what the axes follow instead of random directions: ``random``, ``gradient``, ``update``, ``difference``,
    ``eigenvector1``, ``eigenvector2``, …; see :mod:`landscape.probes.plane.directions`.
    """

    seeds: tuple[int, ...] = (0,)
    normalization: str = "filter"
    along: tuple[str, ...] = ()
    orthogonalize: bool = False

    @field_validator("normalization")
    @classmethod
    def _normalization(cls, value: str) -> str:
        if value not in NORMALIZATIONS:
            raise unknown_choice("normalization", value, NORMALIZATIONS)
        return value

    @field_validator("along", mode="before")
    @classmethod
    def _along(cls, value: Any) -> Any:
        names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        for name in names if isinstance(names, list | tuple) else ():
            if name not in ALONG and not re.fullmatch(r"eigenvector[1-9]\d*", str(name)):
                raise unknown_choice("along", name, [*ALONG, "eigenvector1"])
        return names

    @model_validator(mode="after")
    def _directed(self) -> Self:
        count = 1 if self.kind == "line" else 2
        if self.along and len(self.along) != count:
            raise InputError(f"along: a {self.kind} has {count} direction(s), got {','.join(self.along)!r}.")
        if self.along and len(self.seeds) > 1 and "random" not in self.along:
            raise InputError(f"seeds: none of the directions is random, so there is one alone; got {self.seeds!r}.")
        if self.orthogonalize and self.kind == "line":
            raise InputError("orthogonalize: a line has one direction. Leave it out, or choose kind plane.")
        return self


class PlaneSettings(DirectedSettings):
    """A plane or a line."""

    kind: Literal["plane", "line"] = "plane"


class LineSettings(PlaneSettings):
    """A line."""

    kind: Literal["line"] = "line"
