"""What people have, in at most ten lines each: measured as their own loop measures it, differentiated, drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kit import MOST_LINES, Made, Scenario, check, lines_of, made, scenarios_in
from models import WORDS, Reader, TwoInputs, collate, mlp, sentences, table, tiny_bert, tiny_gpt2
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import landscape as ls

F = nn.functional


# ---- batches as people have them
def loader_with_collate_of_strings() -> Scenario:
    model = tiny_gpt2()
    loader = DataLoader(WORDS, batch_size=6, collate_fn=collate)
    objective = ls.Objective(model, "model", loader)
    with torch.no_grad():
        own = sum(float(model(**batch).loss) for batch in loader) / len(loader)
    return Scenario(objective, own)


def dict_batches_with_named_targets() -> Scenario:
    model, batch = tiny_bert(), sentences()
    objective = ls.Objective(model, "cross_entropy", batch, targets="labels")
    with torch.no_grad():
        own = float(model(**batch).loss)
    return Scenario(objective, own)


def loader_of_dicts_with_named_targets() -> Scenario:
    model, batch = tiny_bert(), sentences()
    rows = [{key: value[k] for key, value in batch.items()} for k in range(24)]
    objective = ls.Objective(model, "cross_entropy", DataLoader(rows, batch_size=5), targets="labels")
    with torch.no_grad():
        own = float(model(**batch).loss)
    return Scenario(objective, own)


def shuffled_loader_of_pairs() -> Scenario:
    model, (x, y) = mlp(), table()
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    objective = ls.Objective(model, nn.CrossEntropyLoss(), loader)
    own = float(F.cross_entropy(model(x), y))
    return Scenario(objective, own)


def generator_of_batches() -> Scenario:
    model, (x, y) = mlp(), table()
    objective = ls.Objective(model, nn.CrossEntropyLoss(), ((x[k : k + 7], y[k : k + 7]) for k in range(0, 60, 7)))
    own = float(F.cross_entropy(model(x), y))
    return Scenario(objective, own)


def pandas_frame() -> Scenario:
    pandas = pytest.importorskip("pandas")
    model, (x, y) = mlp(), table()
    frame = pandas.DataFrame(x.numpy(), columns=list("abcd")).assign(label=y.numpy())
    objective = ls.Objective(model, "cross_entropy", frame, targets="label")
    own = float(F.cross_entropy(model(x), y))
    return Scenario(objective, own)


def numpy_arrays_in_double() -> Scenario:
    model, (x, y) = mlp(outputs=1).double(), table()
    data = (x.numpy().astype(np.float64), y.numpy().astype(np.float64)[:, None])
    objective = ls.Objective(model, "mse", data)
    own = float(F.mse_loss(model(x.double()), y.double()[:, None]))
    return Scenario(objective, own)


def data_set_of_hugging_face() -> Scenario:
    datasets = pytest.importorskip("datasets")
    model, batch = tiny_bert(), sentences()
    rows = datasets.Dataset.from_dict({key: value.tolist() for key, value in batch.items()}).with_format("torch")
    objective = ls.Objective(model, "cross_entropy", rows, targets="labels")
    with torch.no_grad():
        own = float(model(**batch).loss)
    return Scenario(objective, own)


def data_set_without_places() -> Scenario:
    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(zip(*table(), strict=True))

    model, loader = mlp(), DataLoader(Stream(), batch_size=16)
    objective = ls.Objective(model, nn.CrossEntropyLoss(), loader)
    own = float(F.cross_entropy(model(table()[0]), table()[1]))
    return Scenario(objective, own)


def tuples_and_mappings_in_pairs() -> Scenario:
    model, (x, y) = TwoInputs(), table()
    loss = lambda out, t: (out["mean"] - t["y"][:, None]).square() + out["scale"].square() * t["weight"][:, None]
    targets = {"y": y.float(), "weight": torch.ones(60)}
    objective = ls.Objective(model, loss, ((x, x.flip(0)), targets))
    own = float(loss(model(x, x.flip(0)), targets).mean())
    return Scenario(objective, own)


def ragged_sequences() -> Scenario:
    torch.manual_seed(0)
    model, sequences, labels = Reader(), [torch.randn(3 + k % 4, 4) for k in range(20)], torch.arange(20) % 3
    objective = ls.Objective(model, "cross_entropy", (sequences, labels))
    own = sum(float(F.cross_entropy(model(s[None]), y[None])) for s, y in zip(sequences, labels, strict=True)) / 20
    return Scenario(objective, own)


def packed_sequences() -> Scenario:
    torch.manual_seed(0)
    model, parts = Reader(), [[torch.randn(length, 4) for length in (5, 4, 2)] for _ in range(3)]
    batches = [(nn.utils.rnn.pack_sequence(part), torch.tensor([0, 1, 2])) for part in parts]
    loss = lambda model, batch: F.cross_entropy(model(batch[0]), batch[1])
    objective = ls.Objective(model, loss, batches)
    return Scenario(objective, sum(float(loss(model, batch)) for batch in batches) / 3)


# ---- losses
def causal_lm_by_tokens() -> Scenario:
    model, batch = tiny_gpt2(), collate(WORDS)
    objective = ls.Objective(model, "causal_lm", batch, targets="labels")
    with torch.no_grad():
        own = float(model(**batch).loss)
    return Scenario(objective, own)


def masked_lm_of_the_model() -> Scenario:
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    config = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=60)
    model, batch = BertForMaskedLM(BertConfig(**config)).eval(), collate(WORDS)
    objective = ls.Objective(model, "model", batch)
    with torch.no_grad():
        own = float(model(**batch).loss)
    return Scenario(objective, own)


def loss_over_model_and_batch() -> Scenario:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return F.cross_entropy(model(x), y, reduction="none") + 0.1 * model(x).square().mean(1)

    model, data = mlp(), table()
    objective = ls.Objective(model, loss, data)
    return Scenario(objective, float(loss(model, data).mean()))


def several_terms() -> Scenario:
    def loss(outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"data": F.cross_entropy(outputs, targets, reduction="none"), "size": 0.1 * outputs.square().mean(1)}

    model, (x, y) = mlp(), table()
    objective = ls.Objective(model, loss, (x, y))
    assert set(objective.evaluate().heights) == {"data", "size"}
    return Scenario(objective, float(sum(term.mean() for term in loss(model(x), y).values())))


def autoencoder() -> Scenario:
    model, (x, _) = mlp(4, 4), table()
    objective = ls.Objective(model, "mse", x, targets="inputs")
    return Scenario(objective, float(F.mse_loss(model(x), x)))


def variational_autoencoder() -> Scenario:
    def loss(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
        mean, spread = model[0](x).chunk(2, 1)
        code = mean + (spread / 2).exp() * torch.randn(mean.shape)
        kl = (mean.square() + spread.exp() - 1 - spread).sum(1) / 2
        return {"reconstruction": (model[1](code) - x).square().sum(1), "kl": kl}

    model, (x, _) = nn.Sequential(mlp(4, 4), mlp(2, 4, seed=1)), table()
    objective = ls.Objective(model, loss, x, draws=4)
    own = np.mean(
        [float(sum(term.mean() for term in drawn(seed, loss, model, x).values())) for seed in seeds(objective)]
    )
    return Scenario(objective, float(own))


def pinn() -> Scenario:
    def loss(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        x = batch["inside"].requires_grad_()
        slope = torch.autograd.grad(model(x).sum(), x, create_graph=True)[0]
        return {"equation": (slope - x.cos()).square().mean(), "border": model(batch["border"]).square().mean()}

    model, points = mlp(1, 1), {"inside": torch.linspace(0, 3, 40)[:, None], "border": torch.zeros(2, 1)}
    objective = ls.Objective(model, loss, points)
    return Scenario(objective, float(sum(loss(model, {k: v.clone() for k, v in points.items()}).values())))


def contrastive_over_batches() -> Scenario:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        left, right = (F.normalize(model(part)) for part in batch)
        return F.cross_entropy(left @ right.T / 0.5, torch.arange(len(left)))

    model, (x, _) = mlp(4, 8), table()
    loader = DataLoader(TensorDataset(x, x + 0.1), batch_size=20)
    objective = ls.Objective(model, loss, loader)
    return Scenario(objective, sum(float(loss(model, batch)) for batch in loader) / 3)


def knowledge_distillation() -> Scenario:
    model, teacher, (x, _) = mlp(), mlp(seed=5), table()
    soft = teacher(x).softmax(1).detach()
    objective = ls.Objective(
        model, nn.KLDivLoss(reduction="batchmean"), (x, soft), forward=lambda m, x: m(x).log_softmax(1)
    )
    own = float(F.kl_div(model(x).log_softmax(1), soft, reduction="batchmean"))
    return Scenario(objective, own)


def tokens_with_weights() -> Scenario:
    def loss(outputs: Any, targets: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        values = F.cross_entropy(outputs.logits[:, :-1].movedim(-1, 1), targets["labels"][:, 1:], reduction="none")
        return values, targets["weights"][:, 1:]

    model, ids = tiny_gpt2(), sentences()["input_ids"]
    data = {"input_ids": ids, "labels": ids, "weights": (ids > 20).float()}
    objective = ls.Objective(model, loss, data, targets=["labels", "weights"])
    with torch.no_grad():
        own = float((lambda values, weights: (values * weights).sum() / weights.sum())(*loss(model(ids), data)))
    return Scenario(objective, own)


def critic_of_reinforcement_learning() -> Scenario:
    target, draws = mlp(4, 1, seed=3), torch.Generator().manual_seed(5)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        state, reward, following = batch
        with torch.no_grad():
            wanted = reward + 0.9 * target(following)[:, 0]
        return F.smooth_l1_loss(model(state)[:, 0], wanted, reduction="none")

    model, batch = mlp(4, 1), [torch.randn(50, *size, generator=draws) for size in ((4,), (), (4,))]
    objective = ls.Objective(model, loss, tuple(batch))
    return Scenario(objective, float(loss(model, batch).mean()))


# ---- no module
def function_of_numpy() -> Scenario:
    theta, (x, y) = np.random.default_rng(0).normal(size=4), (part.numpy() for part in table())

    def f(theta: Any) -> Any:
        return (x @ theta - y) ** 2

    objective = ls.function(f, theta)
    return Scenario(objective, float(f(theta).mean()), step=None)


def function_of_torch_tensors() -> Scenario:
    x, y = table()
    theta = {"w": torch.randn(4, 3, dtype=torch.float64), "b": torch.zeros(3, dtype=torch.float64)}

    def f(theta: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(x.double() @ theta["w"] + theta["b"], y, reduction="none")

    objective = ls.function(f, theta)
    return Scenario(objective, float(f(theta).mean()))


# ---- what draws
def seeds(objective: ls.Objective) -> tuple[int, ...]:
    return tuple(__import__("json").loads(objective.provenance()["draw_seeds"]))


def drawn(seed: int, loss: Callable[..., Any], *given: Any) -> Any:
    """The user's own loss, with what it draws drawn from a seed."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        return loss(*given)


