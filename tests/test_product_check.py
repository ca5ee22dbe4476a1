"""Wrong second derivatives are replaced by right ones or refused by name, at little cost; right ones are never refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from curvature_samples import OPERATORS, mlp, objective_of
from networks import conv_net, images, tiny_transformer
from operation_kinds import drawn
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from landscape.errors import InputError
from landscape.objective.derivatives import FORWARD, REVERSE
from landscape.objective.objective import Objective
from landscape.probes.curvature.config import CurvatureConfig
from landscape.probes.curvature.measure import curvature


def product(objective: Objective, matrix: str = "hessian", seed: int = 0, **named: Any) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    size = objective.theta.layout.part(named["names"]).size if named else objective.theta.layout.size
    vector = torch.randn(size, generator=draws, dtype=torch.float64)
    return getattr(objective, f"{matrix.replace('-', '_')}_product")(vector, **named)


def build(*layers: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with drawn(seed):
        return nn.Sequential(*(layer() for layer in layers))


class WrongTwice(torch.autograd.Function):
    """x³, whose backward hides that its slope depends on x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 3 * ctx.saved_tensors[0].detach() ** 2 * gradient


class WrongOnce(torch.autograd.Function):
    """x², with the backward of x³."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


class WrongForward(torch.autograd.Function):
    """x³ with a right backward, also twice, and a jvp that is half as large as it should be."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 3 * ctx.saved_tensors[0] ** 2 * gradient

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:  # type: ignore[override]
        return 1.5 * ctx.saved_tensors[0] ** 2 * tangent


