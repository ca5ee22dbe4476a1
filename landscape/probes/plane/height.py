"""A plane seen by another height than the loss: a metric, a term, the accuracy."""

from __future__ import annotations

import xarray as xr

from landscape.errors import InputError, unknown_choice
from landscape.probes.plane.result import HEIGHT, INTERPOLATED, heights_of

_ERROR = "_standard_error"


def height(plane: xr.Dataset, name: str) -> xr.Dataset:
    """The same plane with another measured quantity in the place of its loss, for all that reads a plane by its loss.

    So it is drawn, compared, and asked for minima and smoothness: :func:`plot`, :func:`compare`, :func:`topology`,
    :func:`plane_smoothness`.

    Args:
        plane: of kind ``plane``, as :func:`plane` or :func:`line` gives it.
        name: a metric or a term of the loss that was measured with it, or ``accuracy``.

    Raises:
        InputError: for what was not measured, and for a plane whose points were chosen by another quantity.

    Example:
        >>> right = lambda outputs, targets: (outputs.argmax(1) == targets).float()
        >>> scored = ls.Objective(net, "cross_entropy", data, metrics={"right": right}, device="cpu")
        >>> plane = ls.plane(scored, x=(-1, 1, 5), y=(-1, 1, 5))
        >>> float(ls.height(plane, "right")["loss"].sel(seed=0, x=0, y=0))
        0.5
    """
    known = [*heights_of(plane), *(["accuracy"] if "accuracy" in plane else [])]
    if name not in known:
        raise unknown_choice("height", name, known)
    chosen = str(plane.attrs.get("refined_by", "loss"))
    if bool((plane["status"] == INTERPOLATED).any()) and chosen != name:
        raise InputError(
            f"height: this plane was measured where the picture of its {chosen} needed it, and how well its {name} is known "
            "between "
            f"is not known. Measure every point, or refine by it: ls.Refinement(quantity={name!r})."
        )
    named = {
        f"{ahead}{name}{behind}": f"{ahead}loss{behind}" for ahead in ("", "checkpoint_") for behind in ("", _ERROR)
    }
    moved = {new: plane[old] for old, new in named.items() if old in plane}
    left_out = [
        f"loss{_ERROR}",
        f"checkpoint_loss{_ERROR}",
        "loss_mean",
        "loss_spread",
        "predicted_loss",
        "loss_draw_error",
    ]
    kept = plane.drop_vars([variable for variable in left_out if variable in plane])
    made = kept.assign(moved)
    said = name.replace("_", " ")
    return made.assign_attrs(title=f"{said} surface", loss_name=name, **{HEIGHT: said})
