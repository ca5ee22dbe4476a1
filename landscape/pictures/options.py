"""What a picture is asked for, as one value that every drawing takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import xarray as xr

from landscape.errors import InputError, unknown_choice

# the options that only some kinds of data set have a use for, and what the others lack
NEEDS = {
    "seed": "has no direction seeds",
    "loss_max": "has no loss to clip",
    "share": "has nothing that could share a scale",
    "along": "has no directions to choose from",
    "points": "has no interpolated points to tell from measured ones",
    "view": "is drawn flat, with no direction to be seen from",
}
CAPTIONS = ("none", "short", "full")


@dataclass(frozen=True)
class Options:
    """The arguments of :func:`landscape.probes.plot.plot` that say what is drawn and how.

    ``quantity`` is already chosen; ``note`` is what the data sets themselves want said first, such as that a study was scaled;
    ``study`` are the attributes of all data sets that colours are shared with, ``kind`` the picture that a page is asked for.
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
    height: float | None = None
    title: str | None = None
    caption: str = "short"
    view: tuple[float, float] | None = None
    study: tuple[Mapping[str, Any], ...] = ()
    kind: str = "auto"

    def __post_init__(self) -> None:
        if self.caption not in CAPTIONS:
            raise unknown_choice("caption", self.caption, CAPTIONS)
        if self.height is not None and not 1.0 <= self.height <= 40.0:
            raise InputError(f"height: expected 1 to 40 inches, got {self.height!r}.")
        if self.view is not None:
            checked_view(self.view)

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


def known_up_to(datasets: Sequence[xr.Dataset], quantity: str) -> float | None:
    """The loss above which the points of adaptively measured planes are not known; None where all are."""
    known = [float(d.attrs["loss_max"]) for d in datasets if {"tolerance", "loss_max"} <= d.attrs.keys()]
    known = [most for most in known if math.isfinite(most)]
    return min(known) if known and quantity in ("loss", "spread") else None


def loss_clip(datasets: Sequence[xr.Dataset], quantity: str, loss_max: float | None) -> float | None:
    """Where the loss is clipped: as asked, or where adaptively measured planes stop being known.

    Raises:
        InputError: if no loss is drawn, or for a maximum beyond what an adaptive plane knows.
    """
    if loss_max is not None and quantity not in ("loss", "spread", "all"):
        raise InputError(f"loss_max: clips the loss, and the quantity is {quantity!r}. Leave it out.")
    known = known_up_to(datasets, quantity)
    if known is None:
        return loss_max
    if loss_max is None:  # a clip that nothing reaches would leave most of the colours unused
        return known if any((dataset["loss"] >= known).any() for dataset in datasets) else None
    if loss_max > known:
        raise InputError(
            f"loss_max: {loss_max:g} is more than an adaptively measured plane knows; it was refined for losses up to "
            f"{known:g}. Draw up to that, or measure every point."
        )
    return loss_max


def checked_view(view: Any) -> tuple[float, float]:
    """Azimuth and elevation in degrees.

    Raises:
        InputError: for anything but two numbers, the second from −90 to 90.
    """
    said = f"view: expected azimuth and elevation in degrees, such as -58,28, got {view!r}."
    try:
        azimuth, elevation = (float(one) for one in view)
    except (TypeError, ValueError):
        raise InputError(said) from None
    if not (abs(azimuth) <= 360 and abs(elevation) <= 90):
        raise InputError(said)
    return azimuth, elevation
