"""Modules, losses and surroundings that a fast engine could get wrong: each gives the module's own values, or is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from networks import conv_net, images
from torch import Tensor, nn

from landscape import fit
from landscape.data import DataSet
from landscape.data.tensors import TensorData
from landscape.errors import InputError
from landscape.numerics.seeds import generator
from landscape.objective.objective import Objective
from landscape.probes.plane.measure import plane
from landscape.training import TrainingConfig


def photos(n: int = 40) -> tuple[Tensor, Tensor]:
    draws = generator(0, "photos")
    return torch.randn(n, 3, 8, 8, generator=draws), torch.randint(4, (n,), generator=draws)


def own_loss(module: nn.Module, data: tuple[Tensor, Tensor]) -> float:
    """What the module itself says, of copies."""
    with torch.no_grad():
        return float(nn.functional.cross_entropy(copy.deepcopy(module).eval()(data[0].clone()), data[1]))


class Net(nn.Module):
    """Two convolutions with BatchNorm and ReLU, the second one wide enough to be filtered."""

    def __init__(self, *, trained: bool = True) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv1, self.norm1, self.act1 = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()
            self.conv2, self.norm2, self.act2 = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()
            self.head = nn.Linear(16, 4)
            for norm in (self.norm1, self.norm2) if trained else ():
                move(norm)

    def features(self, x: Tensor) -> Tensor:
        y = self.act1(self.norm1(self.conv1(x)))
        return self.act2(self.norm2(self.conv2(y))).mean((2, 3))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))  # type: ignore[no-any-return]


def move(norm: nn.BatchNorm2d, seed: int = 0) -> None:
    draws = generator(seed, "statistics")
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.normal_(generator=draws)
    norm.running_var.uniform_(0.5, 2.0, generator=draws)
    norm.weight.data.uniform_(0.5, 2.0, generator=draws)
    norm.bias.data.normal_(generator=draws)


def ablate(_: nn.Module, __: Any, outputs: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(outputs[:, :8]), outputs[:, 8:]], 1)


@pytest.mark.parametrize("layer", ["conv1", "norm1", "act1", "conv2", "norm2", "act2"])
@pytest.mark.parametrize("before", [False, True])
def test_what_hooks_change_is_changed_in_every_engine(layer: str, before: bool) -> None:
    net, data = Net(), photos()
    hooked = net.get_submodule(layer)
    if before:
        hooked.register_forward_pre_hook(lambda _, inputs: (inputs[0] - 0.5,))
    else:
        hooked.register_forward_hook(ablate)
    assert Objective(net, data=data, device="cpu").evaluate().loss == pytest.approx(own_loss(net, data), rel=1e-5)


class WritesIntoImages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.sub_(0.5).div_(0.25))  # type: ignore[no-any-return]


def test_a_module_that_writes_into_its_inputs_has_the_same_ones_each_time() -> None:
    net, data = WritesIntoImages(), photos()
    before = data[0].clone()
    objective = Objective(net, data=data, device="cpu", batch_size=16)
    losses = [objective.evaluate().loss for _ in range(3)]
    assert losses[0] == losses[1] == losses[2] == pytest.approx(own_loss(net, data), rel=1e-5)
    gradients = [objective.gradient().vector.vector for _ in range(2)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)
    plain = Objective(net.net, data=((data[0] - 0.5) / 0.25, data[1]), device="cpu", engine="plain").gradient()
    torch.testing.assert_close(
        gradients[0], plain.vector.vector, rtol=1e-3, atol=1e-4 * float(gradients[0].abs().max())
    )
    assert torch.equal(data[0], before)


def test_a_loss_that_writes_into_its_targets_has_the_same_ones_each_time() -> None:
    def doubling(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs[:, 0] - targets.mul_(2)).square()

    data = photos()[0], torch.ones(40)
    objective = Objective(Net(), doubling, data, device="cpu", metric=lambda outputs, targets: None)
    expected = (Net().eval()(data[0])[:, 0] - 2).square().mean()
    for _ in range(3):
        assert objective.evaluate().loss == pytest.approx(float(expected.detach()), rel=1e-5)


def test_training_validates_a_module_that_writes_into_its_inputs_on_the_same_images() -> None:
    data = TensorData(*photos())
    config = TrainingConfig(epochs=3, batch_size=20, learning_rate=1e-9, augment=False)
    result = fit(WritesIntoImages(), DataSet("photos", data, validation=data), config, device="cpu")
    losses = [record["validation_loss"] for record in result.history]
    np.testing.assert_allclose(losses, losses[0], rtol=0.05)  # BatchNorm's statistics move a little


class SharedActivation(Net):
    """One activation is called on the images as well, which it must not overwrite."""

    def __init__(self) -> None:
        super().__init__()
        self.act1 = self.act2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.act2(x).mean((1, 2, 3))[:, None]


class Optional(Net):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.features(x)
        if mask is not None:
            y = y * mask
        return self.head(y)  # type: ignore[no-any-return]


class TiedBias(Net):
    def __init__(self) -> None:
        super().__init__()
        self.conv2.bias = self.conv1.bias


class Sequences(nn.Module):
    """A linear layer followed by a BatchNorm over positions, not features."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear, self.norm, self.head = nn.Linear(64, features), nn.BatchNorm1d(3), nn.Linear(3 * features, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.linear(x.flatten(2))).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("build", [SharedActivation, Optional, TiedBias, lambda: Sequences(5), lambda: Sequences(3)])
