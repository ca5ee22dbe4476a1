"""Files of the original tool mean here what they mean there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from samefiles import uncreated
from torch import Tensor, nn

from landscape.errors import InputError, ResultFileError
from landscape.results import (
    export_surface,
    import_surface,
    load_result,
    read_directions,
    save_result,
    write_directions,
)

X, Y = np.linspace(-1, 1, 5), np.linspace(-2, 0, 3)


def loss_at(x: float, y: float) -> float:
    return 10 + 3 * x + y


def write_as_the_tool_does(path: Path, *, unfilled: tuple[int, ...] = (), test: bool = False) -> None:
    """Allocate (len(x), len(y)), then fill entry i of the flat array at the i-th point of numpy's mesh, as it does."""
    losses, accuracies = -np.ones((len(X), len(Y))), -np.ones((len(X), len(Y)))
    mesh_x, mesh_y = np.meshgrid(X, Y)
    for i in range(losses.size):
        if i not in unfilled:
            losses.ravel()[i] = loss_at(mesh_x.ravel()[i], mesh_y.ravel()[i])
            accuracies.ravel()[i] = 100 * i / losses.size
    with h5py.File(path, "w") as file:
        file["dir_file"] = "my_states_net.t7_weights_xignore=biasbn_xnorm=filter_yignore=biasbn_ynorm=filter.h5"
        file["xcoordinates"], file["ycoordinates"] = X, Y
        file["train_loss"], file["train_acc"] = losses, accuracies
        if test:
            file["test_loss"], file["test_acc"] = 2 * np.abs(losses), -np.ones_like(losses)


def test_every_value_of_a_surface_that_is_not_square_is_at_its_own_coordinates(tmp_path: Path) -> None:
    write_as_the_tool_does(tmp_path / "s.h5")
    surface = import_surface(tmp_path / "s.h5")
    assert dict(surface["loss"].sizes) == {"seed": 1, "y": 3, "x": 5}
    for x in X:
        for y in Y:
            assert float(surface["loss"].sel(x=x, y=y, seed=0)) == loss_at(x, y)
    assert float(surface["accuracy"].sel(x=X[1], y=Y[0], seed=0)) == pytest.approx(1 / 15)
    assert int(surface["status"].min()) == 1


def test_unfilled_points_are_missing_and_not_minus_one(tmp_path: Path) -> None:
    write_as_the_tool_does(tmp_path / "s.h5", unfilled=(1, 14))
    surface = import_surface(tmp_path / "s.h5")
    missing = [(X[1], Y[0]), (X[4], Y[2])]
    for x, y in missing:
        point = surface.sel(x=x, y=y, seed=0)
        assert int(point["status"]) == 0
        assert np.isnan(point["loss"])
        assert np.isnan(point["accuracy"])
    assert int(surface["status"].sum()) == 13
    assert float(surface["loss"].min()) >= 5


