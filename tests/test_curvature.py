"""The curvature probe against dense second derivatives of small networks, and against curvlinops."""

from __future__ import annotations

import itertools
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from curvature_samples import NETWORKS, OPERATORS, QUICK, dense_of, extremes_of, mlp, objective_of
from curvlinops import GGNLinearOperator, HessianLinearOperator
from networks import conv_net, images, same_state, state_of
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.errors import InputError, MismatchError
from landscape.objective.batch_norm import use_batch_statistics
from landscape.probes.curvature.config import CurvatureConfig
from landscape.probes.curvature.measure import curvature
from landscape.probes.progress import Progress
from landscape.results import load_result, save_result


def small() -> nn.Module:
    return conv_net(width=3)


@cache
def dense_of_small(operator: str) -> np.ndarray:
    net = small()
    return dense_of(objective_of(net), net, operator)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", NETWORKS)
def test_eigenpairs_are_those_of_the_dense_matrix(name: str, operator: str) -> None:
    net = NETWORKS[name]()
    objective = objective_of(net)
    dense = dense_of(objective, net, operator)
    # 0 is a repeated eigenvalue of the Gauss–Newton matrix, of which one vector's Krylov space holds one copy
    bottom = 1 if operator == "gauss-newton" else 3
    found = curvature(objective, CurvatureConfig(operator=operator, top=8, bottom=bottom, tolerance=1e-9, **QUICK))
    expected = extremes_of(dense, 8, bottom)
    values, vectors = found["eigenvalues"].values, found["eigenvectors"].values
    assert found.attrs["n_samples"] == 24 and found.attrs["bn_policy"].startswith(("frozen", "none"))
    assert values[:8] == pytest.approx(expected[:8], rel=1e-6)
    assert values[8:] == pytest.approx(expected[8:], rel=1e-6, abs=1e-9 * expected[0])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(8 + bottom))
    residuals = np.linalg.norm(vectors @ dense - values[:, None] * vectors, axis=1)
    assert residuals.max() <= 2e-9 * expected[0]


@pytest.mark.parametrize("operator", OPERATORS)
def test_under_the_policy_batch_the_matrix_goes_through_the_statistics(operator: str) -> None:
    net = small()
    objective = objective_of(net, batch_norm="batch")
    training = small()
    use_batch_statistics(training)
    found = curvature(objective, CurvatureConfig(operator=operator, top=5, bottom=1, tolerance=1e-9, **QUICK))
    expected = extremes_of(dense_of(objective, training, operator), 5, 1)
    assert found["eigenvalues"].values == pytest.approx(expected, rel=1e-6, abs=1e-9 * expected[0])
    assert found.attrs["bn_policy"] == "batch"


# Not the Hessian of the transformer: its products are 4 to 10 % off differences of gradients there (three random vectors, steps of
# 1e-4 to 1e-6), which ours and dense autograd meet to 1e-8.
@pytest.mark.parametrize(
    ("name", "operator"),
    [pair for pair in itertools.product(NETWORKS, OPERATORS) if pair != ("transformer", "hessian")],
)
def test_eigenvalues_are_those_of_curvlinops(name: str, operator: str) -> None:
    net = NETWORKS[name]()
    objective = objective_of(net)
    made = {"hessian": HessianLinearOperator, "gauss-newton": GGNLinearOperator}[operator]
    torch.backends.mha.set_fastpath_enabled(False)  # which has no derivative forward
    try:
        with sdpa_kernel(SDPBackend.MATH):
            other = made(net, nn.CrossEntropyLoss(), list(net.parameters()), [images()])
            dense = other @ torch.eye(other.shape[1], dtype=torch.float64)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    found = curvature(objective, CurvatureConfig(operator=operator, top=5, bottom=1, tolerance=1e-9, **QUICK))
    expected = extremes_of(dense.numpy(), 5, 1)
    assert found["eigenvalues"].values == pytest.approx(expected, rel=1e-6, abs=1e-9 * expected[0])


