"""One network with BatchNorm under all four policies, along the same lines: what a policy changes of a landscape."""

from __future__ import annotations

import matplotlib.pyplot as plt
from shared import images, over_seeds, paper, script

import landscape as ls

run = script("batch_norm_policies")
data = images(run.size(2000, 60), size=16)
recipe = ls.TrainingConfig(updates=run.size(150, 4), batch_size=50, learning_rate=1e-3)
nets = []
for seed in (0, 1):
    nets.append(ls.build_model("vgg08", seed=seed, norm="batch", classes=10, channels=1, filters=16))
    ls.fit(nets[-1], data, recipe, device="cpu")

words = {
    "frozen": "frozen: the checkpoint's statistics",
    "interpolated": "interpolated: they move along",
    "reestimated": "re-estimated at every point",
    "batch": "batch: each batch's own",
}
colours = dict(zip(words, ("#0072B2", "#CC79A7", "#009E73", "#D55E00"), strict=True))
styles = {name: "--" if name == "batch" else "-" for name in words}  # it lies on the line before it
numbers = {}
with paper():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
    for policy in words:
        objective = ls.Objective(
            nets[0], data=data, samples=run.size(500, 40), batch_norm=policy, batch_size=100, device="cpu"
        )
        numbers[policy] = {"loss": objective.evaluate().loss}
        if policy != "interpolated":
            around = ls.line(objective, x=(-1, 1, run.size(31, 5)), seeds=[0, 1, 2])
            left.plot(around["x"], around["loss"].mean("seed"), color=colours[policy], ls=styles[policy])
            at_half = around["loss"].sel(x=0.5, method="nearest").values
            numbers[policy]["loss_at_half"] = over_seeds(at_half.tolist())
        between = ls.line(objective, to=nets[1], x=(0, 1, run.size(21, 5)))
        look = {"color": colours[policy], "ls": styles[policy], "label": words[policy]}
        right.plot(between["x"], between["loss"].values.ravel(), **look)
        numbers[policy]["loss_at_other"] = float(between["loss"].values.ravel()[-1])
    left.set(title="random directions", xlabel="α (filter norms)", ylabel="loss (nat)", yscale="log")
    right.set(
        title="to another training of the same recipe",
        xlabel="t, from the checkpoint (0) to the other (1)",
        yscale="log",
    )
    right.legend()
own = ls.Objective(nets[1], data=data, samples=run.size(500, 40), batch_norm="frozen", device="cpu")
numbers["other_loss"] = own.evaluate().loss
run.keep(numbers, figure)
