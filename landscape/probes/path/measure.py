"""The loss along paths between two networks: straight, straight after alignment, and along trained curves.

Linear interpolation and its barrier; permutation alignment of the second network (Ainsworth et al. 2022, arXiv 2209.04836); Bézier
curves and polygonal chains that are trained to stay low (Garipov et al. 2018, arXiv 1802.10026).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from landscape.errors import InputError, MismatchError, unknown_choice
from landscape.execution.team import Team, Work, team_of
from landscape.numerics.directions import Direction
from landscape.objective.again import Held, check_points, telling
from landscape.objective.ends import State, direction_to, point_of, state_given
from landscape.objective.losses import loss_unit
from landscape.objective.objective import Objective
from landscape.objective.signature import Signature, signature, tensors_hash
from landscape.objective.subspace import Subspace
from landscape.objective.values import PointValues
from landscape.probes.path.alignment import Alignment
from landscape.probes.path.curves import curve_weights
from landscape.probes.path.symmetries import align
from landscape.probes.path.training import CurveTraining, TrainedCurve, train_curve
from landscape.probes.progress import Progress, ProgressObserver, shown
from landscape.probes.provenance import provenance
from landscape.results.attributes import LOSS, labels

PATHS = ("linear", "aligned", "bezier", "chain")
TRAINED = ("bezier", "chain")
POINTS = 25
POINTS_A_REQUEST = 4
STEPS_A_REPORT = 5


@shown
def path(
    objective: Objective,
    to: State,
    *,
    kinds: Sequence[str] = ("linear",),
    points: int = POINTS,
    training: Objective | None = None,
    config: CurveTraining | None = None,
    alignment_seed: int = 0,
    name: str = "the second checkpoint",
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """The loss along paths from the objective's checkpoint (t = 0) to another (t = 1), and each path's barrier.

    The barrier is the largest L over the measured t minus the mean of L(0) and L(1): a lower bound of the supremum, and never
    negative. Its standard error is that of the mean over the samples of ℓᵢ(t*) − (ℓᵢ(0) + ℓᵢ(1)) / 2 at the t* of the largest L,
    which are paired; that t* was chosen as the largest is not in it.

    Args:
        objective: what is evaluated. With BatchNorm its policy is to be ``reestimated`` or ``batch``, or, for straight paths,
            ``interpolated``: with ``frozen`` the far end would be judged by the near end's statistics.
        to: another checkpoint of the same architecture: a module, a state dict, an objective or a file.
        kinds: of :data:`PATHS`. ``aligned`` is straight to the second network with its hidden units permuted; ``bezier`` and
            ``chain`` have trained bends.
        points: how many t, evenly spaced from 0 to 1.
        training: what curves are trained on: an objective of the same module, for a network with BatchNorm under ``batch``. By
            default ``objective`` itself, where its policy allows it.
        config: how curves are trained.
        alignment_seed: of the order in which groups of units are matched.
        name: what the other checkpoint is called.
        resume: an earlier, partial result of the same call: finished curves are not trained, nor points measured, again, but two.
        observer: told after every few points and training steps.
        executor: who measures the points, as in :func:`landscape.probes.plane.measure.plane`; bends are trained in this process.

    Returns:
        A data set of kind ``path`` with the dimensions ``(path, t)``: ``loss``, ``loss_standard_error``, ``accuracy`` and
        ``accuracy_standard_error`` (where there is one), ``status``; by
        ``path`` ``barrier``, ``barrier_standard_error``, ``barrier_at`` (its t), ``end_distance`` (between
        the ends) and ``length``; where it was aligned ``moved_units`` and ``similarity``; where curves were trained
        ``training_loss`` ``(path, step)`` and their bends.

    Raises:
        InputError: for kinds that do not exist, a policy that does not suit, checkpoints of different architectures or with the
            same parameters, and networks whose units are not known to alignment.
        MismatchError: for a ``resume`` that another objective made, or of other ends, paths, points or training.

    Example:
        >>> paths = ls.path(objective, other, kinds=["linear", "aligned"], points=11)
        >>> paths["loss"].dims
        ('path', 't')
        >>> paths["barrier"].values.round(2)
        array([0.18, 0.18])
    """
    config = CurveTraining() if config is None else config
    _check(objective, kinds, points)
    trainer = _trainer(objective, training, config) if set(kinds) & set(TRAINED) else None
    job = _Job(objective, tuple(kinds), np.linspace(0.0, 1.0, points), config, observer, trainer, team_of(executor))
    job.prepare(state_given(objective, to, name), name, alignment_seed, resume)
    job.train()
    job.measure()
    job.judge()
    return job.dataset()


def points_held(objective: Objective, to: State, earlier: xr.Dataset, alignment_seed: int, name: str) -> list[Held]:
    """What an ``earlier`` result holds of two of its points, for :func:`landscape.objective.again.check_points`."""
    job = _Job(objective, tuple(earlier["path"].values), np.array(earlier["t"].values), CurveTraining(), None, None)
    job.lead(to, name, alignment_seed)
    job.take_over(earlier)
    return job.held()


def check_kinds(kinds: Sequence[str], argument: str = "kinds") -> None:
    """Raise InputError, naming the argument, unless ``kinds`` are some of :data:`PATHS`, each once."""
    if not kinds or isinstance(kinds, str):
        raise InputError(f"{argument}: expected a list of {', '.join(PATHS)}, got {kinds!r}.")
    for kind in kinds:
        if kind not in PATHS:
            raise unknown_choice(argument, kind, PATHS)
    if len(set(kinds)) < len(kinds):
        raise InputError(f"{argument}: each may occur once, got {list(kinds)!r}.")


def _check(objective: Objective, kinds: Sequence[str], points: int) -> None:
    check_kinds(kinds)
    if isinstance(points, bool) or not isinstance(points, int) or points < 3:
        raise InputError(f"points: expected at least 3, the two ends and one between, got {points!r}.")
    if objective.bn_layers and objective.batch_norm == "frozen":
        raise InputError(
            "batch_norm: 'frozen' would judge the second checkpoint by the first one's statistics. Choose reestimated, batch, or "
            "for straight paths interpolated."
        )
    curved = [kind for kind in kinds if kind in TRAINED]
    if objective.bn_layers and objective.batch_norm == "interpolated" and curved:
        raise InputError(
            f"batch_norm: 'interpolated' has no statistics for the bends of a {curved[0]} path. Choose reestimated or batch."
        )


def _trainer(objective: Objective, training: Objective | None, config: CurveTraining) -> Objective:
    chosen = objective if training is None else training
    if chosen.bn_layers and chosen.batch_norm != "batch":
        raise InputError(
            "training: curves of a network with BatchNorm are trained with the minibatch's statistics. Give an objective of the "
            "same module with batch_norm='batch'."
        )
    if chosen.theta.layout != objective.theta.layout:
        raise InputError(
            "training: is an objective of another model, or in another memory format, than the one evaluated."
        )
    if config.batch_size > chosen.n_samples:
        raise InputError(
            f"batch_size: expected at most the {chosen.n_samples} training samples, got {config.batch_size}."
        )
    return chosen


def _values_at(
    objective: Objective, subspaces: tuple[Subspace, ...], number: int, weights: NDArray[np.float64]
) -> PointValues:
    """A part of the work."""
    return objective.evaluate_points(subspaces[number], weights)


@dataclass
class _Job:
    """The paths in the making; arrays ``(path, t)``."""

    objective: Objective
    kinds: tuple[str, ...]
    t: NDArray[np.float64]
    config: CurveTraining
    observer: ProgressObserver | None
    trainer: Objective | None
    team: Team | None = None
    arrays: dict[str, NDArray[np.float64]] = field(init=False)
    barriers: dict[str, NDArray[np.float64]] = field(init=False)
    curves: dict[str, TrainedCurve] = field(default_factory=dict)
    ends: dict[str, Direction] = field(default_factory=dict)
    alignment: Alignment | None = None
    name: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = len(self.kinds), self.t.size
        self.arrays = {"status": np.zeros(shape), **{key: np.full(shape, math.nan) for key in _MEASURED}}
        self.barriers = {key: np.full(len(self.kinds), math.nan) for key in _BARRIERS}

    def prepare(self, to: State, name: str, seed: int, resume: xr.Dataset | None) -> None:
        """Both ends of every path, and what an earlier result knows."""
        self.name, self.attributes = name, _attributes(self)
        made = self._made_by(to, seed)
        self.attributes |= made.attribute()
        if resume is not None:
            made.check_resume(resume.attrs)
        self.lead(to, name, seed)
        if resume is not None:
            self.take_over(resume)
            check_points(self.objective, self.held())

    def lead(self, to: State, name: str, seed: int) -> None:
        """Where every path ends."""
        self.ends = dict.fromkeys(self.kinds, direction_to(self.objective, to, name))
        if "aligned" in self.kinds:
            self.alignment = align(self.objective, to, seed=seed)
            self.ends["aligned"] = _difference(self.objective, self.alignment.tensors, name)

    def _made_by(self, to: State, seed: int) -> Signature:
        """What decides the values: the ends, how the second is aligned, and how bends are trained, on what."""
        theta, statistics = point_of(self.objective, to, self.name)
        facts: dict[str, Any] = {"kind": "path", "checkpoints": tensors_hash([*theta.views().values(), statistics])}
        if "aligned" in self.kinds:
            facts["alignment_seed"] = seed
        made = signature(self.objective).also(facts)
        if self.trainer is None:
            return made
        # bends are stored in the order of θ's entries
        order = {"memory_format": self.objective.provenance()["memory_format"]}
        made = made.also({"curve": vars(self.config), **order})
        trained_on = signature(self.trainer).named("training")
        return made.also(trained_on.facts, trained_on.numbers)

    def take_over(self, resume: xr.Dataset) -> None:
        if resume["path"].values.tolist() != list(self.kinds) or not np.array_equal(resume["t"].values, self.t):
            raise MismatchError("resume: the earlier result has other paths or points; write to another file.")
        for key in self.arrays:
            if key in resume:
                self.arrays[key] = np.array(resume[key].values, dtype=float)
        for number, kind in enumerate(self.kinds):
            if f"{kind}_bends" in resume:
                bends, moments = (self._stored(resume, f"{kind}_{what}") for what in ("bends", "moments"))
                self.curves[kind] = TrainedCurve(bends, np.array(resume["training_loss"].values[number]), moments)

    def held(self) -> list[Held]:
        """What is measured of two points, of all paths together."""
        distances = np.broadcast_to(self.t, self.arrays["loss"].shape)
        chosen = telling(self.arrays["loss"], distances, self.arrays["status"] == 1)
        return [self._held(*divmod(flat, self.t.size)) for flat in chosen.tolist()]

    def _held(self, number: int, k: int) -> Held:
        subspace, weights = self._points(number)
        name = f"t = {self.t[k]:g} of the {self.kinds[number]} path"
        loss, accuracy = (float(self.arrays[of][number, k]) for of in ("loss", "accuracy"))
        return Held(name, subspace, weights[k], loss, accuracy)

    def _stored(self, resume: xr.Dataset, name: str) -> Tensor:
        """A tensor of the result; empty for the moments of a curve that needs none any more."""
        found = np.array(resume[name].values) if name in resume else np.empty(0)
        return torch.from_numpy(found).to(self.objective.theta.vector)

    def train(self) -> None:
        start = self.objective.theta.vector
        for kind in self.kinds:
            if kind in TRAINED and not self.finished(kind):
                assert self.trainer is not None
                end, told = start + self.ends[kind].vector, partial(self._stepped, kind)
                earlier = self.curves.get(kind)
                self.curves[kind] = train_curve(self.trainer, start, end, kind, self.config, told, earlier)
                self.tell()

    def finished(self, kind: str) -> bool:
        """Whether it is known where a path runs."""
        return kind not in TRAINED or (kind in self.curves and self.curves[kind].complete)

    def _stepped(self, kind: str, curve: TrainedCurve) -> None:
        self.curves[kind] = curve
        if curve.steps % STEPS_A_REPORT == 0 and not curve.complete:
            self.tell()

    def measure(self) -> None:
        points = [self._points(number) for number in range(len(self.kinds))]
        work = Work(_values_at, (self.objective, tuple(subspace for subspace, _ in points)), self.team)
        for (number, wanted), found in work.each(self._parts([weights for _, weights in points])):
            self.arrays["loss"][number, wanted] = found.loss
            self.arrays["loss_standard_error"][number, wanted] = found.standard_error
            self.arrays["accuracy"][number, wanted] = found.accuracy
            counted = self.objective.spread.counted_share
            self.arrays["accuracy_standard_error"][number, wanted] = _fraction_error(found, counted)
            self.arrays["status"][number, wanted] = 1
            self.tell()

    def _parts(
        self, weights: list[NDArray[np.float64]]
    ) -> Iterator[tuple[tuple[int, NDArray[np.int64]], tuple[Any, ...]]]:
        for number, of in enumerate(weights):
            missing = np.flatnonzero(self.arrays["status"][number] == 0)
            for wanted in np.array_split(missing, -(-len(missing) // POINTS_A_REQUEST)) if missing.size else []:
                yield (number, wanted), (number, of[wanted])

    def judge(self) -> None:
        """Each path's barrier with its paired standard error."""
        for number in range(len(self.kinds)):
            losses = self.arrays["loss"][number]
            top = int(np.argmax(losses))  # the first NaN, where there is one
            samples = [self._per_sample(number, k) for k in (top, 0, self.t.size - 1)]
            excess = samples[0] - (samples[1] + samples[2]) / 2
            self.barriers["barrier"][number] = losses[top] - (losses[0] + losses[-1]) / 2
            self.barriers["barrier_standard_error"][number] = self.objective.spread.mean(excess)[1]
            self.barriers["barrier_at"][number] = self.t[top]

    def _per_sample(self, number: int, k: int) -> Tensor:
        subspace, weights = self._points(number)
        at = torch.from_numpy(weights[k])
        statistics = None
        if self.objective.batch_norm == "interpolated" and subspace.statistics is not None:
            statistics = self.objective.statistics + at.to(subspace.statistics) @ subspace.statistics
        return self.objective.per_sample(subspace.point(at), statistics=statistics)

    def _points(self, number: int) -> tuple[Subspace, NDArray[np.float64]]:
        """The affine space of a path, and its coefficients at every t."""
        kind, theta = self.kinds[number], self.objective.theta
        bends = list(self.curves[kind].bends) if kind in self.curves else []
        directions = [Direction(bend - theta.vector, theta.layout) for bend in bends]
        shape = kind if kind in TRAINED else "chain"
        return Subspace(theta, [*directions, self.ends[kind]]), curve_weights(shape, len(bends), self.t)

    def tell(self) -> None:
        if self.observer is not None:
            trained = [kind for kind in self.kinds if kind in TRAINED]
            total = len(self.kinds) * self.t.size + len(trained) * self.config.steps
            done = int(self.arrays["status"].sum()) + sum(curve.steps for curve in self.curves.values())
            self.observer(Progress(done, total, self.dataset, "points and steps of curves" if trained else "points"))

    def dataset(self) -> xr.Dataset:
        """All that is known so far."""
        return _dataset(self)


