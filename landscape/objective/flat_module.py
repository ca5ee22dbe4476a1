"""A private copy of a user's module whose parameters are views of one flat vector."""

from __future__ import annotations

import copy
import fnmatch
import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.parameters import Layout, ParameterVector

Patterns = str | Sequence[str] | None
TRAINABLE, ALL, ADAPTERS = "trainable", "all", "adapters"
_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


class FlatModule:
    """The module as a function of a flat vector: loading θ is one copy, whatever the number of tensors.

    The copy is in evaluation mode, on ``device``, with floating-point tensors in ``dtype``; the user's own module is only read.

    Args:
        parameters: those that make up θ: a shell pattern of their names (``"features.*"``), several, ``"trainable"`` (those that
            require a gradient), ``"adapters"`` (those of peft) or ``"all"``. By default those that require a gradient, or all
            where none does. The others keep their values.
        channels_last: whether 4-D weights are stored channels-last.

    Raises:
        InputError: for a module that cannot be copied, has no parameters, uninitialised or complex ones in θ, or patterns that
            match none.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        device: torch.device,
        dtype: torch.dtype,
        channels_last: bool,
        parameters: Patterns = None,
    ) -> None:
        self.module = converted(private_copy(module), device, dtype).eval()
        self._parameters, self.selection = _selected(self.module, parameters)
        self.layout = Layout.of(self._parameters, channels_last=channels_last)
        self.vector = self.layout.pack(self._parameters, dtype=dtype, device=device)
        for name, view in self.layout.views(self.vector).items():
            # .data keeps each Parameter object, and with it every tie between modules that share one.
            self._parameters[name].data = view
            self._parameters[name].requires_grad_(True)
        for name, parameter in self.module.named_parameters():
            if name not in self._parameters:
                parameter.requires_grad_(False)

    def load(self, vector: Tensor) -> None:
        """Set all parameters to the flat ``vector``."""
        with torch.no_grad():
            self.vector.copy_(vector)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The tensors of θ, in the layout's order."""
        return list(self._parameters.values())

    @property
    def fixed(self) -> dict[str, Tensor]:
        """The parameters that keep their values, by name."""
        return {name: p.detach() for name, p in self.module.named_parameters() if name not in self._parameters}

    def snapshot(self) -> ParameterVector:
        """A copy of the present θ."""
        return ParameterVector(self.vector.clone(), self.layout)


