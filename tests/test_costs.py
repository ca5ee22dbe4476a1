"""What a plan expects of a probe, against what the probe then takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.objective.objective import Objective
from landscape.probes.costs import EVALUATION, PRODUCT, probe_steps
from landscape.probes.curvature.config import CurvatureSettings
from landscape.probes.curvature.measure import curvature
from landscape.probes.path.config import PathSettings
from landscape.probes.plane.config import PlaneSettings
from landscape.probes.sharpness.config import SharpnessSettings
from landscape.probes.steps.config import StepsSettings

IMAGES = 30


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()


@pytest.mark.parametrize("per_layer", [False, True])
def test_a_spectrum_takes_the_products_that_were_expected_to_a_factor_of_two(
    per_layer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = CurvatureSettings(top=3, bottom=1, trace_probes=4, density_steps=5, per_layer=per_layer, images=IMAGES)
    made = []
    product = Objective.hessian_product

    def counted(*given: object, **named: object) -> object:
        made.append(1)
        return product(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Objective, "hessian_product", counted)
    data = torch.randn(IMAGES, 6, dtype=torch.float64), torch.randint(3, (IMAGES,))
    objective = Objective(network(), "cross_entropy", data, precision="fp64")
    curvature(objective, settings.config())
    expected = probe_steps(settings, network(), 10) / (PRODUCT * IMAGES)
    assert expected / 2 <= len(made) <= 2 * expected


def test_planes_are_counted_for_each_seed_to_their_budget() -> None:
    plane = PlaneSettings(x="-1:1:31", y="-1:1:21", seeds=(0, 1), images=IMAGES, adaptive=False)
    assert probe_steps(plane, network(), 10) == pytest.approx(2 * 31 * 21 * EVALUATION * IMAGES)
    budget = PlaneSettings(x="-1:1:31", y="-1:1:21", max_points=50, images=IMAGES)
    assert probe_steps(budget, network(), 10) == pytest.approx(50 * EVALUATION * IMAGES)


def test_what_is_climbed_or_drawn_is_counted_for_every_radius() -> None:
    def steps(measure: str, **options: object) -> float:
        settings = SharpnessSettings(measures=(measure,), rho=(0.1, 0.2), images=IMAGES, **options)  # type: ignore[arg-type]
        return probe_steps(settings, network(), 10) / IMAGES

    assert steps("sam_steps", ascent_steps=7, restarts=1) == pytest.approx(2 * 7 * 2)
    assert steps("gaussian", draws=9) == pytest.approx(2 * 9 * EVALUATION)
    assert steps("sam") < steps("m_sharpness")


def test_a_curve_is_counted_by_its_training_and_steps_by_their_batches() -> None:
    straight = probe_steps(PathSettings(points=9, images=IMAGES), network(), 10)
    curved = probe_steps(PathSettings(points=9, images=IMAGES, paths=("bezier",), curve_steps=50), network(), 10)
    assert curved - straight == pytest.approx(50 * PathSettings().curve_batch_size)
    steps = StepsSettings(steps=40, probe_every=10, probe_eta="0.5:4:8")
    assert probe_steps(steps, network(), 10) == 10 * (40 + 4 * 8)
