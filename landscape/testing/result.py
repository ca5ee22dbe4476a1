"""Does this file hold what its picture will claim? Needs no torch, and measures nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from landscape.errors import LandscapeError
from landscape.results.digest import has_digest
from landscape.results.hdf5 import SIGNATURE
from landscape.results.results import load_result
from landscape.results.schema import MEASURED, MISSING
from landscape.results.words import picture_known
from landscape.testing.report import Finding, Report

UNSURE = 0.1  # a standard error this large, of the range of the values, hides their shape
# Relative: what the loss at the origin may differ by from the checkpoint's own, which is of the same samples.
ROUNDING = {"fp64": 1e-9, "fp32": 1e-4, "bf16": 5e-2}


def check_result(result: str | os.PathLike[str] | xr.Dataset) -> Report:
    """Whether a result can be read, is complete, agrees with its own checkpoint, and how far its picture can be trusted.

    ```python
    print(ls.testing.check_result("outputs/mine.h5"))
    ```

    Args:
        result: a file, or the data set itself.

    Returns:
        A finding for each property; of a file that cannot be read one alone, with the reason.
    """
    if isinstance(result, xr.Dataset):
        return Report(_called(result), tuple(_findings(result)))
    try:
        dataset = load_result(result)
    except LandscapeError as error:
        return Report(str(result), (Finding("file", False, str(error)),))
    whole = has_digest(Path(result))
    digest = (
        "and is as it was written"
        if whole
        else "but carries no digest, so that damage to its numbers would not be seen"
    )
    readable = Finding("file", True if whole else None, f"can be read: {_called(dataset)}, {digest}.")
    return Report(str(result), (readable, *_findings(dataset)))


def check_file(path: str | os.PathLike[str]) -> Report:
    """:func:`check_result` of a result, :func:`~landscape.testing.check_checkpoint` of anything else, folders too."""
    hdf5 = False
    try:
        if not Path(path).is_dir():
            with Path(path).open("rb") as file:
                hdf5 = file.read(len(SIGNATURE)) == SIGNATURE
    except OSError as error:
        sentence = f"cannot be read: {error.strerror}. Give a result, a checkpoint or a run's folder."
        return Report(str(path), (Finding("file", False, sentence),))
    if hdf5:
        return check_result(path)
    from landscape.testing.checkpoint import check_checkpoint

    return check_checkpoint(path)


def _called(dataset: xr.Dataset) -> str:
    return f"result of kind {dataset.attrs.get('kind')!r}"


def _findings(dataset: xr.Dataset) -> Iterator[Finding]:
    for check in _CHECKS:
        try:
            yield from check(dataset)
        except (
            KeyError,
            TypeError,
            ValueError,
            IndexError,
        ) as error:  # the file lacks, or has otherwise, what its kind has
            name = check.__name__.strip("_").replace("_", " ")
            yield Finding(
                name, False, f"cannot be looked at: {type(error).__name__}: {error}. Is the file made by hand?"
            )


def _labels(dataset: xr.Dataset) -> Iterator[Finding]:
    """What every variable is, and in which unit."""
    bare = [str(n) for n, v in dataset.variables.items() if not v.attrs.get("long_name") or "units" not in v.attrs]
    sentence = (
        f"without a long name or units: {_listed(bare)}." if bare else "every quantity says what it is and its units."
    )
    yield Finding("labels", not bare, sentence, {"without": len(bare)})


def _complete(dataset: xr.Dataset) -> Iterator[Finding]:
    """Whether all of it was measured."""
    made = dataset.attrs
    missing = int((dataset["status"] == MISSING).sum()) if "status" in dataset else 0
    total = int(dataset["status"].size) if "status" in dataset else 0
    if made.get("status") == "diverged":
        yield Finding(
            "complete", False, "the training diverged; the last epochs are NaN or infinite. Lower the learning rate."
        )
    elif made.get("complete", 1) != 1 or missing or made.get("status") == "running":
        share = f", {missing} of {total} values are missing" if missing else ""
        sentence = f"not complete{share}. The same command again goes on where it stopped."
        yield Finding("complete", False, sentence, {"missing": missing, "values": total})
    else:
        yield Finding("complete", True, "all of it was measured.", {"values": total})


def _finite(dataset: xr.Dataset) -> Iterator[Finding]:
    """NaN and infinite values where something was measured."""
    if "checkpoint_loss" in dataset and not math.isfinite(float(dataset["checkpoint_loss"])):
        sentence = "the checkpoint's own loss is NaN or infinite: check the training, the inputs and the loss."
        yield Finding("finite", False, sentence)
        return
    if "loss" not in dataset or "status" not in dataset:
        return
    measured = (dataset["status"] == MEASURED).values
    bad = int((measured & ~np.isfinite(dataset["loss"].values)).sum())
    count = int(measured.sum())
    numbers = {"not_finite": bad, "measured": count}
    if bad:
        more = bad > count / 2
        sentence = (
            f"{bad} of {count} measured losses are NaN or infinite; pictures mask them. A narrower range shows more."
        )
        yield Finding("finite", False if more else None, sentence, numbers)
    else:
        yield Finding("finite", True, "every measured loss is a finite number.", numbers)


def _origin(dataset: xr.Dataset) -> Iterator[Finding]:
    """The loss at the origin against the checkpoint's own: the same samples, so the same number but for rounding."""
    if "checkpoint_loss" not in dataset or "loss" not in dataset or "status" not in dataset:
        return
    axes = [str(dim) for dim in dataset["loss"].dims if dim != "seed"]
    own = float(dataset["checkpoint_loss"])
    if not all((dataset[axis] == 0).any() for axis in axes):
        yield Finding(
            "origin", None, "cannot be told: the checkpoint is no point of the grid (an odd number of points has it)."
        )
        return
    here = dataset.sel(dict.fromkeys(axes, 0.0))
    losses = np.atleast_1d(here["loss"].values)[np.atleast_1d(here["status"].values) == MEASURED]
    if not losses.size:
        yield Finding("origin", None, "cannot be told: the checkpoint's point of the grid was not measured.")
        return
    farthest = float(losses[np.abs(losses - own).argmax()])
    slack = ROUNDING.get(str(dataset.attrs.get("precision")), ROUNDING["fp32"]) * max(abs(own), 1e-30)
    numbers = {"origin": farthest, "checkpoint": own, "tolerance": slack}
    if abs(farthest - own) <= slack:
        yield Finding("origin", True, f"the loss at the origin, {farthest:.6g}, is the checkpoint's own.", numbers)
    else:
        sentence = (
            f"the loss at the origin is {farthest:.6g}, the checkpoint's own {own:.6g}: these are two networks or two sets of "
            "samples. Measure it anew."
        )
        yield Finding("origin", False, sentence, numbers)


