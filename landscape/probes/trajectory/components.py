"""Principal components of a few long vectors, from their small Gram matrix in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.errors import InputError

_CHUNK = 1 << 18  # entries of each vector that are widened to float64 at a time
# Of the largest singular value: the Gram matrix squares what single precision left of a dependent vector.
_NOTHING = 1e-6


@dataclass(frozen=True)
class Components:
    """The K leading components of m vectors of n entries.

    Attributes:
        vectors: orthonormal, shape ``(K, n)``, in the type of the vectors given.
        coordinates: ⟨row, component⟩ of each vector, shape ``(m, K)``; the first that is not zero in a column is positive.
        residuals: ‖row − Σ coordinate · component‖₂ of each vector, shape ``(m,)``.
        explained: σ² / Σ σ² of all m components, shape ``(m,)``, descending; of the centred vectors where they were centred.
    """

    vectors: Tensor
    coordinates: NDArray[np.float64]
    residuals: NDArray[np.float64]
    explained: NDArray[np.float64]


def principal_components(rows: Sequence[Tensor], count: int, *, centred: bool = False) -> Components:
    """The ``count`` directions that hold most of Σ‖row‖², by the eigenvectors of the Gram matrix G = ⟨rowᵢ, rowⱼ⟩.

    With G = U Σ² Uᵀ component k is Σᵢ u_ik rowᵢ / σ_k. Without ``centred`` the plane of the components goes through the
    origin that the rows are measured from, and no other such plane leaves smaller residuals Σ‖row − projection‖². With
    ``centred`` the mean row is taken off before the components are found (the usual PCA), though not from the coordinates.

    Args:
        rows: m vectors ``(n,)``.

    Raises:
        InputError: where the rows are not finite, or span fewer than ``count`` dimensions.
    """
    gram = _gram(rows)
    if not np.isfinite(gram).all():
        raise InputError("components: the vectors hold NaN or infinite entries.")
    if centred:
        gram = gram - gram.mean(0) - gram.mean(1)[:, None] + gram.mean()
    squares, left = np.linalg.eigh(gram)
    squares, left = np.maximum(squares[::-1], 0.0), left[:, ::-1]
    rank = int((np.sqrt(squares) > _NOTHING * np.sqrt(squares[0])).sum()) if squares[0] > 0 else 0
    if rank < count:
        raise InputError(f"components: expected {count}, and the {len(rows)} vectors span {rank} dimension(s).")
    weights = left[:, :count] / np.sqrt(squares[:count])
    if centred:
        weights = weights - weights.mean(0)
    wide = _combined(rows, weights)
    coordinates = np.array([[float(row.double() @ vector) for vector in wide] for row in rows])
    signs = np.array([np.sign(column[np.flatnonzero(column)[0]]) for column in coordinates.T])
    wide, coordinates = wide * torch.from_numpy(signs)[:, None].to(wide), coordinates * signs
    projections = torch.from_numpy(coordinates).to(wide)
    residuals = [float((row.double() - wide.T @ c).norm()) for row, c in zip(rows, projections, strict=True)]
    return Components(wide.to(rows[0]), coordinates, np.array(residuals), squares / squares.sum())


def distances_between(rows: Sequence[Tensor]) -> NDArray[np.float64]:
    """‖rowᵢ − rowⱼ‖₂ for all pairs, shape ``(m, m)``, by their Gram matrix: d² = Gᵢᵢ + Gⱼⱼ − 2 Gᵢⱼ."""
    gram = _gram(rows)
    squares = gram.diagonal()
    return np.sqrt(np.maximum(squares + squares[:, None] - 2 * gram, 0.0))


def stress(places: NDArray[np.float64], distances: NDArray[np.float64]) -> float:
    """√(Σ (d − δ)² / Σ δ²) over all pairs: δ ``(m, m)`` as they are, d those of ``places`` ``(m, K)`` (Kruskal 1964, stress 1)."""
    shown = np.linalg.norm(places - places[:, None], axis=-1)
    return float(np.sqrt(np.square(shown - distances).sum() / np.square(distances).sum()))


def _gram(rows: Sequence[Tensor]) -> NDArray[np.float64]:
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows[0].device)
    for start in range(0, rows[0].numel(), _CHUNK):
        part = torch.stack([row[start : start + _CHUNK].double() for row in rows])
        total += part @ part.T
    return np.asarray(total.cpu().numpy())


def _combined(rows: Sequence[Tensor], weights: NDArray[np.float64]) -> Tensor:
    """Σᵢ w_ik rowᵢ for every k, made orthonormal to rounding, shape ``(K, n)`` in float64."""
    wide = torch.zeros(weights.shape[1], rows[0].numel(), dtype=torch.float64, device=rows[0].device)
    for row, ws in zip(rows, weights, strict=True):
        wide += torch.from_numpy(ws).to(wide)[:, None] * row.double()
    orthonormal: Tensor = torch.linalg.qr(wide.T).Q.T
    return orthonormal * torch.sign((orthonormal * wide).sum(1, keepdim=True))
