"""Barriers before and after matching units (Ainsworth et al. 2023, arXiv 2209.04836, Fig. 2), over widths."""

from __future__ import annotations

import matplotlib.pyplot as plt
from shared import images, over_seeds, paper, script

import landscape as ls

run = script("barriers_matching")
data = images(run.size(3000, 80))
widths = run.size([16, 64, 256, 1024], [8, 16])
pairs = run.size([(0, 1), (2, 3), (4, 5)], [(0, 1)])


def trained(width: int, seed: int):
    net = ls.build_model("mlp", seed=seed, inputs=64, hidden=[width, width], classes=10)
    recipe = ls.TrainingConfig(epochs=run.size(30, 1), batch_size=100, learning_rate=1e-3, seed=seed)
    ls.fit(net, data, recipe, device="cpu")
    return net


numbers = {}
for width in widths:
    barriers, losses = {"linear": [], "aligned": []}, []
    for first, second in pairs:
        objective = ls.Objective(trained(width, first), "cross_entropy", data, device="cpu")
        found = ls.path(objective, trained(width, second), kinds=list(barriers), points=run.size(25, 5))
        for kind, values in barriers.items():
            values.append(float(found["barrier"].sel(path=kind)))
        losses.append(objective.evaluate().loss)
    numbers[f"width_{width}"] = {"loss": over_seeds(losses)} | {kind: over_seeds(v) for kind, v in barriers.items()}

with paper():
    figure, axes = plt.subplots(figsize=(3.5, 2.6), layout="constrained")
    for kind, words, colour in (("linear", "as trained", "#D55E00"), ("aligned", "units matched", "#0072B2")):
        means = [numbers[f"width_{width}"][kind]["mean"] for width in widths]
        axes.plot(widths, means, color=colour, marker="o", ms=3, label=words)
        for width in widths:
            each = numbers[f"width_{width}"][kind]["each"]
            axes.plot([width] * len(each), each, ".", color=colour, ms=3, alpha=0.5)
    axes.axhline(0, color="black", lw=0.6)
    axes.set(xscale="log", xlabel="units of each hidden layer", ylabel="barrier of the straight line (nat)")
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.minorticks_off()
    axes.legend()
run.keep(numbers, figure)
