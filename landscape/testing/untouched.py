"""What a measurement must leave bit for bit as it was: the module, the loss, the data, generators, PyTorch's settings."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.data.tensors import map_leaves

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
_SHOWN = 4


def trace(module: nn.Module, loss: Any, data: Any) -> dict[str, Any]:
    """Everything by a name that a sentence can use, tensors as hashes of their bytes."""
    found = {**_of_module(module, "module"), **_generators(), **_settings(), **dict(_of_data(data))}
    return {**found, **_of_module(loss, "loss")} if isinstance(loss, nn.Module) else found


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of what is not as it was."""
    names = dict.fromkeys((*before, *after))
    return [name for name in names if before.get(name) != after.get(name)]


def listed(names: list[str]) -> str:
    """A few of the names for a sentence, and how many more there are."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _of_module(module: nn.Module, owner: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        found[f"{owner}: parameter {name}"] = _bytes(parameter)
        found[f"{owner}: place in memory of {name}"] = None if _is_lazy(parameter) else parameter.data_ptr()
        found[f"{owner}: requires_grad of {name}"] = parameter.requires_grad
        found[f"{owner}: grad of {name}"] = None if parameter.grad is None else _bytes(parameter.grad)
    for name, buffer in module.named_buffers(remove_duplicate=False):
        found[f"{owner}: buffer {name}"] = _bytes(buffer)
    for name, part in module.named_modules():
        where = name or type(module).__name__
        found[f"{owner}: mode of {where}"] = part.training
        found[f"{owner}: hooks of {where}"] = [list(getattr(part, kind, ())) for kind in _HOOKS]
        found[f"{owner}: attributes of {where}"] = _plain_attributes(part)
    return found


def _plain_attributes(part: nn.Module) -> dict[str, Any]:
    """Numbers, text and tensors that a module keeps beside its parameters, such as a counter."""
    kept = {key: value for key, value in vars(part).items() if not key.startswith("_") and key != "training"}
    plain = {key: value for key, value in kept.items() if value is None or isinstance(value, bool | int | float | str)}
    return plain | {key: _bytes(value) for key, value in kept.items() if isinstance(value, Tensor)}


def _generators() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  # the global one
    found = {
        "PyTorch's random state": torch.get_rng_state().numpy().tobytes(),
        "numpy's random state": (kind, np.asarray(keys).tobytes(), *rest),
        "Python's random state": random.getstate(),
    }
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        found[f"the random state of cuda:{number}"] = torch.cuda.get_rng_state(number).numpy().tobytes()
    return found


def _settings() -> dict[str, Any]:
    cudnn = torch.backends.cudnn
    return {
        "whether gradients are on": torch.is_grad_enabled(),
        "whether inference mode is on": torch.is_inference_mode_enabled(),
        "the default dtype": torch.get_default_dtype(),
        "the number of threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "cuDNN's settings": (cudnn.deterministic, cudnn.benchmark, cudnn.enabled),
        "anomaly detection": torch.is_anomaly_enabled(),
        "the fast path of attention": torch.backends.mha.get_fastpath_enabled(),
    }


def _of_data(data: Any) -> Iterator[tuple[str, Any]]:
    """The tensors and arrays that were handed over themselves; what reads files is asked for its hash where it has one."""
    if isinstance(data, tuple | list) and len(data) == 2:
        found: list[Any] = []
        map_leaves(found.append, tuple(data))
        for number, leaf in enumerate(found):
            if isinstance(leaf, Tensor | np.ndarray):
                yield f"data: tensor {number}", leaf.tobytes() if isinstance(leaf, np.ndarray) else _bytes(leaf)
    elif hasattr(data, "fingerprint"):
        yield "data: its content", data.fingerprint()


def _bytes(tensor: Tensor) -> Any:
    if _is_lazy(tensor):
        return "not initialised"
    plain = tensor.detach()
    plain = plain.to_dense() if plain.layout != torch.strided else plain
    flat = plain.cpu().contiguous().reshape(-1)
    return tuple(plain.shape), str(plain.dtype), hashlib.blake2b(flat.view(torch.uint8).numpy().data).hexdigest()


def _is_lazy(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.parameter.UninitializedParameter | nn.parameter.UninitializedBuffer)
