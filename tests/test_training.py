"""fit: what is minimised, what is measured, and what is left alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from training_samples import CLASSES, DEVICES, Keeper, Steps, copied, data_set, images, network, same, train

from landscape.data import DataSet, TensorData, subset
from landscape.errors import InputError
from landscape.training import EpochReport, Observer, TrainingConfig, best_epoch, fit

PLAIN = TrainingConfig(epochs=2, batch_size=8, augment=False)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Layers made in a test are the same in every run."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def regression(n: int = 12) -> TensorData:
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, 4, generator=draws)
    return TensorData(inputs, inputs @ torch.randn(4, 2, generator=draws) + 0.1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("name", "settings", "make"),
    [
        ("adam", {}, lambda p: torch.optim.Adam(p, lr=0.05)),
        ("adam", {"weight_decay": 0.1}, lambda p: torch.optim.Adam(p, lr=0.05, weight_decay=0.1)),
        ("adamw", {"weight_decay": 0.1}, lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1)),
        ("sgd", {"momentum": 0.8}, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8)),
        ("sgd", {"momentum": 0.0}, lambda p: torch.optim.SGD(p, lr=0.05)),
    ],
)
def test_full_batches_follow_a_plain_torch_loop(name: str, settings: dict[str, Any], make: Any, device: str) -> None:
    data, module = regression(), nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    oracle = copied(module)
    config = TrainingConfig(learning_rate=0.05, batch_size=12, epochs=6, optimizer=name, **settings)
    fit(module, data, config, loss="mse", device=device)

    optimizer = make(oracle.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6, eta_min=2e-5)
    for _ in range(6):
        optimizer.zero_grad()
        nn.functional.mse_loss(oracle(data.inputs), data.targets).backward()
        optimizer.step()
        schedule.step()
    for trained, expected in zip(module.parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(trained.cpu(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_training_learns_what_can_be_learnt(device: str) -> None:
    result = train(TrainingConfig(learning_rate=1e-2, epochs=30, batch_size=10), device=device)["result"]
    assert result.status == "complete"
    assert result.history[-1]["validation_accuracy"] > 0.9 > result.history[0]["validation_accuracy"]
    assert result.test["test_accuracy"] > 0.9


def test_every_sample_is_seen_once_an_epoch_in_an_order_of_its_own() -> None:
    data = TensorData(torch.arange(11.0)[:, None], torch.zeros(11, 1))
    steps = Steps()
    fit(nn.Linear(1, 1), data, TrainingConfig(epochs=3, batch_size=4), loss="mse", observers=[steps], device="cpu")
    orders = [[x for s in steps.seen if s["epoch"] == e for x in s["inputs"].flatten().tolist()] for e in (1, 2, 3)]
    assert all(sorted(order) == list(range(11)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [(11, 4, [4, 4, 3]), (9, 4, [4, 5]), (8, 4, [4, 4]), (3, 4, [3]), (1, 4, [1]), (3, 1, [1, 1, 1])],
)
def test_a_last_batch_of_one_sample_joins_the_one_before(n: int, batch_size: int, sizes: list[int]) -> None:
    steps = Steps()
    data = TensorData(torch.zeros(n, 1), torch.zeros(n, 1))
    config = TrainingConfig(epochs=1, batch_size=batch_size)
    fit(nn.Linear(1, 1), data, config, loss="mse", observers=[steps], device="cpu")
    assert [seen["size"] for seen in steps.seen] == sizes


def test_training_means_weigh_samples_not_batches() -> None:
    data, module = regression(7), nn.Linear(4, 2)
    still = TrainingConfig(
        learning_rate=1e-12, min_learning_rate=0, batch_size=4, epochs=1, optimizer="sgd", momentum=0
    )
    expected = nn.functional.mse_loss(module(data.inputs), data.targets).item()
    assert fit(module, data, still, loss="mse", device="cpu").history[0]["train_loss"] == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("device", DEVICES)
def test_validation_and_test_are_measured_in_evaluation_mode_over_the_whole_split(device: str) -> None:
    data, module = data_set(validation=33), network()
    result = fit(module, data, PLAIN, device=device)
    module.cpu().eval()
    for split, record in (("validation", result.history[-1]), ("test", result.test)):
        part = data.split(split)
        inputs, targets = part.batch(torch.arange(len(part)))
        outputs = module(inputs).detach()
        loss = nn.functional.cross_entropy(outputs, targets).item()
        assert record[f"{split}_loss"] == pytest.approx(loss, rel=1e-5)
        assert record[f"{split}_accuracy"] == pytest.approx((outputs.argmax(1) == targets).double().mean().item())


def test_splits_and_classes_that_do_not_exist_leave_no_entry() -> None:
    result = fit(nn.Linear(4, 2), regression(), PLAIN, loss="mse", device="cpu")
    assert set(result.history[0]) == {"train_loss", "learning_rate"}
    assert result.test == {}
    assert result.best_epoch is None


def test_training_batches_are_augmented_unless_asked_not_to_be() -> None:
    plain = {tuple(image.flatten().tolist()) for image in images(50, "train").batch(torch.arange(50))[0]}
    for augment in (True, False):
        steps = Steps()
        train(TrainingConfig(epochs=1, batch_size=25, augment=augment), observers=[steps])
        seen = {tuple(image.flatten().tolist()) for step in steps.seen for image in step["inputs"]}
        assert (seen == plain) is not augment


def test_augmentation_draws_anew_at_every_step() -> None:
    steps = Steps()
    train(TrainingConfig(epochs=10, train_images=2), observers=[steps])
    seen = {tuple(image.flatten().tolist()) for step in steps.seen for image in step["inputs"]}
    # of 2 images × 9 crops × 2 mirrorings, 20 draws meet far more than the 2 or 4 that repeated draws would
    assert len(seen) > 8


def test_train_images_limits_training_to_the_same_subset_for_every_seed() -> None:
    data = TensorData(torch.arange(40.0)[:, None], torch.zeros(40, 1))
    for seed in (0, 1):
        steps = Steps()
        config = TrainingConfig(epochs=2, batch_size=5, train_images=10, seed=seed)
        fit(nn.Linear(1, 1), data, config, loss="mse", observers=[steps], device="cpu")
        seen = sorted({int(x) for step in steps.seen for x in step["inputs"].flatten()})
        assert seen == subset(data, 10).tolist()


def test_a_step_shows_the_gradient_of_the_mean_loss_before_the_update() -> None:
    steps, module = Steps(), nn.Linear(4, 2)
    fit(module, regression(), TrainingConfig(epochs=2, batch_size=5), loss="mse", observers=[steps], device="cpu")
    for seen in steps.seen:
        weight, bias = (p.requires_grad_() for p in seen["parameters"])
        outputs = nn.functional.linear(seen["inputs"], weight, bias)
        losses = ((outputs - seen["targets"]) ** 2).mean(1)
        torch.testing.assert_close(seen["losses"], losses.detach())
        torch.testing.assert_close(seen["gradients"], list(torch.autograd.grad(losses.mean(), (weight, bias))))
    assert [seen["step"] for seen in steps.seen] == list(range(6))
    assert not torch.equal(steps.seen[0]["parameters"][0], steps.seen[1]["parameters"][0])


@pytest.mark.parametrize("ended_early", [False, True])
def test_the_callers_random_state_modes_and_cudnn_settings_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, ended_early: bool
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    module = network()
    module[1].eval()
    modes = [layer.training for layer in module.modules()]
    before = torch.get_rng_state()
    try:
        fit(module, data_set(), PLAIN, observers=[Keeper(stop_after=1 if ended_early else None)], device="cpu")
    except KeyboardInterrupt:
        assert ended_early
    assert torch.equal(torch.get_rng_state(), before)
    assert [layer.training for layer in module.modules()] == modes
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (False, True)


def test_only_training_steps_move_the_running_statistics() -> None:
    module = network()
    fit(module, data_set(), PLAIN, device="cpu")
    assert int(module[1].num_batches_tracked) == 2 * 7


def test_a_module_and_data_in_float64_are_trained_in_float32() -> None:
    module = nn.Linear(4, 2).double()
    data = regression()
    result = fit(module, (data.inputs.double(), data.targets.double()), PLAIN, loss="mse", device="cpu")
    assert module.weight.dtype == torch.float32
    assert math.isfinite(result.history[0]["train_loss"])


def test_parameters_without_gradient_stay_and_the_others_are_trained_in_place() -> None:
    module = network()
    module[0].requires_grad_(False)
    frozen, weight = module[0].weight.detach().clone(), module[7].weight
    before = weight.detach().clone()
    fit(module, data_set(), PLAIN, device="cpu")
    assert torch.equal(module[0].weight, frozen)
    assert module[7].weight is weight
    assert not torch.equal(weight, before)


def test_bf16_computes_in_bf16_and_keeps_the_weights_in_fp32() -> None:
    module, seen = network(), set()

    def look(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        if layer is module[4]:  # not one of a copy, which is looked at for what made the training
            seen.add(output.dtype)

    module[4].register_forward_hook(look)
    result = fit(module, data_set(), TrainingConfig(epochs=1, precision="bf16", batch_size=25), device="cpu")
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert math.isfinite(result.history[0]["train_loss"])


def test_convolutions_get_channels_last_images() -> None:
    module, seen = network(), []
    module[0].register_forward_pre_hook(
        lambda layer, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    fit(module, data_set(), PLAIN, device="cpu")
    assert all(seen)
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)


class _Viewing(nn.Module):
    """Calls view() on its features, which channels-last features do not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.head = nn.Conv2d(3, 4, 3), nn.Linear(144, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        features = self.convolution(images)
        return self.head(features.view(len(features), -1))


def test_a_module_that_views_its_features_is_trained_in_the_usual_layout() -> None:
    module = _Viewing()
    before = module.head.weight.detach().clone()
    fit(module, data_set(), PLAIN, device="cpu")
    assert module.convolution.weight.is_contiguous()
    assert not torch.equal(module.head.weight, before)


class _Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.layer(left - right)


def test_modules_are_called_with_what_their_data_holds() -> None:
    data = regression()
    zeros = torch.zeros_like(data.inputs)
    forms = {
        "tuple": ((data.inputs, zeros), None),
        "mapping": ({"right": zeros, "left": data.inputs}, None),
        "forward": (data.inputs, lambda module, inputs: module(inputs, torch.zeros_like(inputs))),
    }
    trained = []
    for inputs, forward in forms.values():
        torch.manual_seed(0)
        module = _Two()
        options = {} if forward is None else {"forward": forward}
        fit(module, TensorData(inputs, data.targets), PLAIN, loss="mse", device="cpu", **options)
        trained.append(module.layer.weight.detach())
    assert torch.equal(trained[0], trained[1])
    assert torch.equal(trained[0], trained[2])


def test_a_pair_of_tensors_is_data_enough() -> None:
    data = regression()
    result = fit(nn.Linear(4, 2), (data.inputs, data.targets), PLAIN, loss="mse", device="cpu")
    assert len(result.history) == 2


class _Explosive(Observer):
    """Sets the weights to infinity after an epoch."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_epoch(self, report: EpochReport) -> None:
        if report.epoch == self.after:
            with torch.no_grad():
                next(report.module.parameters()).fill_(math.inf)


def test_a_loss_that_is_no_longer_finite_is_recorded_and_ends_training() -> None:
    keeper = Keeper()
    config = TrainingConfig(epochs=6, batch_size=10)
    result = fit(network(), data_set(), config, observers=[_Explosive(2), keeper], device="cpu")
    assert (result.status, result.diverged_epoch, len(result.history)) == ("diverged", 3, 3)
    assert math.isfinite(result.history[1]["train_loss"])
    assert not math.isfinite(result.history[2]["train_loss"])
    assert not math.isfinite(result.test["test_loss"])
    assert result.best_epoch in (1, 2)
    assert keeper.result is result
    again = fit(network(), data_set(), config, resume=keeper.states[-1], device="cpu")
    assert same(list(again.history), list(result.history))
    assert again.status == "diverged"


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([{"validation_accuracy": 0.5}, {"validation_accuracy": 0.7}, {"validation_accuracy": 0.7}], 2),
        ([{"validation_loss": 3.0}, {"validation_loss": 1.0}, {"validation_loss": 2.0}], 2),
        (
            [
                {"validation_accuracy": 0.5, "validation_loss": 1.0},
                {"validation_accuracy": 0.4, "validation_loss": 0.5},
            ],
            1,
        ),
        ([{"validation_accuracy": 0.9, "train_loss": math.nan}, {"validation_accuracy": 0.1, "train_loss": 1.0}], 2),
        ([{"validation_accuracy": 0.9, "validation_loss": math.inf}], None),
        ([{"validation_accuracy": 0.0}], 1),
        ([{"train_loss": 1.0}], None),
        ([], None),
    ],
)
def test_the_best_epoch_is_the_first_finite_one_that_validates_best(
    records: list[dict[str, float]], expected: int | None
) -> None:
    assert best_epoch(records) == expected


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_labels_outside_the_modules_outputs_are_refused_before_training(known: bool, split: str) -> None:
    def tensors(classes: int) -> TensorData:
        return TensorData(torch.randn(30, 4), torch.arange(30) % classes, classes=classes if known else None)

    splits = {name: tensors(4 if name == split else 3) for name in ("train", "validation", "test")}
    module = nn.Linear(4, 3)
    before = module.weight.detach().clone()
    with pytest.raises(InputError, match="labels from 0 to 3, but the module has 3 outputs, for labels 0 to 2"):
        fit(module, DataSet("labels", **splits), PLAIN, device="cpu")
    assert torch.equal(module.weight, before)


def test_negative_labels_are_refused() -> None:
    with pytest.raises(InputError, match="labels from -1 to 2"):
        fit(nn.Linear(4, 3), TensorData(torch.randn(4, 4), torch.tensor([0, -1, 2, 1])), PLAIN, device="cpu")


def test_labels_that_the_loss_ignores_are_not_counted_as_outside() -> None:
    labels = torch.tensor([0, 1, -100, 2])
    result = fit(nn.Linear(4, 3), (torch.randn(4, 4), labels), PLAIN, loss=nn.CrossEntropyLoss(), device="cpu")
    assert math.isfinite(result.history[0]["train_loss"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module": "vgg38"}, "module: expected a torch.nn.Module"),
        ({"config": {"epochs": 3}}, "config: expected a TrainingConfig"),
        ({"observers": [object()]}, "observers: .* lacks one of on_start"),
        ({"device": "tpu"}, "device: unknown value 'tpu'"),
        ({"loss": "crossentropy"}, "loss: unknown value 'crossentropy'.*Did you mean 'cross_entropy'"),
        ({"loss": lambda outputs, targets: outputs.mean()}, "loss: expected one value a sample"),
        ({"module": nn.Sequential(nn.Conv2d(1, 2, 3))}, "data: a batch of train does not go through Sequential"),
        ({"module": nn.Flatten()}, "module: Flatten has no parameter that requires a gradient"),
        ({"module": nn.LazyLinear(3)}, "module: weight is not initialised yet"),
        ({"dataset": "fashion-mnist-10k"}, "data: expected"),
    ],
)
def test_an_unusable_argument_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    arguments = {"module": network(), "dataset": data_set(), "config": PLAIN, "device": "cpu", **change}
    with pytest.raises(InputError, match=message):
        fit(**arguments)