def dropout_on() -> Scenario:
    model, (x, y) = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 3)), table()
    objective = ls.Objective(model, "cross_entropy", (x, y), draws=8, mode="train")
    own = np.mean([float(drawn(seed, lambda: F.cross_entropy(model.train()(x), y))) for seed in seeds(objective)])
    return Scenario(objective, float(own))


def diffusion() -> Scenario:
    def loss(model: nn.Module, x: Tensor) -> Tensor:
        t, noise = torch.rand(len(x), 1), torch.randn(x.shape)
        return (model(torch.cat([(1 - t) * x + t * noise, t], 1)) - noise).square().mean(1)

    model, (x, _) = mlp(5, 4), table()
    objective = ls.Objective(model, loss, x, draws=6)
    return Scenario(objective, float(np.mean([float(drawn(s, loss, model, x).mean()) for s in seeds(objective)])))


def returns_of_a_policy() -> Scenario:
    def returns(model: nn.Module, batch: Any) -> Tensor:
        state, gain = torch.zeros(32, 2), torch.zeros(32)
        for _ in range(5):
            state = 0.9 * state + model(state) + 0.1 * torch.randn(32, 2)
            gain = gain - state.square().sum(1)
        return -gain.mean()

    model = mlp(2, 2)
    objective = ls.Objective(model, returns, None, draws=5)
    return Scenario(objective, float(np.mean([float(drawn(s, returns, model, None)) for s in seeds(objective)])))


