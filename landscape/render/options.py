"""What a picture is asked for, as one value that every drawing takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from landscape.errors import InputError

# the options that only some kinds of data set have a use for, and what the others lack
NEEDS = {
    "seed": "has no direction seeds",
    "loss_max": "has no loss to clip",
    "share": "has nothing that could share a scale",
    "along": "has no directions to choose from",
    "points": "has no interpolated points to tell from measured ones",
}


@dataclass(frozen=True)
class Options:
    """The arguments of :func:`landscape.render.plot` that say what is drawn and how.

    ``quantity`` is already chosen; ``note`` is what the data sets themselves want said first, such as that a study was scaled.
    """

    quantity: str
    scale: str = "auto"
    loss_max: float | None = None
    labels: tuple[str, ...] | None = None
    share: bool = True
    seed: int | str | None = None
    along: str | None = None
    points: bool = False
    width: float | str | None = None
    note: str = ""

    def check_uses(self, words: str, uses: frozenset[str]) -> None:
        """Refuse what was asked for and would change nothing.

        Args:
            words: what the data set is.
            uses: the names of :data:`NEEDS` that it has a use for.

        Raises:
            InputError: for an option that it has none for.
        """
        usual: Mapping[str, Any] = {field.name: field.default for field in fields(self)}
        for name, lack in NEEDS.items():
            given = getattr(self, name)
            if name not in uses and given != usual[name]:
                raise InputError(f"{name}: {words} {lack}, got {given!r}. Leave it out.")
