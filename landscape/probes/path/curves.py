"""Curves between two points with bends between them: Bézier curves and polygonal chains as weights of their points.

A curve through θ(0) = a and θ(1) = b with bends m₁, …, m_k is θ(t) = a + Σ wⱼ(t) (mⱼ − a) + w_b(t) (b − a), so all of it lies in
one affine subspace, and ∂L/∂mⱼ = wⱼ(t) ∇L(θ(t)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import comb

from landscape.errors import unknown_choice

SHAPES = ("bezier", "chain")
Floats = NDArray[np.float64]


def curve_weights(shape: str, bends: int, t: Floats) -> Floats:
    """The weights (w₁, …, w_k, w_b) at every ``t`` ``(T,)`` in [0, 1], shape ``(T, bends + 1)``.

    - ``bezier``: Bernstein's polynomials of degree k + 1; for one bend 2t(1 − t) and t² (Garipov et al. 2018).
    - ``chain``: straight pieces, each over 1 / (k + 1) of t.

    Without bends both are the straight line.

    Raises:
        InputError: for another shape.
    """
    if shape not in SHAPES:
        raise unknown_choice("shape", shape, SHAPES)
    degree = bends + 1
    number = np.arange(1, degree + 1)
    if shape == "bezier":
        return np.asarray(comb(degree, number) * t[:, None] ** number * (1 - t[:, None]) ** (degree - number))
    return np.asarray(np.maximum(1 - np.abs(degree * t[:, None] - number), 0.0))
