"""The gradient and a Hessian product against differences of the user's own code, in float64, over a few samples.

Central differences at several steps h: the error falls as h² until rounding takes over, so the best agreement over them is what
counts. A loss with a kink at the checkpoint has no gradient there, which is told from a backward that is wrong: with a kink the
one-sided differences stay apart as h falls, with a wrong backward they meet, elsewhere than the gradient says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.numerics.seeds import generator
from landscape.objective.objective import Objective
from landscape.testing.case import Case, said
from landscape.testing.plain import Plain
from landscape.testing.report import Finding

STEPS = (1e-4, 1e-5, 1e-6, 1e-7)  # in units of each tensor's own length
DIRECTIONS = 3
GRADIENT_TOLERANCE = 1e-5
PRODUCT_TOLERANCE = 1e-4
SYMMETRY_TOLERANCE = 1e-6
KINK = 1e-3
_ROUNDING = 50 * torch.finfo(torch.float64).eps
_FEEBLE = 1e-6  # of the gradient's length: less along a direction is nothing that can be compared
_SHOWN = 3
_CAUSES = (
    "Usual causes: a torch.autograd.Function whose backward is wrong, .detach(), .data or torch.no_grad() in forward or loss, "
    "a straight-through estimator."
)
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Slope:
    """How the loss changes along a direction.

    Attributes:
        said: ⟨g, d⟩, what the gradient says.
        differences: (L(θ + h d) − L(θ − h d)) / 2h for every step h that was tried.
        sides: the one-sided differences, forward and backward, for each.
        size: what an error is compared with.
        agrees: whether one of them is ⟨g, d⟩ to rounding.
    """

    said: float
    differences: list[float]
    sides: list[tuple[float, float]]
    size: float
    agrees: bool

    @property
    def error(self) -> float:
        """The smallest |difference − ⟨g, d⟩| over the steps, relative."""
        return min(abs(d - self.said) for d in self.differences) / self.size

    @property
    def kink(self) -> bool:
        """Whether the one-sided differences stay apart at the smaller steps."""
        return all(abs(a - b) > KINK * max(abs(a), abs(b), self.size) for a, b in self.sides[-3:])


@dataclass(frozen=True)
class Wide:
    """The objective over a few samples in float64, and the user's own code beside it."""

    objective: Objective
    plain: Plain
    inputs: object
    targets: object

    @property
    def names(self) -> tuple[str, ...]:
        return self.objective.theta.layout.names

    def direction(self, index: int) -> dict[str, Tensor]:
        """A Gaussian direction, every tensor as long as that of θ, or a tenth for each entry of one that is zero."""
        draws = generator(0, "check", index)
        found = {}
        for name, tensor in self.objective.theta.views().items():
            drawn = torch.randn(tensor.shape, generator=draws, dtype=torch.float64).to(tensor)
            length = tensor.norm() if bool(tensor.any()) else 0.1 * tensor.numel() ** 0.5
            found[name] = drawn * length / drawn.norm() if tensor.numel() else drawn
        return found

    def slope(self, gradient: Tensors, along: Tensors) -> Slope:
        """The loss's change along a direction, at smaller steps until one agrees with the gradient."""
        told = sum(float((gradient[name] * change).sum()) for name, change in along.items())
        here = self.plain.number(self.inputs, self.targets)
        length = _norm(gradient) * _norm(along)
        differences: list[float] = []
        sides: list[tuple[float, float]] = []
        size, agrees = 1.0, False
        for step in STEPS:
            ahead, behind = (self._at(along, sign * step) for sign in (1, -1))
            differences.append((ahead - behind) / (2 * step))
            sides.append(((ahead - here) / step, (here - behind) / step))
            size = max(abs(told), max(map(abs, differences)), _FEEBLE * length, 1e-300)
            noise = _ROUNDING * abs(here) / step
            agrees = abs(differences[-1] - told) <= GRADIENT_TOLERANCE * size + noise
            if agrees:
                break
        return Slope(told, differences, sides, size, agrees)

    def _at(self, along: Tensors, step: float) -> float:
        with self.plain.moved(along, step):
            return self.plain.number(self.inputs, self.targets)

    def bent(self, along: Tensors, step: float) -> dict[str, Tensor]:
        """(∇L(θ + h v) − ∇L(θ − h v)) / 2h of the user's own code."""
        with self.plain.moved(along, step):
            ahead = self.plain.gradient(self.inputs, self.targets, self.names)
        with self.plain.moved(along, -step):
            behind = self.plain.gradient(self.inputs, self.targets, self.names)
        return {name: (ahead[name] - behind[name]) / (2 * step) for name in self.names}

    def packed(self, tensors: Tensors) -> Tensor:
        return self.objective.theta.layout.pack(tensors)


def gradient_and_hessian(case: Case) -> Iterator[Finding]:
    """Both, where the module runs in float64 and gives the same every time."""
    wide = _wide(case)
    if isinstance(wide, str):
        yield Finding("gradient", None, wide)
        return
    gradient = wide.objective.gradient().vector.views()
    finding = _gradient(wide, gradient)
    yield finding
    yield _hessian(wide, trusted=finding.ok is not False)


