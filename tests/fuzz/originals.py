"""Small whole files of every format, as the product, torch, safetensors and the original tool write them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import render_samples
import render_step_samples
import torch
import xarray as xr
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

import landscape as ls
from landscape.results.results import serialize

_REFINED = {"picture_error": 0.01, "image_passes": 12.0, "measured_points": 12}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2))


def results() -> list[bytes]:
    """Of most kinds, with their digests."""
    samples = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
    labels = (samples[:, 0] > 0).long()
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    objective = ls.Objective(module, "cross_entropy", (samples, labels), device="cpu")
    plane = ls.plane(objective, seeds=[0, 1], x=(-1, 1, 5), y=(-1, 1, 5))
    datasets = [
        plane,
        ls.plane(objective, x=(-1, 1, 9), y=(-1, 1, 9), refinement=ls.Refinement()),
        render_samples.line(7),
        render_step_samples.flow(3, 2),
        render_step_samples.steps(6),
        render_step_samples.run_range(6),
        render_step_samples.comparison(),
        ls.plane_smoothness(plane),
        ls.plane_curvature(plane),
        ls.path(objective, nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), points=5),
        ls.curvature_map(objective, x=(-1, 1, 3), y=(-1, 1, 3)),
        ls.sharpness(objective),
        _large(plane),
    ]
    return [serialize(dataset) for dataset in datasets]


def _large(plane: xr.Dataset) -> xr.Dataset:
    """Enough values to be stored in packed chunks."""
    return plane.assign(many=("many", np.arange(5000.0)), name=("names", ["a", "ä", ""]))


def samples() -> list[bytes]:
    """Results that take no time to make."""
    adaptive = render_step_samples.adaptive(render_samples.plane(5, 5)).assign_attrs(_REFINED)
    datasets = [render_samples.plane(5, 5), adaptive, render_samples.line(5)]
    return [serialize(dataset) for dataset in (*datasets, render_step_samples.flow(3, 2), render_step_samples.steps(6))]


def without_digests(results: list[bytes]) -> list[bytes]:
    """The same content, as programs write it that know of no digest."""
    made = []
    for data in results:
        with xr.open_dataset(
            io.BytesIO(data), engine="h5netcdf", decode_times=False, decode_timedelta=False
        ) as dataset:
            made.append(bytes(dataset.load().drop_encoding().to_netcdf(engine="h5netcdf", format="NETCDF4")))
    return made


def histories() -> list[bytes]:
    return [serialize(render_samples.history(epochs)) for epochs in (1, 5)]


def surfaces() -> list[bytes]:
    def one(file: h5py.File, *, plane: bool) -> None:
        file["dir_file"] = "net_weights_xnorm=filter.h5"
        for axis in "xy" if plane else "x":
            file[f"{axis}coordinates"] = np.linspace(-1, 1, 3)
        for name in ("train_loss", "train_acc", "test_loss"):
            file[name] = np.arange(9.0).reshape(3, 3) if plane else np.arange(3.0)

    return [_file(lambda file: one(file, plane=True)), _file(lambda file: one(file, plane=False))]


def directions() -> list[bytes]:
    def one(file: h5py.File, groups: tuple[str, ...], state: bool) -> None:
        tensors = network().state_dict().values() if state else network().parameters()
        for group in groups:
            for number, tensor in enumerate(tensors):
                file[f"{group}/{number}"] = tensor.detach().numpy()

    return [
        _file(lambda file: one(file, ("xdirection",), False)),
        _file(lambda file: one(file, ("xdirection", "ydirection"), True)),
    ]


def _file(fill: Callable[[h5py.File], None]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def weights() -> dict[str, Tensor]:
    return dict(network().state_dict())


def checkpoints(folder: Path) -> list[bytes]:
    """Our own: of a run that can be resumed, and of weights alone."""
    optimizer = torch.optim.Adam(network().parameters())
    states = [
        {"model": weights(), "epoch": 2, "optimizer": optimizer.state_dict(), "history": [{"train_loss": 0.5}]},
        {"model": weights()},
    ]
    made = []
    for state in states:
        ls.save_checkpoint(folder / "made.pt", state=state, model={"name": "mlp", "options": {"width": 3}})
        made.append((folder / "made.pt").read_bytes())
    (folder / "made.pt").unlink()
    return made


def foreign_checkpoints() -> list[bytes]:
    """A state dict, one inside what trainers keep, in torch's two layouts."""
    contents = [weights(), {"state_dict": {f"module.{k}": v for k, v in weights().items()}, "epoch": 3, "lr": 0.1}]
    made = []
    for content in contents:
        for archived in (True, False):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=archived)
            made.append(buffer.getvalue())
    return made


def safetensors() -> list[bytes]:
    return [save_safetensors(weights()), save_safetensors({"w": torch.ones(3)}, metadata={"format": "pt"})]


def studies() -> list[bytes]:
    return [_STUDY.encode()]


_STUDY = """\
name = "a study"

[[runs]]
name = "both"
model = "vgg08"
norm = ["none", "batch"]
data = "fashion-mnist-10k"
epochs = 2
learning_rate = [1e-3, 1e-4]
batch_size = 100
seed = [0, 1]

[[probes]]
name = "plane"
kind = "plane"
x = "-1:1:5"
y = "-1:1:5"
seeds = [0, 1]
images = 100

[[probes]]
name = "sharp"
kind = "sharpness"
images = 100

[[pictures]]
kind = "contour"
probe = "plane"
formats = ["png", "svg"]

[[tables]]
name = "rates"
over = "learning_rate"
quantities = ["train_loss"]

[[comparisons]]
name = "norms"
by = "norm"
"""
