"""The cases: a point of a plane, a training step, a gradient, a Hessian product; plain, by the library, and at the ceiling."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Iterable

import torch
from torch import Tensor

from benchmarks import peers, plain
from benchmarks.case import (
    Case,
    Comparison,
    Differs,
    Group,
    Outcome,
    Unavailable,
    largest_relative,
    relative_length,
    timed,
    wait,
)
from benchmarks.convolutions import BATCHES, GPU_BATCHES, Ceiling, convolutions_of
from benchmarks.workload import PLAIN_BATCH, POINTS, Workload, flat
from landscape.training import Observer, StepReport, TrainingConfig, fit

TRAINING_BATCH = 100
EQUAL = 1e-5  # relative, between fp32 values of one point
EQUAL_DERIVATIVE = 1e-9  # ‖difference‖ / ‖reference‖, in fp64
CHECKED_IMAGES = 32


class PlainPoint(Case):
    """What the original tool does: read the images again, set the weights tensor by tensor, batches of 128."""

    def __init__(self) -> None:
        super().__init__("plain-loop", "plain loop: DataLoader of PIL images, contiguous, batch 128")

    def setup(self, workload: Workload) -> None:
        self._module, self._loader = workload.module(), self._images(workload)
        self._origin, self._directions = workload.origin, workload.directions

    def run(self) -> Outcome:
        return timed(self._points, len(POINTS))

    def _points(self) -> Tensor:
        losses = []
        for x, y in POINTS.tolist():
            plain.set_weights(self._module, self._origin, self._directions, x, y)
            losses.append(plain.evaluate(self._module, self._loader))
        return torch.tensor(losses, dtype=torch.float64)

    def _images(self, workload: Workload) -> Iterable[tuple[Tensor, Tensor]]:
        return plain.evaluation_loader(workload.data)


class PlainTensorsPoint(PlainPoint):
    """The same with the images as tensors in the device's memory."""

    def __init__(self) -> None:
        Case.__init__(self, "plain-tensors", "the same over tensors in memory", reference="plain-loop")

    def _images(self, workload: Workload) -> Iterable[tuple[Tensor, Tensor]]:
        return workload.batches(PLAIN_BATCH)


class ObjectivePoint(Case):
    """The same points asked of an objective."""

    def __init__(self, name: str, title: str, *, tolerance: float | None = None, **options: object) -> None:
        super().__init__(name, title, reference="plain-loop", tolerance=tolerance)
        self._options = options

    def require(self) -> None:
        if self._options.get("compile"):
            require_compiler()

    def setup(self, workload: Workload) -> None:
        self._objective = workload.objective(**self._options)
        self._subspace = workload.subspace(self._objective)

    def run(self) -> Outcome:
        return timed(self._points, len(POINTS))

    def _points(self) -> Tensor:
        return torch.from_numpy(self._objective.evaluate_points(self._subspace, POINTS).loss)


class Convolutions(Case):
    """The network's convolutions and nothing else, at the best of a few batch sizes."""

    def __init__(self, name: str, title: str, dtype: torch.dtype) -> None:
        super().__init__(name, title, reference="plain-loop")
        self._dtype = dtype

    def setup(self, workload: Workload) -> None:
        self._images = workload.images
        layers = convolutions_of(workload.module(), workload.batches(1)[0][0])
        known = GPU_BATCHES if workload.device == "cuda" else BATCHES
        sizes = [size for size in known if size <= workload.images] or [workload.images]
        self._ceilings = [Ceiling(layers, size, self._dtype) for size in sizes]

    def run(self) -> Outcome:
        return Outcome(min(ceiling.seconds(self._images) for ceiling in self._ceilings))


