"""A result file gives back exactly what was stored, never mixes two results, and survives whatever happens to its writer."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from samefiles import uncreated

from landscape._version import __version__
from landscape.errors import InputError, LockedError, MismatchError, ResultFileError
from landscape.results import ResultFile, fingerprint, load_result, save_result
from landscape.results.attributes import CREATION, inherited

SETTINGS: dict[str, Any] = {
    "x": "-1:1:3",
    "seeds": [0, 1],
    "model": {"name": "vgg08", "options": {"classes": 10}},
    "to": None,
}


def plane(value: float = 0.5, **attributes: Any) -> xr.Dataset:
    loss = np.full((2, 3, 2), value)
    loss[0, 0] = [np.nan, np.inf]
    status = np.ones((2, 3, 2), dtype=np.int8)
    status[1, 2, 1] = 0
    flags = {
        "units": "1",
        "long_name": "status",
        "flag_values": np.array([0, 1], np.int8),
        "flag_meanings": "missing measured",
    }
    return xr.Dataset(
        {
            "loss": (("seed", "y", "x"), loss, {"units": "nat", "long_name": "mean loss"}),
            "status": (("seed", "y", "x"), status, flags),
            "checkpoint_loss": ((), 0.25, {"units": "nat", "long_name": "own loss"}),
            "index": ("sample", np.arange(9000), {"units": "1", "long_name": "index"}),
            "chosen": ("sample", np.arange(9000) % 2 == 0, {"units": "1", "long_name": "chosen"}),
        },
        coords={
            "seed": ("seed", np.array([0, 7]), {"units": "1", "long_name": "seed"}),
            "x": ("x", [-1.0, 1.0], {"units": "1", "long_name": "filter norms along d₁"}),
            "y": ("y", [-1.0, 0.1, 1.0], {"units": "1", "long_name": "θ"}),
            "direction": ("direction", ["x", "y"]),
        },
        attrs={"kind": "plane", "title": "", "dead": 0, "range": 0.1, "nothing_measured": float("nan"), **attributes},
    )


def test_a_result_comes_back_identical_with_types_labels_and_attributes(tmp_path: Path) -> None:
    save_result(plane(), tmp_path / "new" / "a.h5")
    read = uncreated(load_result(tmp_path / "new" / "a.h5"))
    xr.testing.assert_identical(read, plane())
    assert {name: v.dtype for name, v in read.variables.items()} == {n: v.dtype for n, v in plane().variables.items()}
    assert {name: type(value) for name, value in read.attrs.items()} == {n: type(v) for n, v in plane().attrs.items()}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.sampled_from([np.float64, np.float32, np.int64, np.int8, np.uint8]).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_dims=3, max_side=4))
    )
)
def test_every_number_comes_back_bit_for_bit(tmp_path: Path, values: np.ndarray) -> None:
    dims = tuple("abc"[: values.ndim])
    save_result(xr.Dataset({"loss": (dims, values)}, attrs={"kind": "values"}), tmp_path / "a.h5")
    read = load_result(tmp_path / "a.h5")["loss"].values
    assert read.dtype == values.dtype
    assert read.tobytes() == values.tobytes()


def test_attributes_follow_one_rule(tmp_path: Path) -> None:
    given_attributes: dict[str, Any] = {
        "yes": True,
        "no": np.bool_(False),
        "none": None,
        "mapping": {"b": (1, 2.5), "a": None},
        "list": [1, "two"],
        "tuple": (0.1,),
        "array": np.array([1.5, 2.5]),
        "number": np.float32(0.5),
        "version": torch.__version__,
    }
    save_result(plane(**given_attributes).assign(noted=((), 1.0, {"list": [1], "none": None})), tmp_path / "a.h5")
    read = load_result(tmp_path / "a.h5")
    assert {k: read.attrs[k] for k in ("yes", "no", "mapping", "list", "tuple", "number")} == {
        "yes": 1,
        "no": 0,
        "mapping": '{"a":null,"b":[1,2.5]}',
        "list": '[1,"two"]',
        "tuple": "[0.1]",
        "number": 0.5,
    }
    assert read.attrs["version"] == str(torch.__version__)
    assert read.attrs["array"].tolist() == [1.5, 2.5]
    assert "none" not in read.attrs
    assert read["noted"].attrs == {"list": "[1]"}


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (plane(tensor=torch.ones(2)), "dataset: attribute 'tensor'"),
        (plane(nested={"deep": object()}), "deep"),
        (plane().assign(broken=("seed", np.array([{}, {}], dtype=object))), "cannot be stored as netCDF"),
        (xr.Dataset({"loss": ((), 1.0)}), "attribute 'kind'"),
    ],
    ids=["attribute", "nested", "variable", "kind"],
)
def test_what_netcdf_cannot_hold_is_refused_before_anything_is_written(
    tmp_path: Path, dataset: xr.Dataset, words: str
) -> None:
    save_result(plane(), tmp_path / "a.h5")
    with pytest.raises(InputError, match=words):
        save_result(dataset, tmp_path / "a.h5")
    xr.testing.assert_identical(uncreated(load_result(tmp_path / "a.h5")), plane())


def test_saving_leaves_the_data_set_that_was_given_alone(tmp_path: Path) -> None:
    dataset = plane(flag=True, settings_used={"a": 1})
    save_result(dataset, tmp_path / "a.h5")
    xr.testing.assert_identical(dataset, plane(flag=True, settings_used={"a": 1}))


def test_a_part_of_a_stored_result_can_be_stored_again(tmp_path: Path) -> None:
    save_result(plane(), tmp_path / "a.h5")
    part = xr.load_dataset(tmp_path / "a.h5", engine="h5netcdf").isel(sample=slice(5), y=slice(1))
    save_result(part, tmp_path / "b.h5")
    assert load_result(tmp_path / "b.h5").sizes == part.sizes


def test_a_file_says_when_and_by_what_it_was_written_and_a_resumed_one_when_it_was_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    with ResultFile(tmp_path / "a.h5", SETTINGS) as file:
        file.save(plane())
    first = load_result(tmp_path / "a.h5")
    assert before <= datetime.fromisoformat(first.attrs["created_at"]) <= datetime.now(UTC)
    assert first.attrs["created_at"].endswith("+00:00")
    assert first.attrs["creation_library"] == "landscape"
    assert first.attrs["creation_library_version"] == __version__
    later = {
        "created_at": "2100-01-01T00:00:00+00:00",
        "creation_library": "landscape",
        "creation_library_version": "9",
    }
    monkeypatch.setattr("landscape.results.results.creation", lambda: later)
    with ResultFile(tmp_path / "a.h5", SETTINGS) as file:
        earlier = file.existing()
        assert earlier is not None
        file.save(earlier)
    second = load_result(tmp_path / "a.h5")
    assert later.items() <= second.attrs.items()
    xr.testing.assert_identical(uncreated(second), uncreated(first))


def test_what_is_made_of_a_result_does_not_say_when_that_was_written(tmp_path: Path) -> None:
    save_result(plane(note="kept"), tmp_path / "a.h5")
    attributes = inherited(load_result(tmp_path / "a.h5").attrs)
    assert attributes["note"] == "kept"
    assert not {*CREATION, "kind", "settings"} & attributes.keys()


def test_xarray_opens_the_file_as_data_set_and_as_tree_with_nothing_masked(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    save_result(plane(), path)
    with xr.open_dataset(path, engine="h5netcdf") as dataset, xr.open_datatree(path) as tree:
        for opened in (dataset, tree.to_dataset()):
            assert opened["status"].dtype == np.int8
            np.testing.assert_array_equal(opened["loss"], plane()["loss"])
            assert opened["loss"].attrs == plane()["loss"].attrs
            assert opened["x"].attrs == plane()["x"].attrs
            assert opened.attrs["title"] == ""


def test_plain_h5py_reads_values_attributes_and_dimension_scales(tmp_path: Path) -> None:
    save_result(plane(model="vgg08"), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["loss"][()], plane()["loss"].values)
        assert file["loss"].attrs["units"] == "nat"
        assert "_FillValue" not in file["loss"].attrs
        assert [scale[0].name for scale in file["loss"].dims] == ["/seed", "/y", "/x"]
        assert file.attrs["model"] == "vgg08"


def test_a_loaded_file_is_closed_and_a_reader_does_not_hinder_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    save_result(plane(1.0), path)
    loaded = load_result(path)
    with xr.open_dataset(path, engine="h5netcdf") as reader:
        save_result(plane(2.0), path)
        assert float(reader["loss"][1, 0, 0]) == 1.0
    with h5py.File(path, "r+") as writer:  # HDF5's own lock would refuse this while the file is open anywhere
        assert writer["loss"][1, 0, 0] == 2.0
    assert float(loaded["loss"][1, 0, 0]) == 1.0


def test_the_same_settings_give_back_the_same_result(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.h5"
    with ResultFile(path, SETTINGS) as file:
        assert file.existing() is None
        file.save(plane())
        file.save(plane(2.0))
    same = {**dict(reversed(SETTINGS.items())), "seeds": (np.int64(0), 1)}
    with ResultFile(path, same) as file:
        existing = file.existing()
    assert existing is not None
    assert existing.attrs["fingerprint"] == fingerprint(SETTINGS) == fingerprint(same)
    xr.testing.assert_equal(existing, plane(2.0))


def test_other_settings_are_refused_naming_each_that_differs_and_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with ResultFile(path, SETTINGS) as file:
        file.save(plane())
    before = path.read_bytes()
    asked = {**SETTINGS, "seeds": [0, 2], "model": {"name": "vgg08", "options": {"classes": 100}}, "extra": 0.1}
    with ResultFile(path, asked) as file:
        for act in (file.existing, lambda: file.save(plane(2.0))):
            with pytest.raises(MismatchError) as caught:
                act()
    message = str(caught.value)
    assert str(path) in message
    assert "seeds: [0,1] stored, [0,2] asked" in message
    assert "model.options.classes: 10 stored, 100 asked" in message
    assert "extra: nothing stored, 0.1 asked" in message
    assert "x:" not in message.replace(str(path), "")
    assert path.read_bytes() == before


def test_a_result_without_settings_is_not_continued(tmp_path: Path) -> None:
    save_result(plane(), tmp_path / "a.h5")
    with (
        ResultFile(tmp_path / "a.h5", SETTINGS) as file,
        pytest.raises(MismatchError, match="does not say which settings"),
    ):
        file.existing()


@given(a=st.floats(), b=st.floats())
def test_fingerprints_are_equal_exactly_for_equal_floats(a: float, b: float) -> None:
    assert (fingerprint({"a": a}) == fingerprint({"a": b})) == (repr(a) == repr(b))


def test_fingerprints_do_not_depend_on_the_process(tmp_path: Path) -> None:
    code = "from landscape.results import fingerprint; print(fingerprint({'b': [1, 0.1], 'a': {'ü': None}}))"
    printed = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout.strip()
        for env in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
    }
    assert printed == {fingerprint({"a": {"ü": None}, "b": (1, 0.1)})}


def test_settings_that_json_cannot_hold_are_named() -> None:
    with pytest.raises(InputError, match=r"model\.options\.act: expected text"):
        fingerprint({"model": {"options": {"act": torch.nn.ReLU}}})


def foreign_files(folder: Path) -> dict[str, bytes]:
    save_result(plane(), folder / "whole.h5")
    whole = (folder / "whole.h5").read_bytes()
    with h5py.File(folder / "other.h5", "w") as file:
        file["data"] = [1, 2]
    with h5py.File(folder / "surface.h5", "w") as file:
        file["xcoordinates"] = [1, 2]
    cuts = {f"cut at {k}/16": whole[: len(whole) * k // 16] for k in range(1, 16)}
    return {
        **cuts,
        "cut by a byte": whole[:-1],
        "empty": b"",
        "text": b"loss\n0.5\n",
        "signature alone": b"\x89HDF\r\n\x1a\n",
        "other HDF5": (folder / "other.h5").read_bytes(),
        "original tool": (folder / "surface.h5").read_bytes(),
    }


def test_what_is_no_whole_result_is_said_to_be_so_and_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    path = tmp_path / "a.h5"
    for name, content in foreign_files(tmp_path / "made").items():
        path.write_bytes(content)
        with ResultFile(path, SETTINGS) as file:
            acts = [lambda: load_result(path), file.existing, lambda f=file: f.save(plane())]  # type: ignore[misc]
            for act in acts:
                with pytest.raises(ResultFileError) as caught:
                    act()
                assert str(caught.value).startswith(str(path)), name
        with pytest.raises(ResultFileError):
            save_result(plane(), path)
        assert path.read_bytes() == content, name


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"text", "not an HDF5 file"), (None, "no such file")],
    ids=["empty", "text", "missing"],
)
def test_the_reason_is_in_the_message(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(ResultFileError, match=words):
        load_result(tmp_path / "a.h5")


def test_a_folder_is_not_a_result(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="is a folder"):
        load_result(tmp_path)
    with pytest.raises(ResultFileError, match="it is a folder"):
        save_result(plane(), tmp_path)


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


HOLD = """
import sys
from landscape.results import ResultFile
with ResultFile(sys.argv[1], {}):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_locked_out_until_the_first_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with child(HOLD, path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for act in (lambda: ResultFile(path, {}).__enter__(), lambda: save_result(plane(), path)):
            with pytest.raises(LockedError, match="another process is writing this file") as caught:
                act()
            assert str(path) in str(caught.value)
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with ResultFile(path, {}) as file:
        file.save(plane())
    assert load_result(path).attrs["kind"] == "plane"


def test_one_process_cannot_hold_a_file_twice_and_may_hold_it_again(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with ResultFile(path, {}), pytest.raises(LockedError), ResultFile(path, {}):
        pass
    with ResultFile(path, {}) as file:
        assert file.existing() is None


def test_a_file_below_a_file_cannot_be_held(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(ResultFileError, match="a part of the path is a file"),
        ResultFile(tmp_path / "file" / "a.h5", {}),
    ):
        pass


WRITE = """
import itertools, sys
import numpy as np, xarray as xr
from landscape.results import ResultFile
with ResultFile(sys.argv[1], {"a": 1}) as file:
    file.existing()
    for number in itertools.count():
        values = np.full((300, 300), float(number))
        file.save(xr.Dataset({"loss": (("y", "x"), values)}, attrs={"kind": "values", "number": number}))
        print(number, flush=True)
"""


def test_a_kill_while_writing_leaves_the_last_complete_result(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    instants = random.Random(1)
    for _ in range(3):
        with child(WRITE, path) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(instants.uniform(0.01, 0.25))
            writer.send_signal(signal.SIGKILL)
            announced = writer.communicate()[0].split()
        with ResultFile(path, {"a": 1}) as file:
            read = file.existing()
        assert read is not None
        assert bool((read["loss"] == read.attrs["number"]).all())
        assert read.attrs["number"] >= int(announced[-1] if announced else 0)
