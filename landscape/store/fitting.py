"""Whether a checkpoint's weights fit a module, and putting them in: all of them, or none."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from landscape.errors import CheckpointError
from landscape.store.checkpoints import Checkpoint, plain_names

_SHOWN = 5


def check_fits(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Compare names and shapes, leaving out on both sides what wrappers put before names.

    ``num_batches_tracked`` may be missing: old checkpoints lack it, and no output depends on it.

    Raises:
        CheckpointError: saying which tensors are missing, unexpected, or of another shape, and how many.
    """
    wanted, given = plain_names(module.state_dict()), plain_names(checkpoint.state_dict)
    missing = [n for n in wanted if n not in given and not n.endswith("num_batches_tracked")]
    unexpected = [n for n in given if n not in wanted]
    reshaped = [
        f"{n} ({_shape(given[n])} in the file, {_shape(wanted[n])} in the model)"
        for n in wanted
        if n in given and _shape(given[n]) != _shape(wanted[n])
    ]
    complaints = [
        f"{len(names)} {what}: {_first(names)}"
        for names, what in (
            (missing, "missing from the file"),
            (unexpected, "not in the model"),
            (reshaped, "of another shape"),
        )
        if names
    ]
    if complaints:
        model = f"{type(module).__name__} with {len(wanted)} tensors"
        raise CheckpointError(
            f"{checkpoint.path}: does not fit the model ({model}); {'; '.join(complaints)}. "
            "Name the model and options that it was trained with."
        )


def load_into(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy the checkpoint's weights and buffers into ``module``, in place.

    Raises:
        CheckpointError: if they do not fit; ``module`` is then as it was.
    """
    check_fits(module, checkpoint)
    current = module.state_dict()
    given = plain_names(checkpoint.state_dict)
    targets = zip(current, plain_names(current), strict=True)
    before = {name: tensor.clone() for name, tensor in current.items() if isinstance(tensor, Tensor)}
    try:
        module.load_state_dict(_without_absent({name: given.get(plain) for name, plain in targets}))
    except (RuntimeError, AttributeError, KeyError, TypeError, ValueError) as error:
        module.load_state_dict(before, strict=False)
        raise CheckpointError(f"{checkpoint.path}: the model refuses the weights: {error}") from error


def _without_absent(tensors: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _shape(entry: object) -> tuple[int, ...] | None:
    return tuple(entry.shape) if isinstance(entry, Tensor) else None  # None: a module's extra state


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
