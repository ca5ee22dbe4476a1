"""The plane of a training's principal components against numpy's SVD, the plain modules and closed forms."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from commands import fails, run
from networks import conv_net, images
from torch import Tensor, nn

from landscape.errors import InputError, MismatchError
from landscape.objective.objective import Objective
from landscape.places import Places
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot
from landscape.probes.progress import Progress
from landscape.probes.trajectory.components import principal_components
from landscape.probes.trajectory.measure import fitted_axes, trajectory
from landscape.probes.trajectory.picture import Route
from landscape.results import load_result
from landscape.studies.run_settings import run_settings
from landscape.studies.runs import train_run


def trained(steps: int = 6, *, norm: bool = True) -> list[nn.Module]:
    """The same network after 0, 1, …, ``steps`` steps of gradient descent in training mode."""
    inputs, targets = images()
    net, made = conv_net(norm=norm).train(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.5)
    for _ in range(steps + 1):
        made.append(conv_net(norm=norm))
        made[-1].load_state_dict(net.state_dict())
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), targets).backward()
        optimizer.step()
    return made


def plain_loss(net: nn.Module) -> float:
    inputs, targets = images()
    with torch.no_grad():
        return float(nn.functional.cross_entropy(net.eval()(inputs), targets))


@pytest.mark.parametrize("centred", [False, True])
def test_the_components_are_those_of_numpys_svd(centred: bool) -> None:
    rows = torch.randn(7, 5000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = rows * torch.tensor([9.0, 5, 3, 2, 1, 1, 1], dtype=torch.float64)[:, None] + 0.2
    found = principal_components(list(rows), 3, centred=centred)
    matrix = rows.numpy()
    _, sigma, right = np.linalg.svd(matrix - matrix.mean(0) if centred else matrix, full_matrices=False)
    np.testing.assert_allclose(found.explained, sigma**2 / (sigma**2).sum(), atol=1e-12)
    for ours, theirs in zip(found.vectors.numpy(), right, strict=False):
        assert abs(ours @ theirs) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(found.coordinates, matrix @ found.vectors.numpy().T, atol=1e-10)
    off = matrix - found.coordinates @ found.vectors.numpy()
    np.testing.assert_allclose(found.residuals, np.linalg.norm(off, axis=1), rtol=1e-10)


def test_without_centring_squared_residuals_are_what_the_components_leave_unexplained() -> None:
    rows = list(torch.randn(6, 400, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    found = principal_components(rows, 2)
    whole = sum(float(row @ row) for row in rows)
    assert float((found.residuals**2).sum()) == pytest.approx(whole * found.explained[2:].sum(), rel=1e-10)


def test_components_of_single_precision_vectors_are_orthonormal_and_found_in_double() -> None:
    draws = torch.Generator().manual_seed(2)
    basis = torch.linalg.qr(torch.randn(3000, 2, dtype=torch.float64, generator=draws)).Q.T
    rows = [(a * basis[0] + b * basis[1]).float() for a, b in ((3.0, 0.0), (2.0, 1e-3), (1.0, -1e-3))]
    found = principal_components(rows, 2)
    assert abs(float(found.vectors[0].double() @ found.vectors[1].double())) < 1e-6
    assert abs(float(found.vectors[1].double() @ basis[1])) > 0.999
    assert found.coordinates[0, 0] > 0


def test_a_training_has_its_own_losses_and_its_end_at_the_origin() -> None:
    nets = trained()
    objective = Objective(nets[-1], "cross_entropy", images())
    result = trajectory(objective, nets[:-1], x=(-1, 1, 3), y=(-1, 1, 3), epochs=[*range(6), 6])
    np.testing.assert_allclose(result["path_loss"], [plain_loss(net) for net in nets], rtol=1e-9)
    assert float(result["path_plane_loss"][-1]) == pytest.approx(plain_loss(nets[-1]), rel=1e-12)
    assert float(result["path_residual"][-1]) == 0.0
    assert result.attrs["kind"] == "trajectory"
    for name, variable in result.variables.items():
        assert variable.attrs.get("units"), name
        assert variable.attrs.get("long_name"), name


def test_coordinates_and_residual_make_up_the_distance_to_the_last_checkpoint() -> None:
    nets = trained()
    result = trajectory(Objective(nets[-1], "cross_entropy", images()), nets[:-1], x=(-1, 1, 2), y=(-1, 1, 2))
    whole = result["path_x"] ** 2 + result["path_y"] ** 2 + result["path_residual"] ** 2
    np.testing.assert_allclose(whole, result["path_distance"] ** 2, rtol=1e-10)
    parameters = [torch.cat([p.flatten() for p in net.parameters()]) for net in nets]
    expected = [float((p - parameters[-1]).norm()) for p in parameters]
    np.testing.assert_allclose(result["path_distance"], expected, rtol=1e-12)


def test_three_checkpoints_lie_on_their_plane_and_have_the_planes_loss() -> None:
    nets = trained(2, norm=False)
    result = trajectory(Objective(nets[-1], "cross_entropy", images()), nets[:-1], x=(-1, 1, 2), y=(-1, 1, 2))
    np.testing.assert_allclose(result["path_residual"], 0.0, atol=1e-12)
    np.testing.assert_allclose(result["path_plane_loss"], result["path_loss"], rtol=1e-10)
    assert float(result["explained_variance"].sum()) == pytest.approx(1.0)


def test_statistics_and_residual_are_told_apart() -> None:
    nets = trained()
    objective = Objective(nets[-1], "cross_entropy", images())
    result = trajectory(objective, nets[:-1], x=(-1, 1, 2), y=(-1, 1, 2))
    first = conv_net()
    first.load_state_dict({**nets[-1].state_dict(), **dict(nets[0].named_parameters())})
    assert float(result["path_weights_loss"][0]) == pytest.approx(plain_loss(first), rel=1e-9)
    assert float(result["path_weights_loss"][0]) != pytest.approx(plain_loss(nets[0]), rel=1e-3)


@pytest.mark.parametrize(
    ("policy", "of_itself", "of_plane"),
    [
        ("frozen", "with its own running statistics", "with the last checkpoint's running statistics"),
        ("reestimated", "with re-estimated statistics", "with re-estimated statistics"),
        ("batch", "with each batch's own statistics", "with each batch's own statistics"),
    ],
)
def test_labels_say_which_statistics_a_loss_was_taken_with(policy: str, of_itself: str, of_plane: str) -> None:
    nets = trained(2)
    objective = Objective(nets[-1], "cross_entropy", images(), batch_norm=policy)
    result = trajectory(objective, nets[:-1], x=(-1, 1, 2), y=(-1, 1, 2))
    said = {name: result[name].attrs["long_name"] for name in ("path_loss", "path_weights_loss", "path_plane_loss")}
    assert said["path_loss"] == f"mean loss of the checkpoint, {of_itself}"
    assert said["path_weights_loss"] == f"mean loss of the checkpoint's weights, {of_plane}"
    assert said["path_plane_loss"].endswith(f"projection, {of_plane}")
    entries = [words for name, words, _ in Route(result).shown_losses() if name != "path_weights_loss"]
    assert entries == [f"the checkpoint itself, {of_itself}", f"on the plane, projected, {of_plane}"]


def test_the_axes_cover_the_path_with_a_margin_and_hold_zero_exactly() -> None:
    draws = np.random.default_rng(0)
    for _ in range(50):
        path = np.vstack([draws.normal(size=(8, 2)) * 10.0 ** draws.uniform(-6, 3, 2) + draws.normal(size=2), [0, 0]])
        for axis, column in zip(fitted_axes(path), path.T, strict=True):
            spare = 0.15 * np.ptp(column)
            assert axis.start <= column.min() - spare
            assert axis.stop >= column.max() + spare
            assert 0.0 in axis.coordinates
            assert axis.stop - axis.start <= 1.25 * max(np.ptp(column), 0.1 * np.ptp(path, axis=0).max()) * 1.3


def test_the_surface_under_a_quadratics_path_is_the_quadratic() -> None:
    """L(w) = Σ hᵢ wᵢ² / 2 along gradient descent, whose iterates are (1 − η hᵢ)ᵗ wᵢ."""
    h = torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)

    class Quadratic(nn.Module):
        def __init__(self, w: Tensor) -> None:
            super().__init__()
            self.w = nn.Parameter(w[None])

        def forward(self, x: Tensor) -> Tensor:
            return (0.5 * h.to(self.w) * self.w**2).sum().expand(len(x))

    steps = [Quadratic((1 - 0.3 * h) ** t) for t in range(8)]
    x = torch.zeros(4, 1, dtype=torch.float64)
    objective = Objective(steps[-1], lambda outputs, targets: outputs, (x, x[:, 0]))
    result = trajectory(objective, steps[:-1], x="-1:1:5", y="-1:1:5")
    losses = [float((0.5 * h * ((1 - 0.3 * h) ** t) ** 2).sum()) for t in range(8)]
    np.testing.assert_allclose(result["path_loss"], losses, rtol=1e-12)
    origins = result.attrs["direction_origins"][0]
    assert [origin["kind"] for origin in origins] == ["component", "component"]
    # second difference along an axis: dᵀ diag(h) d, and along both their trace on the plane
    middle = result["loss"].sel(seed=0)
    curves = [
        float(middle.sel(x=a, y=b) - 2 * middle.sel(x=0, y=0) + middle.sel(x=-a, y=-b)) for a, b in ((1, 0), (0, 1))
    ]
    assert h.min() <= min(curves) <= max(curves) <= h.max()
    normal = h.sum() - sum(curves)  # the curvature across the plane
    assert h.min() - 1e-9 <= float(normal) <= h.max() + 1e-9


def test_a_stopped_trajectory_goes_on_to_the_same_result() -> None:
    nets = trained(3)
    objective = Objective(nets[-1], "cross_entropy", images())
    whole = trajectory(objective, nets[:-1], x=(-1, 1, 3), y=(-1, 1, 3))

    class Stopped(Exception):
        pass

    for last in (5, 11):  # within the surface, and within the path
        saved: list[xr.Dataset] = []

        def stop(progress: Progress, last: int = last, saved: list[xr.Dataset] = saved) -> None:
            if progress.done >= last:
                saved.append(progress.dataset())
                raise Stopped

        with pytest.raises(Stopped):
            trajectory(objective, nets[:-1], x=(-1, 1, 3), y=(-1, 1, 3), observer=stop)
        counts: list[tuple[int, int]] = []
        resumed = trajectory(
            objective,
            nets[:-1],
            x=(-1, 1, 3),
            y=(-1, 1, 3),
            resume=saved[0],
            observer=lambda p, counts=counts: counts.append((p.done, p.total)),  # type: ignore[misc]
        )
        assert min(counts)[0] > last
        assert counts[-1] == (13, 13)
        xr.testing.assert_identical(resumed, whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda nets: {"checkpoints": nets[:1]}, "at least three, the last one included, got 2"),
        (lambda nets: {"checkpoints": [nets[-1], nets[-1]]}, "at least three, the last one included, got 2"),
        (lambda nets: {"checkpoints": [nets[0], nets[0], nets[-1]]}, "span 1 dimension"),
        (
            lambda nets: {"checkpoints": [nets[0], conv_net(classes=5)]},
            "the last checkpoint: is of another architecture",
        ),
        (lambda nets: {"names": ["a"]}, "names: expected 4"),
    ],
)
def test_checkpoints_that_make_no_plane_are_refused_with_the_reason(change: Any, message: str) -> None:
    nets = trained(3)
    objective = Objective(nets[-1], "cross_entropy", images())
    with pytest.raises(InputError, match=message):
        trajectory(objective, **{"checkpoints": nets[:-1], **change(nets)})


def test_a_checkpoint_that_is_not_finite_is_refused() -> None:
    nets = trained(3)
    with torch.no_grad():
        next(nets[0].parameters()).fill_(math.nan)
    with pytest.raises(InputError, match="NaN or infinite"):
        trajectory(Objective(nets[-1], "cross_entropy", images()), nets[:-1])


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network trained for four epochs, with a checkpoint of each."""
    folder = tmp_path_factory.mktemp("work") / "run"
    recipe = {"epochs": 4, "batch_size": 20, "train_images": 60, "learning_rate": 0.02}
    settings = run_settings({"model": "mlp", "model_options": {"hidden": 4}, "checkpoint_every": 1, **recipe})
    train_run(settings, Places(device="cpu"), folder=folder)
    return folder


