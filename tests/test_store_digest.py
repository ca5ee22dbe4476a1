"""A file of ours that differs from what was written is never read; other programs read it as if the digest were not there."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from samefiles import uncreated

from landscape.errors import CheckpointError, LandscapeError, ResultFileError
from landscape.results import load_checkpoint, load_result, save_checkpoint, save_result
from landscape.results.digest import SIZE


def small(**attributes: Any) -> xr.Dataset:
    values = np.linspace(0.5, 2, 6).reshape(2, 3)
    loss = xr.Variable(("epoch", "z"), values, {"units": "nat", "long_name": "loss"})
    return xr.Dataset({"loss": loss}, coords={"epoch": [1, 2]}, attrs={"kind": "of a test", **attributes})


def write_result(path: Path) -> None:
    save_result(small(), path)


def write_checkpoint(path: Path) -> None:
    save_checkpoint(path, state={"model": {"w": torch.arange(40.0)}, "epoch": 1})


FORMATS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "result": (write_result, load_result),
    "checkpoint": (write_checkpoint, load_checkpoint),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_no_flipped_bit_is_read(tmp_path: Path, kind: str) -> None:
    write, read = FORMATS[kind]
    path = tmp_path / "a"
    write(path)
    whole, dice = path.read_bytes(), random.Random(0)
    read(path)
    ends = [*range(8, 16), *range(len(whole) - SIZE, len(whole), 5)]
    for position in [*dice.sample(range(len(whole)), 150), *ends]:
        changed = bytearray(whole)
        changed[position] ^= 1 << dice.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(LandscapeError) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_cut_off_put_behind_or_exchanged_is_noticed(tmp_path: Path, kind: str) -> None:
    write, read = FORMATS[kind]
    path = tmp_path / "a"
    write(path)
    whole = path.read_bytes()
    for changed in (
        whole[:-1],
        whole[:-SIZE],
        whole[: -SIZE - 1],
        whole[: len(whole) // 2],
        whole + b"\0",
        whole + whole[-SIZE:],
        whole[:-SIZE] + bytes(SIZE),
        whole[:-32] + bytes(32),
    ):
        path.write_bytes(changed)
        with pytest.raises((CheckpointError, ResultFileError)):
            read(path)


def test_a_result_that_was_edited_is_refused_and_taken_where_that_is_asked_for(tmp_path: Path) -> None:
    write_result(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["title"] = "mine"
    with pytest.raises(ResultFileError, match=r"changed after it was written.*--unchecked"):
        load_result(tmp_path / "a.h5")
    with pytest.raises(ResultFileError):
        save_result(small(), tmp_path / "a.h5")
    xr.testing.assert_identical(uncreated(load_result(tmp_path / "a.h5", unchecked=True)), small(title="mine"))


def test_what_xarray_or_torch_writes_anew_is_a_file_without_a_digest(tmp_path: Path) -> None:
    write_result(tmp_path / "a.h5")
    with xr.open_dataset(tmp_path / "a.h5", engine="h5netcdf") as opened:
        opened.assign_attrs(title="mine").to_netcdf(tmp_path / "b.h5", engine="h5netcdf")
    xr.testing.assert_identical(uncreated(load_result(tmp_path / "b.h5")), small(title="mine"))
    write_checkpoint(tmp_path / "a.pt")
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    content["state"]["epoch"] = 7
    torch.save(content, tmp_path / "b.pt")
    assert load_checkpoint(tmp_path / "b.pt").epoch == 7


def test_torch_reads_a_checkpoint_with_its_digest_also_by_mapping_it_into_memory(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.pt")
    for mapped in (False, True):
        content = torch.load(tmp_path / "a.pt", weights_only=True, mmap=mapped)
        assert torch.equal(content["state"]["model"]["w"], torch.arange(40.0))


def test_a_changed_weight_of_another_program_s_archive_is_noticed(tmp_path: Path) -> None:
    torch.save({"w": torch.full((100,), 3.0)}, tmp_path / "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    weight = np.full(100, 3.0, np.float32).tobytes()
    changed = bytearray(whole)
    changed[whole.index(weight) + 2] ^= 64
    (tmp_path / "b.pt").write_bytes(changed)
    assert torch.load(tmp_path / "b.pt", weights_only=True)["w"][0] != 3
    with pytest.raises(CheckpointError, match=r"record 'a/data/0' does not match its checksum"):
        load_checkpoint(tmp_path / "b.pt")


def test_archives_that_were_written_without_checksums_are_read(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    try:
        torch.serialization.set_crc32_options(False)
        torch.save({"w": torch.ones(3)}, tmp_path / "a.pt")
        write_checkpoint(tmp_path / "b.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert torch.equal(load_checkpoint(tmp_path / "a.pt").state_dict["w"], torch.ones(3))
    assert load_checkpoint(tmp_path / "b.pt").epoch == 1


def test_the_hash_of_weights_does_not_depend_on_strides_that_reach_nothing(tmp_path: Path) -> None:
    hashes = set()
    for stride in (1, 4, 2**40):
        torch.save({"w": torch.as_strided(torch.arange(4.0), (1, 1), (stride, stride), 2)}, tmp_path / "a.pt")
        hashes.add(load_checkpoint(tmp_path / "a.pt").weights_hash())
    assert len(hashes) == 1
