"""An objective's Hessian and Gauss–Newton matrix as operators: dense ones, products, and solvers of other libraries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg as scipy_linalg
import torch
from curvature_samples import OPERATORS, QUICK, dense_of, mlp, objective_of
from curvlinops import CGInverseLinearOperator
from curvlinops._torch_base import PyTorchLinearOperator
from networks import conv_net
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.directions import random_direction
from landscape.numerics.parameters import ParameterVector
from landscape.objective.objective import Objective
from landscape.objective.operators import SymmetricOperator
from landscape.probes.curvature.config import CurvatureConfig
from landscape.probes.curvature.measure import curvature
from landscape.probes.plane.spans import random_span
from landscape.results import load_checkpoint


def operator_of(objective: Objective, name: str, theta: Any = None) -> SymmetricOperator:
    return objective.hessian(theta) if name == "hessian" else objective.gauss_newton(theta)


def product_of(objective: Objective, name: str) -> Callable[..., Tensor]:
    return objective.hessian_product if name == "hessian" else objective.gauss_newton_product


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("make", [mlp, conv_net])
@pytest.mark.parametrize("name", OPERATORS)
def test_the_operator_is_the_dense_matrix(make: Callable[[], nn.Module], name: str) -> None:
    net = make()
    objective = objective_of(net)
    size = objective.theta.layout.size
    operator = operator_of(objective, name)
    vectors = drawn(size, 3).numpy()
    dense = dense_of(objective, net, name)
    assert operator.shape == dense.shape
    assert operator.dtype == dense.dtype
    assert operator @ vectors == pytest.approx(dense @ vectors, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
@pytest.mark.parametrize("name", OPERATORS)
def test_whatever_holds_the_vector_the_product_has_the_same_bits(name: str, precision: str) -> None:
    objective = objective_of(mlp(), precision=precision)
    operator, size = operator_of(objective, name), objective.theta.layout.size
    wide = drawn(size)
    expected = product_of(objective, name)(wide)
    assert expected.dtype == objective.theta.vector.dtype
    assert torch.equal(operator @ wide, expected)
    assert torch.equal(wide @ operator, expected)
    for array in (wide.numpy(), wide.numpy()[::-1][::-1], wide.numpy().astype(operator.dtype)):
        for found in (operator @ array, array @ operator, operator.matvec(array), operator.T.rmatvec(array)):
            assert isinstance(found, np.ndarray)
            assert found.dtype == operator.dtype
            assert np.array_equal(found, expected.numpy())
    named = operator @ ParameterVector(wide, objective.theta.layout)
    assert isinstance(named, ParameterVector)
    assert torch.equal(named.vector, expected)


@pytest.mark.parametrize("columns", [0, 1, 3])
def test_a_matrix_is_taken_column_by_column(columns: int) -> None:
    objective = objective_of(mlp())
    operator, wide = objective.hessian(), drawn(objective.theta.layout.size, columns)
    singly = [objective.hessian_product(v.contiguous()) for v in wide.T]
    expected = torch.stack(singly, 1) if singly else wide
    assert torch.equal(operator @ wide, expected)
    assert torch.equal(wide.T @ operator, expected.T)
    assert np.array_equal(operator @ wide.numpy(), expected.numpy())
    assert np.array_equal(operator.to_scipy() @ wide.numpy(), expected.numpy()) or not columns


def test_integers_are_numbers_too() -> None:
    objective = objective_of(mlp())
    ones = torch.ones(objective.theta.layout.size, dtype=torch.int64)
    expected = objective.hessian_product(ones.double())
    assert torch.equal(objective.hessian() @ ones, expected)
    assert np.array_equal(objective.hessian() @ ones.numpy(), expected.numpy())


def test_the_vector_is_left_as_it_is() -> None:
    objective = objective_of(mlp())
    vector = drawn(objective.theta.layout.size).numpy()
    vector.flags.writeable = False
    before = vector.copy()
    objective.hessian().matvec(vector)
    assert np.array_equal(vector, before)


def test_the_operator_stays_at_the_point_it_was_made_at() -> None:
    objective = objective_of(mlp())
    theta = objective.theta.vector * 1.5
    operator, vector = objective.hessian(theta), drawn(theta.numel())
    expected = objective.hessian_product(vector, theta.clone())
    theta.zero_()
    objective.evaluate(theta)
    assert torch.equal(operator @ vector, expected)
    assert not torch.equal(objective.hessian() @ vector, expected)


def test_of_some_parameters_it_is_the_diagonal_block() -> None:
    objective = objective_of(conv_net())
    layout = objective.theta.layout
    names = [name for name in layout.names if name.startswith(("0.", "1."))]
    places = torch.cat([torch.arange(s.offset, s.offset + s.size) for s in layout.slots if s.name in names])
    operator, vector = objective.hessian(names=names), drawn(len(places))
    assert operator.shape == (len(places), len(places))
    padded = torch.zeros(layout.size, dtype=torch.float64).index_put((places,), vector)
    found = operator @ ParameterVector(vector, layout.part(names))
    assert found.layout.names == tuple(names)
    assert found.vector.numpy() == pytest.approx((objective.hessian() @ padded)[places].numpy(), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("name", OPERATORS)
def test_scipys_eigenvalues_are_those_of_the_curvature_probe(name: str) -> None:
    objective = objective_of(mlp())
    operator = operator_of(objective, name)
    config = CurvatureConfig(operator=name, top=3, bottom=1, tolerance=1e-9, **QUICK)
    expected = curvature(objective, config)["eigenvalues"].values
    top = scipy_linalg.eigsh(operator, k=3, which="LA", return_eigenvectors=False, tol=1e-10)
    assert np.sort(top)[::-1] == pytest.approx(expected[:3], rel=1e-8)
    if name == "hessian":  # the Gauss–Newton matrix has many zeros
        lowest = scipy_linalg.eigsh(operator, k=1, which="SA", return_eigenvectors=False, tol=1e-10)
        assert lowest == pytest.approx(expected[3:], rel=1e-6)


def test_solvers_in_single_precision_get_as_far_as_its_rounding() -> None:
    exact, single = (objective_of(mlp(), precision=precision).hessian() for precision in ("fp64", "fp32"))
    expected, found = (
        scipy_linalg.eigsh(operator, k=1, which="LA", return_eigenvectors=False) for operator in (exact, single)
    )
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("solve", [scipy_linalg.cg, scipy_linalg.minres, scipy_linalg.gmres])
def test_linear_systems_are_solved_as_the_dense_matrix_does(solve: Callable[..., Any]) -> None:
    net = mlp()
    objective = objective_of(net)
    size, damping = objective.theta.layout.size, 0.1
    right = drawn(size).numpy()
    damped = objective.gauss_newton().to_scipy() + damping * scipy_linalg.aslinearoperator(np.eye(size))
    found, status = solve(damped, right, rtol=1e-10)
    dense = dense_of(objective, net, "gauss-newton") + damping * np.eye(size)
    assert status == 0
    assert found == pytest.approx(np.linalg.solve(dense, right), rel=1e-6, abs=1e-8)


class InCurvlinops(PyTorchLinearOperator):
    """Ours plus δ times the identity, as another library's base class wants it: columns in, columns out."""

    def __init__(self, operator: SymmetricOperator, damping: float) -> None:
        super().__init__([operator.shape[:1]], [operator.shape[:1]])
        self._operator, self._damping = operator, damping
        self.SELF_ADJOINT = True

    dtype, device = torch.float64, torch.device("cpu")

    def _matmat(self, columns: list[Tensor]) -> list[Tensor]:
        return [self._operator @ column + self._damping * column for column in columns]


