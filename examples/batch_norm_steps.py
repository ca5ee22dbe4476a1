"""BatchNorm along the steps (Santurkar et al. 2018, arXiv 1805.11604, Fig. 4): loss, gradient and smoothness."""

from __future__ import annotations

import json

from shared import images, over_seeds, script

import landscape as ls

run = script("batch_norm_steps")
data = images(run.size(3000, 60), size=16)
seeds = run.size([0, 1, 2], [0, 1])
# Adam, since the network without BatchNorm does not leave the loss of guessing by SGD in so few updates.
recipe = {"updates": run.size(200, 4), "batch_size": 50, "learning_rate": 1e-3, "schedule": "constant"}
measures = ("loss_variation", "gradient_predictiveness", "effective_beta", "effective_beta_normalized")


def watched(norm: str, seed: int):
    probe = ls.StepProbe(ls.StepProbeConfig(every=run.size(20, 2), along=("update",)))
    config = ls.TrainingConfig(**recipe, seed=seed)
    net = ls.build_model("vgg08", seed=seed, norm=norm, classes=10, channels=1, filters=16)
    result = ls.fit(net, data, config, device="cpu", observers=[probe])
    steps = probe.dataset()
    steps.attrs["training"] = json.dumps({"norm": norm, "seed": seed})
    return steps, result.history[-1]["train_loss"]


numbers, drawn, every = {}, [], []
for norm in ("none", "batch"):
    runs = [watched(norm, seed) for seed in seeds]
    numbers[norm] = {"last_epoch_loss": over_seeds([loss for _, loss in runs])}
    for measure in measures:
        numbers[norm][measure] = over_seeds(
            [float(steps[measure].sel(along="update").median("step")) for steps, _ in runs]
        )
    drawn.append(runs[0][0])
    every += [steps for steps, _ in runs]

compared = ls.compare(every, by="norm", measures=["loss_variation:*", "gradient_predictiveness:*", "effective_beta*"])
numbers["compared"] = {
    row.measure.name.partition(":")[0]: {
        "ratio": pair.difference,
        "low": pair.low,
        "high": pair.high,
        "verdict": pair.verdict,
    }
    for row, pair in compared.each_pair()
}
run.keep(numbers, ls.plot(drawn, along="update", labels=["without BatchNorm", "with BatchNorm"], width="page"))
