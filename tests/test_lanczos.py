"""Lanczos, traces and quadrature against dense matrices with known spectra."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from landscape.errors import InputError
from landscape.numerics.eigenvalues import Search, extremes
from landscape.numerics.lanczos import Krylov, Lanczos, rademacher
from landscape.numerics.seeds import generator
from landscape.probes.curvature.quadrature import density, moments, quadrature
from landscape.probes.curvature.traces import Deflation, Traces, trace_sample


def matrix(eigenvalues: Tensor, seed: int = 0) -> Tensor:
    """Symmetric, with these eigenvalues and random eigenvectors."""
    n = len(eigenvalues)
    turned, _ = torch.linalg.qr(torch.randn(n, n, generator=generator(seed, "matrix"), dtype=torch.float64))
    dense = turned @ torch.diag(eigenvalues.double()) @ turned.T
    return (dense + dense.T) / 2


def product_with(dense: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda vector: dense @ vector


def spectrum(n: int = 200, outliers: tuple[float, ...] = (50.0, 20.0, 8.0, -6.0)) -> Tensor:
    """A bulk in [−1, 1] with outliers, as Hessians have it."""
    bulk = 2 * torch.rand(n - len(outliers), generator=generator(1, "bulk"), dtype=torch.float64) - 1
    return torch.cat([bulk, torch.tensor(outliers, dtype=torch.float64)])


def start(n: int, seed: int = 0) -> Tensor:
    return rademacher(n, seed, "start", 0, torch.empty(0, dtype=torch.float64))


@pytest.mark.parametrize("capacity", [200, 32])
def test_eigenpairs_have_the_residuals_that_they_say_and_lie_where_the_dense_ones_do(capacity: int) -> None:
    eigenvalues = spectrum()
    dense = matrix(eigenvalues)
    found, _ = extremes(product_with(dense), start(200), Search(6, 3, 1e-9), capacity=capacity)
    ordered = np.sort(eigenvalues.numpy())
    assert found.values == pytest.approx(np.r_[ordered[:-7:-1], ordered[:3]], rel=1e-9)
    true = torch.linalg.vector_norm(
        found.vectors @ dense - torch.from_numpy(found.values)[:, None] * found.vectors, dim=1
    )
    assert found.residuals == pytest.approx(true.numpy(), abs=1e-12)
    assert found.converged.all()
    assert found.ranks.tolist() == [1, 2, 3, 4, 5, 6, -1, -2, -3]


def test_restarts_keep_the_krylov_relation() -> None:
    dense = matrix(spectrum())
    space = Lanczos(product_with(dense), start(200), capacity=20)
    for _ in range(60):
        if space.full:
            space.restart(3, 2)
        space.step()
    state = space.krylov
    left = dense @ state.basis.T
    right = state.basis.T @ torch.from_numpy(state.projection) + torch.outer(
        state.following, torch.from_numpy(state.coupling)
    )
    assert torch.allclose(left, right, atol=1e-11)
    whole = torch.cat([state.basis, state.following[None]])
    assert torch.allclose(whole @ whole.T, torch.eye(len(whole), dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("stop", [1, 13, 40])
def test_a_stored_decomposition_continues_bit_for_bit(stop: int) -> None:
    dense = matrix(spectrum())
    search = Search(4, 2, 1e-8)
    whole, _ = extremes(product_with(dense), start(200), search, capacity=24)
    kept: list[Krylov] = []
    extremes(product_with(dense), start(200), search, capacity=24, observer=kept.append)
    state = kept[stop - 1]
    stored = Krylov(
        state.basis.clone(), state.projection.copy(), state.following.clone(), state.coupling.copy(), state.products,
        state.retained,
    )  # fmt: skip
    resumed, _ = extremes(product_with(dense), stored, search, capacity=24)
    assert resumed.products == whole.products == len(kept)
    assert np.array_equal(resumed.values, whole.values)
    assert torch.equal(resumed.vectors, whole.vectors)


@pytest.mark.parametrize("values", [[0.0] * 9, [2.0] * 9, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, -3.0, -3.0]])
def test_repeated_eigenvalues_are_found_as_often_as_they_are_in_an_exhausted_space(values: list[float]) -> None:
    found, krylov = extremes(product_with(matrix(torch.tensor(values))), start(9), Search(6, 3, 1e-9))
    ordered = np.sort(values)
    assert krylov.exhausted
    assert found.converged.all()
    assert found.values == pytest.approx(np.r_[ordered[:2:-1], ordered[:3]], abs=1e-12)


def test_a_search_that_is_cut_short_says_so() -> None:
    found, _ = extremes(product_with(matrix(spectrum())), start(200), Search(8, 2, 1e-9, max_products=12))
    assert found.products == 12
    assert not found.converged.all()


def test_more_eigenvalues_than_entries_and_products_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="at most 5 eigenvalues in all, one for each parameter, got top=4, bottom=2"):
        extremes(product_with(torch.eye(5).double()), start(5), Search(4, 2))
    with pytest.raises(InputError, match="H v is NaN or infinite in 5 of its 5 entries"):
        extremes(lambda v: v * math.nan, start(5), Search(1, 0))


def test_a_quadratures_moments_are_those_of_its_own_vector() -> None:
    dense = matrix(spectrum(60))
    nodes, weights = quadrature(product_with(dense), torch.empty(60, dtype=torch.float64), 8, probe=3, seed=5)
    vector = rademacher(60, 5, "density", 3, torch.empty(0, dtype=torch.float64)) / math.sqrt(60)
    exact = [float(vector @ torch.linalg.matrix_power(dense, power) @ vector) for power in range(5)]
    assert moments(nodes[None], weights[None])[0] == pytest.approx(exact, rel=1e-10)


def test_a_density_integrates_to_one_and_is_that_of_the_smoothed_spectrum() -> None:
    eigenvalues = torch.tensor([-1.0, 0.5, 0.5, 2.0])
    dense = matrix(eigenvalues)
    each = [quadrature(product_with(dense), torch.empty(4).double(), 4, probe=k) for k in range(2000)]
    nodes, weights = np.full((2000, 4), np.nan), np.full((2000, 4), np.nan)
    for k, (x, w) in enumerate(each):
        nodes[k, : len(x)], weights[k, : len(x)] = x, w
    found = density(nodes, weights)
    step = np.diff(found.points).min()
    assert float(found.mean.sum() * step) == pytest.approx(1.0, abs=1e-6)
    exact = sum(np.exp(-((found.points - value) ** 2) / (2 * found.variance)) for value in eigenvalues.numpy()) / 4
    exact = exact / math.sqrt(2 * math.pi * found.variance)
    assert np.abs(found.mean - exact).max() < 4 * (found.spread / math.sqrt(2000)).max()


def estimate(dense: Tensor, method: str, probes: int, seed: int) -> Traces:
    """Trace and norm of a dense matrix, as the probe estimates them."""
    n = len(dense)
    operator, like = product_with(dense), torch.empty(n, dtype=torch.float64)
    deflation = None
    if method == "krylov":
        _, krylov = extremes(operator, rademacher(n, seed, "eigenvalues", 0, like), Search(4, 1, 1e-2))
        deflation = Deflation.krylov(krylov)
    elif method == "hutch++":
        deflation = Deflation.sketch(operator, like, probes, seed=seed)
    samples = np.array([trace_sample(operator, like, k, seed=seed, deflation=deflation) for k in range(probes)])
    known = (0.0, 0.0) if deflation is None else (deflation.trace, deflation.squares)
    return Traces.of(samples, known)


@pytest.mark.parametrize("method", ["krylov", "hutch++"])
def test_deflation_leaves_less_to_chance(method: str) -> None:
    dense = matrix(spectrum())
    plain, deflated = (estimate(dense, which, 20, 0) for which in ("hutchinson", method))
    assert deflated.trace.standard_error < 0.3 * plain.trace.standard_error
    assert deflated.frobenius.standard_error < 0.1 * plain.frobenius.standard_error


def test_a_deflated_space_that_is_everything_leaves_nothing_to_chance() -> None:
    dense = matrix(spectrum(12))
    _, krylov = extremes(product_with(dense), start(12), Search(10, 2, 1e-12))
    deflation = Deflation.krylov(krylov)
    assert krylov.exhausted
    assert deflation.trace == pytest.approx(float(dense.trace()), rel=1e-12)
    assert math.sqrt(deflation.squares) == pytest.approx(float(torch.linalg.matrix_norm(dense)), rel=1e-12)
