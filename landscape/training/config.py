"""The training recipe as one frozen value that checks itself."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from landscape.checking import RUNNING, Option
from landscape.errors import InputError, unknown_choice
from landscape.objective.engines import ENGINES

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("cosine", "constant")
PRECISIONS = ("fp32", "bf16")
# The heading that options stand under.
_RECIPE = "Recipe"


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; the defaults are the recipe of the University of Edinburgh MLP coursework.

    Args:
        learning_rate: the rate of the first epoch, > 0; see :func:`landscape.training.config.learning_rate`.
        batch_size: images an update. The last, smaller batch of an epoch is kept; a last batch of a single image joins the one
            before it, because batch statistics need two (a ``batch_size`` of 1 is left as it is).
        epochs: passes over the training images.
        updates: make exactly so many updates instead: as many epochs as that takes, the last one cut short. ``fit`` then sets
            ``epochs`` to their number, whatever it was. None: ``epochs`` decides.
        optimizer: ``adam``, ``adamw`` (β 0.9/0.999, ε 1e-8) or ``sgd``, as in ``torch.optim``.
        momentum: of ``sgd``, in [0, 1); the others do not read it.
        weight_decay: added to the gradient as λθ (``adam``, ``sgd``) or decoupled (``adamw``).
        schedule: ``cosine`` or ``constant``.
        min_learning_rate: what ``cosine`` falls to.
        seed: of everything drawn while training: order, augmentation, dropout. Initialisation has its own.
        precision: ``fp32`` (on a GPU too: never TF32), or ``bf16`` (autocast of forward and backward pass; weights stay in fp32).
        engine: ``auto``: on a CPU 3×3 convolutions run by Winograd's minimal filtering, in about half
            the time and with other rounding (a convolution's error is 6e-7 of its size in place of 3e-7); or ``plain``.
        compile: run the forward and backward pass through ``torch.compile``: a slower start, other rounding.
        augment: whether training batches are augmented, where the data offers it.
        train_images: train on this many of the training images, a subset that is the same for every seed; None for all.

    Raises:
        InputError: naming the field, what was expected and what arrived.

    Example:
        >>> config = ls.TrainingConfig(epochs=3, batch_size=20, optimizer="sgd", momentum=0.9)
        >>> config.steps_per_epoch(60)
        3
    """

    learning_rate: Annotated[float, Option("Peak learning rate.", _RECIPE)] = 1e-3
    batch_size: Annotated[int, Option("Images a step.", _RECIPE)] = 100
    epochs: Annotated[int, Option("Passes over the training images.", _RECIPE)] = 100
    optimizer: Annotated[str, Option("adam, adamw or sgd.", _RECIPE)] = "adam"
    momentum: Annotated[float, Option("For sgd.", _RECIPE)] = 0.9
    weight_decay: Annotated[float, Option("Added to the gradient; decoupled by adamw.", _RECIPE)] = 0.0
    schedule: Annotated[str, Option("cosine or constant.", _RECIPE)] = "cosine"
    min_learning_rate: Annotated[float, Option("What cosine falls to.", _RECIPE)] = 2e-5
    seed: Annotated[int, Option("Of initialisation, order, augmentation and dropout.", _RECIPE)] = 0
    precision: Annotated[str, Option("fp32 (on a GPU too: never TF32) or bf16 (autocast).", RUNNING)] = "fp32"
    engine: Annotated[
        str,
        Option("auto (on a CPU, filtered 3x3 convolutions: about half the time) or plain (PyTorch's).", RUNNING),
    ] = "auto"
    compile: Annotated[bool, Option("Run steps through torch.compile; starts slower.", RUNNING)] = False
    augment: Annotated[
        bool, Option("Random crop and flip.", _RECIPE, default="augment", flag="--augment/--no-augment")
    ] = True
    train_images: Annotated[int | None, Option("Train on a fixed subset of this size.", _RECIPE, "all")] = None
    updates: Annotated[
        int | None,
        Option("Make so many updates instead of epochs, the same at every batch size, as epochs are not.", _RECIPE),
    ] = None

    def __post_init__(self) -> None:
        every = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "precision": PRECISIONS, "engine": ENGINES}
        for field, choices in every.items():
            if getattr(self, field) not in choices:
                raise unknown_choice(field, getattr(self, field), choices)
        for field in ("batch_size", "epochs"):
            self._set(field, _whole(field, getattr(self, field), least=1))
        self._set("seed", _whole("seed", self.seed))
        for field in ("train_images", "updates"):
            if getattr(self, field) is not None:
                self._set(field, _whole(field, getattr(self, field), least=1))
        for field in ("learning_rate", "momentum", "weight_decay", "min_learning_rate"):
            self._set(field, _number(field, getattr(self, field)))
        if self.learning_rate == 0:
            raise InputError("learning_rate: expected a number above 0, got 0.0. Try 1e-3.")
        if self.momentum >= 1:
            raise InputError(f"momentum: expected a number from 0 up to but not including 1, got {self.momentum!r}.")
        for field in ("augment", "compile"):
            if not isinstance(getattr(self, field), bool):
                raise InputError(f"{field}: expected True or False, got {getattr(self, field)!r}.")

    def steps_per_epoch(self, images: int) -> int:
        """How many minibatches a pass over ``images`` makes: a last one of a single image joins the one before it."""
        full, rest = divmod(images, self.batch_size)
        return full + (1 if rest > 1 or (rest == 1 and full == 0) else 0)

    def for_steps(self, steps_per_epoch: int) -> TrainingConfig:
        """The same with ``epochs`` as ``updates`` makes it for so many steps an epoch."""
        if self.updates is None:
            return self
        return dataclasses.replace(self, epochs=math.ceil(self.updates / steps_per_epoch))

    def updates_after(self, epoch: int, steps_per_epoch: int) -> int:
        """The updates made by the end of ``epoch`` (1-based; 0 before the first)."""
        made = epoch * steps_per_epoch
        return made if self.updates is None else min(made, self.updates)

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain Python, fit for JSON and for a checkpoint."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> TrainingConfig:
        """The inverse of :meth:`to_dict`; absent fields take their defaults.

        Raises:
            InputError: for a field that does not exist, and for values as in the constructor.
        """
        fields = [field.name for field in dataclasses.fields(cls)]
        for name in settings:
            if name not in fields:
                raise unknown_choice("training setting", name, fields)
        return cls(**settings)

    def _set(self, field: str, value: Any) -> None:
        """Store the plain int or float, so that numpy's scalars neither break equality nor enter a checkpoint."""
        object.__setattr__(self, field, value)


def _whole(field: str, value: Any, least: int | None = None) -> int:
    expected = "a whole number" if least is None else f"a whole number of at least {least}"
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{field}: expected {expected}, got {value!r}.") from None
    if isinstance(value, bool) or (least is not None and number < least):
        raise InputError(f"{field}: expected {expected}, got {value!r}.")
    return number


def _number(field: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise InputError(f"{field}: expected a finite number that is not negative, got {value!r}.")
    return number


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """The learning rate, constant within ``epoch`` (1-based).

    - ``cosine``: η_min + (η − η_min)(1 + cos(π e / epochs)) / 2 with e = epoch − 1, so that the first epoch runs at η, the
      recipe's ``learning_rate``, and the rate falls towards η_min = ``min_learning_rate``, 2e-5 by default, without reaching
      it within the run. An η below η_min rises towards it by the same formula.
    - ``constant``: η.

    References:
        Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts.
    """
    if config.schedule == "constant":
        return config.learning_rate
    lowest, elapsed = config.min_learning_rate, epoch - 1
    return lowest + (config.learning_rate - lowest) * (1 + math.cos(math.pi * elapsed / config.epochs)) / 2