def _sample_error(dataset: xr.Dataset) -> Iterator[Finding]:
    """Standard errors beside the range of the values."""
    if not {"loss", "loss_standard_error"} <= set(dataset.variables):
        return
    loss, error = dataset["loss"].values, dataset["loss_standard_error"].values
    finite = loss[np.isfinite(loss)]
    errors = error[np.isfinite(error)]
    if not finite.size or not errors.size:
        yield Finding("samples", None, "cannot be told: no value has a standard error (one sample has none).")
        return
    typical, spread = float(np.median(errors)), float(finite.max() - finite.min())
    count = int(dataset.attrs.get("n_samples", 0))
    numbers = {"standard_error": typical, "range": spread, "samples": count}
    if spread <= 1e-6 * max(float(np.abs(finite).max()), 1e-30):
        yield Finding(
            "range",
            False,
            f"every loss is {finite[0]:.6g}: the parameters that were moved do not reach the loss.",
            numbers,
        )
    elif typical > UNSURE * spread:
        wanted = math.ceil(count * (typical / (UNSURE * spread)) ** 2)
        sentence = (
            f"a value's standard error over {count} samples, {typical:.2g}, is large beside the range of the picture, "
            f"{spread:.2g}. Some {wanted:,} samples (--images) would make it a tenth."
        )
        yield Finding("samples", None, sentence, numbers)
    else:
        sentence = (
            f"a value's standard error, {typical:.2g}, is {100 * typical / spread:.1f} % of the range of the picture."
        )
        yield Finding("samples", True, sentence, numbers)