def test_a_name_that_is_no_text_is_imported_and_exported(tmp_path: Path) -> None:
    write_as_the_tool_does(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        del file["dir_file"]
        file.create_dataset("dir_file", data=b"net_weights_\xf8.h5", dtype=h5py.string_dtype())
    surface = import_surface(tmp_path / "s.h5")
    save_result(surface, tmp_path / "ours.h5")
    export_surface(load_result(tmp_path / "ours.h5"), tmp_path / "out.h5")
    assert surface.attrs["source_direction_file"] == "net_weights_\ufffd.h5"


def test_a_measured_nan_stays_a_measurement(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["xcoordinates"], file["train_loss"] = [0.0, 1.0, 2.0], [np.nan, np.inf, -1.0]
    surface = import_surface(tmp_path / "s.h5")
    assert surface["status"].values.tolist() == [[1, 1, 0]]
    assert surface["loss"].dims == ("seed", "x")
    assert "accuracy" not in surface


def test_the_test_split_is_kept_beside_the_training_split(tmp_path: Path) -> None:
    write_as_the_tool_does(tmp_path / "s.h5", test=True)
    surface = import_surface(tmp_path / "s.h5")
    xr.testing.assert_allclose(surface["test_loss"], 2 * surface["loss"])
    assert "test_accuracy" not in surface
    assert surface.attrs["data"] == "unknown/train"


def test_an_imported_surface_says_what_the_file_says_and_can_be_stored(tmp_path: Path) -> None:
    write_as_the_tool_does(tmp_path / "s.h5")
    surface = import_surface(tmp_path / "s.h5")
    assert surface.attrs["kind"] == "plane"
    assert surface.attrs["bn_policy"] == "frozen"
    assert surface.attrs["normalization"] == "filter"
    for variable in surface.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    save_result(surface, tmp_path / "ours.h5")
    xr.testing.assert_identical(uncreated(load_result(tmp_path / "ours.h5")), surface)


@pytest.mark.parametrize("test", [False, True], ids=["training split", "both splits"])
def test_exporting_an_import_gives_the_same_arrays(tmp_path: Path, test: bool) -> None:
    write_as_the_tool_does(tmp_path / "s.h5", unfilled=(3,), test=test)
    left_out = export_surface(import_surface(tmp_path / "s.h5"), tmp_path / "out.h5")
    with h5py.File(tmp_path / "s.h5") as before, h5py.File(tmp_path / "out.h5") as after:
        assert set(before) <= set(after)
        assert before["dir_file"][()] == after["dir_file"][()]
        for name in set(before) - {"dir_file"}:
            assert before[name].shape == after[name].shape
            np.testing.assert_allclose(after[name][()], before[name][()], rtol=1e-15)
    assert left_out == [
        "1 of 15 points were not measured, or not over all samples, and are -1 there.",
        "The layout has no place for loss_standard_error.",
    ]


def test_a_measured_loss_that_the_layout_would_call_missing_is_refused(tmp_path: Path) -> None:
    dataset = plane()
    dataset["loss"][0, 1, 2] = -1.0
    with pytest.raises(InputError, match="loss is -1 at a measured point"):
        export_surface(dataset, tmp_path / "out.h5")
    dataset["status"][0, 1, 2] = 0
    assert export_surface(dataset, tmp_path / "out.h5")[0].startswith("1 of 15 points")


def plane(seeds: tuple[int, ...] = (0,)) -> xr.Dataset:
    loss = np.stack([[[loss_at(x, y) + seed for x in X] for y in Y] for seed in seeds])
    return xr.Dataset(
        {"loss": (("seed", "y", "x"), loss), "status": (("seed", "y", "x"), np.ones(loss.shape, np.int8))},
        coords={"seed": list(seeds), "x": X, "y": Y},
        attrs={"kind": "plane", "data": "cifar10/test"},
    )


def test_an_export_puts_each_value_where_the_tool_would_have_measured_it(tmp_path: Path) -> None:
    export_surface(plane((0, 5)), tmp_path / "out.h5", seed=5)
    mesh_x, mesh_y = np.meshgrid(X, Y)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["test_loss"].shape == (len(X), len(Y))
        for i, value in enumerate(file["test_loss"][()].ravel()):
            assert value == loss_at(mesh_x.ravel()[i], mesh_y.ravel()[i]) + 5
        assert set(file["test_acc"][()].ravel()) == {-1}


def test_exports_that_have_no_one_meaning_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"seed: the result has several.*\[0, 5\]"):
        export_surface(plane((0, 5)), tmp_path / "out.h5")
    with pytest.raises(InputError, match="none with the number 3"):
        export_surface(plane(), tmp_path / "out.h5", seed=3)
    with pytest.raises(InputError, match=r"dimensions \(seed, x\) or \(seed, y, x\)"):
        export_surface(plane().expand_dims("z"), tmp_path / "out.h5")
    save_result(plane(), tmp_path / "ours.h5")
    before = (tmp_path / "ours.h5").read_bytes()
    with pytest.raises(ResultFileError, match="is there already"):
        export_surface(plane(), tmp_path / "ours.h5")
    assert (tmp_path / "ours.h5").read_bytes() == before


def no_coordinates(file: h5py.File) -> None:
    file["train_loss"] = [1.0]


def no_loss(file: h5py.File) -> None:
    file["xcoordinates"] = [1.0]


def other_size(file: h5py.File) -> None:
    file["xcoordinates"], file["ycoordinates"], file["train_loss"] = [0.0, 1.0], [0.0, 1.0, 2.0], np.ones((2, 2))


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (no_coordinates, "holds train_loss; a surface file has xcoordinates"),
        (no_loss, "holds xcoordinates; a surface file has"),
        (other_size, r"shape \(2, 2\) does not fit the 2 × 3 coordinates"),
    ],
)
def test_files_that_are_no_surfaces_are_refused(tmp_path: Path, write: Callable[[h5py.File], None], words: str) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        write(file)
    with pytest.raises(ResultFileError, match=words):
        import_surface(tmp_path / "s.h5")


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def write_direction_file(path: Path, **groups: list[np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, tensors in groups.items():
            for number, tensor in enumerate(tensors):
                file.require_group(name).create_dataset(str(number), data=tensor)


def drawn(tensors: list[Tensor]) -> list[np.ndarray]:
    generator = np.random.default_rng(len(tensors))
    return [generator.normal(size=tuple(t.shape)).astype(np.float32) for t in tensors]


def test_directions_of_type_weights_are_named_in_the_order_of_parameters(tmp_path: Path) -> None:
    module = network()
    x, y = drawn(list(module.parameters())), drawn(list(module.parameters()))
    write_direction_file(tmp_path / "d.h5", xdirection=x, ydirection=y, explained_variance_ratio_=[np.ones(2)])
    read = read_directions(tmp_path / "d.h5", module)
    assert len(read) == 2
    for stored, direction in zip((x, y), read, strict=True):
        assert list(direction) == [name for name, _ in module.named_parameters()]
        for array, tensor in zip(stored, direction.values(), strict=True):
            np.testing.assert_array_equal(array, tensor.numpy())


@pytest.mark.parametrize("counted", [True, False], ids=["with num_batches_tracked", "before PyTorch 0.4.1"])
def test_directions_of_type_states_are_named_in_the_order_of_the_state_dict(tmp_path: Path, counted: bool) -> None:
    module = network()
    states = {n: t for n, t in module.state_dict().items() if counted or not n.endswith("num_batches_tracked")}
    stored = drawn(list(states.values()))
    write_direction_file(tmp_path / "d.h5", xdirection=stored)
    (read,) = read_directions(tmp_path / "d.h5", module)
    assert list(read) == list(states)
    np.testing.assert_array_equal(read["1.running_var"].numpy(), stored[list(states).index("1.running_var")])


def test_more_than_ten_tensors_are_read_in_number_order(tmp_path: Path) -> None:
    module = nn.Sequential(*(nn.Linear(1, 1) for _ in range(8)))
    stored = [np.full(tuple(p.shape), number, np.float32) for number, p in enumerate(module.parameters())]
    write_direction_file(tmp_path / "d.h5", xdirection=stored)
    (read,) = read_directions(tmp_path / "d.h5", module)
    assert [float(tensor.sum()) for tensor in read.values()] == list(range(16))


def test_written_directions_are_read_back(tmp_path: Path) -> None:
    module = network()
    directions = [{n: torch.randn(p.shape) for n, p in module.named_parameters()} for _ in range(2)]
    write_directions(tmp_path / "d.h5", directions)
    write_directions(tmp_path / "d.h5", directions[:1])
    (read,) = read_directions(tmp_path / "d.h5", module)
    assert all(torch.equal(read[name], directions[0][name]) for name in directions[0])


def test_directions_of_another_model_are_refused_saying_where_they_differ(tmp_path: Path) -> None:
    stored = drawn(list(network().parameters()))
    write_direction_file(tmp_path / "d.h5", xdirection=stored)
    other = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(5, 2))
    with pytest.raises(InputError, match=r"0 \(0\.weight\): \(4, 3, 3, 3\) in the file, \(5, 3, 3, 3\) in the model"):
        read_directions(tmp_path / "d.h5", other)
    with pytest.raises(InputError, match=r"has 6 tensors .* has 2 parameters .* and 2 state-dict entries"):
        read_directions(tmp_path / "d.h5", nn.Linear(2, 2))


def test_files_that_are_no_directions_are_refused(tmp_path: Path) -> None:
    write_as_the_tool_does(tmp_path / "s.h5")
    with pytest.raises(ResultFileError, match="holds no group 'xdirection' but dir_file"):
        read_directions(tmp_path / "s.h5", network())
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["xdirection/0"], file["xdirection/2"] = 1.0, 2.0
    with pytest.raises(ResultFileError, match="lacks data set '1'; it holds 0, 2"):
        read_directions(tmp_path / "d.h5", network())
    with pytest.raises(ResultFileError, match="is there already"):
        write_directions(tmp_path / "s.h5", [{"a": torch.ones(1)}])


@pytest.mark.parametrize("count", [0, 3])
def test_only_one_or_two_directions_can_be_written(tmp_path: Path, count: int) -> None:
    with pytest.raises(InputError, match=f"one or two, got {count}"):
        write_directions(tmp_path / "d.h5", [{"a": torch.ones(1)}] * count)


def test_two_directions_of_different_models_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="different tensors"):
        write_directions(tmp_path / "d.h5", [{"a": torch.ones(1)}, {"b": torch.ones(1)}])