def test_modules_that_are_folded_in_part_or_not_at_all_keep_their_values(build: Callable[[], nn.Module]) -> None:
    net, data = build(), photos()
    objective = Objective(net, data=data, device="cpu")
    for _ in range(2):
        assert objective.evaluate().loss == pytest.approx(own_loss(net, data), rel=1e-5)


def test_a_module_called_in_a_way_of_its_own_is_not_folded_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    net, data = Net(), photos()
    objective = Objective(net, data=data, device="cpu", forward=lambda module, x: module.head(module.features(x)))
    assert "plain: the folded module cannot be run" in objective.engine_note
    assert objective.evaluate().loss == pytest.approx(own_loss(net, data), rel=1e-5)
    assert capfd.readouterr().err == ""


def test_the_global_generator_is_where_it_was_also_where_tracing_draws() -> None:
    class Draws(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + 0 * torch.rand(1))

    before = torch.get_rng_state()
    Objective(Draws(), data=photos(), device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


class SharedAffine(Net):
    """Two BatchNorms with one γ and one β, which the second is called without."""

    def __init__(self, *, trained: bool) -> None:
        super().__init__(trained=trained)
        self.norm2.weight, self.norm2.bias = self.norm1.weight, self.norm1.bias


class ZeroBranch(Net):
    """A residual branch that is zero at first hides what is wrong in it; a linear layer's BatchNorm is over positions."""

    def __init__(self, *, trained: bool) -> None:
        super().__init__(trained=trained)
        self.linear, self.norm3 = nn.Linear(8, 8), nn.BatchNorm1d(8)
        if trained:
            move(self.norm3, 1)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.norm3(self.linear(x[:, 0]))[:, None])


@pytest.mark.parametrize("build", [SharedAffine, ZeroBranch, Net])
def test_what_agrees_at_a_fresh_checkpoint_agrees_at_another(build: Callable[..., nn.Module]) -> None:
    data, trained = photos(), build(trained=True)
    objective = Objective(build(trained=False), data=data, device="cpu")
    found = objective.evaluate(objective.parameters_of(trained), statistics=objective.statistics_of(trained))
    assert found.loss == pytest.approx(own_loss(trained, data), rel=1e-5)


