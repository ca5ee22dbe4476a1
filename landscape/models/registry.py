"""Models by name: what a command line or a checkpoint says becomes a module."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from landscape.errors import InputError, unknown_choice
from landscape.models.mlp import mlp
from landscape.models.others import (
    PREFIXES,
    TIMM,
    TORCHVISION,
    TRANSFORMERS,
    timm_model,
    torchvision_model,
    transformers_model,
)
from landscape.models.vgg import DEPTHS, vgg
from landscape.numerics.seeds import derive_seed
from landscape.references import (
    accepted_options,
    call_reference,
    check_options,
    is_reference,
    json_options,
    resolve_reference,
)

FACTS = ("classes", "channels", "image_size")  # of data, that a model's builder may take

_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    **{f"vgg{depth:02}": functools.partial(vgg, depth) for depth in DEPTHS},
    "mlp": mlp,
}

MODELS: dict[str, str] = {
    **{f"vgg{depth:02}": f"the coursework's network, {depth - 1} convolutions and 1 linear layer" for depth in DEPTHS},
    "mlp": "multi-layer perceptron",
}


def build_model(name: str, *, seed: int | None = None, **options: Any) -> nn.Module:
    """A freshly initialised module by name, on the CPU.

    The pair ``{"name": name, "options": options}`` is a model's spec: what a checkpoint records, and enough to build it again.

    Args:
        name: one of :data:`MODELS`; ``torchvision:NAME`` for one of torchvision's classification models and ``timm:NAME`` for one
            of timm's, without trained weights; ``hf:FOLDER`` for the model that a configuration of transformers names, likewise;
            or a reference ``module:function`` or ``path/to/file.py:function`` to a function that returns a module. It is imported
            and called: a name that a file holds belongs here only if its code may run.
        seed: initial weights are a function of it, and torch's global random state is left as it was. None draws them from that
            state, as building the module by hand would.
        options: what the builder takes; values that JSON can carry. For torchvision's, ``classes`` and their own arguments.

    Raises:
        InputError: for a name or option that does not exist, naming the nearest; for a value that JSON cannot carry or the
            builder refuses; for a reference that fails or returns something else.

    Example:
        >>> model = ls.build_model("mlp", seed=0, inputs=2, hidden=[16, 16], classes=3)
        >>> model(torch.zeros(5, 2)).shape
        torch.Size([5, 3])
    """
    options = json_options(f"model {name!r}", options)
    if seed is None:
        return _build(name, options)
    with torch.random.fork_rng(devices=[]):
        # Only the CPU's generator, so that a seed neither starts nor reseeds an accelerator.
        torch.default_generator.manual_seed(derive_seed(seed, "initialisation"))
        return _build(name, options)


def is_own_code(name: str) -> bool:
    """Whether a model's name is a reference to a user's own function, rather than one that landscape knows."""
    return is_reference(name) and not name.startswith(PREFIXES)


def fitting_options(name: str, **facts: Any) -> dict[str, Any]:
    """Those of ``facts`` about a data set (``classes``, ``channels``, ``image_size``) that the model's builder takes.

    Facts that are None are left out. A referenced function gets those that its signature names.

    Raises:
        InputError: for a name that does not exist.
    """
    if name.startswith(PREFIXES):
        taken = set() if name.startswith(TRANSFORMERS) else {"classes"}
    else:
        builder = resolve_reference("model", name) if is_reference(name) else _builder(name)
        taken = set(accepted_options(builder) or ())
    return {fact: value for fact, value in facts.items() if fact in taken and value is not None}


def _build(name: str, options: dict[str, Any]) -> nn.Module:
    if name.startswith((TORCHVISION, TIMM)) and "num_classes" in options:  # as both of them call it
        options = {**options, "classes": options["num_classes"]}
        del options["num_classes"]
    if name.startswith(TORCHVISION):
        return torchvision_model(name, **options)
    if name.startswith(TIMM):
        return timm_model(name, **options)
    if name.startswith(TRANSFORMERS):
        check_options(f"model {name!r}", lambda: None, options)
        return transformers_model(name)
    if not is_reference(name):
        builder = _builder(name)
        check_options(f"model {name!r}", builder, options)
        return builder(**options)
    module = call_reference("model", name, options)
    if not isinstance(module, nn.Module):
        raise InputError(
            f"model: {name!r} returned {type(module).__name__} {module!r:.80}; expected a torch.nn.Module."
        )
    return module


def _builder(name: str) -> Callable[..., nn.Module]:
    if name not in _BUILDERS:
        unknown = unknown_choice("model", name, MODELS)
        raise InputError(f"{unknown} Or torchvision:NAME, or your own: module:function, path/to/file.py:function.")
    return _BUILDERS[name]