TINY = ["--images", "20", "--device", "cpu", "--x", "auto:3", "--y", "auto:3"]


def test_a_runs_folder_stands_for_its_checkpoints_whatever_their_order(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_folder.parent)
    named = [f"run/epoch-{epoch:04d}.pt" for epoch in (3, 1, 2, 4)]
    assert run(capsys, "probe", "run", "--kind", "trajectory", *TINY, "--out", "folder.h5").status == 0
    again = run(
        capsys,
        "probe",
        "--kind",
        "trajectory",
        "--checkpoint",
        "run/last.pt",
        *TINY,
        "--out",
        "folder.h5",
        "--to",
        *named,
    )
    assert "Already complete" in again.out, again.err
    result = load_result("folder.h5")
    assert result["checkpoint"].values.tolist() == ["epoch-0001", "epoch-0002", "epoch-0003", "last"]
    assert result["path_epoch"].values.tolist() == [1.0, 2.0, 3.0, 4.0]
    described = run(capsys, "info", "folder.h5").out
    assert "path through 4 checkpoints; the plane explains" in described


def test_a_trajectory_without_earlier_checkpoints_says_how_to_get_them(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "last.pt"
    alone.write_bytes((run_folder / "last.pt").read_bytes())
    fails(capsys, "probe", str(alone), "--kind", "trajectory", *TINY, status=2, says="--checkpoint-every 1")
    fails(capsys, "probe", "--kind", "trajectory", *TINY, status=2, says="Missing option '--checkpoint'")


def test_planes_along_named_directions_are_told_apart_by_their_identity(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["probe", str(run_folder), "--images", "20", "--device", "cpu", "--x=-1:1:3", "--y=-1:1:3"]
    out = ["--out", str(tmp_path / "plane.h5")]
    assert run(capsys, *common, "--along", "update,gradient", "--orthogonalize", *out).status == 0
    result = load_result(tmp_path / "plane.h5")
    kinds = [origin["kind"] for origin in json.loads(result.attrs["direction_origins"])[0]]
    assert kinds == ["update", "gradient"]
    assert float(result["direction_cosine"][0]) == pytest.approx(0.0, abs=1e-6)
    fails(capsys, *common, "--along", "gradient,update", *out, status=1, says="along")
    fails(capsys, *common, "--along", "gradint,update", status=2, says="Did you mean 'gradient'")
    fails(capsys, *common, "--along", "gradient", status=2, says="a plane has 2 direction(s)")
    fails(capsys, *common, "--along", "gradient,random", "--kind", "steps", status=2, says="no setting of kind 'steps'")
    fails(capsys, *common, "--along", "eigenvector1,random", status=2, says="--directions FILE")
    fails(capsys, *common, "--along", "difference,random", status=2, says="leads to 1 more checkpoint(s), got 0")


def test_models_in_no_order_lie_as_classical_scaling_of_their_distances_puts_them(tmp_path: Path) -> None:
    """Their distances on the plane are those of Torgerson's scaling, to its stress, which the file and the picture say."""
    nets = [conv_net(seed=seed) for seed in range(5)]
    objective = Objective(nets[-1], "cross_entropy", images())
    called = [f"client {letter}" for letter in "abcde"]
    found = trajectory(objective, nets[:-1], names=called, ordered=False, x="auto:3", y="auto:3")
    points = np.array([torch.cat([p.detach().double().flatten() for p in net.parameters()]).numpy() for net in nets])
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    middle = np.eye(5) - 1 / 5
    squares, vectors = np.linalg.eigh(-middle @ distances**2 @ middle / 2)
    scaled = vectors[:, -2:] * np.sqrt(squares[-2:])
    expected = np.linalg.norm(scaled[:, None] - scaled, axis=-1)
    places = np.stack([found["path_x"], found["path_y"]], axis=1)
    np.testing.assert_allclose(np.linalg.norm(places[:, None] - places, axis=-1), expected, atol=1e-9)
    stress = math.sqrt(((expected - distances) ** 2).sum() / (distances**2).sum())
    assert float(found["stress"]) == pytest.approx(stress, rel=1e-9) and 0.1 < stress < 1
    share = squares[-2:].sum() / squares.sum()
    assert float(found["explained_variance"][:2].sum()) == pytest.approx(share, rel=1e-9)
    assert "variance" in found["explained_variance"].attrs["long_name"]
    figure = plot(found)
    said = figure.caption
    assert f"5 models: the plane explains {100 * share:.3g} % of their variance" in said
    assert f"to a stress of {stress:.2g}" in said
    left, right = (
        figure.axes[0],
        next(axes for axes in figure.axes if axes.get_ylabel() == "loss (nat)" and axes.get_xticks().size == 5),
    )
    assert {text.get_text() for text in left.texts} >= set(called)
    assert [tick.get_text() for tick in right.get_xticklabels()] == called
    assert all(name in interactive(found) for name in called)


def test_clients_of_a_federation_share_the_plane_of_their_models() -> None:
    """Each client's loss over one plane: the same places, the client's own values."""
    nets, (inputs, targets) = [conv_net(seed=seed) for seed in range(4)], images()
    parts = [(inputs[half::2], targets[half::2]) for half in (0, 1)]
    grid = {"x": (-1, 1, 3), "y": (-1, 1, 3)}
    one, other = (
        trajectory(Objective(nets[-1], "cross_entropy", part), nets[:-1], ordered=False, **grid) for part in parts
    )
    xr.testing.assert_equal(one[["path_x", "path_y", "direction_norm"]], other[["path_x", "path_y", "direction_norm"]])
    for found, (x, y) in zip((one, other), parts, strict=True):
        with torch.no_grad():
            own = [float(nn.functional.cross_entropy(net.eval()(x), y)) for net in nets]
        np.testing.assert_allclose(found["path_loss"], own, rtol=1e-6)
    with pytest.raises(MismatchError, match="data"):
        trajectory(Objective(nets[-1], "cross_entropy", parts[0]), nets[:-1], ordered=False, resume=other, **grid)
