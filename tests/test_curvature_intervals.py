"""Whether intervals of trace and Frobenius norm hold as often as they say, and density moments err as much as they say."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from curvature_samples import NETWORKS, cross_entropy, objective_of
from dense import dense_gauss_newton, dense_hessian
from networks import images
from test_lanczos import estimate, product_with
from torch import Tensor

from landscape.probes.curvature.quadrature import moments, quadrature
from landscape.probes.curvature.traces import Estimate

SEEDS = 400
CASES = [
    pytest.param(name, operator, method, marks=[] if (name, method) == ("mlp", "hutchinson") else [pytest.mark.slow])
    for name in NETWORKS
    for operator in ("hessian", "gauss-newton")
    for method in ("krylov", "hutch++", "hutchinson")
]


@cache
def dense_matrix(name: str, operator: str) -> Tensor:
    net = NETWORKS[name]()
    make: Callable[..., np.ndarray] = dense_gauss_newton if operator == "gauss-newton" else dense_hessian
    dense = torch.from_numpy(make(net, cross_entropy, images(), objective_of(net).theta.layout))
    return (dense + dense.T) / 2


def coverage(dense: Tensor, method: str, probes: int, seeds: int = SEEDS) -> tuple[float, float]:
    """How often the intervals of trace and norm hold the dense values."""
    exact = float(dense.trace()), float(torch.linalg.matrix_norm(dense))
    held = np.zeros((seeds, 2))
    for seed in range(seeds):
        found = estimate(dense, method, probes, seed)
        for place, (one, value) in enumerate(zip((found.trace, found.frobenius), exact, strict=True)):
            held[seed, place] = one.low <= value <= one.high
    return float(held[:, 0].mean()), float(held[:, 1].mean())


@pytest.mark.parametrize(("name", "operator", "method"), CASES)
def test_intervals_hold_in_95_of_100_cases(name: str, operator: str, method: str) -> None:
    trace, norm = coverage(dense_matrix(name, operator), method, 30)
    assert 0.92 <= trace <= 0.98
    assert 0.92 <= norm <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize(("name", "operator"), [(n, o) for n in NETWORKS for o in ("hessian", "gauss-newton")])
def test_intervals_of_the_densitys_moments_hold_in_95_of_100_cases(name: str, operator: str) -> None:
    """With 40 probes; with a few, the rare large values that make the higher moments are too often not among them."""
    dense = dense_matrix(name, operator)
    values, like, probes = np.linalg.eigvalsh(dense.numpy()), torch.empty(len(dense), dtype=torch.float64), 40
    exact = np.array([(values**power).mean() for power in range(5)])
    held = np.zeros((SEEDS, 4))
    for seed in range(SEEDS):
        made = [quadrature(product_with(dense), like, 3, probe=probe, seed=seed) for probe in range(probes)]
        table = np.array([moments(nodes[None], weights[None])[0] for nodes, weights in made])
        assert table[:, 0] == pytest.approx(np.ones(probes), abs=1e-12)
        found = [Estimate.of(table[:, power]) for power in range(1, 5)]
        held[seed] = [one.low <= value <= one.high for one, value in zip(found, exact[1:], strict=True)]
    assert ((held.mean(axis=0) >= 0.92) & (held.mean(axis=0) <= 0.98)).all()
