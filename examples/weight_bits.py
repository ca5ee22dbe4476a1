"""Weights at 8, 4 and 2 bits (Nagel et al. 2021, arXiv 2106.08295): how far rounding moves a network, and what that costs."""

from __future__ import annotations

import copy

import matplotlib.pyplot as plt
import torch
from shared import images, over_seeds, paper, script

import landscape as ls

run = script("weight_bits")
data, fresh = images(run.size(4000, 80)), images(1000, "test")
seeds = run.size([0, 1, 2], [0])


def rounded_to(net, bits: int):
    """Every weight matrix rounded to ``bits``, symmetric, one scale a row: the largest |w| of the row is the last step."""
    other = copy.deepcopy(net)
    steps = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.dim() > 1:
                scale = parameter.abs().amax(1, keepdim=True) / steps
                parameter.copy_((parameter / scale).round() * scale)
    return other


numbers, lines = {}, {}
for bits in (8, 4, 3, 2):
    rows = []
    for seed in seeds:
        net = ls.build_model("mlp", seed=seed, inputs=64, hidden=[128, 128], classes=10)
        recipe = ls.TrainingConfig(epochs=run.size(30, 1), batch_size=100, learning_rate=1e-3, seed=seed)
        ls.fit(net, data, recipe, device="cpu")
        objective = ls.Objective(net, "cross_entropy", data, device="cpu", precision="fp64")
        other = rounded_to(net, bits)
        theta, moved = objective.theta.vector, objective.parameters_of(other).vector
        change = moved - theta
        loss, gradient = objective.evaluate().loss, objective.gradient()
        bend = objective.hessian_product(change)
        noise = []
        for draw in range(run.size(20, 2)):
            random = torch.randn(len(theta), generator=torch.Generator().manual_seed(draw), dtype=theta.dtype)
            random[change == 0] = 0
            noise.append(objective.evaluate(theta + random * change.norm() / random.norm()).loss - loss)
        rows.append(
            {
                "distance": float(change.norm()),
                "relative_distance": float(change.norm() / theta.norm()),
                "rise": objective.evaluate(moved).loss - loss,
                "predicted_rise": float(gradient.vector.vector @ change + 0.5 * change @ bend),
                "random_rise": sum(noise) / len(noise),
                "test_accuracy_before": ls.Objective(net, "cross_entropy", fresh, device="cpu").evaluate().accuracy,
                "test_accuracy": ls.Objective(other, "cross_entropy", fresh, device="cpu").evaluate().accuracy,
            }
        )
        if seed == 0:
            lines[bits] = ls.line(objective, to=other, x=(-0.5, 1.5, run.size(41, 5)))
    numbers[f"bits_{bits}"] = {key: over_seeds([row[key] for row in rows]) for key in rows[0]}

with paper():
    figure, axes = plt.subplots(figsize=(3.5, 2.7), layout="constrained")
    for (bits, line), colour in zip(lines.items(), ("#0072B2", "#009E73", "#E69F00", "#D55E00"), strict=True):
        axes.plot(line["x"], line["loss"].values.ravel(), color=colour, label=f"{bits} bits")
    axes.axvline(1, color="black", lw=0.6, ls=":")
    axes.set(xlabel="from the trained weights (0) to the rounded ones (1)", ylabel="loss (nat)", yscale="log")
    axes.legend(ncols=2)
run.keep(numbers, figure)