def _fraction_error(found: PointValues, share: float) -> NDArray[np.float64]:
    """s/√N of a mean p of zeros and ones, whose s² is N p(1 − p) / (N − 1): an upper bound where samples are right in part.

    ``share`` is how many samples count, as a part of them.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(found.accuracy * (1 - found.accuracy) / (found.n_samples * share - 1)))


def _difference(objective: Objective, tensors: Mapping[str, Tensor], name: str) -> Direction:
    """To a checkpoint that may be the objective's own, which an aligned copy of it is."""
    there, statistics = point_of(objective, tensors, name)
    origin = objective.theta
    return Direction(
        there.vector - origin.vector, origin.layout, {"kind": "difference"}, statistics - objective.statistics
    )


_MEASURED = {
    "loss": ("mean loss over the samples", LOSS),
    "loss_standard_error": ("standard error of the mean loss over the samples", LOSS),
    "accuracy": ("fraction of samples classified rightly", "1"),
    "accuracy_standard_error": ("standard error of the accuracy over the samples", "1"),
}
_BARRIERS = {
    "barrier": ("largest measured loss along the path minus the mean of its ends", LOSS),
    "barrier_standard_error": ("standard error of the barrier over the samples, which are paired", LOSS),
    "barrier_at": ("t of the largest measured loss", "1"),
}


