"""What is no loss of its outputs and targets is refused in a sentence, and what the sentence says to give is measured."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from test_losses_own import INPUTS, objective
from test_losses_table import CLASSES, N, Scores, drawn, labels
from torch import Tensor, nn

import landscape as ls
from landscape.data import TensorData
from landscape.errors import InputError

F = nn.functional


@pytest.mark.parametrize(
    "loss", [lambda o, t: (o - t).square(), lambda o, t: (o - t).square().mean(1), lambda o, t: F.mse_loss(o, t)]
)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_broadcast_of_outputs_and_targets_is_refused_with_both_shapes(loss: Any, swapped: bool) -> None:
    shape, targets = ((), drawn(N, 1)) if swapped else ((1,), drawn(N))
    with pytest.raises(InputError, match=r"\(\d+, 1\).*\(\d+,\)|\(\d+,\).*\(\d+, 1\)"):
        objective(loss, targets, shape)
    fitting = targets.view(-1) if swapped else targets[:, None]
    if loss(torch.zeros(2, 1), torch.zeros(2, 1)).ndim:
        objective(lambda o, t: (o - t).square(), fitting, shape)


@pytest.mark.parametrize(
    ("loss", "targets", "shape", "said"),
    [
        ("mse", drawn(N), (1,), r"\(4, 1\).*\(4,\).*targets\[..., None\]"),
        ("mse", drawn(N, 1), (), r"\(4,\).*\(4, 1\).*squeeze"),
        ("mse", labels(), (CLASSES,), r"one_hot"),
        (nn.KLDivLoss(), drawn(N), (1,), r"\(4, 1\).*\(4,\)"),
        (nn.PoissonNLLLoss(), drawn(N), (1,), r"\(4, 1\).*\(4,\)"),
        (nn.BCEWithLogitsLoss(), labels(), (), r"BCEWithLogitsLoss"),
        ("cross_entropy", labels()[:, None], (CLASSES,), r"\(4,\).*\(4, 1\).*squeeze\(1\)"),
        ("cross_entropy", F.one_hot(labels(), CLASSES), (CLASSES,), r"argmax\(1\)"),
        ("cross_entropy", labels().double(), (CLASSES,), r"targets.long\(\)"),
        ("cross_entropy", labels() > 1, (CLASSES,), r"targets.long\(\)"),
        ("cross_entropy", labels(2).int(), (CLASSES, 2), r"targets.long\(\)"),
        ("cross_entropy", drawn(N, CLASSES), (CLASSES,), r"loss='mse'"),
        ("cross_entropy", drawn(N, 1), (1,), r"at least 2.*loss='mse'"),
        ("cross_entropy", labels(5), (5, CLASSES), r"movedim\(-1, 1\)"),
        ("cross_entropy", labels(5), (CLASSES,), r"\(4, 4\).*\(4, 5\)"),
        (nn.CTCLoss(), labels(), (CLASSES,), r"CTCLoss takes.*nn.functional.ctc_loss"),
        (nn.GaussianNLLLoss(), drawn(N), (1,), r"nn.functional.gaussian_nll_loss"),
        (nn.BCEWithLogitsLoss(torch.rand(N)), drawn(N).sigmoid(), (), r"weight of shape \(13,\)"),
        (lambda o, t: (o, t, t), labels(), (CLASSES,), r"a tuple of 3"),
        (lambda o, t: (o, t[:2]), labels(), (CLASSES,), r"weights of the values' shape \(4, 4\)"),
        (lambda o, t: o[t > 0].sum(1), labels(), (CLASSES,), r"one value a sample.*weight 0"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence_that_mends_it(
    loss: Any, targets: Tensor, shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        objective(loss, targets, shape)


def test_the_function_that_a_refusal_names_is_measured() -> None:
    """CTC and the two-armed losses, each as its refusal writes it."""
    spread = functools.partial(torch.chunk, chunks=2, dim=1)

    def two(module: nn.Module, inputs: Tensor) -> tuple[Tensor, ...]:
        return spread(module(inputs))

    signs = torch.where(drawn(N) > 0, 1.0, -1.0).double()

    def cosine(outputs: Any, targets: Tensor) -> Tensor:
        return F.cosine_embedding_loss(*outputs, targets, reduction="none")

    found = objective(cosine, signs, (6,), forward=two).evaluate().loss
    expected = nn.CosineEmbeddingLoss()(*spread(Scores((6,))(INPUTS)), signs)
    assert found == pytest.approx(float(expected.detach()), rel=1e-12)

    def log_probs(module: nn.Module, inputs: Tensor) -> Tensor:
        return module(inputs).log_softmax(-1).transpose(0, 1)

    def ctc(outputs: Tensor, targets: Any) -> Tensor:
        values = F.ctc_loss(outputs, targets[0], targets[1], targets[2], reduction="none")
        return values / targets[2].clamp(min=1)

    lengths = torch.arange(N) % 2 + 1
    given = (1 + labels(2) % 2, torch.full((N,), 6), lengths)
    data = TensorData(INPUTS, given)
    found = ls.Objective(Scores((6, CLASSES)), ctc, data, forward=log_probs, batch_size=5, device="cpu").evaluate().loss
    expected = nn.CTCLoss()(log_probs(Scores((6, CLASSES)), INPUTS), *given)
    assert found == pytest.approx(float(expected.detach()), rel=1e-12)


@pytest.mark.parametrize("returned", ["mapping", "tuple"])
def test_a_module_that_returns_no_tensor_is_told_of_forward(returned: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Scores((CLASSES,))

        def forward(self, inputs: Tensor) -> Any:
            scores = self.inner(inputs)
            return {"logits": scores, "hidden": inputs} if returned == "mapping" else (scores, inputs)

    key = "logits" if returned == "mapping" else 0
    with pytest.raises(InputError, match=rf"forward=lambda module, inputs: module\(inputs\)\[{key!r}\]"):
        ls.Objective(Model(), "cross_entropy", (INPUTS, labels()), device="cpu")
    with pytest.raises(InputError, match=r"forward="):
        ls.Objective(Model(), lambda o, t: F.cross_entropy(o, t, reduction="none"), (INPUTS, labels()), device="cpu")
    ls.Objective(
        Model(), "cross_entropy", (INPUTS, labels()), forward=lambda module, inputs: module(inputs)[key], device="cpu"
    )


def test_swapped_data_is_called_so() -> None:
    with pytest.raises(InputError, match="look swapped"):
        ls.Objective(Scores((CLASSES,)), "cross_entropy", (labels(), INPUTS), device="cpu")
