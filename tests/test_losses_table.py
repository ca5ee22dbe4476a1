"""At the checkpoint the objective's loss is the user's own, over all samples as in one batch, and so are its derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import landscape as ls

N, FEATURES, CLASSES = 13, 3, 4
F = nn.functional


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Scores(nn.Module):
    """Scores ``(N, *shape)``, linear in the inputs but for a tanh, and then what makes a loss's argument of them."""

    def __init__(self, shape: tuple[int, ...], last: Callable[[Tensor], Tensor] = torch.tanh) -> None:
        super().__init__()
        self.shape, self.last = shape, last
        self.layer = nn.Linear(FEATURES, math.prod(shape), dtype=torch.float64)
        with torch.no_grad():
            self.layer.weight.copy_(drawn(*self.layer.weight.shape, seed=1))
            self.layer.bias.copy_(drawn(*self.layer.bias.shape, seed=2))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.layer(inputs).view(-1, *self.shape))


def log_softmax(scores: Tensor) -> Tensor:
    return scores.log_softmax(1)


def labels(*rest: int, ignored: int | None = None) -> Tensor:
    found = torch.randint(0, CLASSES, (N, *rest), generator=torch.Generator().manual_seed(3))
    if ignored is not None:
        found.view(-1)[:: 3 if rest else 4] = ignored
        found[4:6] = ignored  # whole samples, and, in batches of 2, a whole batch
    return found


def probabilities(*shape: int) -> Tensor:
    return drawn(*shape, seed=4).softmax(1)


WEIGHT = torch.tensor([0.1, 1.0, 5.0, 0.0], dtype=torch.float64)
POSITIVE = torch.tensor([0.3, 2.0, 7.0, 1.0], dtype=torch.float64)
SIGNS = torch.where(drawn(N, CLASSES, seed=5) > 0, 1.0, -1.0).double()
MULTI = torch.tensor([[0, 2, -1, 1], [3, -1, 0, 0], [1, 2, 3, -1]])[torch.arange(N) % 3]
REDUCTIONS = ("mean", "sum", "none")
Row = tuple[str, nn.Module, Callable[[Tensor], Tensor], tuple[int, ...], Tensor]


def rows() -> Iterator[Row]:
    """A name, the loss, what makes its input of scores, the shape of a sample's outputs, and targets."""
    for reduction in REDUCTIONS:
        for rest in ((), (5,), (2, 3)):
            for options in (
                {},
                {"weight": WEIGHT},
                {"label_smoothing": 0.1},
                {"weight": WEIGHT, "label_smoothing": 0.2},
            ):
                for ignored in (None, -100, 2):
                    index = {} if ignored is None else {"ignore_index": ignored}
                    loss = nn.CrossEntropyLoss(reduction=reduction, **index, **options)
                    name = f"cross-entropy {reduction} {rest} {sorted(options)} {ignored}"
                    yield name, loss, torch.tanh, (CLASSES, *rest), labels(*rest, ignored=ignored)
                loss = nn.CrossEntropyLoss(reduction=reduction, **options)
                name = f"cross-entropy of probabilities {reduction} {rest} {sorted(options)}"
                yield name, loss, torch.tanh, (CLASSES, *rest), probabilities(N, CLASSES, *rest)
            for weight in (None, WEIGHT):
                loss = nn.NLLLoss(weight, ignore_index=-1, reduction=reduction)
                name = f"nll {reduction} {rest} {weight is None}"
                yield name, loss, log_softmax, (CLASSES, *rest), labels(*rest, ignored=-1)
        for plain in (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss):
            for shape in ((1,), (), (CLASSES,), (2, 3, 2)):
                yield (
                    f"{plain.__name__} {reduction} {shape}",
                    plain(reduction=reduction),
                    torch.tanh,
                    shape,
                    drawn(N, *shape),
                )
        for full in (False, True):
            counts = labels(2).double()
            yield (
                f"poisson {reduction} {full}",
                nn.PoissonNLLLoss(full=full, reduction=reduction),
                torch.tanh,
                (2,),
                counts,
            )
        for weight in (None, POSITIVE):
            given = torch.sigmoid, (CLASSES,), probabilities(N, CLASSES)
            yield f"bce {reduction} {weight is None}", nn.BCELoss(weight, reduction=reduction), *given
            loss = nn.BCEWithLogitsLoss(weight, reduction=reduction, pos_weight=WEIGHT)
            yield f"bce with logits {reduction} {weight is None}", loss, torch.tanh, *given[1:]
            loss = nn.MultiMarginLoss(p=2, weight=weight, reduction=reduction)
            yield f"multi-margin {reduction} {weight is None}", loss, torch.tanh, (CLASSES,), labels()
            loss = nn.MultiLabelSoftMarginLoss(weight, reduction=reduction)
            yield (
                f"multi-label soft margin {reduction} {weight is None}",
                loss,
                torch.tanh,
                (CLASSES,),
                (SIGNS > 0).double(),
            )
        yield f"hinge {reduction}", nn.HingeEmbeddingLoss(reduction=reduction), torch.tanh, (CLASSES,), SIGNS
        yield f"soft margin {reduction}", nn.SoftMarginLoss(reduction=reduction), torch.tanh, (CLASSES,), SIGNS
        yield (
            f"multi-label margin {reduction}",
            nn.MultiLabelMarginLoss(reduction=reduction),
            torch.tanh,
            (CLASSES,),
            MULTI,
        )
    for reduction in (*REDUCTIONS, "batchmean"):
        for log_target in (False, True):
            target = probabilities(N, CLASSES, 2)
            loss = nn.KLDivLoss(reduction=reduction, log_target=log_target)
            yield (
                f"kl {reduction} {log_target}",
                loss,
                log_softmax,
                (CLASSES, 2),
                target.log() if log_target else target,
            )


TABLE = {row[0]: row[1:] for row in rows()}


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("name", TABLE)
def test_the_loss_and_its_gradient_are_those_of_torch_over_all_samples(name: str) -> None:
    loss, last, shape, targets = TABLE[name]
    module, inputs = Scores(shape, last), drawn(N, FEATURES)
    value = loss(module(inputs), targets).mean()
    expected, value = torch.autograd.grad(value, list(module.parameters())), value.detach()
    objective = ls.Objective(module, loss, (inputs, targets), batch_size=2, device="cpu")
    found, gradient = objective.evaluate(), objective.gradient()
    assert found.loss == pytest.approx(float(value), rel=1e-9, abs=1e-12)
    assert gradient.loss == pytest.approx(float(value), rel=1e-9, abs=1e-12)
    assert math.isfinite(found.standard_error)
    for part, whole in zip(gradient.vector.views().values(), expected, strict=True):
        torch.testing.assert_close(part, whole, rtol=1e-9, atol=1e-12)
