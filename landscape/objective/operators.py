"""H(θ) and G(θ) as what iterative solvers ask of a matrix: a shape, a type, and products with vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.errors import InputError
from landscape.numerics.parameters import ParameterVector
from landscape.objective.description import summary_of

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

    from landscape.objective.objective import Objective

Product = Callable[[Tensor], Tensor]
_REAL = "iuf"  # kinds of NumPy types; a complex vector would lose its imaginary part


class SymmetricOperator:
    """A symmetric matrix A ``(n, n)`` that is known by its products: the Hessian or the Gauss–Newton matrix at a fixed θ.

    ``A @ v`` gives what it takes. The product is that of :meth:`Objective.hessian_product`, bit for bit.

    - a PyTorch vector ``(n,)``, or a matrix ``(n, k)``, which is taken column by column; the product is on the objective's device;
    - a NumPy array of these shapes, on the host;
    - a :class:`~landscape.numerics.parameters.ParameterVector` of the same layout.

    v is rounded to :attr:`dtype` first, the precision of the objective's θ, and the product has that type. So a solver gets no
    further than to about 1e-7 of the largest |λ| in fp32, 1e-2 in bf16; ``Objective(…, precision="fp64")`` gets to 1e-15.

    SciPy's solvers (``eigsh``, ``cg``, ``minres``, ``lobpcg``) take it as it is; :meth:`to_scipy` is for SciPy's arithmetic. A
    solver that asks for a function takes ``A.matvec``.

    Attributes:
        shape: ``(n, n)``.
        dtype: of products, as NumPy names it.

    Example:
        >>> from scipy.sparse.linalg import aslinearoperator, cg
        >>> G = objective.gauss_newton()
        >>> G
        <Gauss–Newton matrix (42 × 42) at the checkpoint: cross_entropy over 60 samples, no BatchNorm, fp32 on cpu>
        >>> damped = G.to_scipy() + 0.01 * aslinearoperator(np.eye(G.shape[0]))
        >>> step, status = cg(damped, -objective.gradient().vector.vector.numpy())
        >>> objective.evaluate(objective.theta.vector + torch.tensor(step)).loss < objective.evaluate().loss
        True
    """

    __array_ufunc__ = None  # so that a NumPy array on the left leaves the product to __rmatmul__

    def __init__(self, product: Product, like: ParameterVector, words: str) -> None:
        """``product`` is v ``(n,)`` ↦ A v; ``like`` has the layout, type and device of v."""
        self._product, self._like, self._words = product, like, words
        size = like.layout.size
        self.shape = (size, size)
        self.dtype: np.dtype[Any] = torch.empty(0, dtype=like.vector.dtype).numpy().dtype

    def __repr__(self) -> str:
        return f"<{self._words}>"

    def __matmul__(self, v: Any) -> Any:
        """A v.

        Raises:
            InputError: for anything but a real vector or matrix of n rows; and as :meth:`Objective.hessian_product`.
        """
        if isinstance(v, ParameterVector) and v.layout == self._like.layout:
            return ParameterVector(self._product(v.vector), v.layout)
        rows = isinstance(v, Tensor | np.ndarray) and v.ndim in (1, 2) and v.shape[0] == self.shape[0]
        if rows and isinstance(v, Tensor) and not v.is_complex() and v.dtype != torch.bool:
            return self._columns(v)
        if rows and isinstance(v, np.ndarray) and v.dtype.kind in _REAL:
            taken = torch.from_numpy(np.array(v, dtype=self.dtype, order="C"))
            return self._columns(taken).cpu().numpy()
        raise InputError(
            f"v: expected a real vector of shape ({self.shape[0]},) or a matrix ({self.shape[0]}, k), as a PyTorch tensor or a "
            f"NumPy array, or a ParameterVector of the same layout, got {_what(v)}."
        )

    def __rmatmul__(self, v: Any) -> Any:
        """v A, which is (A vᵀ)ᵀ, as A is symmetric: ``v @ A @ v`` is the curvature along v."""
        return (self @ v.T).T if isinstance(v, Tensor | np.ndarray) and v.ndim == 2 else self @ v

    def matvec(self, v: NDArray[Any]) -> NDArray[Any]:
        """A v; the name by which solvers ask for it. ``matmat``, ``rmatvec`` and ``rmatmat`` are the same."""
        made: NDArray[Any] = self @ v
        return made

    matmat = rmatvec = rmatmat = matvec

    @property
    def T(self) -> SymmetricOperator:
        """The transpose: itself."""
        return self

    def adjoint(self) -> SymmetricOperator:
        """The adjoint: itself."""
        return self

    def to_scipy(self) -> LinearOperator:
        """The same as SciPy's own class, which can be added and scaled: ``A.to_scipy() + 0.1 * identity``."""
        from scipy.sparse.linalg import LinearOperator

        one = self.matvec
        return LinearOperator(self.shape, matvec=one, rmatvec=one, matmat=one, rmatmat=one, dtype=self.dtype)

    def _columns(self, v: Tensor) -> Tensor:
        if v.ndim == 1:
            return self._product(v)
        made = self._like.vector.new_empty(v.shape)
        for column in range(v.shape[1]):
            made[:, column] = self._product(v[:, column].contiguous())
        return made


def operator_of(
    objective: Objective,
    matrix: str,
    product: Callable[..., Tensor],
    theta: ParameterVector | Tensor | None,
    names: Sequence[str] | None,
) -> SymmetricOperator:
    """One of an objective's matrices at θ, of which it takes a copy, or the diagonal block of the parameters ``names``.

    Raises:
        InputError: for a θ of another shape or layout, or a name that θ does not have.
    """
    own = objective.theta
    point = own if theta is None else ParameterVector(objective._vector(theta).to(own.vector, copy=True), own.layout)
    layout = own.layout if names is None else own.layout.part(names)
    at = "the checkpoint" if theta is None else "a given θ"
    words = f"{matrix} ({layout.size:,} × {layout.size:,}) at {at}: {summary_of(objective)}"
    like = ParameterVector(own.vector[: layout.size], layout)
    return SymmetricOperator(partial(product, theta=point, names=names), like, words)


def _what(v: Any) -> str:
    if isinstance(v, Tensor | np.ndarray):
        return f"{v.dtype} of shape {tuple(v.shape)}"
    if isinstance(v, ParameterVector):
        return f"one of {v.layout.size:,} parameters in another layout"
    return f"{v!r:.60}" if isinstance(v, int | float | complex) else type(v).__name__
