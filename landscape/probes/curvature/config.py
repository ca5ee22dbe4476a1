"""What is asked of the curvature of a checkpoint's loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from landscape.checking import OWN as _OWN
from landscape.checking import Option
from landscape.errors import InputError, unknown_choice
from landscape.numerics.eigenvalues import Search
from landscape.probes.settings import DrawnConfigured, settings_of

OPERATORS = ("hessian", "gauss-newton")
TRACE_METHODS = ("krylov", "hutch++", "hutchinson")


@dataclass(frozen=True)
class CurvatureConfig:
    """Which matrix, which of its quantities, and how well.

    Args:
        operator: ``hessian``, that of the mean loss, or ``gauss-newton``, 1/N Σ Jᵢᵀ ∇²ℓᵢ Jᵢ with the Jacobians J of the outputs and
            the Hessians ∇²ℓ of the loss in them.
        per_layer: a spectrum for each layer's diagonal block (the parameters that one submodule owns), instead of one of the whole.
        top, bottom: how many of the largest and of the smallest eigenvalues; fewer for a layer that has fewer parameters.
        tolerance: relative to the largest |λ|; what has to be so small, ``criterion`` says.
        criterion: the ``residual`` ‖H y − λ y‖, or the error bound of the ``value`` λ, which is met earlier.
        max_products: an eigenvalue search ends after so many products, with what it has then.
        trace_probes: random vectors for trace and Frobenius norm; 0 leaves both out.
        trace_method: ``hutchinson``; ``hutch++``, which first spends two products a probe on the range of H; or ``krylov``, the
            same with the Krylov space of the eigenvalue search instead, which costs nothing more.
        density_probes: random vectors for the density of eigenvalues; 0 leaves it out.
        density_steps: Lanczos steps, that is nodes, of each.
        draw_seed: of all random vectors.

    Raises:
        InputError: naming the argument.

    Example:
        >>> config = ls.CurvatureConfig(per_layer=True, top=1, bottom=0, trace_probes=0, density_probes=0)
        >>> ls.curvature(objective, config)["block"].values.tolist()
        ['0', '2']
    """

    operator: Annotated[str, Option("hessian or gauss-newton.", _OWN)] = "hessian"
    per_layer: Annotated[bool, Option("A spectrum for each layer's diagonal block.", _OWN)] = False
    top: Annotated[int, Option("So many of the largest eigenvalues.", _OWN)] = 10
    bottom: Annotated[int, Option("So many of the smallest.", _OWN)] = 2
    tolerance: Annotated[float, Option("Of the eigenvalues, in parts of the largest.", _OWN)] = 1e-3
    criterion: Annotated[str, Option("What is held to it, residual or (sooner) the value.", _OWN)] = "residual"
    max_products: Annotated[int, Option("Products of a search, at most.", _OWN)] = 500
    trace_probes: Annotated[int, Option("Random vectors of the trace; 0: none.", _OWN)] = 30
    trace_method: Annotated[str, Option("krylov, hutch++ or hutchinson.", _OWN)] = "krylov"
    density_probes: Annotated[int, Option("Random vectors of the density; 0: none.", _OWN)] = 4
    density_steps: Annotated[int, Option("Nodes of each.", _OWN)] = 40
    draw_seed: Annotated[int, Option("Of what is drawn.", _OWN)] = 0

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise unknown_choice("operator", self.operator, OPERATORS)
        if self.trace_method not in TRACE_METHODS:
            raise unknown_choice("trace_method", self.trace_method, TRACE_METHODS)
        for name, least in (
            ("top", 0),
            ("bottom", 0),
            ("max_products", 1),
            ("density_probes", 0),
            ("density_steps", 1),
        ):
            _check_count(name, getattr(self, name), least)
        _check_count("trace_probes", self.trace_probes, 0)
        if self.trace_probes == 1:
            raise InputError("trace_probes: expected 0, or at least 2 for a standard error, got 1.")
        self.search(self.top + self.bottom)

    def search(self, size: int) -> Search:
        """What is looked for in a block of so many parameters: the top ones first where it has fewer than are wanted."""
        top = min(self.top, size)
        return Search(top, min(self.bottom, size - top), self.tolerance, self.criterion, self.max_products)

    @property
    def wanted(self) -> int:
        return self.top + self.bottom


def layers_of(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The parameters of each layer, the submodule that owns them, in order; those of the module itself by their own names."""
    layers: dict[str, list[str]] = {}
    for name in names:
        owner, _, _ = name.rpartition(".")
        layers.setdefault(owner or name, []).append(name)
    return {layer: tuple(own) for layer, own in layers.items()}


def _check_count(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}.")


CurvatureSettings = settings_of(CurvatureConfig, "curvature", DrawnConfigured, tolerance="curvature_tolerance")
