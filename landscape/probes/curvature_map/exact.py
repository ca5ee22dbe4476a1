"""The curvature within a measured loss plane, from its values alone, per unit of length in parameter space."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import InputError
from landscape.probes.plane.smoothness import known_lattice, second_differences
from landscape.results.attributes import inherited, labels

Floats = NDArray[np.float64]

_DERIVATIVES = {
    "curvature_largest": "larger curvature within the plane, κ₁",
    "curvature_smallest": "smaller curvature within the plane, κ₂",
    "mean_curvature": "mean curvature over the plane's ways, (κ₁ + κ₂) / 2",
}


def plane_curvature(dataset: xr.Dataset, *, loss_max: float | None = None, stride: int | None = None) -> xr.Dataset:
    """Both principal curvatures of f(x, y) = L(θ + x d₁ + y d₂) at each inner point of a plane; no point is evaluated.

    A step (x, y) = c has the length √(cᵀ G c) in parameter space, with the Gram matrix G of the directions,

    - G = [[‖d₁‖², ρ ‖d₁‖ ‖d₂‖], [ρ ‖d₁‖ ‖d₂‖, ‖d₂‖²]], ρ = cos(d₁, d₂),

    and the second derivative of the loss along it, per unit of length, is cᵀ F c / cᵀ G c with F the 2 × 2 Hessian of f, by
    central differences as in :func:`landscape.probes.plane.smoothness.plane_smoothness`. Its largest and smallest values over all c
    are the roots κ₁ ≥ κ₂ of F c = κ G c, that is, the eigenvalues of K⁻¹ F K⁻ᵀ with G = K Kᵀ. They are those of the Hessian H of
    all parameters seen within the plane, Eᵀ H E for an orthonormal basis E of it, so that λ_min(H) ≤ κ₂ ≤ κ₁ ≤ λ_max(H), to the
    differences' error of second order in the spacing. For a random plane Li et al. 2018 call them averages of H's curvatures.

    Args:
        dataset: a plane or a trajectory over ``(seed, y, x)``.
        loss_max, stride: as for :func:`landscape.probes.plane.smoothness.plane_smoothness`.

    Returns:
        A data set of kind ``plane_curvature`` over ``(seed, y, x)``, the inner points of the lattice: ``curvature_largest``,
        ``curvature_smallest`` and their mean, NaN where the point or one of its eight neighbours is not known; ``loss`` there;
        ``gram``, G by seed.

    Raises:
        InputError: as :func:`landscape.probes.plane.smoothness.plane_smoothness`; for a result that does not say how long its
            directions are, and for directions that are parallel.

    References:
        Li et al. 2018, arXiv 1712.09913, section 6.

    Example:
        >>> plane = ls.plane(objective, x=(-1, 1, 5), y=(-1, 1, 5))
        >>> within = ls.plane_curvature(plane)
        >>> bool((within["curvature_largest"] >= within["curvature_smallest"]).all())
        True
    """
    lattice = known_lattice(dataset, loss_max=loss_max, stride=stride, kinds=("plane", "trajectory"))
    gram = _gram(dataset)
    roots = [
        _roots(np.stack(second_differences(values, known, lattice.x, lattice.y)), matrix)
        for values, known, matrix in zip(lattice.values, lattice.known, gram, strict=True)
    ]
    largest, smallest = (np.stack(part) for part in zip(*roots, strict=True))
    unit = str(dataset["loss"].attrs.get("units", "1"))
    found = {
        "curvature_largest": largest,
        "curvature_smallest": smallest,
        "mean_curvature": (largest + smallest) / 2,
        "loss": np.where(lattice.known, lattice.values, np.nan)[:, 1:-1, 1:-1],
    }
    words = {**_DERIVATIVES, "loss": str(dataset["loss"].attrs.get("long_name", "loss"))}
    variables: dict[str, Any] = {
        name: (("seed", "y", "x"), array, labels(words[name], unit)) for name, array in found.items()
    }
    said = labels("Gram matrix of the directions: their inner products in parameter space")
    variables["gram"] = (("seed", "direction", "other_direction"), gram, said)
    inner = {"x": dataset["x"][:: lattice.stride][1:-1], "y": dataset["y"][:: lattice.stride][1:-1]}
    attributes = {
        **inherited(dataset.attrs),
        "kind": "plane_curvature",
        "title": "curvature within a loss plane",
        "stride": lattice.stride,
    }
    return xr.Dataset(variables, coords={"seed": dataset["seed"], **inner}, attrs=attributes)


def _gram(dataset: xr.Dataset) -> Floats:
    """G of each seed's directions, shape ``(seed, 2, 2)``."""
    if not {"direction_norm", "direction_cosine"} <= set(dataset.variables):
        raise InputError(
            "dataset: does not say how long its directions are (direction_norm) and at which angle (direction_cosine), so there is "
            "no length in parameter space. Expected a plane that landscape probe or ls.plane made."
        )
    norms = dataset["direction_norm"].transpose("seed", "direction").values.astype(np.float64)
    cosines = dataset["direction_cosine"].values.astype(np.float64)
    if (1 - np.abs(cosines) < 1e-6).any() or not (norms > 0).all():
        raise InputError(
            "dataset: its two directions are parallel, so they span no plane. Make them with orthogonalize."
        )
    matrices = norms[:, :, None] * norms[:, None, :]
    matrices[:, 0, 1] *= cosines
    matrices[:, 1, 0] *= cosines
    return matrices


def _roots(hessian: Floats, gram: Floats) -> tuple[Floats, Floats]:
    """κ₁ ≥ κ₂ of F c = κ G c at every point, for F as its entries ``(xx, yy, xy)`` over the points."""
    xx, yy, xy = hessian
    matrices = np.stack([np.stack([xx, xy], axis=-1), np.stack([xy, yy], axis=-1)], axis=-2)
    whole = np.isfinite(matrices).all(axis=(-1, -2))
    inverse = np.linalg.inv(np.linalg.cholesky(gram))
    turned = inverse @ np.where(whole[..., None, None], matrices, 0.0) @ inverse.T
    values = np.where(whole[..., None], np.linalg.eigvalsh(turned), np.nan)
    return values[..., 1], values[..., 0]
