"""Losses as sums over samples: whatever a user calls a loss, seen as L = Σᵢ nᵢ / Σᵢ wᵢ with weights that no parameter moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from landscape.errors import InputError

# What the sum of all values is divided by to give L: their number, the number of samples, their weights, or nothing.
TOTAL = "loss"  # the entry of a mapping of terms that is the loss itself
TOTALS = frozenset(("total", "total_loss", "sum"))  # what else it is called
MOVED = 1e-4  # by which the sum of weights may differ through rounding
Divisor = Literal["elements", "samples", "weights", "nothing"]


class Parts(NamedTuple):
    """What the samples of a batch put into a loss.

    Attributes:
        numerators: nᵢ ``(B,)``; where nothing is weighted, the mean of each sample's values.
        weights: wᵢ ``(B,)``, None where all samples weigh the same or it is known what they weigh together.
        counted: which values have a weight, ``(B, …)``; None where all have.
    """

    numerators: Tensor
    weights: Tensor | None
    counted: Tensor | None


@dataclass(frozen=True)
class SampleLoss:
    """A loss that is called with a batch and gives each sample's share ℓᵢ ``(B,)``, of which the loss is the mean.

    ℓᵢ is a sample's own loss where nothing is weighted; otherwise nᵢ N / Σ w, over the N samples of the batch, or over as many
    as :meth:`over` was told of. So the mean of the shares, and of their gradients, is that of the user's own loss.

    Attributes:
        function: ``(outputs, targets) -> values (B, …)`` before they are averaged, and, for one of the user's own, perhaps
            ``(values, weights)``.
        words: what it is, for results.
        divisor: what the sum of the values is divided by.
        own: a function of the user's, of which nothing is known before it is called.
        weigh: the weight of each value, from the targets; gives None for targets that are no labels.
        count: which labels count at all.
        takes: what it takes: ``labels`` against scores ``(B, C, …)``, those of the next ``tokens``, targets of the outputs'
            ``shape``, or anything.
        whole: the torch loss with its own reduction, to be held against.
        of_batches: whether one number for a whole batch is taken for the value of each of its samples.
        scale: N / Σ w, or N for a loss that divides by nothing, where they are known; None to take those of each batch.
        samples: N, where the scale is known.
        terms: the names of what the function gives a mapping of, where it does; see :class:`Summed`.
    """

    function: Callable[[Any, Any], Any]
    words: str
    divisor: Divisor = "elements"
    own: bool = False
    weigh: Callable[[Tensor], Tensor | None] | None = None
    count: Callable[[Tensor], Tensor] | None = None
    takes: Literal["labels", "tokens", "shape", "anything"] = "anything"
    whole: nn.Module | None = None
    of_batches: bool = False
    scale: float | None = None
    samples: int = 0
    terms: tuple[str, ...] = ()

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        return self.shares(self.parts(outputs, targets))

    def parts(self, outputs: Any, targets: Any) -> Parts:
        """Numerators and weights of a batch.

        Raises:
            InputError: for a function that gives no values a sample, or weights that do not fit them.
        """
        values = self.function(outputs, targets)
        if self._plain:
            return Parts(values if values.ndim == 1 else values.flatten(1).mean(1), None, None)
        if self.own and isinstance(values, tuple | list) and len(values) == 2:
            return _weighted(*values)
        if self.of_batches and isinstance(values, Tensor) and values.ndim == 0:
            values = values.expand(samples_of(targets))
        check_values(values)
        counted, weights = self.counted(targets), self.weights_of(targets)
        if self.divisor == "elements" or (self.divisor == "weights" and weights is None and self.scale is None):
            return Parts(values if values.ndim == 1 else values.flatten(1).mean(1), None, counted)
        numerators = summed(values)
        return Parts(numerators, None if weights is None else summed(weights).to(numerators.dtype), counted)

    @property
    def of_scores(self) -> bool:
        """Whether it takes the scores alone of what a module gives: all but a function of the user's own."""
        return not self.own or self.takes == "tokens"

    @cached_property
    def _plain(self) -> bool:
        """Whether nothing is to be asked: a torch loss of which every value weighs the same, and every label counts."""
        return not self.own and self.divisor == "elements" and self.weigh is None and self.count is None

    def weights_of(self, targets: Any) -> Tensor | None:
        """The weight of each value that the targets tell; None where all weigh the same, or their sum is known."""
        return None if self.weigh is None else self.weigh(targets)

    def counted(self, targets: Any) -> Tensor | None:
        """Which labels have a weight; None where all have."""
        return None if self.count is None else self.count(targets)

    def shares(self, parts: Parts) -> Tensor:
        """ℓᵢ ``(B,)``, whose mean is the loss."""
        numerators, weights, _ = parts
        if self.scale is not None:
            return numerators * self.scale if self.scaled(weights) else numerators
        if weights is not None:
            total = weights.sum()
            empty = total == 0
            # As in PyTorch: a batch of which nothing counts has no loss (NaN), and a gradient of zero.
            factor = torch.where(empty, torch.zeros_like(total), len(weights) / total)
            return numerators * factor + torch.where(empty, torch.full_like(total, torch.nan), torch.zeros_like(total))
        return numerators * len(numerators) if self.divisor == "nothing" else numerators

    def scaled(self, weights: Tensor | None) -> bool:
        """Whether shares are other numbers than the numerators."""
        return weights is not None or self.divisor in ("weights", "nothing")

    def over(self, samples: int, weights: Tensor | None) -> SampleLoss:
        """The same over so many samples with these ``weights`` ``(samples,)``, which are not asked for again."""
        if weights is None:
            return replace(self, scale=float(samples), samples=samples)
        total = float(weights.double().sum())
        return replace(self, scale=samples / total if total else 0.0, samples=samples, weigh=None)

    def refuse_moved(self, weights: Tensor) -> None:
        """Refuse weights of all samples that add up to another sum than they did at the checkpoint.

        Raises:
            InputError: saying what weights may depend on.
        """
        if not self.scale or len(weights) != self.samples:
            return
        total, before = float(weights.cpu().double().sum()), self.samples / self.scale
        if abs(total / before - 1) > MOVED:
            raise InputError(
                "loss: expected weights that depend on targets alone, but at other parameters they add up to another sum "
                f"({total:.6g}, at the checkpoint {before:.6g}). Take them from the targets."
            )

    def with_terms(self, outputs: Any, targets: Any) -> SampleLoss:
        """The same where the function turns out to give a mapping of terms."""
        if not self.own or self.whole is not None or isinstance(self.function, Summed):
            return self
        try:
            made = self.function(outputs, targets)
        except Exception:  # of any kind: it is the user's code, and tried again with a sentence for what it raises
            return self
        if not isinstance(made, Mapping):
            return self
        names = tuple(str(name) for name in made if name != TOTAL)
        if usual := [name for name in names if not name.isidentifier()]:
            raise InputError(f"loss: its terms are named by words, such as 'data', got {usual[0]!r}.")
        if TOTAL not in made and (whole := _total_among(names, made)):
            raise InputError(
                f"loss: its term {whole!r} is the sum of the others, which the loss of a mapping of terms is already: it would be "
                f"counted twice. Call it {TOTAL!r}, or leave it out."
            )
        return replace(self, function=Summed(self.function), terms=names)

    def terms_of(self, outputs: Any, targets: Any, samples: int) -> dict[str, Tensor]:
        """Each term of a batch ``(B,)``; of one number for the batch, as often as there are samples."""
        made = self.function.function(outputs, targets) if isinstance(self.function, Summed) else {}
        return {name: _per_sample(name, made[name]).expand(samples) for name in self.terms if name in made}

    def plain(self) -> SampleLoss:
        """The same where every value turned out to weigh one, and every label to count."""
        divisor: Divisor = "elements" if self.divisor == "weights" else self.divisor
        return replace(self, divisor=divisor, weigh=None, count=None)


