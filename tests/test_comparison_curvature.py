"""Comparisons of how sharp and how curved the loss is at checkpoints of different trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from commands import run
from comparison_samples import curvature_map, sharpness
from networks import conv_net, images
from test_comparison import pair, row

import landscape as ls
from landscape.objective.objective import Objective
from landscape.probes.curvature.config import CurvatureConfig
from landscape.probes.curvature.measure import curvature
from landscape.probes.curvature_map.measure import curvature_map as measured_map
from landscape.probes.sharpness.config import SharpnessConfig
from landscape.probes.sharpness.measure import sharpness as measured_sharpness


def sharpnesses(**settings: object) -> list[xr.Dataset]:
    """Three seeds a batch size; at 400 SAM is twice as sharp, and adaptive sharpness the same but for noise."""
    noise = iter(0.02 * np.random.default_rng(0).standard_normal(12))
    return [
        sharpness(factor * (1 + next(noise)), 1 + next(noise), batch_size=size, seed=seed, **settings)
        for size, factor in ((50, 1.0), (400, 2.0))
        for seed in (0, 1, 2)
    ]


def test_each_measure_of_sharpness_is_compared_at_the_middle_of_its_radii() -> None:
    found = ls.compare(sharpnesses(norm="none"), by="batch_size")
    assert {r.measure.name for r in found.rows} == {"sam:0.05", "adaptive:0.5", "gaussian:0.05"}
    sam = pair(found, "sam:0.05")
    assert sam.difference == pytest.approx(0.5, rel=0.05)
    assert sam.verdict == "lower"
    assert pair(found, "adaptive:0.5").verdict == "cannot tell"
    assert row(found, "sam:0.05").measure.scale == "log"
    # An average over draws may be negative, which has no logarithm.
    assert pair(found, "gaussian:0.05").difference == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_sharpness_within_a_fixed_radius_names_no_smoother_network(norm: str) -> None:
    found = ls.compare(sharpnesses(norm=norm), by="batch_size")
    assert pair(found, "sam:0.05").verdict == "lower"
    assert not any("smoother" in sentence for sentence in found.sentences)
    assert row(found, "sam:0.05").measure.smoother == "neither"
    assert row(found, "adaptive:0.5").measure.smoother == "lower"
    assert any("smoother one by sam, gaussian" in note for note in found.notes)
    assert any("Mean ‖θ‖" in note and "50: 5" in note for note in found.notes)


def test_adaptive_sharpness_names_the_smoother_network_unless_it_is_negative() -> None:
    def sentence(sign: float) -> str:
        data = [
            sharpness(1.0, f * (1 + s / 50), batch_size=b, seed=s) for b, f in ((50, 1.0), (400, 2.0)) for s in range(4)
        ]
        for one in data:
            one["lower_bound"][1] = 0  # as an average over draws, which may be negative
            one["sharpness"][1] *= sign
        return pair(ls.compare(data, by="batch_size"), "adaptive:0.5").sentence

    assert "50 is the smoother one" in sentence(1)
    assert "400 is lower by" in sentence(-1) or "50 is higher by" in sentence(-1)
    assert "smoother" not in sentence(-1)


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"attrs": {"draw_seed": 1}}, "draw seed 1 instead of 0"), ({"rho": 0.1}, "instead of adaptive 0.25, 0.5, 1")],
)
def test_sharpness_that_was_measured_differently_is_left_out_by_name(changed: dict[str, object], words: str) -> None:
    data = [*sharpnesses(), sharpness(1.0, 1.0, batch_size=50, seed=7, **changed)]  # type: ignore[arg-type]
    found = ls.compare(data, by="batch_size")
    assert any(words in reason for reason in found.left_out)
    assert next(r for r in found.rows if r.measure.name.startswith("sam:0.05")).cells["50"].n == 3


def test_curvature_maps_compare_the_checkpoints_and_their_planes() -> None:
    data = [
        curvature_map(10.0, [-0.1, -0.12, -0.07], batch_size=50, norm="none"),
        curvature_map(30.0, [-0.41, -0.41, -0.37], batch_size=400, norm="none"),
    ]
    found = ls.compare(data, by="batch_size")
    over = pair(found, "curvature_ratio_mean")
    assert over.difference == pytest.approx(0.3)
    assert over.verdict == "in these runs only"
    assert "direction seeds" in row(found, "curvature_ratio_mean").replication
    assert row(found, "eigenvalue_largest").cells["400"].mean == pytest.approx(30.0)
    # One number of one training each: no evidence.
    assert pair(found, "eigenvalue_largest").verdict != "lower"


def spectrum(scale: float, *, per_layer: bool = False, converges: bool = True, **settings: object) -> xr.Dataset:
    """The spectrum of ½ Σ aᵢ (wᵢ − 1)², whose Hessian is diag(a) with a = scale · (1, 2, 3), as the probe measures it."""
    curvatures = scale * torch.tensor([1.0, 2.0, 3.0])
    module = torch.nn.Linear(3, 1, bias=False).double()
    objective = Objective(
        module,
        lambda outputs, targets: 0.5 * ((module_weights(outputs) - 1) ** 2 * curvatures.to(outputs)).sum(-1),
        (torch.eye(3).expand(4, 3, 3).double(), torch.zeros(4)),
    )
    config = CurvatureConfig(
        top=2, bottom=0, per_layer=per_layer, trace_probes=3, density_probes=0, max_products=500 if converges else 1
    )
    found = curvature(objective, config)
    training = {"batch_size": 100, "seed": 0, "norm": "none", **settings}
    return found.assign_attrs(training=training, checkpoint="run-last", **training)


def module_weights(outputs: torch.Tensor) -> torch.Tensor:
    """The weights of a linear layer, which unit vectors read out one by one."""
    return outputs.squeeze(-1)


def test_spectra_compare_their_largest_eigenvalue_trace_and_norm() -> None:
    data = [
        spectrum(size / 50 * (1 + 0.01 * seed), batch_size=size, seed=seed) for size in (50, 400) for seed in (0, 1, 2)
    ]
    found = ls.compare(data, by="batch_size")
    assert row(found, "largest_eigenvalue").cells["400"].mean == pytest.approx(24 * 1.01, rel=1e-3)
    assert row(found, "trace").cells["50"].mean == pytest.approx(6 * 1.01, rel=1e-6)
    assert row(found, "frobenius_norm").cells["50"].mean == pytest.approx(14**0.5 * 1.01, rel=1e-3)
    assert pair(found, "largest_eigenvalue").difference == pytest.approx(1 / 8, rel=1e-3)


def test_spectra_of_layers_and_eigenvalues_that_did_not_converge_are_not_compared() -> None:
    whole = [spectrum(1.0, batch_size=50), spectrum(2.0, batch_size=400)]
    found = ls.compare([*whole, spectrum(2.0, batch_size=400, seed=1, per_layer=True)], by="batch_size")
    assert any("single layers" in reason for reason in found.left_out)
    poor = ls.compare([spectrum(1.0, batch_size=b, converges=False) for b in (50, 400)], by="batch_size")
    assert np.isnan(row(poor, "largest_eigenvalue").cells["50"].mean)


def test_results_as_the_probes_make_them_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for size in (50, 400):
        for seed in (0, 1):
            objective = Objective(conv_net(seed=seed + size, width=2), "cross_entropy", images())
            flat = measured_map(objective, x=(-1, 1, 2), y=(-1, 1, 2))
            sharp = measured_sharpness(objective, SharpnessConfig(measures=("sam", "adaptive_average"), draws=2))
            for kind, made in (("map", flat), ("sharpness", sharp)):
                settings = {"model": "net", "batch_size": size, "seed": seed, "norm": "batch"}
                paths.append(tmp_path / f"{kind}-{size}-{seed}.h5")
                ls.save(made.assign_attrs(training=settings, checkpoint=f"run-{size}-last"), paths[-1])
    finished = run(capsys, "compare", *map(str, paths), "--by", "batch_size")
    assert finished.status == 0, finished.err
    for words in ("SAM, one ascent step", "adaptive average case", "λ_max of the Hessian", "λ_min/λ_max"):
        assert words in " ".join(finished.out.split())


def adaptive(by: str, values: tuple[object, object], **attrs: str) -> ls.Comparison:
    """Plainly apart by adaptive sharpness, in which alone a smoother network may be named."""
    data = [
        sharpness(1.0, f * (1 + s**f / 50), seed=s, attrs=dict(attrs), **{by: value})
        for f, value in enumerate(values, 1)
        for s in range(4)
    ]
    return ls.compare(data, by=by, measures=["adaptive:0.5"])


def test_in_training_mode_models_are_of_other_losses_and_none_is_called_smoother() -> None:
    for mode, named in (({}, True), ({"mode": "train"}, False)):
        made = adaptive("model", ("mlp", "vgg08"), **mode)
        assert pair(made, "adaptive:0.5").verdict == "lower"
        assert ("mlp is the smoother one" in pair(made, "adaptive:0.5").sentence) == named
        assert any("model, as each is seen on its own loss" in note for note in made.notes) != named
    assert "is the smoother one" in pair(adaptive("learning_rate", (0.1, 0.5), mode="train"), "adaptive:0.5").sentence


def test_with_and_without_batchnorm_a_policy_is_said_to_be_a_choice_about_one_side() -> None:
    said = [any("another policy" in note for note in adaptive(*of).notes) for of in (
        ("norm", ("batch", "none")), ("learning_rate", (0.1, 0.5)),
    )]  # fmt: skip
    assert said == [True, False]


def test_in_groups_the_policy_and_the_losses_at_the_checkpoints_are_told() -> None:
    def own(level: float, policy: str) -> xr.Dataset:
        made = sharpness(1.0, level, attrs={"bn_policy": policy})
        return made.drop_attrs(deep=False).assign_attrs({**made.attrs, "training": "{}"}).assign(checkpoint_loss=level)

    plain = [own(level, "none (the model has no BatchNorm)") for level in (0.25, 0.5)]
    notes = " ".join(ls.compare({"plain": plain, "bn": [own(v, "frozen") for v in (1.0, 2.0)]}).notes)
    assert "bn: 1 to 2; plain: 0.25 to 0.5. Where they differ" in notes and "choice about one side alone" in notes
    assert "one side alone" not in " ".join(ls.compare({"a": plain, "b": plain}).notes)