def _wide(case: Case) -> Wide | str:
    """The few samples in float64, or why not."""
    inputs, targets = case.few
    arguments = {
        **case.arguments,
        "precision": "fp64",
        "compile": False,
        "samples": case.objective.indices[case.places.to(case.objective.indices.device)],
    }
    if case.objective.batch_norm == "reestimated":
        arguments["calibration"] = case.arguments.get("calibration", case.data)
    device = torch.device("cpu") if case.objective.device.type == "mps" else case.objective.device
    try:
        objective = Objective(case.module, case.loss, case.data, **{**arguments, "device": device})
        plain = case.plain(torch.float64, device)
        plain.reestimate(case.calibration)
        own = plain.number(inputs, targets)
    except Exception as error:
        return f"cannot be told, because your code does not run in float64: {said(error)}"
    ours = objective.evaluate().loss
    if not (math.isfinite(ours) and math.isfinite(own)):
        return "cannot be told, because the loss is not finite."
    if abs(ours - own) > 1e-6 * max(abs(ours), abs(own)):
        return (
            f"cannot be told, because over {len(case.places)} samples in float64 the objective gives {ours:.9g} and your own "
            f"code {own:.9g}."
        )
    return Wide(objective, plain, inputs, targets)


def _gradient(wide: Wide, gradient: Tensors) -> Finding:
    slopes = [wide.slope(gradient, wide.direction(k)) for k in range(DIRECTIONS)]
    worst = max(slopes, key=lambda slope: slope.error)
    numbers = {"gradient": worst.said, "difference": worst.differences[-1], "relative_error": worst.error}
    apart = [slope for slope in slopes if not slope.agrees]
    if not apart:
        sentence = f"as differences of your loss say, to {worst.error:.0e}, along {DIRECTIONS} random directions."
        return Finding("gradient", True, sentence, numbers)
    if not all(math.isfinite(d) for slope in apart for d in slope.differences):
        return Finding(
            "gradient", None, "cannot be told, because the loss is not finite beside the checkpoint.", numbers
        )
    if all(slope.kink for slope in apart):
        sentence = (
            "the loss has a kink at the checkpoint: it rises differently to both sides, so that there is no gradient to "
            f"compare. Usual: a ReLU or a maximum at exactly 0, in {_where(wide, gradient)}."
        )
        return Finding("gradient", None, sentence, numbers)
    sentence = (
        f"the gradient is not that of the values: along a random direction it says {worst.said:.4g}, differences of the loss "
        f"{worst.differences[-1]:.4g}; it is off in {_where(wide, gradient)}. {_CAUSES}"
    )
    return Finding("gradient", False, sentence, numbers)


def _where(wide: Wide, gradient: Tensors) -> str:
    """The tensors along which gradient and differences part, those that matter most first."""
    whole, off = wide.direction(0), []
    for name in wide.names:
        slope = wide.slope(gradient, {name: whole[name]})
        if not slope.agrees:
            off.append((slope.error * slope.size, name))
    return _listed([name for _, name in sorted(off, reverse=True)]) or "no parameter alone"


def _hessian(wide: Wide, *, trusted: bool) -> Finding:
    name = "Hessian product"
    along, other = wide.direction(0), wide.direction(1)
    try:
        product, second = (wide.objective.hessian_product(wide.packed(v)) for v in (along, other))
    except LandscapeError as refusal:
        return Finding(name, False, str(refusal))
    if not trusted:
        return Finding(name, None, "cannot be told, because the gradient is wrong already.")
    error, best, kink = _best(wide, wide.objective.theta.layout.views(product), along)
    asymmetry = float((wide.packed(other) @ product - wide.packed(along) @ second).abs())
    asymmetry /= max(float(product.norm() * wide.packed(other).norm()), 1e-300)
    numbers = {"relative_error": error, "asymmetry": asymmetry}
    if error > PRODUCT_TOLERANCE and kink:
        sentence = "the gradient jumps at the checkpoint (a kink, such as a ReLU at exactly 0), so there is no Hessian."
        return Finding(name, None, sentence, numbers)
    if error > PRODUCT_TOLERANCE or asymmetry > SYMMETRY_TOLERANCE:
        views = wide.objective.theta.layout.views(product)
        shares = sorted(((float((views[n] - best[n]).norm()), n) for n in wide.names), reverse=True)
        off = [n for share, n in shares if share > PRODUCT_TOLERANCE * max(_norm(best), 1e-300)]
        what = f"{100 * error:.2g} % from differences of gradients" if error > PRODUCT_TOLERANCE else "not symmetric"
        sentence = (
            f"H v is {what}, most in {_listed(off) or 'no parameter alone'}: the second derivative of an operation there, or of "
            "the loss, is wrong or missing. Do not use curvature, sharpness or eigenvalues of this objective."
        )
        return Finding(name, False, sentence, numbers)
    return Finding(name, True, f"as differences of gradients say, to {error:.0e}, and symmetric.", numbers)


def _best(wide: Wide, product: Tensors, along: Tensors) -> tuple[float, Tensors, bool]:
    """The smallest relative error over the steps, the difference that has it, and whether differences grow as steps fall."""
    found: list[tuple[float, Tensors]] = []
    lengths: list[float] = []
    steep = _norm(wide.plain.gradient(wide.inputs, wide.targets, wide.names))
    for step in STEPS:
        bent = wide.bent(along, step)
        size = max(_norm(bent), _norm(product))
        gap = _norm({name: bent[name] - product[name] for name in wide.names})
        lengths.append(_norm(bent))
        noise = _ROUNDING * steep / step
        found.append((gap / size if gap > noise else min(gap / max(size, 1e-300), PRODUCT_TOLERANCE), bent))
        if found[-1][0] <= PRODUCT_TOLERANCE:
            break
    error, best = min(found, key=lambda pair: pair[0])
    growing = len(lengths) > 1 and lengths[-1] > 3 * lengths[-2]
    return error, best, growing


def _norm(tensors: Tensors) -> float:
    return float(sum(float(tensor.double().square().sum()) for tensor in tensors.values()) ** 0.5)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