class PlainTraining(Case):
    """A training loop as tutorials write it: ``loss.item()`` at every step, images augmented one by one."""

    def __init__(self) -> None:
        super().__init__("plain-loop", "plain loop: DataLoader of PIL images, contiguous")

    def setup(self, workload: Workload) -> None:
        self._module = workload.module()
        self._loader = plain.training_loader(workload.data, training_batch(workload.images))
        self._optimizer = torch.optim.Adam(self._module.parameters(), lr=1e-3)

    def run(self) -> Outcome:
        return Outcome(seconds_a_step(plain.train(self._module, self._loader, self._optimizer)))


class Fit(Case):
    """The library's training; every run is an epoch of its own."""

    def __init__(
        self, name: str, title: str, *, precision: str = "fp32", engine: str = "auto", compile: bool = False
    ) -> None:
        super().__init__(name, title, reference="plain-loop")
        self._precision, self._engine, self._compile = precision, engine, compile

    def require(self) -> None:
        if self._compile:
            require_compiler()

    def setup(self, workload: Workload) -> None:
        self._module, self._data, self._device = workload.module(), workload.data, workload.device
        self._config = TrainingConfig(
            epochs=1,
            batch_size=training_batch(workload.images),
            precision=self._precision,
            engine=self._engine,
            compile=self._compile,
        )

    def run(self) -> Outcome:
        watch = _Stopwatch()
        fit(self._module, self._data, self._config, device=self._device, observers=[watch])
        return Outcome(seconds_a_step(watch.moments))


