"""When a search for eigenvalues ends, what its bounds are, and the steps of Lanczos, one by one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from test_lanczos import matrix, product_with, spectrum, start
from torch import Tensor

from landscape.errors import InputError
from landscape.numerics.eigenvalues import Search, extremes
from landscape.numerics.lanczos import Krylov, Lanczos, checked_product, rademacher


def states_of(dense: Tensor, search: Search, **options: int) -> list[Krylov]:
    """The decompositions after every product of a search."""
    seen: list[Krylov] = []
    extremes(product_with(dense), start(len(dense)), search, observer=seen.append, **options)
    return seen


def pairs(state: Krylov, dense: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The Ritz values and the norms ‖H y − λ y‖ of their vectors, with the matrix itself."""
    values, vectors = np.linalg.eigh((state.projection + state.projection.T) / 2)
    y = state.basis.T @ torch.from_numpy(vectors)
    residuals = torch.linalg.vector_norm(dense @ y - y * torch.from_numpy(values), dim=0)
    return values, residuals.numpy()


def bounds(values: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """The residual, or residual² / gap where that is less."""
    found = []
    for i, (value, residual) in enumerate(zip(values, residuals, strict=True)):
        gaps = [abs(value - values[j]) - residuals[j] for j in range(len(values)) if j != i]
        gap = min(gaps, default=math.inf)
        found.append(min(residual, residual**2 / gap) if 0 < gap < math.inf else residual)
    return np.array(found)


@pytest.mark.parametrize(
    "search",
    [
        Search(3, 2, 1e-2),
        Search(3, 2, 1e-2, "value"),
        Search(1, 0, 1e-3),
        Search(0, 2, 1e-3, "value"),
        Search(7, 2, 1e-2),
    ],
)
def test_a_search_ends_once_it_was_met_at_a_few_products_in_turn(search: Search) -> None:
    dense = matrix(spectrum(60))
    states = states_of(dense, search, capacity=60)
    met = []
    for state in states:
        values, residuals = pairs(state, dense)
        looked_at = residuals if search.criterion == "residual" else bounds(values, residuals)
        wanted = [*range(len(values) - search.top, len(values)), *range(search.bottom)]
        small = len(values) > search.wanted and all(
            looked_at[i] <= 0.7 * search.tolerance * np.abs(values).max() for i in wanted
        )
        met.append(small)
    turns = 1 + search.wanted // 3
    in_turn = [len(met) >= turns and all(met[end - turns : end]) for end in range(turns, len(met) + 1)]
    assert in_turn[-1]
    assert not any(in_turn[:-1])


def test_what_is_found_has_the_bounds_of_its_residual_and_gap_and_says_which_converged() -> None:
    dense = matrix(spectrum(60))
    for criterion in ("residual", "value"):
        found, krylov = extremes(product_with(dense), start(60), Search(4, 3, 1e-4, criterion, max_products=16))
        values, residuals = pairs(krylov, dense)
        chosen = [15, 14, 13, 12, 0, 1, 2]
        np.testing.assert_allclose(found.values, values[chosen], rtol=1e-12)
        np.testing.assert_allclose(found.residuals, residuals[chosen], atol=1e-12)
        np.testing.assert_allclose(found.error_bounds, bounds(values, residuals)[chosen], atol=1e-12)
        looked_at = found.residuals if criterion == "residual" else found.error_bounds
        assert found.converged.tolist() == (looked_at <= 1e-4 * np.abs(values).max()).tolist()
        assert 0 < found.converged.sum() < 7
        assert found.ranks.tolist() == [1, 2, 3, 4, -1, -2, -3]
        assert torch.linalg.vector_norm(found.vectors, dim=1).tolist() == pytest.approx([1.0] * 7, rel=1e-14)
        assert found.products == krylov.products == 16


def test_a_single_eigenvalue_has_its_residual_for_a_bound_and_a_search_takes_its_least_number_of_products() -> None:
    dense = matrix(spectrum(30))
    found, krylov = extremes(product_with(dense), start(30), Search(1, 0, 1e-9, max_products=1))
    assert krylov.steps == 1
    assert found.error_bounds == found.residuals
    found, krylov = extremes(product_with(dense), start(30), Search(3, 2, 0.5, max_products=1))
    assert krylov.steps == found.products == 5
    found, krylov = extremes(product_with(dense), start(30), Search(20, 10, 1e-9))
    assert krylov.exhausted
    assert found.products == 30


def test_the_room_of_a_basis_follows_its_bytes_within_bounds() -> None:
    assert Search(4, 2).capacity(10**9, 8) == 2 * 6 + 12
    assert Search(4, 2).capacity(10**6, 4) == 2**27 // (4 * 10**6)
    assert Search(4, 2).capacity(10**4, 4) == 300
    assert Search(200, 2).capacity(10**4, 4) == 2 * 202 + 12
    assert Search(4, 2).capacity(10, 4) == 10
    with_four_beside = states_of(matrix(spectrum(60)), Search(4, 2, 1e-6), capacity=1)
    assert max(state.steps for state in with_four_beside) == 10


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Search(0, 0), r"^top, bottom: expected one eigenvalue at least, got top=0, bottom=0\.$"),
        (lambda: Search(3, -1), r"got top=3, bottom=-1\.$"),
        (lambda: Search(-1, 3), r"got top=-1, bottom=3\.$"),
        (lambda: Search(1, 0, 0.0), r"^tolerance: expected a number between 0 and 1, such as 1e-3, got 0\.0\.$"),
        (lambda: Search(1, 0, 1.0), r"^tolerance: .*got 1\.0\.$"),
        (lambda: Search(1, 0, criterion="residuals"), r"^criterion: .*Did you mean 'residual'\?"),
        (lambda: Search(1, 0, max_products=0), r"^max_products: expected at least 1, got 0\.$"),
        (
            lambda: Lanczos(lambda v: v, torch.zeros(3), capacity=3),
            r"^start: .*other than zero, got one of length 0\.0\.$",
        ),
        (lambda: Lanczos(lambda v: v, torch.tensor([math.inf]), capacity=1), r"^start: expected .* length inf\.$"),
        (
            lambda: checked_product(lambda v: v / v, torch.tensor([0.0, 1.0, 0.0])),
            r"^product: H v is NaN or infinite in 2 of its 3 entries, so there is no spectrum\.",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_arrived(made: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made()


def test_one_product_and_one_eigenvalue_of_either_end_may_be_asked_for() -> None:
    assert Search(1, 0, max_products=1).wanted == Search(0, 1).wanted == 1


def test_a_decomposition_remembers_what_it_was_up_to_the_last_restart() -> None:
    space = Lanczos(product_with(matrix(spectrum(40))), start(40), capacity=12)
    seen = [space.krylov]
    for _ in range(15):
        if space.full:
            space.restart(2, 1)
            restarted, seen = space.krylov, [space.krylov]
        space.step()
        seen.append(space.krylov)
    assert (restarted.steps, restarted.retained, restarted.products) == (7, 7, 12)
    assert (space.krylov.steps, space.krylov.retained, space.krylov.products) == (10, 7, 15)
    assert space.krylov.before(0) is space.krylov
    for back in (1, 2):
        then, was = space.krylov.before(back), seen[-1 - back]
        assert then is not None
        assert (then.products, then.retained, then.steps) == (was.products, was.retained, was.steps)
        np.testing.assert_allclose(then.projection, was.projection, atol=1e-12)
        np.testing.assert_allclose(then.coupling, was.coupling, atol=1e-10)
        assert torch.equal(then.basis, was.basis)
        assert torch.equal(then.following, was.following)
    assert space.krylov.before(3) is None
    assert space.krylov.before(99) is None


@pytest.mark.parametrize(("top", "bottom", "kept"), [(2, 1, 2 + 1 + 2 * 2), (3, 0, 3 + 2), (0, 3, 3 + 2)])
def test_a_restart_keeps_the_wanted_ends_and_a_quarter_of_the_room_beside_each(
    top: int, bottom: int, kept: int
) -> None:
    space = Lanczos(product_with(matrix(spectrum(40))), start(40), capacity=12)
    while not space.full:
        space.step()
    before = space.krylov
    space.restart(top, bottom)
    after = space.krylov
    assert after.steps == after.retained == len(after.coupling) == kept
    assert after.products == before.products
    assert torch.equal(after.following, before.following)
    lower = kept - top - 2 if top and bottom else (kept if bottom else 0)
    ends = np.r_[:lower, 12 - (kept - lower) : 12]
    np.testing.assert_allclose(after.ritz().values, before.ritz().values[ends], rtol=1e-10)
    np.testing.assert_allclose(after.ritz().residuals, before.ritz().residuals[ends], atol=1e-10)
    assert not space.full


def test_a_space_that_the_operator_maps_into_itself_is_left_by_a_vector_that_is_orthogonal_to_it() -> None:
    dense = torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0], dtype=torch.float64))
    first = torch.tensor([2.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    space = Lanczos(product_with(dense), first, capacity=9, seed=1)
    space.step()
    state = space.krylov
    assert state.basis.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert state.coupling.tolist() == [0.0]
    assert float(state.following[0]) == pytest.approx(0.0, abs=1e-15)
    assert float(state.following.norm()) == pytest.approx(1.0)
    other = Lanczos(product_with(dense), first, capacity=9, seed=2)
    other.step()
    assert not torch.equal(other.krylov.following, state.following)
    while not space.full:
        space.step()
    assert space.krylov.exhausted
    assert not space.krylov.following.any()
    assert space.krylov.coupling.tolist() == [0.0] * 4
    assert space.krylov.ritz().values == pytest.approx([1.0, 3.0, 3.0, 3.0])
    assert space.krylov.ritz().scale == pytest.approx(3.0)


def test_a_decomposition_keeps_the_precision_of_its_operator_through_restarts() -> None:
    dense = matrix(spectrum(40))
    found, krylov = extremes(product_with(dense.float()), start(40).float(), Search(3, 1, 1e-5), capacity=8)
    assert found.products > 8
    assert krylov.basis.dtype == krylov.following.dtype == found.vectors.dtype == torch.float32
    assert found.values[:3] == pytest.approx(np.linalg.eigvalsh(dense.numpy())[:-4:-1], rel=1e-5)


def test_what_is_drawn_to_leave_an_exhausted_space_follows_from_the_seed() -> None:
    first, again, other = (
        extremes(lambda v: 2 * v, torch.ones(6).double(), Search(3, 0), seed=seed)[0].vectors for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_residuals_count_what_rounding_made_unsymmetric() -> None:
    projection = np.array([[1.0, 0.3, 0.0], [0.1, 2.0, 0.0], [0.2, 0.0, 5.0]])
    found = Krylov(torch.eye(3).double(), projection, torch.zeros(3).double(), np.array([0.0, 0.0, 0.5]), 3).ritz()
    for value, vector, residual in zip(found.values, found.vectors.T, found.residuals, strict=True):
        inside = np.linalg.norm(projection @ vector - value * vector)
        assert residual == pytest.approx(math.hypot(inside, 0.5 * vector[2]))


def test_a_product_that_fails_leaves_the_decomposition_whole() -> None:
    dense = matrix(spectrum(20))
    space = Lanczos(product_with(dense), start(20), capacity=20)
    space.step()
    kept = space.krylov
    space._operator = lambda vector: vector * math.nan
    with pytest.raises(InputError, match="20 of its 20 entries"):
        space.step()
    assert space.krylov is kept


def test_signs_are_fair_independent_and_told_by_seed_purpose_and_index() -> None:
    like = torch.empty(0, dtype=torch.float16)
    signs = rademacher(4000, 0, "test", 0, like)
    assert signs.dtype == torch.float16
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert abs(float(signs.double().mean())) < 4 / math.sqrt(4000)
    others = [rademacher(4000, *key, like) for key in ((1, "test", 0), (0, "other", 0), (0, "test", 1))]
    for other in others:
        assert abs(float((signs * other).double().mean())) < 4 / math.sqrt(4000)
    assert torch.equal(signs, rademacher(4000, 0, "test", 0, like))
