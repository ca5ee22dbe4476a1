"""A BatchNorm folded into the layer before it, against the module itself; and every reason not to fold."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from landscape.numerics.parameters import Layout
from landscape.objective.folding import Fold, Folding, NotFoldable, fold_module


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """A module in float64 whose BatchNorms have statistics, γ and β that are not the initial ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build().double()
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None:
                nn.init.normal_(layer.running_mean)
                nn.init.uniform_(layer.running_var, 0.5, 2.0)
                if layer.affine:
                    nn.init.uniform_(layer.weight, 0.5, 1.5)
                    nn.init.normal_(layer.bias)
    return module.eval()


def inputs(*shape: int) -> Tensor:
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def known(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters and running statistics."""
    return {n: p.detach() for n, p in module.named_parameters()}, dict(module.named_buffers())


PAIRS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], bool]] = {
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4)), (2, 7), True),
    "conv2d": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4, eps=0.3)), (2, 5, 5), False),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(2, 4, 2), nn.BatchNorm3d(4, affine=False)), (2, 3, 3, 3), True),
    "groups": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4)), (2, 5, 5), True),
    "linear": (lambda: nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4)), (3,), False),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_folded_pair_is_the_pair(name: str) -> None:
    build, shape, had_bias = PAIRS[name]
    module = seeded(build)
    traced, folds = fold_module(module)
    assert folds == (Fold("0", "1", module[1].eps, had_bias),)  # type: ignore[index]
    assert [n for n, _ in traced.named_children()] == ["0"]
    parameters, statistics = known(module)
    made = Folding(folds, Layout.of(traced.named_parameters()), {}).tensors(parameters, statistics)
    assert made.keys() == {"0.weight", "0.bias"}
    x = inputs(*shape)
    torch.testing.assert_close(functional_call(traced, made, x), module(x), rtol=1e-12, atol=1e-12)


def test_the_layer_keeps_its_type_and_device_where_it_gets_a_bias() -> None:
    traced, _ = fold_module(nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4)).to("meta", torch.bfloat16))
    bias = traced.get_parameter("0.bias")
    assert (bias.shape, bias.dtype, bias.device.type) == ((4,), torch.bfloat16, "meta")


def test_what_is_not_part_of_theta_is_taken_as_it_is() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)))
    traced, folds = fold_module(module)
    parameters, statistics = known(module)
    moving = {n: parameters.pop(n) for n in ("0.weight", "1.bias", "3.bias")}
    made = Folding(folds, Layout.of(traced.named_parameters()), parameters).tensors(moving, statistics)
    x = inputs(3)
    torch.testing.assert_close(functional_call(traced, made, x), module(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("moved", [("0.weight",), ("0.bias",), ("1.bias",), ("3.weight",), ("0.weight", "0.bias")])
@pytest.mark.parametrize("bias", [True, False])
def test_a_change_that_leaves_every_gamma_is_the_difference_of_the_folds(moved: tuple[str, ...], bias: bool) -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(3, 4, bias), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)))
    traced, folds = fold_module(module)
    parameters, statistics = known(module)
    folding = Folding(folds, Layout.of(traced.named_parameters()), {})
    draws = torch.Generator().manual_seed(2)
    change = {n: torch.randn(parameters[n].shape, generator=draws).double() for n in moved if n in parameters}
    there = folding.tensors({n: p + change.get(n, 0) for n, p in parameters.items()}, statistics)
    here = folding.tensors(parameters, statistics)
    found = folding.change(parameters, statistics, change)
    assert found is not None
    assert found.keys() == here.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, there[name] - here[name], rtol=1e-12, atol=1e-12)


def test_a_change_of_gamma_is_not_linear_and_one_by_zero_is_none() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    traced, folds = fold_module(module)
    parameters, statistics = known(module)
    folding = Folding(folds, Layout.of(traced.named_parameters()), {})
    gamma = torch.zeros(4, dtype=torch.float64)
    still = folding.change(parameters, statistics, {"1.weight": gamma})
    assert still is not None
    assert not any(bool(tensor.any()) for tensor in still.values())
    gamma[1] = 1e-9
    assert folding.change(parameters, statistics, {"1.weight": gamma}) is None


class Own(nn.Conv1d):
    """A convolution that does more than its base."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).abs()


class Wired(nn.Module):
    """Three layers and a forward of one's own, all of four channels."""

    def __init__(self, forward: Callable[[Wired, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv1d(4, 4, 1), nn.BatchNorm1d(4), nn.ReLU()
        self.other = nn.Conv1d(4, 4, 1)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def hooked(which: str) -> nn.Module:
    net = Wired(lambda m, x: m.norm(m.conv(x)))
    net.get_submodule(which).register_forward_hook(lambda module, given, made: made + 1)
    return net


def tied() -> nn.Module:
    net = Wired(lambda m, x: m.other(m.norm(m.conv(x))))
    net.other.weight = net.conv.weight
    return net


UNFOLDED: dict[str, Callable[[], nn.Module]] = {
    "a subclass": lambda: nn.Sequential(Own(4, 4, 1), nn.BatchNorm1d(4)),
    "a transposed convolution": lambda: nn.Sequential(nn.ConvTranspose1d(4, 4, 1), nn.BatchNorm1d(4)),
    "no statistics": lambda: nn.Sequential(nn.Conv1d(4, 4, 1), nn.BatchNorm1d(4, track_running_stats=False)),
    "an activation between": lambda: nn.Sequential(nn.Conv1d(4, 4, 1), nn.ReLU(), nn.BatchNorm1d(4)),
    "features that are no channels": lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm2d(4)),
    "no layer before": lambda: nn.Sequential(nn.BatchNorm1d(4), nn.Conv1d(4, 4, 1)),
    "a function before": lambda: Wired(lambda m, x: m.norm(torch.abs(m.conv(x)))),
    "an output read twice": lambda: Wired(lambda m, x: m.norm(y := m.conv(x)) + y),
    "a layer called twice": lambda: Wired(lambda m, x: m.norm(m.conv(m.conv(x)))),
    "a BatchNorm called twice": lambda: Wired(lambda m, x: m.norm(m.norm(m.conv(x)))),
    "an input by name": lambda: Wired(lambda m, x: m.norm(input=m.conv(x))),
    "a shared weight": tied,
    "a hook on the layer": lambda: hooked("conv"),
    "a hook on the BatchNorm": lambda: hooked("norm"),
}


@pytest.mark.parametrize("why", UNFOLDED)
def test_what_may_not_be_folded_is_not(why: str) -> None:
    with pytest.raises(NotFoldable, match=r"^no BatchNorm directly follows a convolution or linear layer$"):
        fold_module(seeded(UNFOLDED[why]))


def test_a_module_that_cannot_be_traced_is_named_with_the_reason() -> None:
    with pytest.raises(NotFoldable, match=r"^torch\.fx cannot trace Wired: .*control flow"):
        fold_module(Wired(lambda m, x: m.conv(x) if x.sum() > 0 else x))


def test_a_pair_is_folded_beside_one_that_is_not() -> None:
    def forward(m: Wired, x: Tensor) -> Tensor:
        return m.norm(m.conv(x)) + m.other(x).relu()

    module = seeded(lambda: nn.Sequential(nn.BatchNorm1d(4), Wired(forward)))
    traced, folds = fold_module(module)
    assert [fold.norm for fold in folds] == ["1.norm"]
    parameters, statistics = known(module)
    made = Folding(folds, Layout.of(traced.named_parameters()), {}).tensors(parameters, statistics)
    x = inputs(4, 2)
    torch.testing.assert_close(functional_call(traced, made, x), module(x), rtol=1e-12, atol=1e-12)


IN_PLACE: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "after the pair": (lambda: Wired(lambda m, x: m.act(m.norm(m.conv(x)))), True),
    "after a plain layer": (lambda: Wired(lambda m, x: m.act(m.other(m.norm(m.conv(x))))), True),
    "after something else": (lambda: Wired(lambda m, x: m.act(m.norm(m.conv(x)).abs())), False),
    "beside another reader": (lambda: Wired(lambda m, x: m.act(y := m.norm(m.conv(x))) + y), False),
    "called twice": (lambda: Wired(lambda m, x: m.act(m.other(m.act(m.norm(m.conv(x)))))), False),
}


@pytest.mark.parametrize("where", IN_PLACE)
def test_an_activation_works_in_place_where_nothing_else_reads_its_input(where: str) -> None:
    build, expected = IN_PLACE[where]
    module = seeded(build)
    traced, folds = fold_module(module)
    assert traced.get_submodule("act").inplace is expected
    assert module.get_submodule("act").inplace is False
    parameters, statistics = known(module)
    made = Folding(folds, Layout.of(traced.named_parameters()), {}).tensors(parameters, statistics)
    x = inputs(4, 2)
    torch.testing.assert_close(functional_call(traced, made, x.clone()), module(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("which", ["act", "other"])
def test_an_activation_with_a_hook_at_it_or_before_it_works_out_of_place(which: str) -> None:
    net = Wired(lambda m, x: m.act(m.other(m.norm(m.conv(x)))))
    net.get_submodule(which).register_forward_hook(lambda module, given, made: None)
    traced, _ = fold_module(net)
    assert traced.get_submodule("act").inplace is False
