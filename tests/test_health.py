"""Dead networks are recognised by what they do, whatever the loss and the labels, and nothing that lives is called dead."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from dead_networks import FAMILIES, Draws, drawn, leaky
from torch import Tensor, nn
from training_samples import CLASSES

import landscape as ls
from landscape.numerics.seeds import generator
from landscape.objective.dependence import best_constant_loss
from landscape.objective.torch_losses import per_sample_loss
from landscape.probes.health import Health, health_of, network_health
from landscape.training import TrainingConfig

MANY = math.ceil(200 / len(FAMILIES))


def judged(family: str, number: int) -> tuple[Health, bool, int]:
    """What is found, and what is so."""
    case = drawn(family, number)
    policy = "batch" if case.module.training else "frozen"
    objective = ls.Objective(case.module, case.loss, case.data, batch_norm=policy)
    return network_health(objective, objective.evaluate().loss), case.dead, case.first


def right(family: str, number: int) -> bool:
    found, dead, first = judged(family, number)
    part = f"no gradient reaches the first {first} of" if first else ""
    return (
        found.dead == dead
        and bool(found.reason) == dead
        and found.part.startswith(part)
        and bool(first) == bool(found.part)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_dead_is_known_by_how_it_was_made(family: str) -> None:
    assert right(family, 0)
    assert right(family, 1)


def test_weights_behind_a_layer_that_is_still_zero_are_not_dead_in_part() -> None:
    last, middle = (judged("beginning of training", number)[0] for number in (3, 12))
    assert last.part == middle.part == ""


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_all_of_two_hundred_drawn_networks_are_judged_rightly(family: str) -> None:
    assert [number for number in range(MANY) if not right(family, number)] == []


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_drawn_dead_do_not_use_their_input_after_more_training(family: str) -> None:
    for case in (drawn(family, number) for number in range(4)):
        if not case.dead:
            continue
        (inputs, targets), loss = case.data, per_sample_loss(case.loss)
        steps = torch.optim.SGD(
            case.module.parameters(), lr=1e-2 / max(1, float(loss(case.module(inputs), targets).mean().detach()))
        )
        for _ in range(100):
            steps.zero_grad()
            loss(case.module(inputs), targets).mean().backward()
            steps.step()
        outputs = case.module(inputs).detach()
        assert float((outputs - outputs[0]).abs().max()) <= 1e-6 * float(outputs.abs().max())


def unbalanced() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    draws = Draws("of the tests", 0)
    targets = torch.arange(100).clamp(max=9)  # 91 of the last class
    module = draws.chain(40, 10, leaky)
    with torch.no_grad():
        module[-1].weight.mul_(0.01)
        module[-1].bias.copy_((torch.bincount(targets) / 100).log())
    return module, (draws.normal(100, 16), targets)


def test_the_reason_names_outputs_losses_and_the_gradient_over_depth() -> None:
    module, data = unbalanced()
    objective = ls.Objective(module, data=data)
    found = network_health(objective, objective.evaluate().loss)
    entropy = -0.91 * math.log(0.91) - 0.09 * math.log(0.01)
    assert found.dead
    assert f"loss {entropy:.5g} is that of the best constant prediction, {entropy:.5g}" in found.reason
    assert "outputs do not depend on the input (over 100 samples they are the same)" in found.reason
    sizes = re.search(r"(\S+) in the first of 41 weight tensors, (\S+) in the median, (\S+) in the last", found.reason)
    assert sizes is not None
    means = [float(g.abs().mean()) for g in objective.gradient().vector.views().values() if g.ndim > 1]
    expected = [means[0], sorted(means)[20], means[-1]]
    assert [float(size) for size in sizes.groups()] == [float(f"{mean:.0e}") for mean in expected]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("cross_entropy", lambda y: -(y.bincount() / len(y) * (y.bincount() / len(y)).log()).sum()),
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0])), None),
        (nn.MSELoss(), lambda y: y.var(0, correction=0).mean()),
        (nn.MSELoss(reduction="sum"), lambda y: y.var(0, correction=0).sum() * len(y)),
        (nn.L1Loss(), lambda y: (y - y.median(0).values).abs().mean()),
        (lambda z, y: ((z - y) ** 4).sum(1), lambda y: ((y - y.mean(0)) ** 4).sum(1).mean()),
    ],
)
def test_the_best_constant_prediction_is_that_of_the_closed_form(loss: Any, expected: Any) -> None:
    draws = generator(0, "best constant")
    labels = loss == "cross_entropy" or isinstance(loss, nn.CrossEntropyLoss)
    # symmetric numbers, so that every even loss is smallest at their mean
    half = torch.randn(40, 3, generator=draws)
    targets = torch.randint(3, (81,), generator=draws) if labels else torch.cat([half, -half, torch.zeros(1, 3)]) + 2
    if expected is None:
        shares = targets.bincount() * loss.weight / (targets.bincount() * loss.weight).sum()
        value = -(shares * shares.log()).sum()
    else:
        value = expected(targets)
    module = nn.Linear(5, 3)
    found = best_constant_loss(ls.Objective(module, loss, (torch.randn(81, 5, generator=draws), targets)))
    assert found == pytest.approx(float(value), rel=2e-3)


def test_a_loss_without_a_smallest_value_has_no_best_constant() -> None:
    module = nn.Sequential(nn.Linear(5, 3), nn.LogSoftmax(1))
    data = (torch.randn(60, 5, generator=generator(0, "best constant")), torch.arange(60) % 3)
    own = ls.Objective(module, lambda z, y: -z.gather(1, y[:, None])[:, 0], data)
    assert math.isnan(best_constant_loss(own))
    assert best_constant_loss(ls.Objective(module, nn.NLLLoss(), data)) == pytest.approx(math.log(3), rel=1e-4)


def test_nothing_is_called_dead_where_it_cannot_be_told() -> None:
    module, (inputs, targets) = unbalanced()

    def found(data: Any, loss: Any = "cross_entropy", **how: Any) -> bool:
        objective = ls.Objective(module, loss, data, **how)
        return network_health(objective, objective.evaluate().loss).dead

    assert found((inputs, targets))
    assert not found((inputs[:1].repeat(100, 1), targets))
    assert not found((inputs[:1], targets[:1]))
    assert not found((inputs, torch.zeros_like(targets)))  # nothing to predict
    assert not found((inputs, targets), lambda z, y: z.square().sum(1))
    whole = {"forward": lambda module, x: module(x).T}  # no row a sample
    assert not found((inputs, targets), lambda z, y: nn.functional.cross_entropy(z.T, y, reduction="none"), **whole)


@pytest.mark.parametrize("precision", ["fp32", "fp64", "bf16"])
def test_the_verdict_does_not_depend_on_the_precision(precision: str) -> None:
    module, data = unbalanced()
    objective = ls.Objective(module, data=data, precision=precision)
    assert network_health(objective, objective.evaluate().loss).dead


def test_the_plain_deep_network_is_dead_and_batch_norm_keeps_it_alive() -> None:
    images = torch.randn(12, 3, 8, 8, generator=generator(0, "images"))
    data = (images, torch.arange(12) % CLASSES)
    verdicts = {}
    for norm in ("none", "batch"):
        module, flow = ls.build_model("vgg38", seed=0, norm=norm, classes=CLASSES, filters=3), ls.GradientFlow()
        result = ls.fit(module, data, TrainingConfig(epochs=1, batch_size=12), observers=[flow], device="cpu")
        verdicts[norm] = health_of(module, "cross_entropy", ls.as_data(data), result, flow.dataset(), "cpu")
    assert verdicts["none"].dead
    assert not verdicts["batch"].dead
    assert verdicts["none"].gradient < 1e-12 < 1e-4 < verdicts["batch"].gradient
    assert verdicts["batch"].part == ""


def test_a_network_that_was_dead_at_the_start_of_its_training_is_told_apart() -> None:
    draws = Draws("of the tests", 1)
    module, inputs = draws.chain(3, 2, leaky), draws.normal(60, 16)
    data, flow = (inputs, draws.labels(inputs, 2)), ls.GradientFlow()
    result = ls.fit(module, data, TrainingConfig(epochs=2, batch_size=20), observers=[flow], device="cpu")
    first, record = flow.dataset(), flow.dataset()["mean_abs_gradient"].copy()
    for name in ("mean_abs_gradient", "gradient_norm"):
        record = first[name].copy()
        record[0, :4] = 1e-20
        first[name] = record
    lived = health_of(module, "cross_entropy", ls.as_data(data), result, flow.dataset(), "cpu")
    woken = health_of(module, "cross_entropy", ls.as_data(data), result, first, "cpu")
    assert (lived.dead, woken.dead, lived.part) == (False, False, "")
    assert (
        woken.part
        == "in epoch 1 of its training no gradient reached the first 2 of 4 weight tensors (0.weight, 2.weight)"
    )
