"""The small picture of a result that a terminal shows: by what it holds, whatever its kind."""

from __future__ import annotations

import numpy as np
import xarray as xr

from landscape.pictures import plain


def terminal_picture(dataset: xr.Dataset, columns: int) -> list[str]:
    """Lines of plain text: losses over epochs, or the loss over a line or a plane, averaged over its direction seeds.

    Nothing for what is neither, for fewer than two points, where there is no room, and for the plane of a dead network, whose
    rounding it would magnify.

    Args:
        columns: that there are to write in.
    """
    if "epoch" in dataset.dims:
        losses = {name.removesuffix("_loss"): dataset[name].values for name in _losses(dataset)}
        return (
            plain.curves(dataset["epoch"].values.astype(float), losses, columns, what="loss", over="epoch")
            if losses
            else []
        )
    if dataset.attrs.get("dead") or "loss" not in dataset or not {"x"} <= {*dataset["loss"].dims} <= {"seed", "y", "x"}:
        return []
    loss = dataset["loss"].mean("seed", skipna=False) if "seed" in dataset["loss"].dims else dataset["loss"]
    status = dataset["status"] if "status" in dataset else xr.ones_like(dataset["loss"])
    known = (status != 0).all("seed") if "seed" in status.dims else status != 0
    what = "mean loss over direction seeds" if dataset.sizes.get("seed", 1) > 1 else "loss"
    if "y" not in loss.dims:
        values = np.where(known.values, loss.values, np.nan)
        return plain.curves(dataset["x"].values.astype(float), {what: values}, columns, what="loss", over="x")
    top = dataset.attrs.get("loss_max")
    grid = loss.transpose("y", "x").values.astype(float), known.transpose("y", "x").values
    return plain.contour(*grid, columns, what=what, top=None if top is None else float(top))


def _losses(dataset: xr.Dataset) -> list[str]:
    return [
        str(name)
        for name, values in dataset.data_vars.items()
        if str(name).endswith("_loss") and values.dims == ("epoch",)
    ]
