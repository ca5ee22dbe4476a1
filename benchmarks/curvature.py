"""The top of the Hessian's spectrum: products, time and true error of this library and of PyHessian, in one run.

    python -m benchmarks.curvature                                                 # 1,000 images, 3 turns
    python -m benchmarks.curvature --images 16 --repeats 1 --top 3 --most 40       # does it run?

The eigenvalue is the one of largest absolute value, which is what power iteration finds. The two stop by rules of their own:
PyHessian where successive estimates agree to the tolerance, which bounds no error; ours where an error bound is below it. So
PyHessian has two rows: as it stops itself, and stopped when its estimate first is within the tolerance, which it cannot know.
Ratios are taken to the second, whose error is the one that was asked for.

In single precision the products of a deep network are themselves off, by whatever order they are summed in. So each method's
error is told against the eigenvalue of its own products, and how far these are from double precision is told beside it.

Writes ``outputs/benchmarks/curvature-TIME.json``. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import importlib.util
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.report import table
from benchmarks.run import describe_machine
from benchmarks.workload import PLAIN_BATCH, Workload
from landscape.errors import InputError, LandscapeError
from landscape.numerics.eigenvalues import Extremes, Search, extremes
from landscape.numerics.lanczos import Krylov, Operator, rademacher
from landscape.results import atomic_write

OURS, THEIRS, ORACLE = "landscape", "PyHessian", "PyHessian, stopped when within the tolerance"


class _Reached(Exception):
    """A power iteration's estimate is within the tolerance."""


@dataclass(frozen=True)
class Found:
    """One search: ``error`` relative to the eigenvalue of the method's own products; ``met``: it is within the tolerance."""

    method: str
    turn: int
    value: float
    error: float
    met: bool
    products: int
    seconds: float


@dataclass(frozen=True)
class Several:
    """Several eigenvalues at once: the largest residual, of products made anew, over λ₁."""

    turn: int
    values: list[float]
    residual: float
    converged: bool
    products: int
    seconds: float


def search(operator: Operator, like: Tensor, wanted: Search, seed: int) -> tuple[Extremes, Krylov, float]:
    """One search of ours, the space that it was made in, and the seconds it took."""
    start = rademacher(like.numel(), seed, "benchmark", 0, like)
    begun = time.perf_counter()
    found, space = extremes(operator, start, wanted, seed=seed)
    return found, space, time.perf_counter() - begun


def dominant(operator: Operator, near: Tensor, top: int, given: argparse.Namespace) -> float:
    """The eigenvalue of the largest |λ|, at the end that is known, to a tenth of the tolerance; from a vector near its own.

    Raises:
        InputError: where the search does not get there.
    """
    found, _ = extremes(operator, near, Search(top, 1 - top, given.tolerance / 10, "value", given.most))
    if not found.converged.all():
        raise InputError(f"most: the reference did not converge within {given.most} products. Allow more.")
    return float(found.values[0])


class PyHessian:
    """``pyhessian.hessian`` over batches of 128, its products counted and its estimates seen."""

    def __init__(self, workload: Workload) -> None:
        package: Any = importlib.import_module("pyhessian")
        self._hessian = package.hessian(
            workload.module(), nn.CrossEntropyLoss(), dataloader=workload.batches(PLAIN_BATCH), cuda=False
        )
        self._product = self._hessian.dataloader_hv_product

    def __call__(self, vector: Tensor) -> Tensor:
        """H v ``(n,)``: what its own eigenvalues are those of."""
        shapes = [parameter.shape for parameter in self._hessian.params]
        parts = torch.split(vector, [shape.numel() for shape in shapes])
        _, image = self._product([part.view(shape) for part, shape in zip(parts, shapes, strict=True)])
        return torch.cat([part.detach().flatten() for part in image])

    def found(self, reference: float, turn: int, given: argparse.Namespace, *, oracle: bool) -> Found:
        """Its power iteration from a random start, to its own stop or until it is within the tolerance."""
        estimates: list[float] = []

        def noted(vector: list[Tensor]) -> tuple[float, list[Tensor]]:
            estimate, image = self._product(vector)
            estimates.append(estimate)
            if oracle and abs(estimate / reference - 1) <= given.tolerance:
                raise _Reached
            return estimate, image

        self._hessian.dataloader_hv_product = noted
        torch.manual_seed(turn)
        begun = time.perf_counter()
        with contextlib.suppress(_Reached):
            self._hessian.eigenvalues(maxIter=given.most, tol=0.0 if oracle else given.tolerance, top_n=1)
        seconds = time.perf_counter() - begun
        error = abs(estimates[-1] / reference - 1)
        method = ORACLE if oracle else THEIRS
        return Found(method, turn, estimates[-1], error, error <= given.tolerance, len(estimates), seconds)


def ours(operator: Operator, like: Tensor, reference: float, turn: int, given: argparse.Namespace) -> Found:
    """The end of the spectrum that dominates."""
    top = int(reference > 0)
    found, _, seconds = search(operator, like, Search(top, 1 - top, given.tolerance, "value", given.most), turn)
    value = float(found.values[0])
    error = abs(value / reference - 1)
    return Found(OURS, turn, value, error, error <= given.tolerance, found.products, seconds)


