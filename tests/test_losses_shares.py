"""A loss taken apart into its samples: the mean of the shares is torch's own number; names, words and units; what is refused."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.objective.losses import SampleLoss, check_values, loss_name, loss_unit, samples_of
from landscape.objective.torch_losses import cross_entropy, described, mse, per_sample_loss

F = nn.functional
DRAWS = torch.Generator().manual_seed(0)
SCORES = torch.randn(5, 3, 2, generator=DRAWS, dtype=torch.float64)
LABELS = torch.tensor([[0, 1], [2, 2], [1, 0], [2, 1], [0, 2]])
WEIGHT = torch.tensor([0.5, 2.0, 0.0], dtype=torch.float64)
TARGETS = torch.randn(5, 3, 2, generator=DRAWS, dtype=torch.float64)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (nn.CrossEntropyLoss(), LABELS),
        (nn.CrossEntropyLoss(WEIGHT), LABELS),
        (nn.CrossEntropyLoss(ignore_index=1), LABELS),
        (nn.CrossEntropyLoss(WEIGHT, ignore_index=0), LABELS),
        (nn.CrossEntropyLoss(WEIGHT, reduction="sum"), LABELS),
        (nn.CrossEntropyLoss(WEIGHT), TARGETS.softmax(1)),
        (nn.NLLLoss(WEIGHT), LABELS),
        (nn.MSELoss(), TARGETS),
        (nn.MSELoss(reduction="sum"), TARGETS),
        (nn.KLDivLoss(reduction="batchmean"), TARGETS.softmax(1)),
        (nn.HuberLoss(delta=0.3), TARGETS),
    ],
)
def test_the_mean_of_the_shares_of_a_batch_is_torchs_loss(loss: nn.Module, targets: Tensor) -> None:
    made = per_sample_loss(loss)
    shares = made(SCORES, targets)
    assert shares.shape == (5,)
    torch.testing.assert_close(shares.mean(), loss(SCORES, targets), rtol=1e-12, atol=0)
    assert made.whole is not loss
    assert made.whole(SCORES, targets) == loss(SCORES, targets)  # type: ignore[misc]


def test_parts_over_all_samples_are_added_up_batch_by_batch() -> None:
    loss = nn.CrossEntropyLoss(WEIGHT, ignore_index=0)
    made = per_sample_loss(loss)
    whole = made.parts(SCORES, LABELS)
    assert whole.weights is not None
    assert whole.weights.tolist() == [2.0, 0.0, 2.0, 2.0, 0.0]
    assert whole.counted is not None
    assert whole.counted.tolist() == [[False, True], [False, False], [True, False], [False, True], [False, False]]
    told = made.over(5, whole.weights)
    assert (told.scale, told.samples, told.weigh) == (5 / 6, 5, None)
    parts = torch.cat([told(SCORES[i : i + 2], LABELS[i : i + 2]) for i in (0, 2, 4)])
    torch.testing.assert_close(parts.mean(), loss(SCORES, LABELS), rtol=1e-12, atol=0)
    assert made.over(5, torch.zeros(5)).scale == 0.0
    summed = per_sample_loss(nn.MSELoss(reduction="sum")).over(5, None)
    assert (summed.scale, summed.samples) == (5.0, 5)
    parts = torch.cat([summed(SCORES[i : i + 2], TARGETS[i : i + 2]) for i in (0, 2, 4)])
    torch.testing.assert_close(parts.mean(), ((SCORES - TARGETS) ** 2).sum(), rtol=1e-12, atol=0)


def test_shares_are_scaled_where_weights_or_nothing_divide() -> None:
    plain, summed = per_sample_loss("mse"), per_sample_loss(nn.MSELoss(reduction="sum"))
    weighted = per_sample_loss(nn.CrossEntropyLoss(WEIGHT))
    assert [made.scaled(None) for made in (plain, summed, weighted)] == [False, True, True]
    assert plain.scaled(torch.ones(2))
    told = plain.over(5, None)
    assert torch.equal(told(SCORES, TARGETS), plain(SCORES, TARGETS))


def test_a_batch_of_which_nothing_counts_has_no_loss_and_a_gradient_of_zero() -> None:
    scores = SCORES.clone().requires_grad_()
    shares = per_sample_loss(nn.CrossEntropyLoss(ignore_index=1))(scores, torch.ones_like(LABELS))
    assert bool(shares.isnan().all())
    assert not torch.autograd.grad(shares.sum(), scores)[0].any()


def test_weights_that_add_up_to_one_give_the_weighted_mean() -> None:
    values, weights = SCORES[:, 0, 0], torch.tensor([0.25, 0.75, 0.0, 0.0, 0.0])
    expected = 0.25 * values[0] + 0.75 * values[1]
    torch.testing.assert_close(own((values, weights))(None, None).mean(), expected, rtol=1e-12, atol=0)


def test_where_every_value_weighs_one_the_plain_loss_is_the_same() -> None:
    made = per_sample_loss(nn.CrossEntropyLoss())
    plain = made.plain()
    assert (plain.divisor, plain.weigh, plain.count, plain.words) == ("elements", None, None, made.words)
    torch.testing.assert_close(plain(SCORES, LABELS), made(SCORES, LABELS), rtol=1e-12, atol=0)
    assert per_sample_loss(nn.MSELoss(reduction="sum")).plain().divisor == "nothing"


def own(values: Any) -> SampleLoss:
    return per_sample_loss(lambda outputs, targets: values)


def test_a_users_weights_are_of_values_or_of_samples() -> None:
    values = (SCORES - TARGETS).square().mean(1)
    of_values = torch.tensor([[1, 0], [2, 1], [0, 0], [1, 1], [3, 0]])
    made = own((values, of_values)).parts(None, None)
    assert made.weights is not None and made.counted is not None
    torch.testing.assert_close(made.numerators, (values * of_values).sum(1))
    assert made.weights.dtype == torch.float64
    assert made.weights.tolist() == [1, 3, 0, 2, 3]
    assert torch.equal(made.counted, of_values != 0)
    of_samples = torch.tensor([1.0, 0.0, 2.0, 1.0, 1.0])
    made = own([values, of_samples]).parts(None, None)
    assert made.weights is not None and made.counted is not None
    torch.testing.assert_close(made.numerators, values.mean(1) * of_samples)
    assert made.weights.tolist() == of_samples.tolist()
    assert torch.equal(made.counted, of_samples != 0)
    single = own((values[:, 0], of_samples)).parts(None, None)
    torch.testing.assert_close(single.numerators, values[:, 0] * of_samples)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            torch.tensor(1.0),
            r"^loss: expected one value a sample, .*got a tensor of shape \(\), one number for a whole batch",
        ),
        (0.5, r"got 0\.5, one number for a whole batch"),
        (3, r"got 3, one number for a whole batch"),
        ("nothing", r"^loss: expected one value a sample, .* or \(values, weights\), got 'nothing'\.$"),
        ([1.0, 2.0, 3.0], r"got a list of 3\.$"),
        (None, r"got None\.$"),
        (torch.ones(5, dtype=torch.complex64), r"^loss: expected real numbers, got values of torch\.complex64"),
        (
            (torch.ones(5, 2), torch.ones(2)),
            r"^loss: expected weights of the values' shape \(5, 2\), or one a sample \(5,\), got",
        ),
        ((torch.ones(5, 2), (1, 2)), r"got a tuple of 2\.$"),
        ((torch.ones(5, 2), torch.ones(5, 1)), r"got a tensor of shape \(5, 1\)\.$"),
    ],
)
def test_what_gives_no_value_a_sample_is_refused_with_what_it_gave(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        own(values).parts(SCORES, LABELS)


def test_one_number_for_a_batch_is_taken_for_each_of_its_samples_where_that_was_said() -> None:
    made = SampleLoss(lambda outputs, targets: outputs.mean(), "mean", of_batches=True, own=True)
    assert made(SCORES, LABELS).tolist() == [float(SCORES.mean())] * 5
    assert made(SCORES, {"a": torch.tensor(1), "b": [LABELS]}).shape == (5,)
    assert samples_of((torch.tensor(0.0), "text", torch.zeros(4, 2), torch.zeros(3))) == 4
    check_values(torch.ones(5, 2))


@pytest.mark.parametrize(("factor", "refused"), [(1 + 2e-4, True), (1 - 2e-4, True), (1 + 5e-5, False), (1.0, False)])
def test_weights_that_add_up_to_another_sum_are_refused(factor: float, refused: bool) -> None:
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    told = own(None).over(3, weights)
    if refused:
        with pytest.raises(InputError, match=rf"another sum \({6 * factor:.6g}, at the checkpoint 6\)\. Take them"):
            told.refuse_moved(factor * weights)
    else:
        told.refuse_moved(factor * weights)
    told.refuse_moved(9 * weights[:2])  # of some samples alone
    own(None).refuse_moved(9 * weights)  # before the sum is known


def test_names_and_units() -> None:
    assert [loss_name(x) for x in ("mse", cross_entropy, nn.MSELoss())] == ["mse", "cross_entropy", "MSELoss"]
    assert [loss_unit(x) for x in ("cross_entropy", "CrossEntropyLoss", "mse")] == ["nat", "nat", "1"]
    assert per_sample_loss("mse").words == "mse"
    words = per_sample_loss(nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1)).words
    assert words == (
        "torch.nn.modules.loss.CrossEntropyLoss(reduction='mean', ignore_index=-100, label_smoothing=0.1, "
        "weight=[0.5, 2.0, 0.0])"
    )
    assert "weight=(33,)" in per_sample_loss(nn.NLLLoss(torch.ones(33))).words
    assert f"weight={[1.0] * 32}" in per_sample_loss(nn.NLLLoss(torch.ones(32))).words
    part = functools.partial(mse, flag=1, name="x")
    assert described(part) == "landscape.objective.torch_losses.mse(flag=1, name='x')"
    assert described(nn.ReLU()) == "torch.nn.modules.activation.ReLU"
    assert per_sample_loss(lambda outputs, targets: outputs).words.endswith(".test_names_and_units.<locals>.<lambda>")


@pytest.mark.parametrize(
    ("function", "module"),
    [
        (cross_entropy, nn.CrossEntropyLoss()),
        (mse, nn.MSELoss()),
        (F.l1_loss, nn.L1Loss()),
        (functools.partial(F.huber_loss, delta=0.3, reduction="sum"), nn.HuberLoss("sum", 0.3)),
    ],
)
def test_a_function_of_torch_means_its_module(function: Any, module: nn.Module) -> None:
    made, theirs = per_sample_loss(function), per_sample_loss(module)
    assert (made.words, made.divisor, made.takes, made.own) == (theirs.words, theirs.divisor, theirs.takes, False)


def test_the_named_losses_are_values_before_they_are_averaged() -> None:
    assert torch.equal(cross_entropy(SCORES, LABELS), F.cross_entropy(SCORES, LABELS, reduction="none"))
    torch.testing.assert_close(mse(SCORES, TARGETS), (SCORES - TARGETS) ** 2)


def test_what_only_looks_like_a_function_of_torch_is_the_users_own() -> None:
    def mse_loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs - targets

    weighted = functools.partial(F.mse_loss, weight=torch.ones(1))
    positional = functools.partial(F.mse_loss, SCORES)
    for loss in (mse_loss, weighted, positional, nn.Bilinear(1, 1, 1)):
        made = per_sample_loss(loss)
        assert made.own
        assert made.function is loss
        assert (made.divisor, made.takes, made.whole) == ("elements", "anything", None)


def test_what_a_loss_takes_is_known_of_torchs_own_and_not_of_a_subclass() -> None:
    class Mine(nn.MSELoss):
        def forward(self, *given: Tensor) -> Tensor:
            return 2 * super().forward(*given)

    takes = {"labels": nn.NLLLoss(), "shape": nn.L1Loss(), "anything": nn.MultiMarginLoss()}
    for expected, loss in takes.items():
        assert (per_sample_loss(loss).takes, per_sample_loss(loss).own) == (expected, False)
    mine = Mine(reduction="sum")
    made = per_sample_loss(mine)
    assert (made.own, made.divisor, made.takes) == (True, "nothing", "anything")
    assert made.whole(SCORES, TARGETS) == mine(SCORES, TARGETS)  # type: ignore[misc]
    assert made.function(SCORES, TARGETS).shape == SCORES.shape
    assert mine.reduction == "sum"


def test_tensors_of_a_loss_are_taken_along_and_the_users_stay() -> None:
    loss = nn.CrossEntropyLoss(torch.ones(3))
    made = per_sample_loss(loss, torch.device("cpu"), torch.float64)
    assert made.function.weight.dtype == torch.float64  # type: ignore[attr-defined]
    assert loss.weight is not None and loss.weight.dtype == torch.float32
    assert loss.reduction == "mean"
    elsewhere = per_sample_loss("mse", torch.device("meta"))
    assert torch.equal(elsewhere(SCORES, TARGETS), per_sample_loss("mse")(SCORES, TARGETS))
    assert per_sample_loss(made) is made


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("cross_entrpy", r"^loss: .*Did you mean 'cross_entropy'\?"),
        (nn.MSELoss, r"^loss: expected a loss, got the class MSELoss\. Make one of it: MSELoss\(\)\.$"),
        (7, r"^loss: expected a name \(causal_lm, cross_entropy, mse\) or a callable \(outputs, targets\), got 7\.$"),
        (
            nn.MSELoss(reduction="median"),
            r"^loss: expected a reduction of none, mean, batchmean, sum, got 'median' in torch\.",
        ),
        (
            F.ctc_loss,
            r"^loss: CTCLoss takes log_probs .*, expected a loss of \(outputs, targets\)\. Give a function, such as",
        ),
        (nn.TripletMarginLoss(), r"^loss: TripletMarginLoss takes anchor, positive and negative, expected"),
    ],
)
def test_what_is_no_loss_is_refused_with_what_to_give(loss: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        per_sample_loss(loss)


def test_a_reference_is_the_loss_it_names(tmp_path: Path) -> None:
    made = per_sample_loss("torch.nn.functional:l1_loss")
    assert made.words == per_sample_loss(nn.L1Loss()).words
    assert math.isclose(float(made(SCORES, TARGETS).mean()), float((SCORES - TARGETS).abs().mean()))
    (tmp_path / "own.py").write_text("from torch import nn, ones\nweighted = nn.NLLLoss(ones(3))\n")
    weighted = per_sample_loss(f"{tmp_path}/own.py:weighted", torch.device("cpu"), torch.float64)
    assert weighted.function.weight.dtype == torch.float64  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"^loss: "):
        per_sample_loss("no_such_module:weighted")