class PreActivated(nn.Module):
    """The second BatchNorm follows a sum, so that only the first one is folded."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.net, self.last = Net(), nn.BatchNorm2d(3)
        for norm in (self.net.norm1, self.net.norm2, self.last):
            move(norm, seed)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.last(x + 1))  # type: ignore[no-any-return]


def test_statistics_of_batch_norms_that_are_not_folded_move_too() -> None:
    data, other = photos(), PreActivated(1)
    objective = Objective(PreActivated(0), data=data, device="cpu")
    assert objective.engine_note.startswith("folded: 2 BatchNorm layers")
    found = objective.evaluate(objective.parameters_of(other), statistics=objective.statistics_of(other))
    assert found.loss == pytest.approx(own_loss(other, data), rel=1e-5)
    assert objective.evaluate().loss == pytest.approx(own_loss(PreActivated(0), data), rel=1e-5)


class Rotary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("turn", torch.polar(torch.ones(96), torch.linspace(0, 6, 96)))
        self.head = nn.Linear(192, 4)

    def forward(self, x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.reshape(len(x), 96, 2))
        return self.head(torch.view_as_real(pairs * self.turn).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_complex_buffers_keep_their_imaginary_part(precision: str) -> None:
    net, data = Rotary(), photos()
    assert Objective(net, data=data, precision=precision).evaluate().loss == pytest.approx(
        own_loss(net, data), rel=1e-5
    )
    fit(net, TensorData(*data), TrainingConfig(epochs=1, batch_size=20, augment=False), device="cpu")
    assert net.turn.is_complex()


def test_complex_parameters_are_refused_by_name() -> None:
    net = Rotary()
    net.turn = nn.Parameter(net._buffers.pop("turn"))
    with pytest.raises(InputError, match=r"turn is of torch\.complex64.*view_as_complex"):
        Objective(net, data=photos())
    assert Objective(net, data=photos(), parameters=["head.*"]).evaluate().loss == pytest.approx(
        own_loss(net, photos())
    )


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_derivatives_are_taken_where_gradients_are_off(without: Callable[[], Any]) -> None:
    def ask() -> list[Tensor]:
        objective = Objective(conv_net(), data=images())
        v = torch.ones_like(objective.theta.vector)
        products = [objective.hessian_product(v), objective.gauss_newton_product(v)]
        return [
            objective.gradient().vector.vector,
            *products,
            objective.gradient(objective.theta.vector + v).vector.vector,
            objective.part(torch.arange(5)).gradient().vector.vector,
        ]

    expected = ask()
    with without():
        found = ask()
        assert not torch.is_grad_enabled()
    for ours, theirs in zip(found, expected, strict=True):
        assert float(theirs.abs().max()) > 0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_training_and_planes_do_not_depend_on_whether_gradients_are_on() -> None:
    def ask() -> tuple[float, int]:
        net = conv_net(dtype=torch.float32)
        data = TensorData(*images(dtype=torch.float32))
        result = fit(net, data, TrainingConfig(epochs=1, batch_size=12, augment=False), device="cpu")
        return result.history[-1]["train_loss"], int(
            plane(Objective(net, data=data), x=(-1, 1, 3), y=(-1, 1, 3)).attrs["dead"]
        )

    expected = ask()
    with torch.no_grad():
        assert ask() == expected


def test_a_mask_of_samples_means_those_that_are_true() -> None:
    data, mask = photos(), torch.arange(40) >= 20
    masked = Objective(Net(), data=data, samples=mask, device="cpu")
    assert masked.indices.tolist() == list(range(20, 40))
    for wrong in ([1.9, 2.9], mask[:10]):
        with pytest.raises(InputError, match="samples: expected indices from 0 to 39"):
            Objective(Net(), data=data, samples=wrong)  # type: ignore[arg-type]


def test_a_point_in_another_layout_is_refused() -> None:
    data = photos()
    objective = Objective(Net(), data=data, device="cpu")
    plain_order = Objective(Net().double(), data=data, device="cpu", parameters=["head.*", "conv1.*"])
    with pytest.raises(InputError, match="another order or memory format"):
        objective.evaluate(plain_order.theta)


class WithoutStatistics(Net):
    def __init__(self, *, all_of_them: bool = True) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(16, track_running_stats=False)
        if all_of_them:
            self.norm2 = nn.BatchNorm2d(16, track_running_stats=False)


def test_batch_norms_without_running_statistics_are_under_the_policy_batch() -> None:
    net, data = WithoutStatistics(), photos(300)
    objective = Objective(net, data=data, device="cpu")
    assert objective.provenance()["bn_policy"] == "batch"
    with torch.no_grad():
        losses = [
            nn.functional.cross_entropy(net.eval()(x), y, reduction="sum")
            for x, y in zip(data[0].split(128), data[1].split(128), strict=True)
        ]
    assert objective.evaluate().loss == pytest.approx(float(sum(losses)) / 300, rel=1e-5)
    with pytest.raises(InputError, match=r"norm1 keeps no running statistics .* cannot all be frozen"):
        Objective(WithoutStatistics(all_of_them=False), data=data)