def test_curvlinops_inverts_it() -> None:
    net = mlp()
    objective = objective_of(net)
    dense = torch.from_numpy(dense_of(objective, net, "gauss-newton"))
    right = drawn(len(dense))
    inverse = CGInverseLinearOperator(InCurvlinops(objective.gauss_newton(), 0.1), eps=0, tolerance=1e-10)
    expected = torch.linalg.solve(dense + 0.1 * torch.eye(len(dense)), right)
    assert (inverse @ right).numpy() == pytest.approx(expected.numpy(), rel=1e-5, abs=1e-7)


SIZE = 389


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (torch.ones(3), r"torch.float32 of shape \(3,\)"),
        (np.ones((2, SIZE)), r"float64 of shape \(2, 389\)"),
        (np.ones((SIZE, 1, 1)), r"float64 of shape \(389, 1, 1\)"),
        (np.ones(SIZE, dtype=complex), "complex128"),
        (torch.ones(SIZE, dtype=torch.complex64), "torch.complex64"),
        (torch.ones(SIZE, dtype=torch.bool), "torch.bool"),
        (np.array(["a"] * SIZE), "<U1"),
        ([1.0] * SIZE, "list"),
        (2.0, "2.0"),
        (None, "NoneType"),
        (objective_of(conv_net()).theta, "one of 419 parameters in another layout"),
    ],
)
def test_what_is_no_vector_of_its_size_is_refused_in_a_sentence(wrong: Any, said: str) -> None:
    operator = objective_of(mlp()).hessian()
    with pytest.raises(InputError, match=rf"v: expected a real vector of shape \({SIZE},\).* got {said}"):
        operator @ wrong


