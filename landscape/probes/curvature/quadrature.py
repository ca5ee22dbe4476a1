"""The density of an operator's eigenvalues by stochastic Lanczos quadrature.

For a random vector v of unit length, the eigenvalues of its Lanczos matrix are the nodes and the squared first components of
their eigenvectors the weights of a Gauss quadrature: Σ wᵢ f(θᵢ) ≈ vᵀ f(H) v, exactly so for polynomials of degree below 2 m,
and E vᵀ f(H) v = tr f(H) / n. With f a Gaussian around each λ this is the smoothed density of the eigenvalues, whose
integral is 1.

References:
    Golub and Meurant 2010; Lin, Saad and Yang 2016; Ghorbani, Krishnan and Xiao 2019 (arXiv 1901.10159); Yao et al. 2020
    (PyHessian, arXiv 1912.07145), whose Gaussians have the same variance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from landscape.numerics.lanczos import Floats, Lanczos, Operator, rademacher

VARIANCE = 1e-5  # of the Gaussians, times max(1, range of the nodes)
MESH = 0.5  # points of the grid are so many standard deviations apart
REACH = (
    6  # standard deviations around each node that the grid covers; a Gaussian has fallen to 1e-8 of its height there
)
MOMENTS = 5


@dataclass(frozen=True)
class Density:
    """A density over a grid, from several probes.

    Attributes:
        points: multiples of half a standard deviation, only those near a node; shape ``(p,)``.
        mean: over the probes, per unit of λ; ∫ = 1. Shape ``(p,)``.
        spread: standard deviation (N − 1) over the probes; NaN for one probe. Shape ``(p,)``.
        variance: of the Gaussians.
    """

    points: Floats
    mean: Floats
    spread: Floats
    variance: float


def quadrature(
    operator: Operator,
    like: Tensor,
    steps: int,
    *,
    probe: int = 0,
    seed: int = 0,
    observer: Callable[[int], None] | None = None,
) -> tuple[Floats, Floats]:
    """Nodes and weights of one probe, each ``(steps,)``, ascending; fewer where the Krylov space is exhausted earlier.

    Args:
        operator: v ``(n,)`` ↦ H v ``(n,)``, symmetric.
        like: any vector ``(n,)`` of the operator's type and device.
        steps: products, and so nodes.
        probe, seed: which random signs it starts from.
        observer: told the number of products after each.

    Raises:
        InputError: for a product that is not finite.
    """
    start = rademacher(like.numel(), seed, "density", probe, like)
    space = Lanczos(operator, start, capacity=steps, seed=seed)
    while not space.full:
        space.step()
        if observer is not None:
            observer(space.krylov.steps)
        if not space.krylov.coupling.any():
            break  # the space that the probe reaches is exhausted: the quadrature is exact
    found = space.krylov.ritz()
    return found.values, found.vectors[0] ** 2


def density(nodes: Floats, weights: Floats) -> Density:
    """The smoothed density of quadratures ``(probes, m)``, in which NaN nodes are missing ones.

    The Gaussians' variance is 1e-5 · max(1, range), the range being that of all nodes.
    """
    known = np.isfinite(nodes)
    variance = VARIANCE * max(1.0, float(np.ptp(nodes[known])))
    step = MESH * np.sqrt(variance)
    near = np.arange(-round(REACH / MESH), round(REACH / MESH) + 1)
    points = np.unique(np.round(nodes[known] / step)[:, None] + near) * step
    curves = np.stack([_smoothed(points, x[k], w[k], variance) for x, w, k in zip(nodes, weights, known, strict=True)])
    spread = curves.std(axis=0, ddof=1) if len(curves) > 1 else np.full(len(points), np.nan)
    return Density(points, curves.mean(axis=0), spread, variance)


def moments(nodes: Floats, weights: Floats) -> Floats:
    """Σ wᵢ θᵢᵖ of every probe for p = 0 … 4, shape ``(probes, 5)``: unbiased estimates of tr(Hᵖ) / n.

    Those of the quadrature itself; smoothing would add the Gaussians' variance to the second, and more to higher ones.
    """
    powers = np.arange(MOMENTS)
    terms: Floats = np.nansum(weights[..., None] * nodes[..., None] ** powers, axis=1)
    return terms


def _smoothed(points: Floats, nodes: Floats, weights: Floats, variance: float) -> Floats:
    """Σ wᵢ N(λ; θᵢ, variance) on the points; sorted nodes reach only their neighbourhood."""
    total = np.zeros(len(points))
    reach = 2 * REACH * np.sqrt(variance)
    for node, weight in zip(nodes, weights, strict=True):
        part = slice(*np.searchsorted(points, (node - reach, node + reach)))
        total[part] += weight * np.exp(-((points[part] - node) ** 2) / (2 * variance))
    return np.asarray(total / np.sqrt(2 * np.pi * variance))
