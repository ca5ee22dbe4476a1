"""Skip connections (Li et al. 2018, arXiv 1712.09913, Fig. 1): the plane around a deep network with and without them."""

from __future__ import annotations

import torch
from shared import images, over_seeds, script
from torch import nn

import landscape as ls


class Block(nn.Module):
    """Two 3×3 convolutions with BatchNorm, around which the input may be led."""

    def __init__(self, width: int, skip: bool) -> None:
        super().__init__()
        convolution = [nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2)]
        self.inner = nn.Sequential(
            convolution[0], nn.BatchNorm2d(width), nn.ReLU(), convolution[1], nn.BatchNorm2d(width)
        )
        self.skip = skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.inner(x)
        return torch.relu(inner + x if self.skip else inner)


def network(blocks: int, width: int, skip: bool, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        stem = [nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        body = [Block(width, skip) for _ in range(blocks)]
        return nn.Sequential(*stem, *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


run = script("skip_connections")
blocks, width = run.size(18, 2), run.size(12, 4)
data, fresh = images(run.size(1500, 60)), images(run.size(500, 60), "validation")
seeds = [0, 1, 2]
recipe = ls.TrainingConfig(
    epochs=run.size(15, 1), batch_size=50, optimizer="sgd", learning_rate=0.05, weight_decay=5e-4, momentum=0.9
)

planes, numbers = [], {"layers": 2 * blocks + 2, "epochs": recipe.epochs}
for name, skip in (("skip", True), ("plain", False)):
    net = network(blocks, width, skip, seed=0)
    ls.fit(net, data, recipe, device="cpu")
    objective = ls.Objective(net, "cross_entropy", data, samples=run.size(500, 60), batch_norm="frozen", device="cpu")
    axis = (-1, 1, run.size(21, 5))
    plane = ls.plane(objective, x=axis, y=axis, seeds=seeds)
    shape = ls.plane_smoothness(plane, loss_max=10)
    validated = ls.Objective(net, "cross_entropy", fresh, device="cpu").evaluate()
    numbers[name] = {
        "loss": objective.evaluate().loss,
        "validation_accuracy": validated.accuracy,
        "convex_fraction": over_seeds(shape["convex_fraction"].values.tolist()),
        "roughness": over_seeds(shape["roughness"].values.tolist()),
        "loss_at_half": float(plane["loss"].sel(x=0.5, y=0.0, method="nearest").median()),
        "dead": int(plane.attrs["dead"]),
    }
    planes.append(plane)

figure = ls.plot(planes, labels=["with skip connections", "without"], loss_max=10, scale="log", width="page", seed=0)
run.keep(numbers, figure)