class HalfHidden(torch.autograd.Function):
    """x w, whose backward hides from autograd that the slope in x depends on w, where w ends in 2 and nowhere beside it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x, w = ctx.saved_tensors
        return gradient * (w.detach() if float(w[-1].detach()) == 2.0 else w), (gradient * x).sum(0)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(72, 4).double()
        self.scale = nn.Parameter(torch.linspace(0.5, 2.0, 4, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return HalfHidden.apply(self.first(x.flatten(1)), self.scale)


def test_a_second_derivative_that_is_no_true_one_at_the_checkpoint_alone_is_noticed_by_its_asymmetry() -> None:
    config = CurvatureConfig(top=2, bottom=1, **QUICK)
    assert "unsymmetric" not in curvature(objective_of(mlp()), config).attrs["notes"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Scaled()
    assert "the matrix is unsymmetric by" in curvature(objective_of(net), config).attrs["notes"]


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_loss_without_curvature_gives_zeros_and_says_so(operator: str) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 4)).double()
    objective = objective_of(net, loss=lambda z, t: (z - nn.functional.one_hot(t, 4)).abs())
    found = curvature(objective, CurvatureConfig(operator=operator, top=3, bottom=1, trace_probes=4, density_probes=2))
    assert not found["eigenvalues"].values.any()
    assert float(found["trace"]) == float(found["frobenius_norm"]) == 0.0
    assert "exactly zero: the loss is linear in these parameters" in found.attrs["notes"]


@pytest.mark.parametrize("operator", OPERATORS)
def test_layers_have_the_spectra_of_the_dense_diagonal_blocks(operator: str) -> None:
    objective = objective_of(small())
    dense, layout = dense_of_small(operator), objective.theta.layout
    config = CurvatureConfig(operator=operator, per_layer=True, top=4, bottom=1, tolerance=1e-9, trace_probes=20,
                             trace_method="hutchinson", density_probes=0)  # fmt: skip
    found = curvature(objective, config)
    layers = {"0": ("0.weight",), "1": ("1.weight", "1.bias"), "3": ("3.weight",), "4": ("4.weight", "4.bias"),
              "8": ("8.weight", "8.bias")}  # fmt: skip
    assert list(found["block"].values) == list(layers)
    for layer, names in layers.items():
        places = np.concatenate([np.arange(s.offset, s.offset + s.size) for s in layout.slots if s.name in names])
        block, own = dense[np.ix_(places, places)], found.sel(block=layer)
        expected = extremes_of(block, 4, 1)
        assert own["eigenvalues"].values == pytest.approx(expected, rel=1e-6, abs=1e-8 * expected[0])
        vectors = found["eigenvectors"].values[:, places]
        residuals = np.linalg.norm(vectors @ block - own["eigenvalues"].values[:, None] * vectors, axis=1)
        assert residuals.max() <= 1e-8 * expected[0]
        assert int(own["parameters"]) == len(places)
        assert abs(float(own["trace"]) - np.trace(block)) < 4 * float(own["trace_standard_error"])


def test_a_layer_smaller_than_the_wanted_eigenvalues_has_all_of_its_own() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 2), nn.Tanh(), nn.Linear(2, 4, bias=False)).double()
    objective = objective_of(net)
    found = curvature(objective, CurvatureConfig(per_layer=True, top=9, bottom=4, tolerance=1e-9, **QUICK))
    last = found.sel(block="3")["eigenvalues"].values
    dense = dense_of(objective, net, "hessian")
    assert last[:8] == pytest.approx(np.linalg.eigvalsh(dense[-8:, -8:])[::-1], rel=1e-6, abs=1e-12)
    assert np.isnan(last[8:]).all()


def test_a_part_of_the_parameters_has_the_spectrum_of_its_block() -> None:
    net = small()
    whole, part = objective_of(net), objective_of(net, parameters=["8.*", "*.bias"])
    dense = dense_of_small("hessian")
    names = ("1.bias", "4.bias", "8.weight", "8.bias")
    places = np.concatenate(
        [np.arange(s.offset, s.offset + s.size) for s in whole.theta.layout.slots if s.name in names]
    )
    found = curvature(part, CurvatureConfig(top=5, bottom=2, tolerance=1e-9, **QUICK))
    assert found.attrs["parameter_names"] == list(names)
    expected = extremes_of(dense[np.ix_(places, places)], 5, 2)
    assert found["eigenvalues"].values == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("method", ["krylov", "hutch++", "hutchinson"])
def test_trace_norm_and_moments_lie_within_their_errors_of_the_dense_ones(method: str) -> None:
    values = np.linalg.eigvalsh(dense_of_small("hessian"))
    config = CurvatureConfig(top=3, bottom=1, trace_method=method, trace_probes=40, density_probes=40, density_steps=3)
    found = curvature(objective_of(small()), config)
    for name, exact in (("trace", values.sum()), ("frobenius_norm", math.sqrt((values**2).sum()))):
        assert abs(float(found[name]) - exact) < 3.5 * float(found[f"{name}_standard_error"])
        assert float(found[f"{name}_low"]) < float(found[name]) < float(found[f"{name}_high"])
    exact = np.array([(values**power).mean() for power in range(5)])
    error = found["moments_standard_error"].values
    assert found["moments"].values[0] == pytest.approx(1.0, abs=1e-12)
    assert (np.abs(found["moments"].values - exact)[1:] < 3.5 * error[1:]).all()


class Stop(Exception):
    """An interruption."""


EVERYTHING = CurvatureConfig(top=3, bottom=1, tolerance=1e-2, trace_probes=5, density_probes=3, density_steps=5)


@pytest.mark.parametrize(
    ("method", "per_layer"), [("krylov", False), ("hutch++", False), ("hutchinson", False), ("krylov", True)]
)
def test_stopped_anywhere_it_goes_on_from_its_file_to_the_same_bits(
    tmp_path: Path, method: str, per_layer: bool
) -> None:
    config = CurvatureConfig(**{**vars(EVERYTHING), "trace_method": method, "per_layer": per_layer})
    told = 0

    def count(progress: Progress) -> None:
        nonlocal told
        told += 1

    objective = objective_of(small())
    whole = curvature(objective, config, observer=count)
    for stop in sorted({told // 2} if per_layer else {7, told // 2, told - 3}):
        heard: list[Progress] = []

        def halt(progress: Progress, stop: int = stop, heard: list[Progress] = heard) -> None:
            heard.append(progress)
            if len(heard) == stop:
                raise Stop

        with pytest.raises(Stop):
            curvature(objective, config, observer=halt)
        save_result(heard[-1].dataset(), tmp_path / "part.h5")
        heard.clear()
        resumed = curvature(objective, config, resume=load_result(tmp_path / "part.h5"), observer=heard.append)
        xr.testing.assert_identical(resumed, whole)
        assert len(heard) < told - stop + 12  # what was done is not done again, but for one density or sketch


def test_what_is_finished_is_there_while_the_rest_is_missing() -> None:
    heard: list[Progress] = []

    def halt(progress: Progress) -> None:
        heard.append(progress)
        if int(progress.dataset()["status"].sel(quantity="eigenvalues")) and progress.done % 7 == 0:
            raise Stop

    with pytest.raises(Stop):
        curvature(objective_of(conv_net()), EVERYTHING, observer=halt)
    part, whole = heard[-1].dataset(), curvature(objective_of(conv_net()), EVERYTHING)
    assert np.array_equal(part["eigenvalues"].values, whole["eigenvalues"].values)
    assert int(part["status"].sel(quantity="density")) == 0
    assert [progress.done for progress in heard] == sorted(progress.done for progress in heard)
    assert all(progress.done <= progress.total for progress in heard)


def test_products_that_turn_into_no_numbers_keep_what_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = objective_of(conv_net())
    product, made = objective.hessian_product, 0

    def failing(vector: Tensor, *, names: Any = None) -> Tensor:
        nonlocal made
        made += 1
        return product(vector, names=names) * (math.nan if made > 20 else 1.0)

    monkeypatch.setattr(objective, "hessian_product", failing)
    heard: list[Progress] = []
    with pytest.raises(InputError, match="H v is NaN or infinite"):
        curvature(objective, EVERYTHING, observer=heard.append)
    assert np.isfinite(heard[-1].dataset()["eigenvalues"].values).all()


def test_a_gradient_that_is_no_number_is_refused_before_any_product() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(2, dtype=torch.float64))
            self.inner = mlp()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) * self.scale.square().sum().sqrt()  # its slope at 0 is 0 · ∞

    with pytest.raises(
        InputError, match=r"checkpoint: the loss is .*, and the gradient is NaN or infinite in scale, so"
    ):
        curvature(objective_of(Root()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operator": "fisher"}, "operator: unknown value 'fisher'"),
        ({"trace_method": "hutch"}, "trace_method: unknown value 'hutch'"),
        ({"trace_probes": 1}, r"trace_probes: expected 0, or at least 2 for a standard error, got 1"),
        ({"top": -1}, "top: expected a whole number of at least 0, got -1"),
        ({"top": 0, "bottom": 0}, "top, bottom: expected one eigenvalue at least"),
        ({"density_steps": 0}, "density_steps: expected a whole number of at least 1"),
        ({"tolerance": 0.0}, "tolerance: expected a number between 0 and 1"),
        ({"criterion": "norm"}, "criterion: unknown value 'norm'"),
        ({"max_products": 0}, "max_products: expected a whole number of at least 1"),
    ],
)
def test_unusable_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CurvatureConfig(**options)


def test_more_eigenvalues_than_parameters_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected at most 389 eigenvalues in all, .*got top=388, bottom=2"):
        curvature(objective_of(mlp()), CurvatureConfig(top=388))


@pytest.mark.parametrize("policy", ["interpolated", "reestimated"])
def test_policies_without_a_hessian_of_their_own_are_refused(policy: str) -> None:
    with pytest.raises(InputError, match=f"batch_norm: '{policy}'.*Choose frozen.*or batch"):
        curvature(objective_of(conv_net(), batch_norm=policy))


def test_a_resume_of_other_blocks_is_refused() -> None:
    objective = objective_of(conv_net())
    earlier = curvature(objective, CurvatureConfig(top=2, bottom=0, **QUICK))
    for other in ({"top": 3}, {"top": 2, "per_layer": True}, {"top": 2, "trace_probes": 4}):
        with pytest.raises(MismatchError, match=f"resume: .*{list(other)[-1]} was .* and is"):
            curvature(objective, CurvatureConfig(**{**QUICK, "bottom": 0, **other}), resume=earlier)


def test_a_search_that_is_cut_short_says_how_many_have_not_converged() -> None:
    found = curvature(objective_of(conv_net()), CurvatureConfig(max_products=13, tolerance=1e-9, **QUICK))
    assert int(found["status"].sel(quantity="eigenvalues")) == 2
    assert "of 12 eigenvalues did not converge within 13 products" in found.attrs["notes"]


def test_probing_leaves_the_module_and_the_global_randomness_as_they_were() -> None:
    net = conv_net().train()
    before, random_state = state_of(net), torch.get_rng_state()
    curvature(objective_of(net, batch_norm="batch"), EVERYTHING)
    assert same_state(before, state_of(net))
    assert torch.equal(random_state, torch.get_rng_state())