def _dataset(job: _Job) -> xr.Dataset:
    unit = loss_unit(job.objective.loss_name)

    variables: dict[str, Any] = {
        key: (("path", "t"), job.arrays[key].copy(), labels(*_MEASURED[key], loss=unit))
        for key in _MEASURED
        if not key.startswith("accuracy") or np.isfinite(job.arrays[key]).any()
    }
    variables["status"] = (("path", "t"), job.arrays["status"].astype(np.int8), labels("1 where measured, else 0"))
    variables |= {
        key: ("path", job.barriers[key].copy(), labels(*words, loss=unit)) for key, words in _BARRIERS.items()
    }
    variables |= _geometry(job)
    variables |= _trained(job, unit)
    coordinates = {
        "path": ("path", list(job.kinds), labels("kind of path")),
        "t": ("t", job.t, labels(f"place on the path, from the first checkpoint (0) to {job.name} (1)")),
    }
    return xr.Dataset(variables, coordinates, {**job.attributes, "to": job.name})


def _geometry(job: _Job) -> dict[str, Any]:
    ends, lengths = [], []
    for number in range(len(job.kinds)):
        known = job.finished(job.kinds[number])
        ends.append(job.ends[job.kinds[number]].norm)
        lengths.append(_length(*job._points(number)) if known else math.nan)
    return {
        "end_distance": ("path", ends, labels("Euclidean distance between the ends")),
        "length": ("path", lengths, labels("length of the path through its measured points")),
    }