# ---- any height
def torchmetrics_as_height() -> Scenario:
    from torchmetrics.classification import MulticlassCalibrationError, MulticlassF1Score

    model, (x, y) = mlp(), table()
    metrics = {"f1": MulticlassF1Score(3), "calibration": MulticlassCalibrationError(3)}
    objective = ls.Objective(model, "cross_entropy", (x, y), metrics=metrics, batch_size=16)
    own = float(MulticlassF1Score(3)(model(x), y))
    assert abs(objective.evaluate().heights["f1"].value - own) < 1e-6
    return Scenario(objective, float(F.cross_entropy(model(x), y)))


def task_score_of_zeros_and_ones() -> Scenario:
    model, (x, y) = mlp(), table()
    solved = lambda outputs, targets: (outputs.topk(2).indices == targets[:, None]).any(1)
    objective = ls.Objective(model, "cross_entropy", (x, y), metrics={"solved": solved})
    plane = ls.plane(objective, x=(-1, 1, 5), y=(-1, 1, 5), refinement=ls.Refinement(quantity="solved"))
    ls.plot(plane, quantity="solved")
    assert plane["solved"].sel(x=0, y=0).item() == float(solved(model(x), y).double().mean())
    return Scenario(objective, float(F.cross_entropy(model(x), y)))


def radius_of_a_metric() -> Scenario:
    from torchmetrics.classification import MulticlassF1Score

    model, (x, y) = mlp(), table()
    objective = ls.Objective(model, "cross_entropy", (x, y), metrics={"f1": MulticlassF1Score(3)})
    radius = ls.basin_radius(objective, ls.BasinRadiusConfig(metric="f1", share=0.2, draws=3, worst=("none",)))
    assert ls.plot(radius) and abs(radius["threshold"].item() - 0.8 * radius["checkpoint_value"].item()) < 1e-9
    return Scenario(objective, float(F.cross_entropy(model(x), y)))


@pytest.mark.parametrize("scenario", scenarios_in(globals()), ids=lambda made: made.__name__)
def test_what_people_have_is_measured_as_their_own_loop_does(scenario: Made, tmp_path: Path) -> None:
    check(made(scenario, tmp_path), tmp_path)


@pytest.mark.parametrize("scenario", scenarios_in(globals()), ids=lambda made: made.__name__)
def test_a_scenario_is_at_most_ten_lines(scenario: Made) -> None:
    assert lines_of(scenario) <= MOST_LINES
