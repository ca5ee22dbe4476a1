"""A PINN's terms (Krishnapriyan et al. 2021, arXiv 2109.01050, Fig. 3): the residual's landscape as the equation gets harder."""

from __future__ import annotations

import math

import torch
from shared import script

import landscape as ls

run = script("pinn")
interior, edges = run.size(1000, 40), run.size(200, 20)
torch.set_default_dtype(torch.float32)


def points(count: int, seed: int) -> torch.Tensor:
    """Places (x, t), uniform over [0, 2π] × [0, 1]."""
    scale = torch.tensor([2 * math.pi, 1.0])
    return torch.rand(count, 2, generator=torch.Generator().manual_seed(seed)) * scale


def residual_of(speed: float):
    """u_t + β u_x at places (x, t)."""

    def residual(net, places):
        places = places.detach().requires_grad_(True)
        slopes = torch.autograd.grad(net(places).sum(), places, create_graph=True)[0]
        return slopes[:, 1:] + speed * slopes[:, :1]

    return residual


def periodic(net, places):
    """u(2π, t) − u(0, t)."""
    left, right = places.clone(), places.clone()
    left[:, 0], right[:, 0] = 0.0, 2 * math.pi
    return net(right) - net(left)


def at_start(net, places):
    """u(x, 0)."""
    return net(places * torch.tensor([1.0, 0.0]))


def zeros(places):
    return torch.zeros(len(places), 1)


numbers, drawn, labels = {}, [], []
for speed in (1.0, 10.0, 30.0):
    inside, edge = points(interior, 0), points(edges, 1)
    terms = {
        "residual": (residual_of(speed), inside, zeros(inside)),
        "start": (at_start, edge, edge[:, :1].sin()),
        "border": (periodic, edge, zeros(edge)),
    }
    net = ls.build_model("mlp", seed=0, inputs=2, hidden=[50, 50, 50], classes=1, activation="tanh")
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    steps = run.size(6000, 5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        sum((forward(net, places) - target).square().mean() for forward, places, target in terms.values()).backward()
        optimizer.step()
        schedule.step()

    grid = points(2000, 2)
    truth = (grid[:, :1] - speed * grid[:, 1:]).sin()
    with torch.no_grad():
        error = float((net(grid) - truth).norm() / truth.norm())
    found = {"relative_error": error}
    for name, (forward, places, target) in terms.items():
        objective = ls.Objective(net, "mse", (places, target), forward=forward, device="cpu")
        axis = (-0.5, 0.5, run.size(25, 5))
        plane = ls.plane(objective, x=axis, y=axis, seeds=[0])
        shape = ls.plane_smoothness(plane)
        found[name] = {
            "loss": objective.evaluate().loss,
            "gradient_norm": float(objective.gradient().vector.vector.norm()),
            "eigenvalue_largest": float(
                ls.curvature(objective, ls.CurvatureConfig(top=1, bottom=0, trace_probes=0, density_probes=0))[
                    "eigenvalues"
                ][0]
            ),
            "convex_fraction": float(shape["convex_fraction"][0]),
            "loss_largest": float(plane["loss"].max()),
        }
        if speed != 10:
            drawn.append(plane)
            labels.append(f"β = {speed:g}: {name}")
    numbers[f"speed_{speed:g}"] = found

run.keep(numbers, ls.plot(drawn, labels=labels, share=False, scale="log", width="page"))
