"""How curved, how rough and how convex a measured loss plane is, for each of its direction seeds.

Only what was measured counts: a point is *known* if it was measured over all samples, is finite and does not lie above the clip. No
derivative is taken across a point that is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import InputError
from landscape.probes.plane.result import ABOVE, MEASURED
from landscape.results.attributes import a_dataset, inherited, labels

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SINGLE = 2.0**-23  # the losses come from sums of single precision
_WINDOW = 5  # points on a side: with 3, a ripple along one axis would be fitted exactly
_TERMS = 6  # of a quadratic in two variables
PERCENTILE = 95

# name -> (long name, unit in terms of the loss's): what there is for each direction seed
QUANTITIES = {
    "curvature_mean": ("mean over the plane of the larger |curvature|", "loss"),
    "curvature_percentile": ("95th percentile over the plane of the larger |curvature|", "loss"),
    "centre_laplacian": ("Laplacian at the centre", "loss"),
    "centre_curvature_largest": ("larger curvature at the centre", "loss"),
    "centre_curvature_smallest": ("smaller curvature at the centre", "loss"),
    "residual": ("residual of local quadratic fits (root mean square)", "loss"),
    "roughness": ("roughness: residual of local quadratic fits over the range of values", "1"),
    "convex_fraction": ("fraction of the plane that is convex", "1"),
    "convex_fraction_low": ("fraction of the plane that is convex beyond the noise of its values", "1"),
    "convex_fraction_high": ("fraction of the plane that may be convex within the noise of its values", "1"),
    "value_range": ("largest minus smallest known value", "loss"),
}
_COUNTS = {
    "points": "points of the lattice",
    "known_points": "known points: measured over all samples, finite, not above the clip",
    "stencils": "points with derivatives: they and their eight neighbours are known",
    "windows": "local quadratic fits: all 25 points are known",
}


def plane_smoothness(dataset: xr.Dataset, *, loss_max: float | None = None, stride: int | None = None) -> xr.Dataset:
    """Smoothness of a loss plane f(x, y), a data set of kind ``plane`` over ``(seed, y, x)``.

    Coordinates are those of the plane, multiples of its normalised directions, so curvatures do not change when a filter before a
    BatchNorm is rescaled. Derivatives are central differences on a lattice of spacing h, the plane's own or every ``stride``-th
    point of it; the 2 × 2 Hessian H at a known point with eight known neighbours has

    - ∂²f/∂x² = (f(x+h) − 2f(x) + f(x−h))/h², likewise y, and ∂²f/∂x∂y = (f₊₊ − f₊₋ − f₋₊ + f₋₋)/(4 h_x h_y).

    For each direction seed:

    - ``curvature_mean``, ``curvature_percentile``: mean and 95th percentile over these points of max |λ(H)|;
    - ``centre_laplacian`` = tr H, ``centre_curvature_largest`` and ``…_smallest`` = both eigenvalues of H, at (0, 0);
    - ``convex_fraction``: fraction of these points with λ_min(H) ≥ −τ, τ = 4 · 2⁻²³ max |f| / min(h_x, h_y)², what rounding in
      single precision can make of a second difference. H is positive semidefinite or not whatever the lengths and the angle of
      the directions;
    - ``convex_fraction_low``, ``convex_fraction_high``: those with λ_min(H) ≥ τ + 2σ and ≥ −τ − 2σ: σ = √6 s / min(h_x, h_y)²
      is the largest standard deviation that values with independent noise s give to a second difference, and s the
      residual (below) of the window around the point, or next to it at the border: what no quadratic explains counts as noise.
      The values' standard errors over the samples do not enter. All points share their samples, so neighbours err alike, by how
      much less in their differences the standard errors do not tell: the fraction is that of the loss over these samples;
    - ``residual``: to every window of 5 × 5 known points the quadratic with 6 terms is fitted by least squares; √(mean over the
      windows of RSS / (25 − 6)). Independent noise of standard deviation s has the residual s (its mean square is unbiased);
      quadratics have 0;
    - ``roughness`` = ``residual`` / ``value_range``; ``value_range`` is the largest minus the smallest known value;
    - ``points``, ``known_points``, ``stencils``, ``windows``: how many there are.

    All depend on h: compare planes of one grid, and of one ``stride``. NaN is what no stencil or window could tell. With several
    seeds ``NAME_mean`` and ``NAME_spread`` (standard deviation, N − 1) over them are added.

    Args:
        dataset: the plane. Interpolated and missing points are not known.
        loss_max: the clip: values above it are not known. None: the plane's own clip if it has one, else none.
        stride: use every ``stride``-th point. None: the smallest at which every point was looked at (1 for a plane measured in
            full; an adaptive one is measured in full on a coarse mesh only, and elsewhere where it is rough, which would
            mislead).

    Raises:
        InputError: for another kind of result, a grid that is not a plane, fewer than 3 × 3 points, or a mesh that is not
            even.

    Example:
        >>> plane = ls.plane(objective, x=(-1, 1, 7), y=(-1, 1, 7))
        >>> ls.plane_smoothness(plane)["convex_fraction"].values.round(2)
        array([0.32])
    """
    of = known_lattice(dataset, loss_max=loss_max, stride=stride)
    centre = _centre(dataset["x"].values[:: of.stride], dataset["y"].values[:: of.stride], of.x, of.y)
    planes = [_Lattice(values, known, of.x, of.y, centre) for values, known in zip(of.values, of.known, strict=True)]
    return _result(dataset, planes, of.stride, of.clip)


@dataclass(frozen=True, eq=False)
class KnownLattice:
    """A plane's values on an even lattice, and which of them are known.

    Attributes:
        values, known: shape ``(seed, y, x)``.
        x, y: the spacings.
        stride: of the lattice in the plane's own grid.
        clip: the loss above which values are not known.
    """

    values: Floats
    known: Mask
    x: float
    y: float
    stride: int
    clip: float


def known_lattice(
    dataset: xr.Dataset,
    *,
    loss_max: float | None = None,
    stride: int | None = None,
    kinds: tuple[str, ...] = ("plane",),
) -> KnownLattice:
    """What derivatives are taken of; arguments and errors are those of :func:`plane_smoothness`, for results of ``kinds``."""
    loss, status = _checked(dataset, kinds)
    clip = float(dataset.attrs.get("loss_max", math.inf)) if loss_max is None else loss_max
    known = (status == MEASURED) & np.isfinite(loss) & (loss <= clip)
    step = lattice_stride(dataset) if stride is None else stride
    if not 1 <= step <= (min(loss.shape[1:]) - 1) // 2:
        raise InputError(f"stride: expected 1 to {(min(loss.shape[1:]) - 1) // 2} for this grid, got {stride!r}.")
    x, y = (_spacing(dataset[name].values[::step], name) for name in ("x", "y"))
    return KnownLattice(loss[:, ::step, ::step], known[:, ::step, ::step], x, y, step, clip)


def second_differences(values: Floats, known: Mask, x: float, y: float) -> tuple[Floats, Floats, Floats]:
    """∂²f/∂x², ∂²f/∂y² and ∂²f/∂x∂y at the inner points of a lattice of spacings x and y; NaN where a neighbour is not known."""
    f = np.where(known, values, 0.0)
    xx = (f[1:-1, 2:] - 2 * f[1:-1, 1:-1] + f[1:-1, :-2]) / x**2
    yy = (f[2:, 1:-1] - 2 * f[1:-1, 1:-1] + f[:-2, 1:-1]) / y**2
    xy = (f[2:, 2:] - f[2:, :-2] - f[:-2, 2:] + f[:-2, :-2]) / (4 * x * y)
    usable = _all_known(known, 3)
    return np.where(usable, xx, np.nan), np.where(usable, yy, np.nan), np.where(usable, xy, np.nan)


def lattice_stride(dataset: xr.Dataset) -> int:
    """The smallest s such that every s-th point of a plane, along both axes, was looked at for every seed.

    Where there is none that leaves 3 × 3 points it is 1: the derivatives are then those of the points that happen to be known.
    """
    looked_at = np.isin(dataset["status"].values, (MEASURED, ABOVE))
    largest = (min(looked_at.shape[1:]) - 1) // 2
    return next((s for s in range(1, largest + 1) if looked_at[:, ::s, ::s].all()), 1)


@dataclass(frozen=True, eq=False)
class _Lattice:
    """One direction seed's values over an even lattice."""

    values: Floats
    known: Mask
    x: float
    y: float
    centre: tuple[int, int] | None

    def quantities(self) -> dict[str, float]:
        largest, smallest = self._eigenvalues()
        usable = np.isfinite(smallest)
        size = np.maximum(np.abs(largest), np.abs(smallest))[usable]
        squares = self._squares()
        fitted = np.isfinite(squares)
        residual = math.sqrt(float(squares[fitted].mean())) if fitted.any() else math.nan
        extent = float(np.ptp(self.values[self.known])) if self.known.any() else math.nan
        here = (math.nan, math.nan)
        if self.centre is not None:
            row, column = self.centre
            here = (float(largest[row - 1, column - 1]), float(smallest[row - 1, column - 1]))
        some = size.size > 0
        return {
            "curvature_mean": float(size.mean()) if some else math.nan,
            "curvature_percentile": float(np.percentile(size, PERCENTILE)) if some else math.nan,
            "centre_laplacian": here[0] + here[1],
            "centre_curvature_largest": here[0],
            "centre_curvature_smallest": here[1],
            "residual": residual,
            "roughness": residual / extent if extent > 0 else math.nan,
            **self._convexity(smallest, squares),
            "value_range": extent,
            "points": self.values.size,
            "known_points": int(self.known.sum()),
            "stencils": int(usable.sum()),
            "windows": int(fitted.sum()),
        }

    def _convexity(self, smallest: Floats, squares: Floats) -> dict[str, float]:
        """The share of points whose smaller curvature is not negative: as it is, beyond the noise, and within it."""
        usable = np.isfinite(smallest)
        names = ("convex_fraction", "convex_fraction_low", "convex_fraction_high")
        if not usable.any():
            return dict.fromkeys(names, math.nan)
        rounding = self._tolerance()
        plain = float((smallest[usable] >= -rounding).mean())
        if not np.isfinite(squares).any():
            return dict(zip(names, (plain, math.nan, math.nan), strict=True))
        around = np.pad(squares, 1, mode="edge")[usable]  # of the window in whose middle the point lies, or next to it
        noise = np.sqrt(6 * np.where(np.isfinite(around), around, np.inf)) / min(self.x, self.y) ** 2
        low = float((smallest[usable] >= rounding + 2 * noise).mean())
        high = float((smallest[usable] >= -rounding - 2 * noise).mean())
        return dict(zip(names, (plain, low, high), strict=True))

    def _eigenvalues(self) -> tuple[Floats, Floats]:
        """Both eigenvalues of the Hessian at every inner point, the larger first; NaN where a neighbour is not known."""
        xx, yy, xy = second_differences(self.values, self.known, self.x, self.y)
        middle, radius = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
        return middle + radius, middle - radius

    def _tolerance(self) -> float:
        return 4 * SINGLE * float(np.abs(self.values[self.known]).max()) / min(self.x, self.y) ** 2

    def _squares(self) -> Floats:
        """The mean squared residual of the quadratic in each window of the lattice; NaN where not all of it is known."""
        usable = _all_known(self.known, _WINDOW)
        found = np.full(usable.shape, np.nan)
        if usable.any():
            filled = np.where(self.known, self.values, 0.0)
            windows = np.lib.stride_tricks.sliding_window_view(filled, (_WINDOW, _WINDOW))[usable]
            values = windows.reshape(-1, _WINDOW**2)
            # Less rounding: the fit takes up any constant anyhow.
            remainders = (values - values.mean(axis=1, keepdims=True)) @ _residual_maker()
            found[usable] = (remainders**2).sum(axis=1) / (_WINDOW**2 - _TERMS)
        return found


