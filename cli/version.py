"""``landscape --version``: what matters for a report, and for a result that differs between two machines."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator

# Whose versions decide values, files or messages.
PACKAGES = (
    "torchvision",
    "numpy",
    "scipy",
    "xarray",
    "h5py",
    "h5netcdf",
    "matplotlib",
    "plotly",
    "click",
    "pydantic",
    "safetensors",
)
EXTRAS = ("gudhi", "dask", "transformers", "timm", "peft", "lightning")


def lines() -> Iterator[str]:
    """The version first, by itself."""
    import torch

    from landscape._version import __version__
    from landscape.numerics.kernels import winograd
    from landscape.torch_state.devices import resolve_device

    yield f"landscape, version {__version__}"
    yield f"Python {platform.python_version()}, {platform.platform()}, {platform.machine()}"
    known = (f"{name} {version}" for name in (*PACKAGES, *EXTRAS) if (version := _version(name)))
    yield ", ".join([f"torch {torch.__version__}", *known])  # its own word has the build, +cu130 or +cpu
    device = resolve_device("auto")
    on_gpu = device.type == "cuda"
    gpu = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}, " if on_gpu else ""
    cores = f"{torch.get_num_threads()} threads on {os.cpu_count()} cores"
    yield f"device {device} ({gpu}{torch.backends.cpu.get_cpu_capability()}), {cores}"
    reason = winograd.missing()
    yield f"filtered convolutions: {'not used: ' + reason if reason else 'compiled'}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
