"""Trace and Frobenius norm of a symmetric operator from random products: Hutchinson's estimator, and Hutch++.

With independent signs g (Rademacher) and any orthonormal Q ``(m, n)`` that does not depend on them, P = 1 − Qᵀ Q,

    tr H = tr Q H Qᵀ + E gᵀ P H P g        and        ‖H‖²_F = ‖H Qᵀ‖²_F + E ‖H P g‖².

Without Q this is Hutchinson's estimator; where Q holds the directions of large |λ|, little is left to chance: Hutch++.

References:
    Hutchinson 1990; Meyer, Musco, Musco and Woodruff 2021 (Hutch++, arXiv 2010.09649); Chen and Hallman 2023 (a Krylov space as Q);
    Hall 1992, "On the removal of skewness by transformation", J. R. Statist. Soc. B 54, for the intervals.
"""

from __future__ import annotations

import math
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

    ``standard_error`` is s / √probes; ``low`` to ``high`` is the 95 % interval of Hall's transformed t, which allows for skewness:
    where a few eigenvalues dominate, gᵀ H² g is close to a χ² of few degrees of freedom, and Student's interval misses on one
    side. On the Hessian of a small convolutional network it held the Frobenius norm in 89 % of 1,000 cases with 10 probes and in
    92 % with 30; this one in 94 and 95 %. NaN for one probe.
    """

    value: float
    standard_error: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Floats, offset: float = 0.0, rounding: float = 0.0) -> Estimate:
        """The mean of ``samples`` ``(probes,)`` plus a part that is known to ``rounding``, by which the interval is widened."""
        mean, count = float(np.mean(samples)), len(samples)
        if count < 2:
            return cls(mean + offset, math.nan, math.nan, math.nan)
        error = float(np.std(samples, ddof=1)) / math.sqrt(count)
        low, high = _transformed_t(samples, mean, error)
        return cls(mean + offset, error, low + offset - rounding, high + offset + rounding)

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
    """What random vectors say of an operator's trace tr H = Σ λᵢ and Frobenius norm ‖H‖_F = √Σ λᵢ²."""

    trace: Estimate
    frobenius: Estimate

    @classmethod
    def of(cls, samples: Floats, known: tuple[float, float] = (0.0, 0.0), rounding: float = 0.0) -> Traces:
        """From what :func:`trace_sample` gave of several probes, ``(probes, 2)``.

        Args:
            known: the deflated subspace's share of the trace and of the squared norm.
            rounding: relative error of a product.
        """
        squares = known[1] + float(np.mean(samples[:, 1]))
        slack = (rounding * math.sqrt(squares), rounding * squares)
        parts = (Estimate.of(samples[:, k], known[k], slack[k]) for k in range(2))
        trace, norm = parts
        return cls(trace, norm.root())


def trace_sample(
    operator: Operator, like: Tensor, probe: int, *, seed: int = 0, deflation: Deflation | None = None
) -> tuple[float, float]:
    """gᵀ P H P g and ‖H P g‖² of one random vector, by one product.

    Args:
        operator: v ``(n,)`` ↦ H v ``(n,)``, symmetric.
        like: any vector ``(n,)`` of the operator's type and device.
        probe, seed: which vector.
        deflation: a subspace that is left out of the chance, drawn from other randomness.

    Raises:
        InputError: for a product that is not finite.
    """
    g = rademacher(like.numel(), seed, "trace", probe, like)
    rest = g if deflation is None else deflation.removed(g)
    product = checked_product(operator, rest)
    return float(rest @ product), float(product @ product)


def _transformed_t(x: Floats, mean: float, error: float) -> tuple[float, float]:
    """mean − error g⁻¹(± t) with Hall's monotone cubic g(T) = T + γ T²/(3√n) + γ² T³/(27 n) + γ/(6√n), γ being the skewness.

    Student's interval where γ = 0, for two values, and for values that are all the same.
    """
    count = len(x)
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, count - 1))
    spread = error * math.sqrt(count)
    skewness = _skewness(x, mean, spread) if count > 2 and spread > 0 else 0.0
    if abs(skewness) < 1e-6:
        return mean - quantile * error, mean + quantile * error
    scaled = skewness / math.sqrt(count)
    low, high = (3 / scaled * (np.cbrt(1 + scaled * (q - scaled / 6)) - 1) for q in (-quantile, quantile))
    return mean - float(high) * error, mean - float(low) * error


def _skewness(x: Floats, mean: float, spread: float) -> float:
    """n² / ((n − 1)(n − 2)) times the third central moment over s³."""
    count = len(x)
    return float(np.mean(((x - mean) / spread) ** 3)) * count**2 / ((count - 1) * (count - 2))
