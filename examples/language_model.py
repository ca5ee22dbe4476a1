"""A small language model's basin in a task's score (Chen et al. 2025, arXiv 2505.17646), and critical sharpness in training."""

from __future__ import annotations

import copy

import matplotlib.pyplot as plt
import torch
from shared import over_seeds, paper, script
from torch import nn
from torch.nn.functional import cross_entropy

import landscape as ls

run = script("language_model")
DIGITS, LENGTH = 10, 6  # the text is six digits, a bar, and the same digits in order


def text(count: int, seed: int):
    """Tokens ``(count, 12)``, and the next token at each place, −1 where it is not asked for: before the bar."""
    digits = torch.randint(DIGITS, (count, LENGTH), generator=torch.Generator().manual_seed(seed))
    whole = torch.cat([digits, torch.full((count, 1), DIGITS), digits.sort(1).values], 1)
    targets = whole[:, 1:].clone()
    targets[:, :LENGTH] = -1
    return whole[:, :-1], targets


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(DIGITS + 1, width), nn.Embedding(2 * LENGTH, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, DIGITS)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        count = tokens.shape[1]
        ahead = torch.ones(count, count, dtype=torch.bool, device=tokens.device).triu(1)
        return self.head(self.body(self.token(tokens) + self.place.weight[:count], mask=ahead))


def token_loss(outputs, targets):
    """The loss of every token, and 1 where it is asked for."""
    asked = targets >= 0
    return cross_entropy(outputs.movedim(-1, 1), targets.clamp(min=0), reduction="none"), asked


def exact(outputs, targets):
    """Whether the whole answer is right; greedy decoding then gives it, since each prefix it sees is this one."""
    return ((outputs.argmax(-1) == targets) | (targets < 0)).all(1).float()


def measured(net, data):
    return ls.Objective(net, token_loss, data, metric=exact, device="cpu")


def critical_sharpness(objective) -> float:
    """λ = 2/η for the least η at which L(θ − η g) > L(θ) (arXiv 2601.16979), by bisection in forward passes alone."""
    theta, start, gradient = objective.theta.vector, objective.evaluate().loss, objective.gradient().vector.vector
    low, high = 0.0, 1e-3
    while objective.evaluate(theta - high * gradient).loss <= start:
        low, high = high, 2 * high
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if objective.evaluate(theta - middle * gradient).loss <= start else (low, middle)
    return 2 / high


torch.manual_seed(0)
data, fresh = text(run.size(20000, 100), 0), text(run.size(500, 40), 1)
net = Transformer(run.size(48, 16), run.size(2, 1))
steps, warm_up, looks = run.size(2000, 6), run.size(100, 2), run.size(20, 3)
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm_up))
order = torch.Generator().manual_seed(0)
watched = tuple(part[: run.size(500, 40)] for part in data)
kept, curve = {}, []
for step in range(steps + 1):
    if step % (steps // looks) == 0:
        objective = measured(net, watched)
        value = objective.evaluate()
        curve.append((step, value.loss, value.accuracy, critical_sharpness(objective)))
        kept[step] = copy.deepcopy(net)
    batch = torch.randint(len(data[0]), (64,), generator=order)
    values, asked = token_loss(net(data[0][batch]), data[1][batch])
    optimizer.zero_grad()
    (values[asked].mean()).backward()
    optimizer.step()
    rate.step()

# The basin: random directions of each matrix's own size, and the one in which the loss rises first, from three times of training.
half = next(step for step, _, score, _ in curve if score > 0.5) if curve[-1][2] > 0.5 else curve[-1][0]
stages = dict.fromkeys([half, curve[len(curve) // 2][0], curve[-1][0]])
axis = (0, 1, run.size(41, 5))
for step in stages:
    objective = measured(kept[step], fresh)
    around = ls.line(objective, x=axis, seeds=run.size([0, 1, 2, 3, 4, 5, 6, 7], [0, 1]), normalization="layer")
    length = float(around["direction_norm"].mean())  # a random direction's, so that both go equally far
    theta, uphill = objective.theta.vector, objective.gradient().vector.vector
    worst = [objective.evaluate(theta + x * length * uphill / uphill.norm()) for x in around["x"].values]
    stages[step] = (objective.evaluate(), around, worst)


def radius(x, scores) -> float:
    """Where the score first falls below nine tenths of that at the checkpoint; the end where it never does."""
    below = [score < 0.9 * scores[0] for score in scores]
    return float(x[below.index(True) if True in below else -1])


numbers = {
    "parameters": sum(parameter.numel() for parameter in net.parameters()),
    "critical_sharpness": {
        "first": curve[0][3],
        "largest": max(one[3] for one in curve),
        "largest_at": max(curve, key=lambda one: one[3])[0],
        "last": curve[-1][3],
        "steps": [one[0] for one in curve],
        "each": [one[3] for one in curve],
    },
}
for name, (step, (value, around, worst)) in zip(("half", "middle", "end"), stages.items(), strict=False):
    at_half = around["loss"].sel(x=0.5, method="nearest").values
    numbers[name] = {
        "step": step,
        "loss": value.loss,
        "score": value.accuracy,
        "radius_random": over_seeds([radius(around["x"].values, row) for row in around["accuracy"].values]),
        "radius_gradient": radius(around["x"].values, [value.accuracy for value in worst]),
        "loss_at_half": over_seeds(at_half.tolist()),
    }

with paper():
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(7, 2.7), layout="constrained")
    for (step, (_, around, worst)), colour in zip(stages.items(), ("#E69F00", "#009E73", "#0072B2"), strict=False):
        for axes, quantity in ((left, "loss"), (middle, "accuracy")):
            axes.plot(around["x"], around[quantity].mean("seed"), color=colour, label=f"step {step}")
            low, high = around[quantity].min("seed"), around[quantity].max("seed")
            axes.fill_between(around["x"], low, high, color=colour, alpha=0.2, lw=0)
            axes.plot(around["x"], [getattr(value, quantity) for value in worst], color=colour, ls=":")
    left.set(xlabel="distance, in sizes of each matrix", ylabel="loss (nat a token)", yscale="log")
    middle.set(xlabel="distance, in sizes of each matrix", ylabel="answers wholly right")
    left.legend()
    right.plot([one[0] for one in curve], [one[3] for one in curve], color="black", marker="o", ms=2.5)
    right.set(xlabel="training step", ylabel="critical sharpness (nat)", yscale="log")
run.keep(numbers, figure)