def _residual_maker() -> Floats:
    """I − A A⁺ for the quadratics over a window: what a least-squares fit leaves, shape ``(25, 25)``."""
    line = np.arange(_WINDOW) - _WINDOW // 2
    y, x = (part.ravel().astype(np.float64) for part in np.meshgrid(line, line, indexing="ij"))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    basis, _ = np.linalg.qr(terms)
    return np.asarray(np.eye(len(x)) - basis @ basis.T)


def _all_known(known: Mask, side: int) -> Mask:
    """Which windows of ``side`` × ``side`` points are all known; empty for a smaller lattice."""
    if min(known.shape) < side:
        return np.zeros((0, 0), dtype=bool)
    windows = np.lib.stride_tricks.sliding_window_view(known, (side, side))
    return np.asarray(windows.all(axis=(2, 3)))


def _checked(dataset: xr.Dataset, kinds: tuple[str, ...]) -> tuple[Floats, NDArray[np.int8]]:
    a_dataset(dataset, "dataset")
    if dataset.attrs.get("kind") not in kinds or not {"loss", "status"} <= set(dataset.variables):
        words = " or ".join(map(repr, kinds))
        raise InputError(f"dataset: expected a result of kind {words}, got kind {dataset.attrs.get('kind')!r}.")
    dims = dataset["loss"].dims
    if set(dims) != {"seed", "y", "x"}:
        raise InputError(
            f"dataset: expected a plane over (seed, y, x), got {dims!r}. Lines have no Hessian to speak of."
        )
    loss, status = (dataset[name].transpose("seed", "y", "x").values for name in ("loss", "status"))
    if min(loss.shape[1:]) < 3:
        raise InputError(f"dataset: expected at least 3 × 3 points for second differences, got {loss.shape[1:]!r}.")
    return loss.astype(np.float64), status