@dataclass(frozen=True)
class Summed:
    """A function that gives a mapping of terms, as one that gives their sum, or the entry ``loss`` where there is one."""

    function: Callable[[Any, Any], Any]

    def __call__(self, outputs: Any, targets: Any) -> Any:
        made = self.function(outputs, targets)
        if TOTAL in made:
            return made[TOTAL]
        terms = [_per_sample(name, term) for name, term in made.items()]
        return torch.stack(torch.broadcast_tensors(*terms)).sum(0)  # type: ignore[no-untyped-call]


def _total_among(names: Sequence[str], made: Mapping[Any, Any]) -> str:
    """The term that is the sum of the others, by its name or its values; empty where none is."""
    if len(names) < 2:
        return ""
    if named := [name for name in names if name in TOTALS]:
        return named[0]
    terms = [_per_sample(name, made[name]).detach().double().mean() for name in names]
    sums = [sum(other for other in terms if other is not term) for term in terms]
    for name, term, others in zip(names, terms, sums, strict=True):
        if bool(term.abs() > 0) and bool((term - others).abs() <= 1e-6 * term.abs()):
            return name
    return ""


def _per_sample(name: str, term: Any) -> Tensor:
    """A term with one value a sample ``(B,)``, or one number."""
    if not isinstance(term, Tensor) or term.is_complex():
        raise InputError(
            f"loss: its term {name!r} is {_describe(term)}; expected a tensor of real numbers. The loss itself may be "
            "(values, weights), as the entry 'loss' of the mapping."
        )
    return term if term.ndim < 2 else term.flatten(1).mean(1)