def converted(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The module, in place, on ``device`` with floating-point tensors in ``dtype``, and complex ones in two of them.

    ``Module.to(dtype)`` leaves complex tensors without their imaginary part.
    """

    def convert(tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            return tensor.to(dtype.to_complex())
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    # Moved last, because not every device has float64, and by its own to(), which a module may have to take more along.
    converted_module: nn.Module = module._apply(convert).to(device)  # type: ignore[no-untyped-call]
    return converted_module


def has_hooks(layer: nn.Module | None) -> bool:
    """Whether somebody looks at, or changes, what goes into a layer or comes out of it."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(layer, kind, None) for kind in kinds)


def has_convolutions(module: nn.Module) -> bool:
    """Whether channels-last can pay: the module holds 2-D convolutions."""
    return any(isinstance(layer, _CONVOLUTIONS) for layer in module.modules())


def a_module(given: object) -> None:
    """Refuse what is given in place of a module.

    Raises:
        InputError: with what to give.
    """
    if isinstance(given, nn.Module):
        return
    if isinstance(given, type):
        raise InputError(f"module: {given.__name__} is a class. Give an instance of it: {given.__name__}(…).")
    mend = f" {given!r:.60}."
    if isinstance(given, str | os.PathLike):
        mend = f" {given!r:.60}. A model by name is ls.build_model(…), one of a folder ls.from_pretrained(…)."
    elif isinstance(given, Mapping):
        mend = ". Weights alone do not run: load them into their module, module.load_state_dict(…), and give that."
    elif hasattr(given, "structure"):
        mend = ", which is a module with its loss and data already. Give the module that it was made of."
    elif callable(given):
        mend = f" {given!r:.60}. A function of parameters is ls.function(f, theta)."
    raise InputError(f"module: expected a torch.nn.Module, got {type(given).__name__}{mend}")


def private_copy(module: nn.Module) -> nn.Module:
    """A deep copy without gradients.

    Raises:
        InputError: for what is no module, or cannot be copied.
    """
    a_module(module)
    if isinstance(module, torch.jit.ScriptModule):
        raise InputError(
            f"module: {type(module).__name__} is TorchScript, which is not looked into; expected the module that it was "
            "made of. Build that, and load the weights: module.load_state_dict(torch.jit.load(file).state_dict())."
        )
    held = [*module.named_parameters(), *module.named_buffers()]
    if empty := [name for name, tensor in held if tensor.is_meta]:
        raise InputError(
            f"module: {empty[0]} is on the meta device and has no values. Give it some: module.to_empty(device='cpu'), then "
            "module.load_state_dict(…)."
        )
    try:
        private = copy.deepcopy(module)
    except Exception as error:
        raise InputError(
            f"module: {type(module).__name__} cannot be copied ({error}). It is never evaluated in place, so that it stays as "
            "it is. A tensor computed from parameters and kept as an attribute is the usual cause: compute it in forward(), "
            "or use torch.nn.utils.parametrizations; after torch.nn.utils.prune, prune.remove(layer, 'weight')."
        ) from error
    for parameter in private.parameters():
        parameter.grad = None
    return private


def _selected(module: nn.Module, patterns: Patterns) -> tuple[dict[str, nn.Parameter], str]:
    """The parameters that make up θ, by name, and in words which they are."""
    named = dict(module.named_parameters())
    if not named:
        raise InputError(f"module: {type(module).__name__} has no parameters, so there is no landscape to look at.")
    lazy = [n for n, p in named.items() if isinstance(p, nn.parameter.UninitializedParameter)]
    if lazy:
        raise InputError(f"module: {lazy[0]} is not initialised yet. Run one batch through the module first.")
    chosen, how = (
        _adapters(module, named) if patterns in (ADAPTERS, [ADAPTERS], (ADAPTERS,)) else _chosen(named, patterns)
    )
    if other := [n for n, p in chosen.items() if not p.is_floating_point()]:
        raise InputError(
            f"parameters: expected floating-point ones, but {other[0]} is of {named[other[0]].dtype}. Keep a complex parameter as "
            "its real and imaginary parts (torch.view_as_complex), or leave it out by parameters=[…]."
        )
    return chosen, f"{_size(chosen):,} of {_size(named):,}: {how}"


def _adapters(module: nn.Module, named: dict[str, nn.Parameter]) -> tuple[dict[str, nn.Parameter], str]:
    """What peft added: the tensors that its layers say are an adapter's, and its copies of whole layers."""
    of_peft = [layer for layer in module.modules() if type(layer).__module__.startswith("peft.")]
    parts = {part for layer in of_peft for part in (getattr(layer, "adapter_layer_names", None) or ())}
    parts |= {"modules_to_save", "prompt_encoder", "trainable_tokens_delta"}
    chosen = {name: p for name, p in named.items() if of_peft and parts & set(name.split("."))}
    if not chosen:
        raise InputError(
            "parameters: 'adapters' are those of peft, and the module has none. Give a model of peft.get_peft_model, or patterns "
            "of "
            "names, such as 'head.*'."
        )
    return chosen, "the adapters of peft"


def _chosen(named: dict[str, nn.Parameter], patterns: Patterns) -> tuple[dict[str, nn.Parameter], str]:
    listed = isinstance(patterns, list | tuple) and all(isinstance(one, str) for one in patterns)
    if patterns is not None and not isinstance(patterns, str) and not listed:
        raise InputError(
            f"parameters: expected patterns of names, such as ['head.*'], 'trainable' or 'all', got {type(patterns).__name__} "
            f"{patterns!r:.60}."
        )
    if patterns is not None and not isinstance(patterns, str) and len(patterns) == 1:
        patterns = patterns[0]
    trained = {n: p for n, p in named.items() if p.requires_grad}
    if patterns == ALL or (len(trained) == len(named) and patterns in (None, TRAINABLE)):
        return named, "all"
    if patterns is None and not trained:
        return named, "all, as none has requires_grad"
    if patterns in (None, TRAINABLE):
        if not trained:
            raise InputError(
                "parameters: 'trainable' are those with requires_grad=True, and none has it. Choose 'all'."
            )
        return trained, "those with requires_grad=True; the others stay as they are"
    assert patterns is not None
    wanted = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    chosen = {n: p for n, p in named.items() if any(fnmatch.fnmatchcase(n, pattern) for pattern in wanted)}
    if not chosen:
        some = ", ".join(list(named)[:6])
        raise InputError(
            f"parameters: {list(wanted)!r} matches none of the module's names, such as {some}. Expected patterns of them, "
            f"'{TRAINABLE}' or '{ALL}'."
        )
    return chosen, f"those that match {', '.join(wanted)}"


def _size(parameters: dict[str, nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters.values())
