"""LoRA in its own space and in the full one (Li et al. 2024, arXiv 2409.14396): flat in the one, and in the other?"""

from __future__ import annotations

import copy
import itertools

import matplotlib.pyplot as plt
import torch
from shared import images, over_seeds, paper, script
from torch import nn

import landscape as ls

run = script("lora")
rank = run.size(4, 2)
data, fresh = images(run.size(4000, 80)), images(1000, "test")


def turned(pair):
    """The task of the fine-tuning: the same images, a quarter turned."""
    return torch.rot90(pair[0], 1, (2, 3)), pair[1]


class LoRA(nn.Module):
    """W x + B A x with a frozen W; B begins at zero."""

    def __init__(self, layer: nn.Linear, generator: torch.Generator) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        outputs, inputs = layer.weight.shape
        self.down = nn.Parameter(torch.randn(rank, inputs, generator=generator) / inputs**0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + (x @ self.down.T) @ self.up.T

    def merged(self) -> nn.Linear:
        layer = copy.deepcopy(self.layer).requires_grad_(True)
        with torch.no_grad():
            layer.weight += self.up @ self.down
        return layer


def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = (64, 128, 128, 10)
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        return nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def adapted(net: nn.Sequential, seed: int) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    layers = copy.deepcopy(net)
    return nn.Sequential(*(LoRA(layer, generator) if isinstance(layer, nn.Linear) else layer for layer in layers))


spectrum = ls.CurvatureConfig(top=1, bottom=0, trace_probes=run.size(20, 2), density_probes=0)
sharp = ls.SharpnessConfig(measures=("sam",), rho=(0.05,))
subset = run.size(1000, 60)


def shape(objective: ls.Objective) -> dict[str, float]:
    found = ls.curvature(objective, spectrum)
    return {
        "parameters": float(len(objective.theta.vector)),
        "loss": objective.evaluate().loss,
        "eigenvalue_largest": float(found["eigenvalues"][0]),
        "trace": float(found["trace"]),
        "sam": ls.sharpness(objective, sharp)["sharpness"].item(),
    }


def rises(own: ls.Objective, full: ls.Objective, adapter: nn.Sequential, length: float, draws: int):
    """The rise at one distance of the weights W: of moves that A and B can make, and of any."""
    start, theta = full.evaluate().loss, full.theta
    within, anywhere = [], []
    for draw in range(draws):
        generator = torch.Generator().manual_seed(draw)
        moved = copy.deepcopy(adapter)
        with torch.no_grad():
            for layer in moved:
                if isinstance(layer, LoRA):
                    for factor in (layer.down, layer.up):
                        size = factor.norm() / factor.numel() ** 0.5
                        factor += 0.05 * size * torch.randn(factor.shape, generator=generator)
        change = full.parameters_of(merged(moved)).vector - theta.vector
        within.append(full.evaluate(theta.vector + change * (length / change.norm())).loss - start)
        random = torch.randn(change.shape, generator=generator)
        anywhere.append(full.evaluate(theta.vector + random * (length / random.norm())).loss - start)
    return sum(within) / draws, sum(anywhere) / draws


def merged(net: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*(layer.merged() if isinstance(layer, LoRA) else layer for layer in net))


rows, lines = [], {}
for seed in run.size([0, 1, 2], [0]):
    base = network(seed)
    ls.fit(base, data, ls.TrainingConfig(epochs=run.size(20, 1), batch_size=100, seed=seed), device="cpu")
    tuning = ls.TrainingConfig(epochs=run.size(20, 1), batch_size=100, learning_rate=2e-3, seed=seed)
    adapter, whole = adapted(base, seed), copy.deepcopy(base)
    for net in (adapter, whole):
        ls.fit(net, turned(data), tuning, device="cpu")
    objectives = {
        "own": ls.Objective(adapter, data=turned(data), samples=subset, parameters=("*.up", "*.down"), device="cpu"),
        "full": ls.Objective(merged(adapter), data=turned(data), samples=subset, device="cpu"),
        "full_tuning": ls.Objective(whole, data=turned(data), samples=subset, device="cpu"),
    }
    row = {name: shape(objective) for name, objective in objectives.items()}
    for name, net in (("full", adapter), ("full_tuning", whole)):
        row[name]["test_accuracy"] = (
            ls.Objective(net, data=turned(fresh), parameters="all", device="cpu").evaluate().accuracy
        )
    moves = rises(objectives["own"], objectives["full"], adapter, 2.0, run.size(30, 2))
    row["at_distance_2"] = dict(zip(("own_moves", "any_moves"), moves, strict=True))
    rows.append(row)
    if seed == 0:
        axis = (-1, 1, run.size(41, 5))
        lines = {name: ls.line(objective, x=axis, seeds=[0, 1, 2]) for name, objective in objectives.items()}

numbers = {name: {key: over_seeds([row[name][key] for row in rows]) for key in rows[0][name]} for name in rows[0]}
words = {"own": "A and B of LoRA", "full": "LoRA merged, all weights", "full_tuning": "fine-tuned, all weights"}
with paper():
    figure, axes = plt.subplots(figsize=(3.5, 2.8), layout="constrained")
    for (name, line), colour in zip(lines.items(), ("#0072B2", "#D55E00", "#009E73"), strict=True):
        axes.plot(line["x"], line["loss"].mean("seed"), color=colour, label=words[name])
        axes.fill_between(line["x"], line["loss"].min("seed"), line["loss"].max("seed"), color=colour, alpha=0.2, lw=0)
    axes.set(xlabel="random directions, normalised by filter", ylabel="loss (nat)", yscale="log")
    axes.legend()
run.keep(numbers, figure)
