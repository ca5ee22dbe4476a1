"""SAM against SGD (Foret et al. 2021, arXiv 2010.01412) under measures that a rescaling changes, and under one that it cannot."""

from __future__ import annotations

import copy

import matplotlib.pyplot as plt
import torch
from shared import images, over_seeds, paper, script
from torch.nn.functional import cross_entropy

import landscape as ls

run = script("sam")
data, fresh = images(run.size(3000, 100)), images(1000, "test")
seeds, epochs, rho = run.size([0, 1, 2, 3, 4], [0, 1]), run.size(40, 1), 0.1


def trained(seed: int, radius: float):
    """The same network by SGD, whose gradient is taken at θ + ρ g/‖g‖ where ``radius`` ρ is above 0."""
    net = ls.build_model("mlp", seed=seed, inputs=64, hidden=[128, 128], classes=10)
    parameters = list(net.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(data[1]), generator=order).split(50):
            inputs, labels = data[0][batch], data[1][batch]
            gradients = torch.autograd.grad(cross_entropy(net(inputs), labels), parameters)
            if radius:
                length = torch.stack([g.norm() for g in gradients]).norm()
                ascent = [radius * g / length for g in gradients]
                with torch.no_grad():
                    torch._foreach_add_(parameters, ascent)
                gradients = torch.autograd.grad(cross_entropy(net(inputs), labels), parameters)
                with torch.no_grad():
                    torch._foreach_sub_(parameters, ascent)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
        schedule.step()
    return net


def rescaled(net, factor: float):
    """The same function: the first layer times ``factor``, the next divided by it; ReLU lets a factor above 0 through."""
    other = copy.deepcopy(net)
    first, second = [layer for layer in other.modules() if isinstance(layer, torch.nn.Linear)][:2]
    with torch.no_grad():
        first.weight.mul_(factor), first.bias.mul_(factor), second.weight.div_(factor)
    return other


draws = run.size(20, 2)
spectrum = ls.CurvatureConfig(top=1, bottom=0, trace_probes=0, density_probes=0)
words = {"sam": "SAM, ρ = 0.05", "adaptive": "adaptive, ρ = 0.5", "eigenvalue_largest": "largest eigenvalue"}
radii = {"sam": 0.05, "adaptive": 0.5, "adaptive_average": 0.1}


def measured(net):
    objective = ls.Objective(net, "cross_entropy", data, samples=run.size(1000, 60), device="cpu")
    found = {
        measure: ls.sharpness(objective, ls.SharpnessConfig((measure,), (radius,), draws=draws))["sharpness"].item()
        for measure, radius in radii.items()
    }
    found["eigenvalue_largest"] = float(ls.curvature(objective, spectrum)["eigenvalues"][0])
    found["test_accuracy"] = ls.Objective(net, "cross_entropy", fresh, device="cpu").evaluate().accuracy
    found["train_loss"] = objective.evaluate().loss
    return found


rows = {"sgd": [], "sam": [], "sam_rescaled": []}
for seed in seeds:
    rows["sgd"].append(measured(trained(seed, 0.0)))
    flat = trained(seed, rho)
    rows["sam"].append(measured(flat))
    rows["sam_rescaled"].append(measured(rescaled(flat, 10.0)))
numbers = {name: {key: over_seeds([one[key] for one in each]) for key in each[0]} for name, each in rows.items()}

with paper():
    figure, panels = plt.subplots(1, 3, figsize=(7, 2.6), layout="constrained")
    names = {"sgd": "SGD", "sam": "SAM", "sam_rescaled": "SAM,\nrescaled"}
    for axes, (measure, title) in zip(panels, words.items(), strict=True):
        for place, (name, colour) in enumerate(zip(names, ("#D55E00", "#0072B2", "#56B4E9"), strict=True)):
            each = [row[measure] for row in rows[name]]
            axes.plot([place] * len(each), each, "o", color=colour, ms=3.5, alpha=0.8)
            axes.plot([place - 0.25, place + 0.25], [sum(each) / len(each)] * 2, color=colour)
        axes.set(title=title, yscale="log", xlim=(-0.6, 2.6))
        axes.set_xticks(range(3), names.values())
    panels[0].set_ylabel("rise of the loss (nat)")
    panels[2].set_ylabel("λ (nat)")
run.keep(numbers, figure)