class Applied(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def with_activation(function: Any) -> nn.Module:
    return build(nn.Flatten, lambda: nn.Linear(72, 5), lambda: Applied(function), lambda: nn.Linear(5, 4))


@pytest.mark.parametrize("matrix", OPERATORS)
def test_a_wrong_forward_derivative_is_replaced_by_reverse_passes(matrix: str) -> None:
    objective = objective_of(with_activation(WrongForward.apply))
    found = product(objective, matrix)
    assert objective._derivatives.mode == REVERSE
    torch.testing.assert_close(found, product(objective_of(with_activation(lambda x: x**3)), matrix))


def test_what_has_a_right_forward_derivative_keeps_it() -> None:
    objective = objective_of(with_activation(torch.tanh))
    product(objective)
    assert objective._derivatives.mode == FORWARD


@pytest.mark.parametrize("function", [WrongTwice.apply, WrongOnce.apply])
def test_where_no_way_is_right_the_innermost_layer_is_named(function: Any) -> None:
    net = build(lambda: with_activation(torch.tanh)[:3], lambda: nn.Sequential(nn.Linear(5, 5), Applied(function)))
    with pytest.raises(InputError, match=r"^module 1\.1 \(Applied\): its (second derivatives|gradient)"):
        curvature(objective_of(net), CurvatureConfig(top=1, density_probes=0))


def test_a_loss_whose_second_derivative_is_wrong_is_named() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return WrongTwice.apply(outputs).sum(1)

    with pytest.raises(InputError, match=r"^loss: its second derivatives"):
        product(objective_of(mlp(), loss=loss))


@pytest.mark.parametrize("matrix", OPERATORS)
def test_a_block_without_the_wrong_layer_has_its_products(matrix: str) -> None:
    net = with_activation(WrongTwice.apply)
    objective = objective_of(net)
    last = [name for name in objective.theta.layout.names if name.startswith("3.")]
    with pytest.raises(InputError):
        product(objective)
    head = objective_of(copy.deepcopy(net), parameters=["3.*"])
    torch.testing.assert_close(product(objective, names=last), product(head))


def test_a_refusal_is_repeated_without_another_look(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = objective_of(with_activation(WrongTwice.apply))
    with pytest.raises(InputError) as first:
        product(objective)
    passes = counted(objective, monkeypatch)
    with pytest.raises(InputError) as second:
        product(objective)
    assert str(first.value) == str(second.value) and not passes


def counted(objective: Objective, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The samples of every pass through the module from now on."""
    passes: list[int] = []
    for module in {id(m): m for m in (objective._flat.module, objective._engine.flat.module)}.values():
        module.register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    return passes


@pytest.mark.parametrize("matrix", OPERATORS)
def test_the_check_takes_less_than_one_product_and_is_made_once(matrix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = Objective(conv_net(dtype=torch.float32), data=images(96, dtype=torch.float32), device="cpu")
    passes = counted(objective, monkeypatch)
    product(objective, matrix)
    first = sum(passes)
    passes.clear()
    product(objective, matrix, seed=1)
    assert sum(passes) == 96 and 96 < first < 2 * 96


def test_a_frozen_network_s_products_are_bit_for_bit_what_they_were_without_a_check() -> None:
    objective = Objective(conv_net(), data=images(), device="cpu")
    vector = torch.randn(objective.theta.layout.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    state = torch.get_rng_state()
    checked = objective.hessian_product(vector)
    assert torch.equal(checked, objective.hessian_product(vector))
    assert torch.equal(state, torch.get_rng_state())


def filtered(seed: int) -> nn.Module:
    """A convolution with BatchNorm to fold, and one that is filtered in single precision."""
    return build(
        lambda: nn.Conv2d(2, 16, 3, padding=1),
        lambda: nn.BatchNorm2d(16),
        nn.ReLU,
        lambda: nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU,
        nn.Flatten,
        lambda: nn.Linear(16 * 64, 4),
        seed=seed,
    )


def dense(*layers: Callable[[], nn.Module], seed: int) -> nn.Module:
    return build(nn.Flatten, lambda: nn.Linear(72, 12), *layers, seed=seed)


CHECKPOINTS: dict[str, Callable[[int], nn.Module]] = {
    "fresh": lambda seed: conv_net(seed=seed),
    "no norm": lambda seed: conv_net(seed=seed, norm=False),
    "zero head": lambda seed: zeroed(conv_net(seed=seed), "8"),
    "dead": lambda seed: scaled(conv_net(seed=seed, norm=False), 1e-8),
    "all zero": lambda seed: scaled(conv_net(seed=seed, norm=False), 0.0),
    "saturated": lambda seed: scaled(conv_net(seed=seed), 30.0),
    "exploding": lambda seed: scaled(conv_net(seed=seed, norm=False), 1e4),
    "linear": lambda seed: dense(seed=seed),
    "relu": lambda seed: dense(nn.ReLU, lambda: nn.Linear(12, 4), seed=seed),
    "pool": lambda seed: build(lambda: nn.Conv2d(2, 9, 3), nn.ReLU, lambda: nn.MaxPool2d(4), nn.Flatten, seed=seed),
    "filtered": filtered,
    "transformer": lambda seed: tiny_transformer(),
    "softmax": lambda seed: scaled(dense(lambda: nn.Softmax(1), seed=seed), 10.0),
}


def zeroed(net: nn.Module, layer: str) -> nn.Module:
    for parameter in net.get_submodule(layer).parameters():
        nn.init.zeros_(parameter)
    return net


def scaled(net: nn.Module, factor: float) -> nn.Module:
    for parameter in net.parameters():
        parameter.data.mul_(factor)
    return net


def linear_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.gather(1, targets[:, None])[:, 0]


@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_pytorch_has_right_is_never_refused_nor_taken_another_way(name: str, dtype: torch.dtype) -> None:
    size = 8 if name == "filtered" else 6
    for seed, loss in enumerate(["cross_entropy", linear_loss, "cross_entropy"]):
        net = CHECKPOINTS[name](seed).to(dtype)
        objective = Objective(net, loss, images(8, dtype=dtype, size=size), device="cpu")
        product(objective)
        assert objective._derivatives.mode == FORWARD
        product(objective, "gauss-newton")
        assert objective._derivatives.mode == FORWARD


@pytest.mark.parametrize("policy", ["frozen", "interpolated", "reestimated", "batch"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_policy_and_precision_is_checked_without_refusal(policy: str, precision: str) -> None:
    net, data = conv_net(dtype=torch.float32), images(dtype=torch.float32)
    objective = Objective(net, data=data, device="cpu", batch_norm=policy, precision=precision)
    for one in (objective, objective.part(torch.arange(6)), objective.reference()):
        assert bool(product(one).isfinite().all())


def test_values_that_are_not_finite_are_the_product_s_to_say() -> None:
    objective = objective_of(scaled(mlp(), float("nan")))
    assert bool(product(objective).isnan().all())


class Narrow(nn.Module):
    """Casts its input to single precision by name; runs in no other."""

    def __init__(self, solve: bool) -> None:
        super().__init__()
        self.weight, self.solve = nn.Parameter(torch.eye(4) + 0.3 * torch.randn(4, 4)), solve
        self.register_buffer("scale", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(x.float().flatten(1)[:, :4] @ self.weight)
        return torch.linalg.solve(self.weight.float(), y.T).T if self.solve else y * self.scale.type(torch.float32)


@pytest.mark.parametrize("weighted", [False, True])
def test_code_that_names_single_precision_is_checked_in_double_all_the_same(weighted: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Narrow(solve=True)
    weight = torch.tensor([1.0, 2.0, 0.5, 1.0])

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        kept = weight if weighted else None
        return nn.functional.cross_entropy(outputs, targets, weight=kept, reduction="none")

    objective = Objective(net, loss, images(dtype=torch.float32), device="cpu")
    product(objective)
    assert objective._derivatives.mode == REVERSE


class SineOfNumpy(torch.autograd.Function):
    """sin x by another library, in single precision, where nothing can be told from short steps."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.from_numpy(np.sin(x.detach().numpy().astype(np.float32))).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return ctx.saved_tensors[0].cos() * gradient


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_rounded_to_single_precision_on_its_way_is_not_refused(dtype: torch.dtype) -> None:
    net = with_activation(SineOfNumpy.apply).to(dtype)
    objective = Objective(net, data=images(dtype=dtype), device="cpu")
    expected = Objective(with_activation(torch.sin).to(dtype), data=images(dtype=dtype), device="cpu")
    torch.testing.assert_close(product(objective), product(expected), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_has_the_curvature_of_its_formula(dim: int | None) -> None:
    class ByHand(nn.Module):
        def __init__(self, of: nn.Module) -> None:
            super().__init__()
            weights = of.parametrizations.weight
            self.bias, self.g, self.v = of.bias, weights.original0, weights.original1

        def forward(self, x: Tensor) -> Tensor:
            kept = () if dim is None else (1 - dim,)
            norm = torch.linalg.vector_norm(self.v, dim=kept or None, keepdim=bool(kept))
            return nn.functional.linear(x.flatten(1), self.v * (self.g / norm), self.bias)

    with drawn():
        layer = parametrizations.weight_norm(nn.Linear(72, 4), dim=dim)
    found = product(objective_of(nn.Sequential(nn.Flatten(), layer)))
    torch.testing.assert_close(found, product(objective_of(ByHand(layer))))


def test_layers_that_draw_draw_the_same_on_both_sides_of_a_difference() -> None:
    net = build(
        nn.Flatten,
        lambda: nn.Linear(72, 6),
        lambda: Applied(lambda x: nn.functional.dropout(x, 0.5)),
        nn.Tanh,
        lambda: nn.Linear(6, 4),
    )
    for dtype in (torch.float32, torch.float64):
        objective = Objective(copy.deepcopy(net).to(dtype), data=images(dtype=dtype), device="cpu")
        product(objective)
        assert objective._derivatives.mode == FORWARD


def test_a_layer_that_is_run_again_in_the_backward_pass_has_the_products_of_one_that_is_not() -> None:
    class Checkpointed(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            return torch.utils.checkpoint.checkpoint(self.inner, x, use_reentrant=False)  # type: ignore[no-any-return]

    expected = product(objective_of(mlp()))
    torch.testing.assert_close(product(objective_of(Checkpointed(mlp()))), expected)
    torch.testing.assert_close(
        product(objective_of(Checkpointed(mlp())), "gauss-newton"), product(objective_of(mlp()), "gauss-newton")
    )


def test_the_straight_through_trick_is_named_as_no_gradient() -> None:
    net = with_activation(lambda x: x + (x.round() - x).detach())
    with pytest.raises(InputError, match=r"2 \(Applied\): its gradient is not that of its value.*straight-through"):
        product(objective_of(net))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_wrong_ways_are_replaced_and_right_ones_kept() -> None:
    data = images(dtype=torch.float32)
    for net, mode in ((conv_net(dtype=torch.float32), FORWARD), (Narrow(solve=True), REVERSE)):
        objective = Objective(net, data=data, device="cuda")
        product(objective)
        assert objective._derivatives.mode == mode
