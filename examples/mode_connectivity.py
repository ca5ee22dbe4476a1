"""Mode connectivity (Garipov et al. 2018, arXiv 1802.10026, Fig. 1): two minima, a straight line and a trained curve."""

from __future__ import annotations

from shared import images, script

import landscape as ls

run = script("mode_connectivity")
data = images(run.size(3000, 80))
fresh = images(run.size(500, 60), "validation")
recipe = {"epochs": run.size(40, 1), "batch_size": 50, "optimizer": "sgd", "learning_rate": 0.05}

nets = []
for seed in (0, 1):
    net = ls.build_model("mlp", seed=seed, inputs=64, hidden=[64, 64], classes=10)
    ls.fit(net, data, ls.TrainingConfig(**recipe, seed=seed), device="cpu")
    nets.append(net)

objective = ls.Objective(nets[0], "cross_entropy", data, device="cpu")
config = ls.CurveTraining(steps=run.size(4000, 20), batch_size=50, learning_rate=0.01, optimizer="sgd", bends=1)
paths = ls.path(objective, nets[1], kinds=["linear", "bezier", "chain"], points=run.size(41, 7), config=config)

numbers = {}
for kind in ("linear", "bezier", "chain"):
    one = paths.sel(path=kind)
    numbers[kind] = {
        "barrier": float(one["barrier"]),
        "barrier_standard_error": float(one["barrier_standard_error"]),
        "largest_loss": float(one["loss"].max()),
        "smallest_accuracy": float(one["accuracy"].min()),
        "length": float(one["length"]),
    }
numbers["ends"] = {
    "loss": paths.sel(path="linear")["loss"].values[[0, -1]].tolist(),
    "distance": float(paths.sel(path="linear")["end_distance"]),
}

# What the curve is worth beyond its training data.
unseen = ls.Objective(nets[0], "cross_entropy", fresh, device="cpu")
numbers["validation"] = {
    "ends": [ls.Objective(net, "cross_entropy", fresh, device="cpu").evaluate().accuracy for net in nets],
    "line_loss": float(ls.path(unseen, nets[1], kinds=["linear"], points=run.size(41, 7))["loss"].max()),
}

run.keep(numbers, ls.plot(paths, width="page"))
