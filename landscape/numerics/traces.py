"""Trace and Frobenius norm of a symmetric operator from random products: Hutchinson's estimator, and Hutch++.

With independent signs g (Rademacher) and any orthonormal Q ``(m, n)`` that does not depend on them, P = 1 − Qᵀ Q,

    tr H = tr Q H Qᵀ + E gᵀ P H P g        and        ‖H‖²_F = ‖H Qᵀ‖²_F + E ‖H P g‖².

Without Q this is Hutchinson's estimator; where Q holds the directions of large |λ|, little is left to chance: Hutch++.

References:
    Hutchinson 1990; Meyer, Musco, Musco and Woodruff 2021 (Hutch++, arXiv 2010.09649); Chen and Hallman 2023 (a Krylov space as Q).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import t
from torch import Tensor

from landscape.numerics.lanczos import Floats, Krylov, Operator, checked_product, rademacher

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over random probes with its uncertainty.

    ``standard_error`` is s / √probes (NaN for one probe); ``low`` to ``high`` the 95 % interval of Student's t with probes − 1
    degrees of freedom (NaN for one probe).
    """

    value: float
    standard_error: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Floats, offset: float = 0.0) -> Estimate:
        """The mean of ``samples`` ``(probes,)``, plus a part that is known."""
        mean, count = float(np.mean(samples)) + offset, len(samples)
        if count < 2:
            return cls(mean, math.nan, math.nan, math.nan)
        error = float(np.std(samples, ddof=1)) / math.sqrt(count)
        half = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
        return cls(mean, error, mean - half, mean + half)

    def root(self) -> Estimate:
        """√value, with the standard error to first order and the interval's ends mapped; negative ends count as 0."""
        value = math.sqrt(max(self.value, 0.0))
        error = self.standard_error / (2 * value) if value > 0 else self.standard_error
        return Estimate(
            value, error, *(end if math.isnan(end) else math.sqrt(max(end, 0.0)) for end in (self.low, self.high))
        )


@dataclass(frozen=True)
class Deflation:
    """A subspace whose share of the trace and of the squared Frobenius norm is known.

    Attributes:
        basis: Q, orthonormal rows ``(m, n)``.
        trace: tr Q H Qᵀ.
        squares: ‖H Qᵀ‖²_F.
    """

    basis: Tensor
    trace: float
    squares: float

    @classmethod
    def krylov(cls, krylov: Krylov) -> Deflation:
        """A Krylov space, whose products were made when it grew."""
        squares = float((krylov.projection**2).sum() + (krylov.coupling**2).sum())
        return cls(krylov.basis, float(np.trace(krylov.projection)), squares)

    @classmethod
    def sketch(cls, operator: Operator, start: Tensor, count: int, *, seed: int) -> Deflation:
        """The range of H on ``count`` random vectors, as Hutch++ has it; takes 2 ``count`` products."""
        size = start.numel()
        signs = (rademacher(size, seed, "sketch", k, start) for k in range(min(count, size)))
        images = torch.stack([checked_product(operator, g) for g in signs])
        basis = torch.linalg.qr(images.T).Q.T.contiguous()
        products = torch.stack([checked_product(operator, q) for q in basis])
        return cls(basis, float((basis * products).sum()), float(products.square().sum()))

    def removed(self, vector: Tensor) -> Tensor:
        """P v."""
        for _ in range(2):
            vector = vector - (self.basis @ vector) @ self.basis
        return vector


@dataclass(frozen=True)
class Traces:
    """What ``probes`` random vectors say of an operator's trace and Frobenius norm."""

    trace: Estimate
    frobenius: Estimate
    probes: int


def traces(
    operator: Operator,
    like: Tensor,
    probes: int,
    *,
    seed: int = 0,
    deflation: Deflation | None = None,
    observer: Callable[[int], None] | None = None,
) -> Traces:
    """tr H = Σ λᵢ and ‖H‖_F = √Σ λᵢ², by one product a probe.

    Args:
        operator: v ``(n,)`` ↦ H v ``(n,)``, symmetric.
        like: any vector ``(n,)`` of the operator's type and device.
        probes: random vectors; two or more for a standard error.
        seed: of the vectors.
        deflation: a subspace that is left out of the chance, drawn from other randomness.
        observer: told the number of products after each.

    Raises:
        InputError: for a product that is not finite.
    """
    first, second = np.zeros(probes), np.zeros(probes)
    for k in range(probes):
        g = rademacher(like.numel(), seed, "trace", k, like)
        rest = g if deflation is None else deflation.removed(g)
        product = checked_product(operator, rest)
        first[k], second[k] = float(rest @ product), float(product @ product)
        if observer is not None:
            observer(k + 1)
    known = (0.0, 0.0) if deflation is None else (deflation.trace, deflation.squares)
    return Traces(Estimate.of(first, known[0]), Estimate.of(second, known[1]).root(), probes)
