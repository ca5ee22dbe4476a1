"""Losses of the user's own: values, weights, losses of a batch as a whole, and what is refused rather than measured otherwise."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_losses_table import CLASSES, FEATURES, WEIGHT, N, Scores, drawn, labels
from torch import Tensor, nn

import landscape as ls
from landscape.errors import InputError
from landscape.numerics.statistics import mean_and_standard_error

F = nn.functional
INPUTS = drawn(N, FEATURES)


def objective(loss: Any, targets: Tensor, shape: tuple[int, ...] = (CLASSES,), **options: Any) -> ls.Objective:
    return ls.Objective(Scores(shape), loss, (INPUTS, targets), **{"device": "cpu", "batch_size": 4, **options})


def masked(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens ``(B, T, C)`` whose label −1 is padding."""
    kept = targets >= 0
    values = F.cross_entropy(outputs.movedim(-1, 1), targets.clamp(min=0), reduction="none")
    return values, kept.double()


def by_sample(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return (outputs - 1).square(), targets


def test_weights_of_every_token_give_the_mean_over_those_that_count_and_the_accuracy_over_them() -> None:
    targets = labels(5, ignored=-1)
    found = objective(masked, targets, (5, CLASSES)).evaluate()
    scores, kept = Scores((5, CLASSES))(INPUTS).detach(), targets >= 0
    assert found.loss == pytest.approx(float(F.cross_entropy(scores[kept], targets[kept])), rel=1e-12)
    assert found.accuracy == pytest.approx(float((scores.argmax(-1) == targets)[kept].double().mean()), rel=1e-14)


def test_the_standard_error_of_a_ratio_is_that_of_its_bootstrap_over_samples() -> None:
    draws = torch.Generator().manual_seed(0)
    weights = torch.rand(400, 6, generator=draws, dtype=torch.float64).round()
    values = torch.rand(400, 1, generator=draws, dtype=torch.float64) + torch.rand(400, 6, generator=draws).double()
    numerators, sums = (weights * values).sum(1), weights.sum(1)
    ratio, error = mean_and_standard_error(numerators, sums)
    assert ratio == pytest.approx(float((weights * values).sum() / weights.sum()), rel=1e-12)
    again = torch.randint(0, 400, (4000, 400), generator=draws)
    assert error == pytest.approx(float((numerators[again].sum(1) / sums[again].sum(1)).std()), rel=0.05)


def test_equal_weights_give_the_error_of_the_plain_mean_and_clusters_that_of_their_means() -> None:
    values = drawn(24)
    plain = mean_and_standard_error(values)
    assert mean_and_standard_error(3 * values, torch.full((24,), 3.0)) == pytest.approx(plain, rel=1e-12)
    clustered = mean_and_standard_error(values, None, torch.arange(24) // 4)
    assert clustered == pytest.approx(mean_and_standard_error(values.view(6, 4).mean(1)), rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "targets", "shape"),
    [
        (nn.CrossEntropyLoss(WEIGHT, ignore_index=2), labels(5, ignored=2), (CLASSES, 5)),
        (nn.CrossEntropyLoss(reduction="sum"), labels(), (CLASSES,)),
        (masked, labels(2, ignored=-1), (2, CLASSES)),
        (by_sample, torch.rand(N, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), (2,)),
    ],
)
def test_both_second_derivatives_are_those_of_the_users_loss_over_all_samples(
    loss: Any, targets: Tensor, shape: tuple[int, ...]
) -> None:
    module = Scores(shape)

    def whole(outputs: Tensor) -> Tensor:
        made = loss(outputs, targets)
        if isinstance(made, tuple):
            values, weights = made
            weights = weights if weights.shape == values.shape else weights[:, None].expand_as(values)
            return (values * weights).sum() / weights.sum()
        return made

    names = [name for name, _ in module.named_parameters()]
    start = torch.nn.utils.parameters_to_vector(module.parameters()).detach()

    def outputs_at(vector: Tensor) -> Tensor:
        parts = dict(zip(names, (v.view_as(p) for v, p in _split(vector, module)), strict=True))
        return torch.func.functional_call(module, parts, (INPUTS,))

    hessian = torch.func.hessian(lambda vector: whole(outputs_at(vector)))(start)
    jacobian = torch.func.jacrev(outputs_at)(start).flatten(0, -2)
    bent = torch.func.hessian(lambda flat: whole(flat.view_as(outputs_at(start))))(outputs_at(start).flatten())
    found, along = objective(loss, targets, shape), drawn(len(start), seed=9)
    torch.testing.assert_close(found.hessian_product(along), hessian @ along, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(
        found.gauss_newton_product(along), jacobian.T @ (bent @ (jacobian @ along)), rtol=1e-9, atol=1e-11
    )


def _split(vector: Tensor, module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    parameters = list(module.parameters())
    return list(zip(vector.split([p.numel() for p in parameters]), parameters, strict=True))


def test_a_part_has_the_weighted_mean_of_its_own_samples_and_that_means_derivatives() -> None:
    targets, places = labels(5, ignored=2), torch.tensor([0, 2, 3, 7, 11])
    loss = nn.CrossEntropyLoss(WEIGHT, ignore_index=2)
    part = objective(loss, targets, (CLASSES, 5)).part(places)
    alone = ls.Objective(Scores((CLASSES, 5)), loss, (INPUTS[places], targets[places]), device="cpu")
    assert part.evaluate().loss == pytest.approx(alone.evaluate().loss, rel=1e-12)
    assert part.evaluate().standard_error == pytest.approx(alone.evaluate().standard_error, rel=1e-12)
    along = drawn(part.theta.layout.size, seed=1)
    torch.testing.assert_close(part.gradient().vector.vector, alone.gradient().vector.vector, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(part.hessian_product(along), alone.hessian_product(along), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("counted", [0, 3])
def test_where_nothing_counts_the_loss_is_nan_and_its_gradient_zero_as_torch_has_it(counted: int) -> None:
    targets = torch.full((N,), -100)
    targets[:counted] = 1
    loss = nn.CrossEntropyLoss()
    found = objective(loss, targets)
    value, gradient = found.evaluate(), found.gradient().vector.vector
    module = Scores((CLASSES,))
    expected = loss(module(INPUTS), targets)
    slopes = torch.autograd.grad(expected, list(module.parameters()))
    assert value.loss == pytest.approx(float(expected.detach()), rel=1e-12, nan_ok=True)
    torch.testing.assert_close(gradient, torch.cat([s.flatten() for s in slopes]), rtol=1e-10, atol=1e-13)
    assert (value.accuracy is None or math.isnan(value.accuracy)) == (counted == 0)


def test_plain_cross_entropy_keeps_its_bits_whether_or_not_labels_could_be_ignored() -> None:
    values = F.cross_entropy(Scores((CLASSES,))(INPUTS), labels(), reduction="none").detach()
    for loss in ("cross_entropy", nn.CrossEntropyLoss(), F.cross_entropy, functools.partial(F.cross_entropy)):
        found = objective(loss, labels(), batch_size=N)
        assert torch.equal(found.per_sample(), values)
        assert found.evaluate().loss == float(values.mean())


@pytest.mark.parametrize(
    ("loss", "same"),
    [
        (F.smooth_l1_loss, nn.SmoothL1Loss()),
        (functools.partial(F.huber_loss, delta=0.3, reduction="sum"), nn.HuberLoss("sum", 0.3)),
    ],
)
def test_a_function_of_torch_is_the_loss_of_its_name(loss: Any, same: nn.Module) -> None:
    targets = drawn(N, 2, seed=3)
    expected = same(Scores((2,))(INPUTS), targets).item()
    assert objective(loss, targets, (2,)).evaluate().loss == pytest.approx(expected, rel=1e-12)


class Focal(nn.CrossEntropyLoss):
    """A user's subclass that keeps to its reduction."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        values = F.cross_entropy(outputs, targets, reduction="none")
        values = (1 - (-values).exp()) ** 2 * values
        return values if self.reduction == "none" else values.mean()


class Weighted(Focal):
    """One whose mean is another than that of its values."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        values = F.cross_entropy(outputs, targets, reduction="none")
        return values if self.reduction == "none" else values.sum() / (1 + targets).sum()


def test_a_subclass_of_a_torch_loss_is_held_against_its_own_value() -> None:
    expected = Focal()(Scores((CLASSES,))(INPUTS), labels()).item()
    assert objective(Focal(), labels()).evaluate().loss == pytest.approx(expected, rel=1e-12)
    with pytest.raises(InputError, match=r"Weighted.*\(values, weights\)"):
        objective(Weighted(), labels())


class Wrapped(nn.Module):
    """A loss of a user's class, averaged already."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.CrossEntropyLoss(WEIGHT)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.inner(outputs, targets)


@pytest.mark.parametrize("loss", [Wrapped(), lambda o, t: F.cross_entropy(o, t, weight=WEIGHT)])
@pytest.mark.parametrize("size", [None, 5])
def test_one_number_for_a_batch_is_refused_and_the_advice_gives_the_users_number(loss: Any, size: int | None) -> None:
    with pytest.raises(InputError, match=r"one number for a whole batch.*return \(values, weights\)"):
        objective(loss, labels(), batch_size=size)

    def advised(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return F.cross_entropy(outputs, targets, reduction="none"), WEIGHT[targets]

    expected = loss(Scores((CLASSES,))(INPUTS), labels()).item()
    assert objective(advised, labels()).evaluate().loss == pytest.approx(expected, rel=1e-12)


def contrast(outputs: Tensor, targets: Tensor) -> Tensor:
    made = F.normalize(outputs, dim=1)
    return F.cross_entropy(made @ made.roll(1, 1).T / 0.1, torch.arange(len(made)), reduction="none")


def dice(outputs: Tensor, targets: Tensor) -> Tensor:
    found = outputs.sigmoid()
    value = 1 - 2 * (found * targets).sum() / (found.sum() + targets.sum())
    return value.expand(len(targets))


def centred(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - outputs.mean(0)).square().mean(1)


@pytest.mark.parametrize("loss", [contrast, dice, centred])
@pytest.mark.parametrize("size", [4, 5, N])
def test_a_loss_that_couples_the_samples_of_a_batch_is_that_of_fixed_batches(
    loss: Callable[[Tensor, Tensor], Tensor], size: int
) -> None:
    targets = (drawn(N, CLASSES, seed=2) > 0).double()
    found = objective(loss, targets, batch_size=size)
    outputs = Scores((CLASSES,))(INPUTS)
    parts = [range(start, min(start + size, N)) for start in range(0, N, size)]
    if len(parts[-1]) == 1:
        parts[-2:] = [range(parts[-2].start, N)]
    values = [loss(outputs[list(part)], targets[list(part)]).detach() for part in parts]
    value = found.evaluate()
    assert value.loss == pytest.approx(float(torch.cat(values).mean()), rel=1e-12)
    residuals = torch.stack([(v - value.loss).sum() for v in values])
    expected = (
        float((residuals.square().sum() * len(parts) / (len(parts) - 1)).sqrt()) / N if len(parts) > 1 else math.nan
    )
    assert value.standard_error == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert re.search(rf"fixed batch\w* of {size} samples", found.provenance()["loss_batches"])
    assert found.gradient().loss == pytest.approx(value.loss, rel=1e-12)


def test_a_coupled_loss_has_a_batch_size_that_does_not_follow_the_machine() -> None:
    found = ls.Objective(Scores((CLASSES,)), contrast, (INPUTS, labels()), device="cpu")
    assert found.batch_size == 128


def test_whether_a_loss_couples_samples_is_asked_of_the_loss_and_not_of_the_module() -> None:
    net = nn.Sequential(nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.Linear(6, CLASSES)).double()

    def own(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none")

    for policy in ("batch", "frozen"):
        made = ls.Objective(net, own, (INPUTS, labels()), batch_norm=policy, device="cpu")
        assert "loss_batches" not in made.provenance()


def test_weights_that_the_parameters_move_are_refused() -> None:
    def confident(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return F.cross_entropy(outputs, targets, reduction="none"), outputs.softmax(1).max(1).values.detach()

    def accuracy(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return F.cross_entropy(outputs, targets, reduction="none"), (outputs.argmax(1) == targets).double()

    def beside(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return F.cross_entropy(outputs, targets, reduction="none"), 0.3 * outputs.square().mean(1)

    for wrong in (confident, accuracy, beside):
        with pytest.raises(InputError, match="and these weights are others at other parameters"):
            objective(wrong, labels())
    with pytest.raises(InputError, match="and these weights are others at other parameters"):
        ls.Objective(
            Scores((CLASSES,)),
            lambda model, batch: accuracy(model(batch[0]), batch[1]),
            [(INPUTS, labels())],
            device="cpu",
        )


def test_weights_that_move_far_away_alone_are_refused_there() -> None:
    def far(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        values = F.cross_entropy(outputs, targets, reduction="none")
        return values, 1.0 + (outputs.abs().amax(1) > 1e3).double()

    found = ls.Objective(nn.Linear(FEATURES, CLASSES).double(), far, (INPUTS, labels()), device="cpu")
    with pytest.raises(InputError, match="weights that depend on targets alone"):
        found.evaluate(found.theta.vector * 1e6)


@pytest.mark.parametrize(("tokens", "known"), [(5, True), (CLASSES, False)])
def test_the_accuracy_of_tokens_is_none_where_either_axis_could_hold_the_classes(tokens: int, known: bool) -> None:
    targets = labels(tokens)

    def own(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.transpose(1, 2), targets, reduction="none")

    accuracy = objective(own, targets, (tokens, CLASSES)).evaluate().accuracy
    right = (Scores((tokens, CLASSES))(INPUTS).argmax(-1) == targets).double().mean()
    assert (accuracy == pytest.approx(float(right))) if known else accuracy is None


def test_training_takes_the_users_loss_of_each_minibatch_and_histories_that_over_all_samples() -> None:
    inputs, targets = INPUTS.float(), labels(ignored=-100)
    loss = nn.CrossEntropyLoss(WEIGHT.float(), label_smoothing=0.1)
    module, twin = Scores((CLASSES,)).float(), Scores((CLASSES,)).float()
    config = ls.TrainingConfig(epochs=1, batch_size=4, learning_rate=0.1, optimizer="sgd", momentum=0.0, augment=False)
    seen: list[tuple[Tensor, Tensor]] = []

    class Watch(ls.training.Observer):
        def on_step(self, report: Any) -> None:
            seen.append((report.inputs, report.targets))

    result = ls.fit(module, (inputs, targets), config, loss=loss, device="cpu", observers=[Watch()])
    numerators = weights = torch.zeros(())
    for given, wanted in seen:
        value = loss(twin(given), wanted)
        weight = WEIGHT.float()[wanted[wanted >= 0]].sum()
        numerators, weights = numerators + value.detach().nan_to_num() * weight, weights + weight
        gradients = torch.autograd.grad(value, list(twin.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(twin.parameters(), gradients, strict=True):
                parameter -= result.history[0]["learning_rate"] * gradient.nan_to_num()
    for ours, theirs in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-4, atol=1e-5)
    assert result.history[0]["train_loss"] == pytest.approx(float(numerators / weights), rel=1e-5)


def test_several_points_at_once_and_points_given_up_have_the_weighted_mean_too() -> None:
    draws = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(300, FEATURES, generator=draws), torch.randint(0, CLASSES, (300,), generator=draws)
    loss = nn.CrossEntropyLoss(WEIGHT.float(), ignore_index=2)
    module = Scores((CLASSES,)).float()
    together = ls.Objective(module, loss, (inputs, targets), batch_size=300, device="cpu")
    alone = ls.Objective(module, loss, (inputs, targets), batch_size=50, device="cpu")
    assert (together.points_at_once, alone.points_at_once) == (16, 1)
    span = ls.random_span(together, seeds=[0], axes=1).subspaces[0]
    places = torch.tensor([[0.0], [0.5], [-2.0]]).numpy()
    for ceiling in (None, loss(module(inputs), targets).item() * 0.5):
        several, single = (o.evaluate_points(span, places, ceiling=ceiling) for o in (together, alone))
        for name in ("loss", "standard_error", "accuracy"):
            assert getattr(several, name) == pytest.approx(getattr(single, name), rel=1e-5)
        assert several.n_samples.tolist() == single.n_samples.tolist()
    assert single.n_samples.tolist() == [37, 37, 37]
    head = together._head
    assert single.loss[0] == pytest.approx(loss(module(inputs[head]), targets[head]).item(), rel=1e-5)


def test_sharpness_is_the_rise_of_the_weighted_loss() -> None:
    targets, loss = labels(5, ignored=2), nn.CrossEntropyLoss(WEIGHT, ignore_index=2)
    found = objective(loss, targets, (CLASSES, 5))
    rho, slope = 0.05, found.gradient().vector.vector
    made = ls.sharpness(found, ls.SharpnessConfig(measures=("sam",), rho=(rho,)))
    risen = found.theta.vector + rho * slope / slope.norm()
    expected = found.evaluate(risen).loss - found.evaluate().loss
    assert float(made["sharpness"].squeeze()) == pytest.approx(expected, rel=1e-9)
    shares = found.per_sample(risen) - found.per_sample()
    residuals = shares - expected * found.spread.weights
    error = math.sqrt(N / (N - 1) * float(residuals.square().sum())) / N
    assert float(made["standard_error"].squeeze()) == pytest.approx(error, rel=1e-9)


def test_values_of_labels_that_are_no_class_are_part_of_a_functions_mean_with_a_warning() -> None:
    def own(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none")

    with pytest.warns(UserWarning, match=r"0\.385 of the labels are none of the 4 classes.*\(values, weights\)"):
        found = objective(own, labels(ignored=-100)).evaluate()
    assert found.loss == pytest.approx(float(own(Scores((CLASSES,))(INPUTS), labels(ignored=-100)).mean()), rel=1e-12)
    kept = labels(ignored=-100) >= 0
    right = (Scores((CLASSES,))(INPUTS).argmax(1) == labels(ignored=-100))[kept]
    assert found.accuracy == pytest.approx(float(right.double().mean()))


def test_a_loss_that_writes_into_what_it_is_given_is_measured_as_one_that_does_not() -> None:
    def careless(outputs: Tensor, targets: Tensor) -> Tensor:
        targets -= 1
        outputs -= outputs.max(1, keepdim=True).values
        return F.cross_entropy(outputs, targets, reduction="none")

    given = labels() % 3 + 1
    expected = F.cross_entropy(Scores((CLASSES,))(INPUTS), given - 1)
    made = objective(careless, given, metric=lambda outputs, targets: None)
    assert made.evaluate().loss == pytest.approx(float(expected.detach()), rel=1e-12)
    assert "loss_batches" not in made.provenance()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_outputs_that_cannot_be_cut_are_made_again_for_two_samples(precision: str) -> None:
    """Of a module that returns its tokens first, or a number of the whole batch beside its scores."""

    def first(module: nn.Module, inputs: Tensor) -> Tensor:
        return module(inputs).transpose(0, 1)

    def own(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.permute(1, 2, 0), targets, reduction="none")

    def balanced(module: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
        made = module(inputs)
        return made, made.var(0).mean()

    def with_balance(outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs[0].movedim(-1, 1).float(), targets, reduction="none") + outputs[1]

    module, data = Scores((5, CLASSES)).float(), (INPUTS.float(), labels(5))
    options: dict[str, Any] = {"device": "cpu", "precision": precision, "metric": lambda o, t: None}
    assert not ls.Objective(module, own, data, forward=first, **options).couples
    assert ls.Objective(module, with_balance, data, forward=balanced, **options).couples
