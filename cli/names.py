"""One language of option names over all commands: hyphens or underscores, and what other programs call the same thing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import click

# What other programs call an option -> what it is called here.
SYNONYMS = {
    "lr": "learning-rate",
    "bs": "batch-size",
    "batchsize": "batch-size",
    "wd": "weight-decay",
    "epoch": "epochs",
    "opt": "optimizer",
    "optim": "optimizer",
    "optimiser": "optimizer",
    "scheduler": "schedule",
    "seeds": "seed",
    "arch": "model",
    "architecture": "model",
    "net": "model",
    "network": "model",
    "dataset": "data",
    "ckpt": "checkpoint",
    "weights": "checkpoint",
    "output": "out",
    "bn": "batch-norm",
}
# What may be meant by a name that a command does not have -> those of its options that come near.
_NEAR = {
    "batch-norm": ("norm",),
    "norm": ("batch-norm",),
    "steps": ("updates", "epochs"),
    "iterations": ("updates", "steps", "epochs"),
    "iters": ("updates", "steps", "epochs"),
    "max-steps": ("updates", "steps"),
    "samples": ("images", "train-images"),
    "images": ("train-images",),
    "subset": ("images", "train-images"),
    "seed": ("image-seed", "draw-seed", "split-seed", "alignment-seed"),
    "random-seed": ("seed",),
    "gpu": ("device",),
    "cuda": ("device",),
    "cpu": ("device",),
    "dtype": ("precision",),
    "half": ("precision",),
    "amp": ("precision",),
    "criterion": ("loss",),
    "fp16": ("precision",),
    "data-dir": ("data-root",),
    "data-path": ("data-root",),
    "root": ("data-root",),
    "out": ("outputs",),
    "outputs": ("out",),
    "output-dir": ("out", "outputs"),
    "save-dir": ("out", "outputs"),
    "dir": ("out", "outputs"),
    "resolution": ("x", "y"),
    "grid": ("x", "y"),
    "range": ("x", "y"),
    "vmax": ("loss-max",),
    "clip": ("loss-max",),
    "resume": ("checkpoint",),
    "dry-run": ("plan",),
    "freeze": ("parameters",),
    "layers": ("parameters", "per-layer"),
    "eigenvalues": ("top", "bottom"),
    "radius": ("rho",),
    "epsilon": ("rho",),
}


def canonical(name: str) -> str:
    """The name that an option goes by, without its hyphens in front; click holds declared and given names together by it."""
    spelled = name.replace("_", "-")
    return SYNONYMS.get(spelled, spelled)


def unknown_option(error: click.NoSuchOption, arguments: Sequence[str]) -> click.UsageError:
    """What is wrong with an option that nobody has, as it was typed, with what may be meant by spelling or meaning."""
    typed = as_typed(error.option_name, arguments)
    context = error.ctx
    if context is None:
        return click.UsageError(f"{typed}: is no option.")
    options = [flag for p in context.command.get_params(context) if isinstance(p, click.Option) for flag in _flags(p)]
    meant = _meant(typed, options)
    hint = f" Did you mean {' or '.join(meant)}?" if meant else ""
    return click.UsageError(
        f"{typed}: is no option of {context.command_path}.{hint} {context.command_path} --help shows all.", context
    )


def as_typed(option: str, arguments: Sequence[str]) -> str:
    """An option as it stands among the arguments: its name in errors is the canonical one."""
    words = [word.partition("=")[0] for word in arguments if word.startswith("-")]
    whole = [word for word in words if "--" + canonical(word.lstrip("-")) == option]
    # click takes a word behind a single hyphen for letters and complains of the first that is none
    letters = [word for word in words if not option.startswith("--") and option.lstrip("-") in word[1:]]
    return next(iter(whole + letters), option)


def _flags(option: click.Option) -> Iterable[str]:
    return () if option.hidden else (flag for flag in (*option.opts, *option.secondary_opts) if flag.startswith("--"))


def _meant(typed: str, options: Sequence[str]) -> list[str]:
    name = canonical(typed.lstrip("-"))
    there = {canonical(option.lstrip("-")): option for option in options}
    spelled = {**there, **{word: there[name] for word, name in SYNONYMS.items() if name in there}}
    by_meaning = [there[one] for one in (name, *_NEAR.get(name, ())) if one in there]
    return by_meaning or [spelled[word] for word in difflib.get_close_matches(name, spelled, n=1, cutoff=0.5)]
