"""The edge of stability (Cohen et al. 2021, arXiv 2103.00065, Fig. 1): sharpness under full-batch gradient descent."""

from __future__ import annotations

import numpy as np
from shared import images, script

import landscape as ls

run = script("edge_of_stability")
count = run.size(1000, 60)
data = images(count)
rates = [0.05, 0.1, 0.2, 0.4]

found, numbers = [], {}
for rate in rates:
    updates = run.size(round(300 / rate), 20)  # the same time η · updates for all
    net = ls.build_model("mlp", seed=0, inputs=64, hidden=[64, 64], classes=10, activation="tanh")
    probe = ls.StabilityProbe(every=run.size(updates // 60, 5))
    recipe = ls.TrainingConfig(
        updates=updates,
        batch_size=count,  # every update sees all images: gradient descent, not its stochastic kin
        optimizer="sgd",
        momentum=0.0,
        learning_rate=rate,
        schedule="constant",
    )
    ls.fit(net, data, recipe, device="cpu", observers=[probe])
    watched = probe.dataset()
    last = slice(3 * watched.sizes["step"] // 4, None)
    ratio = watched["sharpness"].values * rate / 2
    numbers[f"rate_{rate:g}"] = {
        "updates": updates,
        "limit": 2 / rate,
        "sharpness_first": float(watched["sharpness"][0]),
        "sharpness_last": float(np.median(watched["sharpness"].values[last])),
        "ratio_last": float(np.median(ratio[last])),
        "ratio_largest": float(ratio.max()),
        "loss_first": float(watched["loss"][0]),
        "loss_last": float(watched["loss"][-1]),
        "times_loss_rose": float(np.mean(np.diff(watched["loss"].values) > 0)),
    }
    found.append(watched)

run.keep(numbers, ls.plot(found, labels=[f"η = {rate:g}" for rate in rates], width="page"))