def several(operator: Operator, like: Tensor, turn: int, given: argparse.Namespace) -> tuple[Several, Krylov]:
    """The largest eigenvalues by their residuals, and the space they were found in."""
    wanted = Search(given.top, 0, given.tolerance, "residual", given.most)
    found, space, seconds = search(operator, like, wanted, turn)
    pairs = zip(found.values, found.vectors, strict=True)
    residual = max(float(torch.linalg.vector_norm(operator(y) - value * y)) for value, y in pairs)
    converged = bool(found.converged.all())
    relative = residual / abs(float(found.values[0]))
    return Several(turn, found.values.tolist(), relative, converged, found.products, seconds), space


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Everything, as what the JSON file holds.

    The first turn's space of the ten largest eigenvalues says which end dominates, and gives the references a vector to start at.
    """
    workload, machine = Workload(given.images, given.checkpoint), describe_machine("cpu")
    wide, objective = workload.objective(precision="fp64"), workload.objective()
    like, product = objective.theta.vector, objective.hessian_product
    _tell(f"the {given.top} largest")
    one, space = several(product, like, 0, given)
    many = [one]
    _tell("references")
    ritz = space.ritz()
    first = int(np.abs(ritz.values).argmax())
    top = int(ritz.values[first] > 0)
    near = torch.from_numpy(ritz.vectors[:, first].copy()).to(space.basis) @ space.basis
    peer = PyHessian(workload) if importlib.util.find_spec("pyhessian") is not None else None
    references = {"double precision": dominant(wide.hessian_product, near.to(wide.theta.vector), top, given)}
    references[OURS] = dominant(product, near, top, given)
    if peer is not None:
        references[THEIRS] = dominant(peer, near, top, given)
    found: list[Found] = []
    for turn in range(given.repeats):
        _tell(f"turn {turn + 1} of {given.repeats}")
        for method in (OURS, THEIRS, ORACLE) if turn % 2 == 0 else (ORACLE, THEIRS, OURS):
            if method == OURS:
                made = ours(product, like, references[OURS], turn, given)
            elif peer is not None:
                made = peer.found(references[THEIRS], turn, given, oracle=method == ORACLE)
            else:
                continue
            _tell(f"  {made}")
            found.append(made)
        if turn:
            many.append(several(product, like, turn, given)[0])
    return {
        "machine": machine,
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in vars(given).items()},
        "references": references,
        "dominant": [dataclasses.asdict(one) for one in found],
        "several": [dataclasses.asdict(one) for one in many],
    }


def markdown(made: dict[str, Any]) -> str:
    """Medians over the turns, with the least and the most; ratios within each turn."""
    by = {
        method: sorted((one for one in made["dominant"] if one["method"] == method), key=lambda one: one["turn"])
        for method in dict.fromkeys(one["method"] for one in made["dominant"])
    }
    rows = [
        [method, *(_range([one[name] for one in own]) for name in ("products", "seconds", "error")), _met(own)]
        for method, own in by.items()
    ]
    exact = made["references"]["double precision"]
    shifts = [f"{name} {value / exact - 1:+.2g}" for name, value in made["references"].items() if value != exact]
    lines = [table(["dominant eigenvalue", "products", "seconds", "true error", "within the tolerance"], rows)]
    lines.append(f"- λ = {exact:.6g} in double precision; that of single-precision products: {', '.join(shifts)}")
    if ORACLE in by:
        pairs = [(a, b) for a, b in zip(by[ORACLE], by[OURS], strict=True) if a["met"] and b["met"]]
        for what in ("products", "seconds"):
            ratios = [a[what] / b[what] for a, b in pairs]
            told = _range(ratios) if ratios else "no turn in which both were within the tolerance"
            lines.append(f"- times fewer {what} than PyHessian to the same true error: {told}")
    own = made["several"]
    lines.append(
        f"- the {len(own[0]['values'])} largest: {_range([one['products'] for one in own])} products, "
        f"{_range([one['seconds'] for one in own])} s, largest residual over λ₁ {_range([one['residual'] for one in own])}, "
        f"{sum(one['converged'] for one in own)} of {len(own)} turns converged"
    )
    return "\n".join(lines)


def _met(own: list[dict[str, Any]]) -> str:
    return f"{sum(one['met'] for one in own)} of {len(own)}"


def _range(values: list[Any]) -> str:
    return f"{median(values):.3g} ({min(values):.3g}–{max(values):.3g})"


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main() -> None:
    given = _arguments()
    try:
        made = run(given)
    except LandscapeError as error:
        sys.exit(f"benchmarks: {error}")
    file = given.out or Path("outputs/benchmarks") / time.strftime("curvature-%Y-%m-%dT%H-%M-%SZ.json", time.gmtime())
    atomic_write(file, json.dumps(made, indent=1).encode())
    _tell(f"wrote {file}")
    print(markdown(made))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.curvature", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000, help="default: 1000")
    parser.add_argument("--repeats", type=int, default=3, help="turns, each from other random vectors (default: 3)")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="relative to the eigenvalue (default: 1e-3)")
    parser.add_argument("--top", type=int, default=10, help="how many of the largest at once (default: 10)")
    parser.add_argument("--most", type=int, default=300, help="products that a search may take (default: 300)")
    parser.add_argument("--checkpoint", type=Path, help="weights of a VGG38 with BatchNorm (default: initial ones)")
    parser.add_argument("--out", type=Path, help="the JSON file (default: outputs/benchmarks/curvature-TIME.json)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