def samples_of(targets: Any) -> int:
    """How many samples a batch of targets has."""
    return next(len(leaf) for leaf in tree_flatten(targets)[0] if isinstance(leaf, Tensor) and leaf.ndim)


def summed(values: Tensor) -> Tensor:
    """Each sample's values ``(B, …)`` added up, ``(B,)``."""
    return values if values.ndim == 1 else values.flatten(1).sum(1)


def _weighted(values: Any, weights: Any) -> Parts:
    """Of a user's ``(values, weights)``: weights of every value, or one a sample."""
    check_values(values)
    shapes = isinstance(weights, Tensor) and weights.shape in (values.shape, values.shape[:1])
    if not shapes:
        raise InputError(
            f"loss: expected weights of the values' shape {tuple(values.shape)}, or one a sample ({len(values)},), "
            f"got {_describe(weights)}."
        )
    weights = weights.to(values.dtype)
    if weights.shape == values.shape:
        return Parts(summed(values * weights), summed(weights), weights != 0)
    return Parts(values.flatten(1).mean(1) * weights, weights, weights != 0)


def check_values(values: Any) -> None:
    """Refuse what is not one real value a sample."""
    if (isinstance(values, Tensor) and values.ndim == 0) or isinstance(values, float | int):
        raise InputError(
            f"loss: expected one value a sample, a tensor of shape (B,) or (B, …), got {_describe(values)}, one number for a whole "
            "batch, from which the loss over all samples does not follow. Give a torch.nn loss itself, or return the values "
            "before they are averaged; where the average is weighted (class weights, ignored labels, padding) return "
            "(values, weights), of which Σ weights·values / Σ weights is taken. A loss of a batch as a whole (Dice, say) is "
            "measured over fixed batches of a size that an objective is given, batch_size=128, or that return it once for each "
            "sample, value.expand(len(targets))."
        )
    if not isinstance(values, Tensor):
        raise InputError(
            f"loss: expected one value a sample, a tensor of shape (B,) or (B, …), or (values, weights), got {_describe(values)}."
        )
    if values.is_complex():
        raise InputError(f"loss: expected real numbers, got values of {values.dtype}. Return their .abs() or .real.")


def _describe(values: object) -> str:
    if isinstance(values, Tensor):
        return f"a tensor of shape {tuple(values.shape)}"
    if isinstance(values, Sequence) and not isinstance(values, str):
        return f"a {type(values).__name__} of {len(values)}"
    return repr(values)


def loss_name(loss: object) -> str:
    """How results call the loss: its own name, or its class's or function's."""
    if isinstance(loss, str):
        return loss
    loss = getattr(loss, "function", loss)  # of one over model and batch
    return getattr(loss, "__qualname__", None) or type(loss).__name__


def loss_unit(loss_name: str) -> str:
    """``nat`` for cross-entropies, also those of the next token, ``1`` for other losses."""
    return "nat" if "cross" in loss_name.lower() or loss_name == "causal_lm" else "1"
