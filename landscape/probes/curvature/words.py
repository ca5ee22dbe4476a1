"""What is said of the spectrum of a checkpoint's Hessian."""

from __future__ import annotations

import numpy as np
import xarray as xr

from landscape.results.words import at_checkpoint, count, dead, notes, quantity, span, unit_of

_NAMES = {"hessian": "Hessian", "gauss-newton": "Gauss–Newton matrix"}
_TRACES = {"trace": "trace", "frobenius_norm": "Frobenius norm"}
_SHOWN = 3  # eigenvalues at either end
_BLOCKS = 6  # layers, those of the largest eigenvalues
_NOTE, _NOTES = r"\d+ of |the matrix|every eigenvalue", 3


def words(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's loss and norms, then the extremes, trace and norm of the matrix or of its layers' blocks."""
    blocked = "block" in dataset.dims
    said = notes(dataset, _NOTE)
    return [
        *at_checkpoint(dataset),
        _matrix(dataset),
        *(_blocks(dataset) if blocked else [*_spectrum(dataset), *_density(dataset)]),
        *said[:_NOTES],
        *([f"{count(len(said) - _NOTES, 'more note')} in the file"] if len(said) > _NOTES else []),
        *dead(dataset),
    ]


def _matrix(dataset: xr.Dataset) -> str:
    """Which matrix, and how many of its eigenvalues are known."""
    name = _NAMES.get(str(dataset.attrs.get("operator")), "matrix")
    blocks = f", diagonal blocks of {count(dataset.sizes['block'], 'layer')}" if "block" in dataset.dims else ""
    found = int(np.isfinite(dataset["eigenvalues"]).sum())
    known = (
        f"{int(dataset['converged'].sum())} of {count(found, 'eigenvalue')} converged" if found else "no eigenvalue yet"
    )
    products = f" in {count(dataset['products'].sum(), 'product')}" if "products" in dataset else ""
    return f"{name} of {count(dataset['parameters'].sum(), 'parameter')}{blocks}: {known}{products}"


def _blocks(dataset: xr.Dataset) -> list[str]:
    """The layers with the largest eigenvalues."""
    values = dataset["eigenvalues"].values
    top = np.where(np.isfinite(values), values, -np.inf).max(axis=-1, initial=-np.inf)
    shown = np.argsort(-top, kind="stable")[:_BLOCKS]
    names = dataset["block"].values if "block" in dataset.coords else np.arange(len(top))
    lines = [f"{names[k]}: {'; '.join(_spectrum(dataset.isel(block=k)))}" for k in shown]
    left = len(top) - len(shown)
    return [*lines, *([f"{count(left, 'layer')} of smaller eigenvalues in the file"] if left else [])]


def _spectrum(block: xr.Dataset) -> list[str]:
    ends = "; ".join(_ends(block))
    traces = (f"{words} {quantity(block, name)}" for name, words in _TRACES.items())
    return [*([ends] if ends else []), *([", ".join(traces)] if "trace" in block else [])]


def _density(dataset: xr.Dataset) -> list[str]:
    if "density_at" not in dataset or not np.isfinite(dataset["density_at"]).any():
        return []
    return [f"density of all eigenvalues from {span(dataset['density_at'])}{unit_of(dataset['density_at'])}"]


def _ends(block: xr.Dataset) -> list[str]:
    """The first eigenvalues at either end."""
    ranks, values = block["rank"].values, block["eigenvalues"].values
    parts = []
    for end, mask in (("largest", ranks > 0), ("smallest", ranks < 0)):
        known = values[mask][np.isfinite(values[mask])]
        more = ", …" if known.size > _SHOWN else ""
        if known.size:
            shown = ", ".join(f"{value:.5g}" for value in known[:_SHOWN])
            parts.append(f"{end} {shown}{more}{unit_of(block['eigenvalues'])}")
    return parts
