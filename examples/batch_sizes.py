"""Small and large batches (Keskar et al. 2017, arXiv 1609.04836; Li et al. 2018, section 4), and what else differs between them."""

from __future__ import annotations

import matplotlib.pyplot as plt
from shared import images, over_seeds, paper, script

import landscape as ls

run = script("batch_sizes")
data, fresh = images(run.size(4000, 120)), images(1000, "test")
seeds = run.size([0, 1, 2], [0])
small, large, epochs = 32, run.size(1000, 60), run.size(40, 1)
updates = epochs * -(-len(data[1]) // small)
groups = {
    "small": {"batch_size": small, "epochs": epochs},
    "large_equal_epochs": {"batch_size": large, "epochs": epochs},
    "large_equal_updates": {"batch_size": large, "updates": updates},
}
config = ls.SharpnessConfig(measures=("keskar", "sam", "adaptive"), ascent_steps=run.size(10, 2))
spectrum = ls.CurvatureConfig(top=1, bottom=0, trace_probes=0, density_probes=0)

numbers, nets, objectives = {}, {}, {}
for name, batches in groups.items():
    rows = []
    for seed in seeds:
        net = ls.build_model("mlp", seed=seed, inputs=64, hidden=[128, 128], classes=10)
        recipe = ls.TrainingConfig(**batches, optimizer="sgd", momentum=0.9, learning_rate=0.01, seed=seed)
        result = ls.fit(net, data, recipe, device="cpu")
        objective = ls.Objective(net, "cross_entropy", data, samples=run.size(2000, 60), device="cpu")
        sharp = ls.sharpness(objective, config)
        middle = sharp.isel(radius=sharp.sizes["radius"] // 2)["sharpness"]
        rows.append(
            {
                "updates": result.updates,
                "train_loss": objective.evaluate().loss,
                "test_accuracy": ls.Objective(net, "cross_entropy", fresh, device="cpu").evaluate().accuracy,
                "weight_norm": float(objective.theta.vector.norm()),
                "eigenvalue_largest": float(ls.curvature(objective, spectrum)["eigenvalues"][0]),
                **{measure: float(middle.sel(measure=measure)) for measure in config.measures},
            }
        )
        if seed == 0:
            nets[name], objectives[name] = net, objective
    numbers[name] = {key: over_seeds([float(row[key]) for row in rows]) for key in rows[0]}

words = {"small": f"batch {small}", "large_equal_epochs": f"batch {large}, equal epochs"}
words["large_equal_updates"] = f"batch {large}, equal updates"
colours = dict(zip(words, ("#0072B2", "#D55E00", "#009E73"), strict=True))
with paper():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained", sharey=True)
    for name in ("large_equal_epochs", "large_equal_updates"):
        between = ls.line(objectives["small"], to=nets[name], x=(-0.5, 1.5, run.size(41, 5)))
        left.plot(between["x"], between["loss"].values.ravel(), color=colours[name], label=f"to {words[name]}")
    left.set(
        title="on the straight line between two",
        xlabel=f"α, from batch {small} (0) to the large batch (1)",
        ylabel="loss (nat)",
        yscale="log",
    )
    for name, objective in objectives.items():
        line = ls.line(objective, x=(-1, 1, run.size(41, 5)), seeds=[0, 1, 2])
        mean, low, high = (getattr(line["loss"], how)("seed") for how in ("mean", "min", "max"))
        right.plot(line["x"], mean, color=colours[name], label=words[name])
        right.fill_between(line["x"], low, high, color=colours[name], alpha=0.2, lw=0)
        numbers[name]["line_loss_at_half"] = float(line["loss"].sel(x=0.5).mean())
    right.set(title="random directions, normalised by filter", xlabel="α (filter norms)")
    for axes in (left, right):
        axes.legend()
run.keep(numbers, figure)
