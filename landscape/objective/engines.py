"""How a point gets into the module that is run: as it is (``plain``), or with BatchNorm folded away (``folded``).

The plain engine is the oracle of the folded one: same values to rounding.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from typing import Protocol

import torch
from torch import Tensor

from landscape.errors import first_line
from landscape.objective.batch_norm import RunningStatistics
from landscape.objective.convolutions import filter_convolutions, has_filterable
from landscape.objective.flat_module import ALL, FlatModule
from landscape.objective.folding import Folding, NotFoldable, fold_module
from landscape.objective.subspace import AffineMap, Subspace

ENGINES = ("auto", "plain")


class Engine(Protocol):
    """Puts points into the module that is run.

    Attributes:
        name: goes into the result's provenance.
        flat: what is run; its vector is the point.
    """

    name: str
    flat: FlatModule

    def load(self, theta: Tensor, statistics: Tensor) -> None:
        """Set the parameters to θ ``(n,)`` and the running statistics to ``statistics``."""

    def tensors(self, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The parameters of the module that is run as a differentiable function of θ's, at the checkpoint's statistics."""

    def load_point(self, subspace: Subspace, coefficients: Tensor, statistics: Tensor | None) -> None:
        """Set the point θ + Σ cₖ dₖ; ``statistics`` are those at the point, None for the checkpoint's."""


class PlainEngine:
    """The module as the user wrote it."""

    name = "plain"

    def __init__(self, flat: FlatModule, statistics: RunningStatistics) -> None:
        self.flat, self._statistics = flat, statistics
        self._checkpoint_statistics = statistics.vector.clone()

    def load(self, theta: Tensor, statistics: Tensor) -> None:
        self.flat.load(theta)
        self._statistics.vector.copy_(statistics)

    def tensors(self, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return parameters

    def load_point(self, subspace: Subspace, coefficients: Tensor, statistics: Tensor | None) -> None:
        self.load(subspace.point(coefficients), self._checkpoint_statistics if statistics is None else statistics)


class FoldedEngine:
    """The module without the BatchNorms that follow a convolution or linear layer.

    Where no direction of a subspace moves a γ, and the statistics are fixed, the fold is affine: θ and the directions are
    folded once, and a point is one operation on flat vectors. Otherwise every point is folded anew.

    Raises:
        NotFoldable: where the module cannot be traced or nothing folds.
    """

    name = "folded"

    def __init__(self, flat: FlatModule, statistics: RunningStatistics) -> None:
        traced, folds = fold_module(flat.module)
        sample = flat.vector
        self.flat = FlatModule(
            traced,
            device=sample.device,
            dtype=sample.dtype,
            channels_last=any(s.channels_last for s in flat.layout.slots),
            parameters=ALL,
        )
        inside = set(flat.layout.names)
        constants = {n: p.detach().clone() for n, p in flat.module.named_parameters() if n not in inside}
        self._folding = Folding(folds, self.flat.layout, constants)
        self._layout = flat.layout
        self._statistics_layout, self._statistics = statistics.layout, statistics.vector.clone()
        self._unfolded = RunningStatistics(self.flat.module)
        places = statistics.layout.views(torch.arange(statistics.layout.size, device=sample.device))
        self._unfolded_places = self._unfolded.layout.pack(places) if self._unfolded.layout.size else None
        self._prepared: tuple[Subspace, AffineMap | None] | None = None
        self.load(sample, self._statistics)

    @property
    def count(self) -> int:
        """How many BatchNorm layers are folded away."""
        return len(self._folding.folds)

    def load(self, theta: Tensor, statistics: Tensor) -> None:
        self.flat.load(self._fold(theta, statistics))
        self._set_unfolded(statistics)

    def load_point(self, subspace: Subspace, coefficients: Tensor, statistics: Tensor | None) -> None:
        folded = self._map(subspace) if statistics is None else None
        if folded is not None:
            self.flat.load(folded.point(coefficients))
            self._set_unfolded(self._statistics)
        else:
            self.load(subspace.point(coefficients), self._statistics if statistics is None else statistics)

    def tensors(self, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return self._folding.tensors(parameters, self._statistics_layout.views(self._statistics))

    def _set_unfolded(self, statistics: Tensor) -> None:
        """The running statistics of the BatchNorms that are still there."""
        if self._unfolded_places is not None:
            self._unfolded.vector.copy_(statistics[self._unfolded_places])

    def _fold(self, theta: Tensor, statistics: Tensor) -> Tensor:
        known = self._statistics_layout.views(statistics)
        return self.flat.layout.pack(self._folding.tensors(self._layout.views(theta), known))

    def _map(self, subspace: Subspace) -> AffineMap | None:
        """Coefficients to folded parameters, remembered for the last one asked for; None where the fold is not affine."""
        if self._prepared is None or self._prepared[0] is not subspace:
            self._prepared = (subspace, self._folded_map(subspace))
        return self._prepared[1]

    def _folded_map(self, subspace: Subspace) -> AffineMap | None:
        origin = subspace.origin
        known = origin.layout.views(origin.vector), self._statistics_layout.views(self._statistics)
        basis = []
        for direction in subspace.basis:
            change = self._folding.change(*known, origin.layout.views(direction))
            if change is None:
                return None
            basis.append(self.flat.layout.pack(change))
        return AffineMap(self._fold(origin.vector, self._statistics), torch.stack(basis))


def choose_engine(
    wanted: str,
    flat: FlatModule,
    statistics: RunningStatistics,
    own: Callable[[], Callable[[Engine], bool]],
    *,
    fixed: bool = True,
    half: bool = False,
) -> tuple[Engine, str]:
    """The engine and the sentence that says why.

    ``auto`` takes the folded one where BatchNorm's statistics are ``fixed`` and the module allows it, and faster convolutions
    where there are some; what comes out must be the module's ``own`` outputs each time, which are noted before anything is changed.
    """
    if wanted == "plain":
        return PlainEngine(flat, statistics), "plain, as asked"
    foldable = fixed and statistics.layout.size > 0
    if not foldable and not has_filterable(flat.module, half=half):
        return PlainEngine(flat, statistics), _unfolded(fixed)
    agrees = own()
    if foldable:
        engine, note = _folded_or_plain(flat, statistics, agrees)
    else:
        engine, note = PlainEngine(flat, statistics), _unfolded(fixed)
    filtered = filter_convolutions(engine.flat.module, lambda _: agrees(engine), half=half)
    return engine, "; ".join(filter(None, (note, filtered)))


def _unfolded(fixed: bool) -> str:
    why = "no BatchNorm with running statistics to fold" if fixed else "BatchNorm's statistics are new at every point"
    return f"plain: {why}"


def _folded_or_plain(
    flat: FlatModule, statistics: RunningStatistics, agrees: Callable[[Engine], bool]
) -> tuple[Engine, str]:
    plain = PlainEngine(flat, statistics)
    try:
        folded = FoldedEngine(flat, statistics)
        with redirect_stderr(io.StringIO()):  # where a traced module fails, torch.fx prints its code
            alike = agrees(folded)
    except NotFoldable as reason:
        return plain, f"plain: {reason}"
    except Exception as error:  # traced code is the user's with one way through it, and not called in the user's way
        return plain, f"plain: the folded module cannot be run ({first_line(error):.120})"
    if not alike:
        return plain, "plain: the folded module's outputs differ from the module's"
    layers = f"{folded.count} BatchNorm layer{'s' if folded.count != 1 else ''}"
    return folded, f"folded: {layers} folded into the layer before"