def _spacing(coordinates: Floats, name: str) -> float:
    steps = np.diff(coordinates)
    if not np.allclose(steps, steps[0], rtol=1e-6, atol=0) or steps[0] == 0:
        raise InputError(
            f"dataset: expected evenly spaced coordinates {name}, got steps from {steps.min():g} to {steps.max():g}."
        )
    return abs(float(steps[0]))


def _centre(x: Floats, y: Floats, width: float, height: float) -> tuple[int, int] | None:
    """Row and column of the origin, where the lattice has it with neighbours on all sides."""
    row, column = int(np.abs(y).argmin()), int(np.abs(x).argmin())
    at_origin = abs(x[column]) < 1e-9 * width and abs(y[row]) < 1e-9 * height
    inside = 0 < row < len(y) - 1 and 0 < column < len(x) - 1
    return (row, column) if at_origin and inside else None


def _result(dataset: xr.Dataset, planes: list[_Lattice], stride: int, clip: float) -> xr.Dataset:
    found = [plane.quantities() for plane in planes]
    unit = str(dataset["loss"].attrs.get("units", "1"))
    variables: dict[str, Any] = {}
    for name, (long_name, of) in QUANTITIES.items():
        values = np.array([one[name] for one in found], dtype=np.float64)
        units = unit if of == "loss" else "1"
        variables[name] = (("seed",), values, labels(long_name, units))
        if len(found) > 1:
            over = {"mean": values.mean(), "spread": values.std(ddof=1)}
            words = {"mean": "mean over direction seeds", "spread": "standard deviation over direction seeds"}
            for key, value in over.items():
                variables[f"{name}_{key}"] = ((), value, labels(f"{words[key]}: {long_name}", units))
    for name, long_name in _COUNTS.items():
        counts = np.array([one[name] for one in found], dtype=np.int64)
        variables[name] = (("seed",), counts, labels(f"number of {long_name}"))
    clipped = {"loss_max": clip} if math.isfinite(clip) else {}
    coordinate = ("seed", dataset["seed"].values, labels("direction seed"))
    attributes = {
        "kind": "plane_smoothness",
        "title": "smoothness of a loss plane",
        **inherited(dataset.attrs),
        **clipped,
        "stride": stride,
    }
    return xr.Dataset(variables, coords={"seed": coordinate}, attrs=attributes)
