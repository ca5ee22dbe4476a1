"""The curvature within a plane, per unit of length, of quadratics whose Hessian is known, and of networks against the dense one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from networks import conv_net, images
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from landscape.errors import InputError
from landscape.numerics.directions import Direction
from landscape.objective.objective import Objective
from landscape.probes.curvature_map.exact import plane_curvature
from landscape.probes.plane.measure import plane
from landscape.probes.plane.smoothness import plane_smoothness
from landscape.probes.plane.spans import random_span

HESSIAN = torch.tensor([[4.0, 1.0, 0.5], [1.0, -2.0, 0.3], [0.5, 0.3, 1.0]], dtype=torch.float64)


class Quadratic(nn.Module):
    """½ θᵀ H θ for every sample."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (0.5 * self.theta @ HESSIAN.to(self.theta) @ self.theta).expand(len(x))


def quadratic_plane(directions: list[list[float]]) -> xr.Dataset:
    x = torch.zeros(2, 1, dtype=torch.float64)
    objective = Objective(Quadratic(), lambda outputs, targets: outputs, (x, x[:, 0]))
    vectors = torch.tensor(directions, dtype=torch.float64)
    along = [Direction(vector, objective.theta.layout, {"kind": "given"}) for vector in vectors]
    return plane(objective, x=(-1, 1, 5), y=(-0.5, 0.5, 4), along=along, normalization="none")


@pytest.mark.parametrize(
    "directions",
    [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        [[3.0, 0.0, 0.0], [0.0, 0.5, 0.0]],
        [[3.0, 1.0, 0.0], [2.0, 2.0, 0.5]],
    ],
    ids=["orthonormal", "of other lengths", "oblique"],
)
def test_a_quadratics_curvatures_are_those_of_its_hessian_within_the_plane(directions: list[list[float]]) -> None:
    found = plane_curvature(quadratic_plane(directions))
    # An orthonormal basis of the plane by another way than the Gram matrix.
    basis = np.linalg.qr(np.array(directions).T)[0]
    low, high = np.linalg.eigvalsh(basis.T @ HESSIAN.numpy() @ basis)
    assert found["curvature_largest"].shape == (1, 2, 3)
    np.testing.assert_allclose(found["curvature_largest"], high, rtol=1e-10)
    np.testing.assert_allclose(found["curvature_smallest"], low, rtol=1e-10)
    np.testing.assert_allclose(found["mean_curvature"], (low + high) / 2, rtol=1e-10)
    np.testing.assert_allclose(found["gram"][0], np.array(directions) @ np.array(directions).T)


def test_curvatures_do_not_depend_on_the_lengths_and_the_angle_of_the_directions() -> None:
    straight = plane_curvature(quadratic_plane([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    oblique = plane_curvature(quadratic_plane([[2.0, 1.0, 0.0], [7.0, -0.1, 0.0]]))
    for name in ("curvature_largest", "curvature_smallest"):
        np.testing.assert_allclose(oblique[name].values[0, 0, 0], straight[name].values[0, 0, 0], rtol=1e-9)


def test_a_networks_curvature_within_the_plane_is_that_of_the_dense_hessian_and_lies_inside_its_spectrum() -> None:
    # Smooth: second differences across a kink of a rectifier are no curvature.
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(72, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    inputs, targets = images()
    objective = Objective(net, "cross_entropy", (inputs, targets))
    layout, vector = objective.theta.layout, objective.theta.vector
    found = plane_curvature(plane(objective, x=(-2e-3, 2e-3, 3), y=(-1e-3, 1e-3, 3), seeds=[0, 5]))

    def loss(flat: Tensor) -> Tensor:
        outputs = functional_call(net, dict(layout.views(flat)), (inputs,))
        return nn.functional.cross_entropy(outputs, targets)

    dense = hessian(loss, vector.cpu())
    whole = torch.linalg.eigvalsh(dense)
    for seed, subspace in zip((0, 5), random_span(objective, [0, 5], 2).subspaces, strict=True):
        basis = torch.linalg.qr(subspace.basis.T.cpu())[0]
        low, high = torch.linalg.eigvalsh(basis.T @ dense @ basis).tolist()
        here = found.sel(seed=seed, x=0, y=0)
        assert float(here["curvature_largest"]) == pytest.approx(high, rel=1e-4, abs=1e-6)
        assert float(here["curvature_smallest"]) == pytest.approx(low, rel=1e-4, abs=1e-6)
        assert float(whole[0]) < float(here["curvature_smallest"])
        assert float(here["curvature_largest"]) < float(whole[-1])


def test_no_curvature_is_taken_across_a_point_that_is_not_known() -> None:
    data = quadratic_plane([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    data["loss"][0, 0, 0] = np.inf
    found = plane_curvature(data, stride=1)
    assert np.isnan(found["curvature_largest"].values[0, 0, 0])
    assert np.isfinite(found["curvature_largest"].values[0, 1:, :]).all()
    assert np.isfinite(found["loss"].values[0, 0, 0])


def test_each_curvature_stands_at_its_own_point() -> None:
    data = quadratic_plane([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    # x⁴/12 has the second derivative x² + h²/6 by differences, at each x.
    data["loss"].values[...] = (data["x"].values ** 4 / 12)[None, None, :] - 10 * data["y"].values[None, :, None] ** 2
    found = plane_curvature(data)
    expected = found["x"].values ** 2 + 0.5**2 / 6
    np.testing.assert_allclose(found["curvature_largest"].values[0], np.stack([expected] * 2), rtol=1e-10)
    np.testing.assert_allclose(found["curvature_smallest"], -20, rtol=1e-10)


def test_the_convex_fraction_is_the_share_of_points_whose_curvatures_are_not_negative() -> None:
    objective = Objective(conv_net(), "cross_entropy", images())
    data = plane(objective, x=(-1, 1, 13), y=(-1, 1, 13), seeds=[1])
    within = plane_curvature(data)["curvature_smallest"].values
    share = float(plane_smoothness(data)["convex_fraction"][0])
    assert 0 < share < 1
    assert share == pytest.approx((within >= 0).mean(), abs=1 / within.size)


def test_every_quantity_says_what_it_is() -> None:
    found = plane_curvature(quadratic_plane([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    for name, variable in found.variables.items():
        assert variable.attrs.get("units"), name
        assert variable.attrs.get("long_name"), name
    assert found.attrs["kind"] == "plane_curvature"
    assert found.attrs["n_samples"] == 2


def test_a_plane_without_lengths_or_an_angle_is_refused() -> None:
    data = quadratic_plane([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    with pytest.raises(InputError, match="does not say how long its directions are"):
        plane_curvature(data.drop_vars("direction_norm"))
    with pytest.raises(InputError, match="span no plane"):
        plane_curvature(quadratic_plane([[1.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]))
    with pytest.raises(InputError, match="kind 'plane' or 'trajectory'"):
        plane_curvature(xr.Dataset(attrs={"kind": "history"}))
