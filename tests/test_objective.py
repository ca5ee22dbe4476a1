"""The objective against dense autograd, closed forms and torch's own routines."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from curvature_samples import transformer
from networks import TiedAutoencoder, conv_net, images, same_state, state_of, tiny_transformer
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.errors import InputError
from landscape.numerics.directions import direction_between, random_direction
from landscape.objective.batch_norm import POLICIES, moved_statistics
from landscape.objective.objective import Objective
from landscape.objective.subspace import Subspace

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def small_objective(module: nn.Module, device: str = "cpu", **options: object) -> Objective:
    return Objective(module, "cross_entropy", images(), device=device, **options)  # type: ignore[arg-type]


def loss_of_parameters(module: nn.Module) -> Callable[[dict[str, Tensor]], Tensor]:
    inputs, targets = images()

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(functional_call(module, parameters, (inputs,)), targets)

    return loss


@pytest.mark.parametrize("device", DEVICES)
def test_the_loss_is_the_mean_and_its_error_the_spread_over_the_samples(device: str) -> None:
    net = conv_net()
    inputs, targets = images()
    losses = nn.functional.cross_entropy(net(inputs), targets, reduction="none").detach()
    value = small_objective(net, device).evaluate()
    assert value.loss == pytest.approx(float(losses.mean()), rel=1e-12)
    assert value.standard_error == pytest.approx(float(losses.std() / math.sqrt(24)), rel=1e-10)
    assert value.accuracy == pytest.approx(float((net(inputs).argmax(1) == targets).double().mean()))
    assert value.n_samples == 24


@pytest.mark.parametrize("device", DEVICES)
def test_single_precision_is_single_precision_on_every_device(device: str) -> None:
    """A GPU's TF32, PyTorch's default for convolutions, keeps ten bits of mantissa: 5e-4 of every product."""
    inputs, targets = images(size=16)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(2, 32, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.LeakyReLU()]
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)).double()
    exact = Objective(net, "cross_entropy", (inputs, targets), device="cpu")
    single = Objective(net.float(), "cross_entropy", (inputs.float(), targets), device=device)
    assert single.evaluate().loss == pytest.approx(exact.evaluate().loss, rel=1e-6)
    found, expected = (o.gradient().vector.vector.cpu().double() for o in (single, exact))
    assert float((found - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("training", [True, False])
def test_the_users_module_comes_back_bit_for_bit(policy: str, training: bool) -> None:
    net = conv_net().train(training)
    net[0].weight.requires_grad_(False)  # type: ignore[operator, union-attr]
    before, random_state = state_of(net), torch.get_rng_state()
    objective = small_objective(net, batch_norm=policy)
    objective.evaluate(objective.theta.vector * 1.1)
    objective.gradient()
    objective.hessian_product(torch.ones_like(objective.theta.vector))
    assert same_state(before, state_of(net))
    assert torch.equal(random_state, torch.get_rng_state())


def test_the_users_module_comes_back_after_an_error() -> None:
    net = conv_net().train()
    before = state_of(net)

    made: list[Objective] = []

    def broken(outputs: Tensor, targets: Tensor) -> Tensor:
        if made:
            raise RuntimeError("a strange loss")
        return outputs.sum(1)

    objective = Objective(net, broken, images(), metric=lambda outputs, targets: None)
    made.append(objective)
    with pytest.raises(RuntimeError, match="a strange loss"):
        objective.evaluate()
    assert same_state(before, state_of(net))


@pytest.mark.parametrize("policy", ["frozen", "reestimated"])
@pytest.mark.parametrize("batch_size", [1, 5, 23, 24])
def test_values_do_not_depend_on_the_batch_size(policy: str, batch_size: int) -> None:
    net = conv_net()
    whole = small_objective(net, batch_norm=policy, batch_size=24).evaluate()
    parts = small_objective(net, batch_norm=policy, batch_size=batch_size).evaluate()
    assert parts.loss == pytest.approx(whole.loss, rel=1e-12)
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=1e-10)


def test_values_in_single_precision_do_not_depend_on_the_batch_size_to_1e_5() -> None:
    net = conv_net(dtype=torch.float32)
    values = [small_objective(net, batch_size=b, precision="fp32").evaluate().loss for b in (1, 7, 24)]
    assert max(values) == pytest.approx(min(values), rel=1e-5)


@pytest.mark.parametrize("policy", POLICIES)
def test_values_do_not_depend_on_the_order_of_evaluation(policy: str) -> None:
    net, other = conv_net(seed=0), conv_net(seed=1)
    objective = small_objective(net, batch_norm=policy)
    d = direction_between(
        objective.theta,
        objective.parameters_of(other),
        statistics=None if policy == "batch" else (objective.statistics, objective.statistics_of(other)),
    )
    subspace = Subspace(objective.theta, [d])
    points = np.array([[0.0], [0.3], [1.2], [-0.5]])
    forward = objective.evaluate_points(subspace, points).loss
    backward = objective.evaluate_points(subspace, points[::-1]).loss[::-1]
    assert np.array_equal(forward, backward)
    assert forward[0] == objective.evaluate().loss


def test_reestimated_statistics_equal_those_of_update_bn() -> None:
    net = conv_net()
    inputs, targets = images()
    objective = small_objective(net, batch_norm="reestimated", calibration=(inputs, targets))
    moved = objective.theta.vector * 1.3 + 0.01
    reference = copy.deepcopy(net)
    with torch.no_grad():
        for name, value in objective.theta.layout.views(moved).items():
            reference.get_parameter(name).copy_(value)
    torch.optim.swa_utils.update_bn([inputs], reference)
    expected = nn.functional.cross_entropy(reference.eval()(inputs), targets)
    assert objective.evaluate(moved).loss == pytest.approx(float(expected.detach()), rel=1e-12)


def test_reestimation_weighs_its_batches_as_update_bn_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landscape.objective.objective.CALIBRATION_BATCH", 10)
    net = conv_net()
    inputs, targets = images()
    value = small_objective(net, batch_norm="reestimated").evaluate()
    reference = copy.deepcopy(net)
    torch.optim.swa_utils.update_bn(inputs.split(10), reference)
    assert value.loss == pytest.approx(float(nn.functional.cross_entropy(reference.eval()(inputs), targets)), rel=1e-12)


def test_batch_statistics_are_those_of_training_mode() -> None:
    net = conv_net()
    inputs, targets = images()
    value = small_objective(net, batch_norm="batch", batch_size=24).evaluate()
    assert value.loss == pytest.approx(float(nn.functional.cross_entropy(net.train()(inputs), targets)), rel=1e-12)


def test_interpolated_statistics_are_those_of_the_checkpoints_at_their_places() -> None:
    first, second = conv_net(seed=0), conv_net(seed=1)
    objective = small_objective(first, batch_norm="interpolated")
    statistics = (objective.statistics, objective.statistics_of(second))
    subspace = Subspace(
        objective.theta, [direction_between(objective.theta, objective.parameters_of(second), statistics=statistics)]
    )
    ends = objective.evaluate_points(subspace, np.array([[0.0], [1.0]])).loss
    assert ends[0] == pytest.approx(small_objective(first).evaluate().loss, rel=1e-12)
    assert ends[1] == pytest.approx(small_objective(second).evaluate().loss, rel=1e-10)


def test_interpolated_variances_are_linear_between_and_never_negative_beyond() -> None:
    start, changes = torch.tensor([1.0, 1.0, 5.0]), torch.tensor([[-0.9, 2.0, -4.0]])
    variances = torch.tensor([True, True, False])
    for c in (0.0, 0.25, 1.0):
        moved = moved_statistics(start, changes, torch.tensor([c]), variances)
        torch.testing.assert_close(moved, start + c * changes[0])
    beyond = moved_statistics(start, changes, torch.tensor([3.0]), variances)
    torch.testing.assert_close(beyond, torch.tensor([0.1, 7.0, -7.0]))


def test_interpolated_statistics_need_directions_that_have_them() -> None:
    objective = small_objective(conv_net(), batch_norm="interpolated")
    subspace = Subspace(objective.theta, [random_direction(objective.theta, seed=0)])
    with pytest.raises(InputError, match="frozen or reestimated"):
        objective.evaluate_points(subspace, np.array([[0.1]]))


@pytest.mark.parametrize("build", [conv_net, tiny_transformer])
@pytest.mark.parametrize("device", DEVICES)
def test_the_gradient_equals_autograd_through_the_plain_module(build: Callable[[], nn.Module], device: str) -> None:
    net = build()
    dense = torch.func.grad(loss_of_parameters(net))({k: p.detach() for k, p in net.named_parameters()})
    found = small_objective(net, device, batch_size=7).gradient()
    for name, value in found.vector.views().items():
        torch.testing.assert_close(value.cpu(), dense[name], rtol=1e-9, atol=1e-12)
    assert found.loss == pytest.approx(small_objective(net).evaluate().loss, rel=1e-12)


@pytest.mark.parametrize("build", [conv_net, transformer])
def test_the_hessian_product_equals_the_dense_hessian(build: Callable[[], nn.Module]) -> None:
    net = build()
    objective = small_objective(net, batch_size=9)
    v = random_direction(objective.theta, seed=0, normalization="none").vector
    loss = loss_of_parameters(net)
    with sdpa_kernel(SDPBackend.MATH):
        dense = hessian(lambda flat: loss(objective.theta.layout.views(flat)), objective.theta.vector)
    torch.testing.assert_close(objective.hessian_product(v), dense @ v, rtol=1e-8, atol=1e-10)


def test_tied_weights_are_one_parameter_and_stay_tied() -> None:
    inputs = torch.linspace(-1, 1, 30, dtype=torch.float64).reshape(5, 6)
    module = TiedAutoencoder()
    objective = Objective(module, "mse", (inputs, inputs))
    assert objective.theta.layout.names == ("weight",)
    moved = objective.theta.vector * 0.5
    expected = nn.functional.mse_loss(torch.tanh(inputs @ (0.5 * module.weight).T) @ (0.5 * module.weight), inputs)
    assert objective.evaluate(moved).loss == pytest.approx(float(expected.detach()), rel=1e-12)


def test_a_selection_of_parameters_moves_alone() -> None:
    net = conv_net()
    objective = small_objective(net, parameters=["8.*"])
    assert objective.theta.layout.names == ("8.weight", "8.bias")
    inputs, targets = images()
    head = copy.deepcopy(net)
    with torch.no_grad():
        head[8].weight.mul_(2)  # type: ignore[index]
        head[8].bias.mul_(2)  # type: ignore[index]
    expected = nn.functional.cross_entropy(head(inputs), targets)
    assert objective.evaluate(objective.theta.vector * 2).loss == pytest.approx(float(expected.detach()), rel=1e-12)


def test_a_module_that_views_its_weights_runs_in_the_contiguous_layout() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            flat = self.weight.view(len(self.weight), -1)
            weight = (flat / flat.norm(dim=1, keepdim=True)).view_as(self.weight)
            return self._conv_forward(x, weight, self.bias)

    torch.manual_seed(0)
    net = nn.Sequential(Standardised(2, 4, 3), nn.Flatten(), nn.Linear(64, 4)).double()
    inputs, targets = images()
    objective = small_objective(net)
    assert objective.provenance()["memory_format"] == "contiguous"
    expected = nn.functional.cross_entropy(net(inputs), targets)
    assert objective.evaluate().loss == pytest.approx(float(expected.detach()), rel=1e-12)


def test_sampling_layers_draw_the_same_noise_at_every_point() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * (x + torch.randn_like(x))

    inputs = torch.zeros(40, 3, dtype=torch.float64)
    objective = Objective(Noisy(), "mse", (inputs, inputs), batch_size=8)
    assert objective.evaluate().loss == objective.evaluate().loss > 0


def test_dictionaries_and_custom_calls_reach_the_module() -> None:
    class Keyed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2).double()

        def forward(self, *, left: Tensor, right: Tensor) -> dict[str, Tensor]:
            return {"logits": self.linear(left + right)}

    left, right = torch.ones(6, 3).double(), torch.arange(18.0).reshape(6, 3).double()
    targets = torch.tensor([0, 1, 0, 1, 1, 0])
    module = Keyed()
    expected = nn.functional.cross_entropy(module.linear(left + right), targets)
    by_key = Objective(
        module,
        lambda outputs, y: nn.functional.cross_entropy(outputs["logits"], y, reduction="none"),
        ({"left": left, "right": right}, targets),
    )
    assert by_key.evaluate().loss == pytest.approx(float(expected.detach()), rel=1e-12)
    assert by_key.evaluate().accuracy is None
    called = Objective(module, "cross_entropy", (left, targets), forward=lambda m, x: m(left=x, right=0 * x)["logits"])
    assert called.evaluate().accuracy is not None


def test_a_torch_loss_module_is_taken_before_its_reduction() -> None:
    net = conv_net()
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    inputs, targets = images()
    value = Objective(net, smoothed, (inputs, targets), batch_size=7).evaluate()
    assert value.loss == pytest.approx(float(smoothed(net(inputs), targets)), rel=1e-12)
    assert smoothed.reduction == "mean"


def test_a_nan_loss_stays_a_nan() -> None:
    objective = small_objective(conv_net())
    value = objective.evaluate(objective.theta.vector * math.nan)
    assert math.isnan(value.loss)
    assert math.isnan(value.standard_error)


def test_bf16_is_near_fp32() -> None:
    net = conv_net(dtype=torch.float32)
    exact = small_objective(net, precision="fp32").evaluate().loss
    assert small_objective(net, precision="bf16").evaluate().loss == pytest.approx(exact, rel=3e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_norm": "frozn"}, "Did you mean 'frozen'"),
        ({"precision": "fp8"}, "precision: unknown value 'fp8'"),
        ({"batch_size": -3}, "batch_size: expected at least 1"),
        ({"samples": 0}, "samples: expected at least 1"),
        ({"samples": [0, 99]}, "samples: expected indices from 0 to 23"),
        ({"parameters": ["nothing.*"]}, "matches none of the module's names"),
        ({"device": "tpu9"}, "device"),
    ],
)
def test_bad_choices_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Objective(conv_net(), "cross_entropy", images(), **options)  # type: ignore[arg-type]


def test_labels_outside_the_modules_classes_are_refused() -> None:
    with pytest.raises(InputError, match="3 outputs, for labels 0 to 2"):
        small_objective(conv_net(classes=3))


def test_a_loss_with_another_number_of_values_than_samples_is_refused() -> None:
    def of_components(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.square().mean(0)

    with pytest.raises(InputError, match=r"24 for a batch of 24, got 4\. Return a tensor of shape \(B,\)"):
        Objective(conv_net(), of_components, images())


def test_a_module_without_parameters_is_refused() -> None:
    with pytest.raises(InputError, match="no parameters"):
        Objective(nn.Flatten(), "cross_entropy", images())


@pytest.mark.parametrize(
    ("given", "moved"), [("2.*", 27), (["0.*", "2.bias"], 59), ("trainable", 27), ("all", 83), (None, 27)]
)
def test_theta_is_made_of_the_parameters_that_were_asked_for_and_the_result_says_which(
    given: str | list[str] | None, moved: int
) -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    net[0].requires_grad_(False)
    data = torch.zeros(5, 6), torch.zeros(5, dtype=torch.long)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        objective = Objective(net, "cross_entropy", data, parameters=given, device="cpu")
    assert objective.theta.layout.size == moved
    assert str(objective.provenance()["parameters_moved"]).startswith(
        f"{moved} of 83: " if moved < 83 else "83 of 83: all"
    )
    assert [str(w.message) for w in said if "requires_grad" in str(w.message)] == (
        []
        if given is not None
        else [
            f"parameters: {objective.provenance()['parameters_moved']}. Say parameters='trainable' or parameters='all'."
        ]
    )


def test_a_module_of_which_nothing_is_trained_moves_whole_and_says_so() -> None:
    net = nn.Linear(6, 3).requires_grad_(False)
    data = torch.zeros(5, 6), torch.zeros(5, dtype=torch.long)
    with pytest.warns(UserWarning, match="21 of 21: all, as none has requires_grad"):
        assert Objective(net, "cross_entropy", data, device="cpu").theta.layout.size == 21
    with pytest.raises(InputError, match="'trainable'"):
        Objective(net, "cross_entropy", data, device="cpu", parameters="trainable")


def test_a_checkpoint_that_differs_where_nothing_moves_is_refused_unless_that_was_asked_for() -> None:
    first, second = (nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)) for _ in range(2))
    first[0].requires_grad_(False)
    data = torch.zeros(5, 6), torch.zeros(5, dtype=torch.long)
    with pytest.warns(UserWarning, match="requires_grad"):
        objective = Objective(first, "cross_entropy", data, device="cpu")
    with pytest.raises(InputError, match=r"0\.weight differs.*parameters='all'"):
        objective.parameters_of(second)
    for parameters, moved in (("all", 83), ("trainable", 27)):
        chosen = Objective(first, "cross_entropy", data, device="cpu", parameters=parameters)
        assert chosen.parameters_of(second).layout.size == moved
