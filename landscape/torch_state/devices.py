"""Which device a name means, checked once at the border."""

from __future__ import annotations

import torch

from landscape.errors import InputError, unknown_choice

DEVICES = ("auto", "cpu", "cuda", "mps")


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """The device that ``name`` means: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or a ``torch.device``.

    ``auto`` takes CUDA where there is one, else MPS, else the CPU. ``cuda`` without a number is PyTorch's current CUDA
    device, so that the result compares equal to the device of the tensors placed on it.

    Raises:
        InputError: for a name that does not exist, and for a device that this machine does not have.
    """
    try:
        device = _best() if name == "auto" else torch.device(name)
    except (RuntimeError, TypeError):
        raise unknown_choice("device", name, DEVICES) from None
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "cuda":
        return _cuda(device)
    if device.type != "mps":
        raise unknown_choice("device", str(name), DEVICES)
    if not torch.backends.mps.is_available():
        raise _unavailable(device, "PyTorch finds no Metal device here")
    return device


def _best() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _cuda(device: torch.device) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise _unavailable(device, "PyTorch finds no CUDA device here")
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= count:
        raise _unavailable(device, f"the CUDA devices here are cuda:0 to cuda:{count - 1}")
    return torch.device("cuda", index)


def _unavailable(device: torch.device, reason: str) -> InputError:
    return InputError(
        f"device: {str(device)!r} is not available: {reason}. Use 'cpu', or 'auto' for the best there is."
    )


def wide_type(device: torch.device) -> torch.dtype:
    """The type that norms and means are summed in."""
    return torch.float32 if device.type == "mps" else torch.float64