def test_a_point_of_another_shape_is_refused_when_the_operator_is_made() -> None:
    objective = objective_of(mlp())
    for wrong, said in ((torch.ones(3), r"\(3,\)"), (np.ones(SIZE), "ndarray")):
        with pytest.raises(InputError, match=rf"theta: expected a tensor of shape \({SIZE},\), got {said}"):
            objective.hessian(wrong)  # type: ignore[arg-type]


def test_a_point_in_another_precision_is_rounded_to_the_objectives() -> None:
    objective = objective_of(mlp(), precision="fp32")
    wide = objective.theta.vector.double() + 1e-3
    expected = objective.hessian_product(torch.ones(SIZE), wide.float())
    assert torch.equal(objective.hessian(wide) @ torch.ones(SIZE), expected)


def test_what_is_printed_says_what_it_is() -> None:
    objective = objective_of(conv_net(), precision="fp32")
    about = "cross_entropy over 24 samples, BatchNorm frozen, fp32 on cpu"
    assert repr(objective.hessian()) == f"<Hessian (419 × 419) at the checkpoint: {about}>"
    given = objective.gauss_newton(objective.theta, names=["0.weight"])
    assert repr(given) == f"<Gauss–Newton matrix (90 × 90) at a given θ: {about}>"
    assert repr(objective).startswith(f"<Objective of Sequential, 419 parameters moved: {about}; engine folded")
    assert "24 samples, no BatchNorm, fp64" in repr(objective_of(mlp()))


def test_printed_vectors_are_described_not_listed() -> None:
    theta = objective_of(mlp()).theta
    told = rf"389 entries in 4 tensors, float64 on cpu, norm {theta.norm:.4g}"
    assert repr(theta) == f"ParameterVector({told})"
    shown = repr(random_direction(theta, seed=3))
    assert shown.startswith("Direction(kind='random', seed=3, axis=0, normalization='filter'; 389 entries in 4 tensors")
    assert len(shown) < 200


def test_printed_spans_and_checkpoints_hold_no_tensor(tmp_path: Path) -> None:
    assert repr(random_span(objective_of(mlp()), [0, 1], 1)) == (
        "Span(kind='random', normalization='filter', seeds=(0, 1), axis_labels=('random direction 1 (filter norms)',))"
    )
    torch.save(mlp().state_dict(), tmp_path / "net.pt")
    shown = repr(load_checkpoint(tmp_path / "net.pt"))
    assert "net.pt" in shown
    assert "tensor(" not in shown