def _seeds(dataset: xr.Dataset) -> Iterator[Finding]:
    """How many random directions stand behind it."""
    if "seed" not in dataset.dims or "random" not in str(dataset.attrs.get("directions", "")):
        return
    count = int(dataset.sizes["seed"])
    if count == 1:
        sentence = "one random plane is one sample of many: --seeds 0,1,2 shows how they differ."
        yield Finding("seeds", None, sentence, {"seeds": 1})
    else:
        yield Finding("seeds", True, f"{count} random directions, with their spread.", {"seeds": count})


def _alive(dataset: xr.Dataset) -> Iterator[Finding]:
    """The dead network's flag."""
    if "dead" not in dataset.attrs:
        return
    dead = bool(dataset.attrs["dead"])
    reason = f"dead network: {dataset.attrs.get('dead_reason', '')}. Its flat picture says nothing about smoothness."
    yield Finding("alive", not dead, reason if dead else "the network is not dead.")


def _batch_norm(dataset: xr.Dataset) -> Iterator[Finding]:
    """Whether the policy is named, which changes the surface."""
    if "loss_name" not in dataset.attrs or dataset.attrs.get("kind") == "history":
        return
    policy = dataset.attrs.get("bn_policy")
    sentence = f"policy: {policy}." if policy else "does not say what BatchNorm did, which changes the surface."
    yield Finding("BatchNorm", bool(policy), sentence)


def _made_of(dataset: xr.Dataset) -> Iterator[Finding]:
    """Whether it says what it was measured of."""
    if "loss_name" not in dataset.attrs or dataset.attrs.get("kind") == "history":
        return
    missing = [key for key in ("data_fingerprint", "index_hash", "n_samples") if key not in dataset.attrs]
    sentence = (
        f"does not say {_listed(missing)}, so that nobody can measure it again."
        if missing
        else "says which data and samples."
    )
    yield Finding("provenance", not missing, sentence)


def _adaptive(dataset: xr.Dataset) -> Iterator[Finding]:
    """How well an adaptive plane knows what it did not measure."""
    if "picture_error" not in dataset.attrs or "tolerance" not in dataset.attrs:
        return
    error, asked = float(dataset.attrs["picture_error"]), float(dataset.attrs["tolerance"])
    numbers = {"picture_error": error, "tolerance": asked}
    known = picture_known(dataset.attrs)
    if not math.isfinite(error):
        sentence = f"{known}: give it more --max-points, or --full."
        yield Finding("interpolated", None, sentence, numbers)
    elif error > asked:
        sentence = f"{known}, not to {100 * asked:g} %: give it more --max-points, or --full."
        yield Finding("interpolated", None, sentence, numbers)
    else:
        yield Finding("interpolated", True, f"{known}.", numbers)


def _precision(dataset: xr.Dataset) -> Iterator[Finding]:
    """How far values in bf16, or by compiled code, are from fp32."""
    if "precision_deviation_max" not in dataset.attrs:
        return
    largest = float(dataset.attrs["precision_deviation_max"])
    sentence = f"values are at most {100 * largest:.2g} % from fp32 where both were measured."
    yield Finding("precision", True if largest <= ROUNDING["bf16"] else None, sentence, {"largest": largest})


def _converged(dataset: xr.Dataset) -> Iterator[Finding]:
    """Eigenvalues that were not found to their tolerance."""
    if "converged" not in dataset or "eigenvalues" not in dataset:
        return
    known = np.isfinite(dataset["eigenvalues"].values)
    left = int((known & ~dataset["converged"].values.astype(bool)).sum())
    sentence = (
        f"{left} of {int(known.sum())} eigenvalues did not converge; read their residuals, or give more --max-products."
    )
    yield Finding(
        "converged", True if not left else None, sentence if left else "every eigenvalue converged.", {"left": left}
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


Check = Callable[[xr.Dataset], Iterator[Finding]]
_CHECKS: tuple[Check, ...] = (
    _complete, _origin, _finite, _alive, _sample_error, _seeds, _adaptive, _precision, _converged, _batch_norm, _made_of, _labels,
)  # fmt: skip
