"""Options that several commands share, and what they make of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def chain(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several decorators as one, listed in the order in which help shows them."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def place_options() -> Callable[[F], F]:
    """Device, folders and downloads: what no result depends on."""
    return chain(
        click.option("--device", default="auto", help="auto, cpu, cuda or mps."),
        click.option("--data-root", type=click.Path(path_type=Path), help="Folder of data set files."),
        click.option("--download", is_flag=True, help="Fetch a missing data set."),
    )


def model_options(**callbacks: Any) -> Callable[[F], F]:
    """Which model and which data; ``callbacks`` read an option's text in another way, such as :func:`listed`."""
    return chain(
        click.option(
            "--model",
            callback=callbacks.get("model"),
            help="vgg08 … vgg38, mlp, torchvision:NAME, module:function or file.py:function.",
        ),
        click.option(
            "--norm",
            callback=callbacks.get("norm"),
            help="Where BatchNorm sits in a vgg: none, input, blocks or batch (after every convolution).",
        ),
        click.option(
            "--model-option", "model_option", multiple=True, metavar="KEY=VALUE", help="For the model's builder."
        ),
        click.option(
            "--data", help="fashion-mnist-10k, fashion-mnist, cifar10, cifar100, module:function or file.py:function."
        ),
        click.option(
            "--data-option", "data_option", multiple=True, metavar="KEY=VALUE", help="For the data's function."
        ),
        click.option(
            "--loss",
            help="cross_entropy, mse, module:function or file.py:function: values, or (values, weights), one a sample.",
        ),
    )


def trust_option() -> Callable[[F], F]:
    """For commands that open a checkpoint."""
    return click.option(
        "--trust",
        is_flag=True,
        default=None,
        help="Run the functions that the checkpoint names as model, data and loss, without their being repeated here.",
    )


def checkpoint_key_option(also: str = "") -> Callable[[F], F]:
    """For commands that open a checkpoint; ``also`` says of which other files."""
    return click.option(
        "--checkpoint-key",
        metavar="KEY",
        help=f"Which weights of a file that holds several, such as state_dict_ema, or a prefix of their names{also}.",
    )


def sample_options(images: str, batch_norm: str) -> Callable[[F], F]:
    """Which samples, how they are run and what is moved; ``images`` and ``batch_norm`` are the defaults that help names."""
    return chain(
        click.option("--batch-norm", help=f"frozen, interpolated, reestimated or batch.  [default: {batch_norm}]"),
        click.option("--split", help="train, validation or test.  [default: train]"),
        click.option("--images", type=int, help=f"How many images of the split.  [default: {images}]"),
        click.option("--image-seed", type=int, help="Which images.  [default: 0]"),
        click.option("--precision", help="fp32 (on a GPU too: never TF32), fp64 or bf16.  [default: fp32]"),
        click.option(
            "--batch-size", type=int, help="Images a forward pass; part of the result for --batch-norm batch."
        ),
        click.option(
            "--engine",
            help="auto folds BatchNorm away and filters 3x3 convolutions where values stay the same; plain does not.  "
            "[default: auto]",
        ),
        click.option("--compile", is_flag=True, default=None, help="Run through torch.compile; starts slower."),
        click.option(
            "--parameters",
            help="Move these alone: shell patterns such as 'head.*,*.bias', trainable or all.  [default: trainable, if any is]",
        ),
    )


def named_parts(options: dict[str, Any]) -> dict[str, Any]:
    """Model, data, loss and trust out of a command's ``options``, as :class:`landscape.probes.subjects.Subject` takes them."""
    from landscape.errors import InputError

    model, norm, data = (options.pop(name) for name in ("model", "norm", "data"))
    builder = {**given(norm=norm), **key_values(options.pop("model_option"), "--model-option")}
    reader = key_values(options.pop("data_option"), "--data-option")
    if norm is not None and model is None:
        raise InputError("--norm: belongs to --model; give both, or neither for a checkpoint that says its model.")
    return {
        "model": None if model is None else {"name": model, "options": builder},
        "data": None if data is None else {"name": data, "options": reader},
        "loss": options.pop("loss"),
        "trust": bool(options.pop("trust")),
    }


def key_values(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """``KEY=VALUE`` pairs as a mapping; values are read as JSON where they are JSON, as text otherwise."""
    from landscape.errors import InputError

    values: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise InputError(f"{option}: expected KEY=VALUE, got {pair!r}.")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """``0,1,2`` as numbers."""
    from landscape.errors import InputError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{option}: expected whole numbers separated by commas, such as 0,1,2, got {text!r}."
        ) from None


def listed(convert: Callable[[str], Any], what: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """An option's callback: one value, or several separated by commas as a list."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
        from landscape.errors import InputError

        if text is None:
            return None
        try:
            values = [convert(part.strip()) for part in text.split(",")]
        except ValueError:
            raise InputError(
                f"--{(parameter.name or '').replace('_', '-')}: expected {what}, or several separated by commas, got {text!r}."
            ) from None
        return values[0] if len(values) == 1 else values

    return read


def given(**options: Any) -> dict[str, Any]:
    """The options that the user gave: those that are not None, and no empty mappings."""
    return {key: value for key, value in options.items() if value is not None and value != {}}