class _Stopwatch(Observer):
    """Notes when each step's gradient was ready."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def on_step(self, report: StepReport) -> None:
        wait()
        self.moments.append(time.perf_counter())


class PlainDerivative(Case):
    """Base of the plain gradient and Hessian product: tensors in memory, contiguous, batch 128."""

    def setup(self, workload: Workload) -> None:
        self._module, self._batches = workload.module(), workload.batches(PLAIN_BATCH)
        self._vector = workload.vector


class PlainGradient(PlainDerivative):
    """``loss.backward()`` batch by batch."""

    def __init__(self) -> None:
        super().__init__("plain-gradient", "gradient, plain: tensors in memory, contiguous, batch 128")

    def run(self) -> Outcome:
        return timed(lambda: flat(plain.gradient(self._module, self._batches)))


class PlainProduct(PlainDerivative):
    """The gradient of ⟨∇L, v⟩ batch by batch."""

    def __init__(self) -> None:
        super().__init__("plain-product", "Hessian product, plain: reverse over reverse, contiguous, batch 128")

    def run(self) -> Outcome:
        return timed(lambda: flat(plain.hessian_product(self._module, self._batches, self._vector)))


class ObjectiveGradient(Case):
    """``Objective.gradient``."""

    def __init__(self) -> None:
        super().__init__("gradient", "gradient, landscape", reference="plain-gradient")

    def setup(self, workload: Workload) -> None:
        self._objective = workload.objective()

    def check(self, workload: Workload) -> None:
        few = dataclasses.replace(workload, images=min(CHECKED_IMAGES, workload.images))
        reference = flat(plain.gradient(few.module().double(), few.batches(PLAIN_BATCH, torch.float64)))
        require_equal(self.name, flat(few.objective(precision="fp64").gradient().vector.views()), reference)

    def run(self) -> Outcome:
        return timed(lambda: flat(self._objective.gradient().vector.views()))


class ObjectiveProduct(Case):
    """``Objective.hessian_product``."""

    def __init__(self) -> None:
        super().__init__("product", "Hessian product, landscape", reference="plain-product")

    def setup(self, workload: Workload) -> None:
        self._objective = workload.objective()
        self._layout = self._objective.theta.layout
        self._vector = self._layout.pack(workload.vector)

    def check(self, workload: Workload) -> None:
        few = dataclasses.replace(workload, images=min(CHECKED_IMAGES, workload.images))
        vector = {name: tensor.double() for name, tensor in workload.vector.items()}
        batches = few.batches(PLAIN_BATCH, torch.float64)
        reference = flat(plain.hessian_product(few.module().double(), batches, vector))
        objective = few.objective(precision="fp64")
        product = objective.hessian_product(objective.theta.layout.pack(vector))
        require_equal(self.name, flat(objective.theta.layout.views(product)), reference)

    def run(self) -> Outcome:
        return timed(lambda: flat(self._layout.views(self._objective.hessian_product(self._vector))))


def groups() -> tuple[Group, ...]:
    """Every group with new cases."""
    return plane_group(), training_group(), derivative_group()


def plane_group() -> Group:
    """One point of a fixed grid."""
    return Group(
        "plane",
        "A point of a plane",
        "point",
        (
            PlainPoint(),
            PlainTensorsPoint(),
            ObjectivePoint("plain", "landscape, `--engine plain`, fp32", tolerance=EQUAL, engine="plain"),
            ObjectivePoint("auto", "landscape, fp32", tolerance=EQUAL),
            ObjectivePoint("bf16", "landscape, bf16", precision="bf16"),
            ObjectivePoint("compiled", "landscape, fp32, `--compile`", tolerance=EQUAL, compile=True),
            Convolutions("convolutions", "the convolutions alone, by PyTorch, fp32", torch.float32),
            Convolutions("convolutions-bf16", "the convolutions alone, by PyTorch, bf16", torch.bfloat16),
            peers.LossLandscapesPoint(),
            peers.LandscaperPoint(),
        ),
        largest_relative,
        (
            Comparison("speed relative to PyTorch's convolutions alone, fp32", "convolutions", "auto"),
            Comparison("speed relative to PyTorch's convolutions alone, bf16", "convolutions-bf16", "bf16"),
            Comparison("faster than loss-landscapes, fp32", "loss-landscapes", "auto"),
            Comparison("faster than landscaper, fp32", "landscaper", "auto"),
        ),
    )


def training_group() -> Group:
    """One update of the weights."""
    return Group(
        "training",
        f"A training step, batch {TRAINING_BATCH}",
        "step",
        (
            PlainTraining(),
            Fit("fit", "landscape, fp32"),
            Fit("fit-plain", "landscape, fp32, `--engine plain`", engine="plain"),
            Fit("fit-compiled", "landscape, fp32, `--compile`", compile=True),
            Fit("fit-bf16", "landscape, bf16", precision="bf16"),
        ),
        largest_relative,
    )


def derivative_group() -> Group:
    """A gradient, and a Hessian product, in evaluation mode over all images."""
    return Group(
        "derivatives",
        "A gradient and a Hessian product in evaluation mode",
        "pass over the images",
        (
            PlainGradient(),
            ObjectiveGradient(),
            PlainProduct(),
            ObjectiveProduct(),
            peers.PyHessianProduct(),
        ),
        relative_length,
        (
            Comparison("Hessian product in gradient passes, landscape", "product", "gradient"),
            Comparison("Hessian product in gradient passes, plain", "plain-product", "plain-gradient"),
            Comparison("Hessian product in plain gradient passes, landscape", "product", "plain-gradient"),
        ),
    )


def training_batch(images: int) -> int:
    """100, or less where that would not leave three steps to time."""
    return min(TRAINING_BATCH, max(images // 3, 2))


def seconds_a_step(moments: list[float]) -> float:
    """From the first gradient to the last: whole steps only, without what comes before the first (such as compiling)."""
    return (moments[-1] - moments[0]) / (len(moments) - 1)


def require_equal(name: str, values: Tensor, reference: Tensor) -> None:
    """Equal in fp64. In fp32 a derivative of 38 layers is rounding to a part in a hundred, in the plain loop too."""
    deviation = relative_length(values, reference)
    if not deviation <= EQUAL_DERIVATIVE:
        raise Differs(
            f"{name}: expected the plain values to {EQUAL_DERIVATIVE:g} in fp64, they differ by {deviation:.3g}."
        )


def require_compiler() -> None:
    """``torch.compile`` on a CPU needs a C++ compiler."""
    if shutil.which(os.environ.get("CXX", "c++")) is None and shutil.which("g++") is None:
        raise Unavailable("no C++ compiler for torch.compile")