def _length(subspace: Subspace, weights: NDArray[np.float64]) -> float:
    """‖Δθ‖ summed over neighbouring points, by the Gram matrix of the directions."""
    basis = subspace.basis.double()
    gram = (basis @ basis.T).cpu().numpy()
    steps = np.diff(weights, axis=0)
    return float(np.sqrt(np.maximum(np.einsum("ti,ij,tj->t", steps, gram, steps), 0)).sum())


def _trained(job: _Job, unit: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if job.alignment is not None:
        before, after = job.alignment.similarity
        made["moved_units"] = ((), job.alignment.moved, labels("hidden units that alignment put in another place"))
        words = "sum of products of the two networks' matched weights, before and after alignment"
        made["similarity"] = ("alignment", [before, after], labels(words))
        made["alignment"] = ("alignment", ["before", "after"], labels("before or after alignment"))
    if job.curves:
        losses = np.full((len(job.kinds), job.config.steps), math.nan)
        for kind, curve in job.curves.items():
            losses[job.kinds.index(kind)] = curve.losses
            made[f"{kind}_bends"] = (
                ("bend", "parameter"),
                curve.bends.clone().cpu().numpy(),
                labels(f"parameters of the trained bends of the {kind} path, in the objective's order"),
            )
            if not curve.complete:
                made[f"{kind}_moments"] = (
                    ("moment", "bend", "parameter"),
                    curve.moments.clone().cpu().numpy(),
                    labels(f"what the optimiser remembers of the bends of the {kind} path"),
                )
        made["training_loss"] = (("path", "step"), losses, labels("minibatch loss while the path was trained", unit))
    return made


def _attributes(job: _Job) -> dict[str, Any]:
    objective = job.objective
    config = {f"curve_{key}": value for key, value in vars(job.config).items()} if set(job.kinds) & set(TRAINED) else {}
    trainer = (
        {}
        if job.trainer is None
        else {"curve_samples": job.trainer.n_samples, "curve_bn_policy": job.trainer.batch_norm}
    )
    loss = objective.evaluate().loss
    return provenance("path", "loss along paths", objective, loss, {**config, **trainer})
