"""Other libraries from PyPI, timed where they are installed and run with the present torch and numpy.

``make bench`` installs loss-landscapes and PyHessian. Landscaper is not among them: it requires topopy, which requires
``numpy < 2``. Its loss surface needs neither, so an environment with a current numpy can have it by
``pip install --no-deps landscaper topopy nglpy gudhi coloraide drawsvg treelib scikit-learn joblib threadpoolctl cloudpickle``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
from typing import Any

from torch import Tensor, nn

from benchmarks.case import Case, Outcome, Unavailable, timed
from benchmarks.workload import PLAIN_BATCH, Workload, flat

STEPS = 2  # points along each axis of the peers' smallest plane


class Peer(Case):
    """A case of another library: whatever it trips over is a line of the table, not the end of the benchmark."""

    distribution: str
    modules: tuple[str, ...]

    def __init__(self, name: str, *, reference: str, title: str = "", tolerance: float | None = None) -> None:
        self._version = _version(self.distribution)
        named = " ".join(part for part in (title, self.distribution, self._version) if part)
        super().__init__(name, named, reference=reference, tolerance=tolerance)

    def require(self) -> None:
        if self._version is None:
            raise Unavailable("not installed")
        try:
            self._modules = [importlib.import_module(name) for name in self.modules]
        except ImportError as error:
            raise Unavailable(f"installed, but cannot be imported: {error}") from error


class LossLandscapesPoint(Peer):
    """``loss_landscapes.random_plane`` with its own loss metric: all images in one batch.

    Normalised by layer: its filter normalisation divides by zero where a bias is zero, as every new BatchNorm's is.
    """

    distribution, modules = "loss-landscapes", ("loss_landscapes", "loss_landscapes.metrics")

    def __init__(self) -> None:
        super().__init__("loss-landscapes", reference="plain-loop")

    def setup(self, workload: Workload) -> None:
        self._module = workload.module()
        inputs, targets = workload.batches(workload.images)[0]
        self._metric = self._modules[1].Loss(nn.CrossEntropyLoss(), inputs, targets)

    def run(self) -> Outcome:
        return timed(self._plane, STEPS**2)

    def _plane(self) -> None:
        self._modules[0].random_plane(
            self._module, self._metric, distance=10, steps=STEPS, normalization="layer", deepcopy_model=True
        )


class LandscaperPoint(Peer):
    """``landscaper``'s loss surface with the scalar function of its examples: all images in one batch."""

    distribution, modules = "landscaper", ("landscaper.compute",)

    def __init__(self) -> None:
        super().__init__("landscaper", reference="plain-loop")

    def setup(self, workload: Workload) -> None:
        self._module, self._data = workload.module(), workload.batches(workload.images)[0]
        self._device = workload.device
        self._directions = [list(d.values()) for d in workload.directions]

    def run(self) -> Outcome:
        return timed(self._plane, STEPS**2)

    def _plane(self) -> None:
        def loss(module: nn.Module, data: tuple[Tensor, Tensor]) -> float:
            return nn.functional.cross_entropy(module(data[0]), data[1]).item()

        # It prints statistics and a progress bar.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self._modules[0].compute_loss_landscape(
                self._module, self._data, self._directions, loss, steps=STEPS, dim=2, device=self._device
            )


class PyHessianProduct(Peer):
    """PyHessian's product over a data loader, from which its eigenvalues and traces are made."""

    distribution, modules = "PyHessian", ("pyhessian",)

    def __init__(self) -> None:
        super().__init__("pyhessian", title="Hessian product,", reference="plain-product")

    def setup(self, workload: Workload) -> None:
        self._vector = workload.vector
        self._hessian: Any = self._modules[0].hessian(
            workload.module(),
            nn.CrossEntropyLoss(),
            dataloader=workload.batches(PLAIN_BATCH),
            cuda=workload.device == "cuda",
        )

    def run(self) -> Outcome:
        return timed(self._product)

    def _product(self) -> Tensor:
        _, product = self._hessian.dataloader_hv_product(list(self._vector.values()))
        return flat(dict(zip(self._vector, product, strict=True)))


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
