"""Files that carry no digest: what they hold is read as it is, and nothing in them crashes, hangs or leads out of them."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from landscape.errors import ResultFileError
from landscape.results import hdf5, load_result, reading
from landscape.results.results import as_result


def netcdf(dataset: xr.Dataset) -> bytes:
    """As another program writes it."""
    return bytes(dataset.to_netcdf(engine="h5netcdf", format="NETCDF4"))


def surface() -> xr.Dataset:
    loss = np.arange(12.0).reshape(3, 4)
    loss[1, 1:3] = [np.nan, -np.inf]
    return xr.Dataset(
        {
            "loss": (("y", "x"), loss, {"units": "nat"}),
            "name": ("y", ["ä", "bc", ""]),
            "flag": ("y", [True, False, True]),
            "count": ((), np.uint16(7)),
            "none": ("z", np.zeros(0, np.float32)),
        },
        coords={"x": [0.0, 1, 2, 3], "x2": ("x", [0, 1, 4, 9])},
        attrs={"kind": "plane of mine", "list": ["a", "b"], "numbers": [1.5, 2.5], "one": 1, "text": "θ"},
    )


def spinning() -> bytes:
    """300 bytes of zeros make HDF5 look for the next message for ever."""
    x = np.linspace(-1, 1, 5)
    shape = ("seed", "y", "x")
    dataset = xr.Dataset(
        {"loss": (shape, np.ones((1, 5, 5))), "status": (shape, np.ones((1, 5, 5), np.int8))},
        coords={"x": x, "y": x, "seed": [0]},
        attrs={"kind": "plane"},
    )
    encoding = {name: {"_FillValue": None} for name in dataset.variables}
    data = bytearray(dataset.to_netcdf(engine="h5netcdf", format="NETCDF4", encoding=encoding))
    for start in (396, *range(300, 700, 8)):
        damaged = data[:start] + bytes(300) + data[start + 300 :]
        if _spins(bytes(damaged)):
            return bytes(damaged)
    raise AssertionError("no block of zeros makes this HDF5 spin")


def _spins(data: bytes) -> bool:
    program = "import h5py, io, sys\nwith h5py.File(io.BytesIO(sys.stdin.buffer.read())) as f: dict(f.attrs)"
    try:
        subprocess.run([sys.executable, "-c", program], input=data, timeout=1.5, capture_output=True, check=False)
    except subprocess.TimeoutExpired:
        return True
    return False


def test_results_of_other_programs_are_read_as_xarray_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(netcdf(surface()))
    ours = load_result(tmp_path / "a.h5")
    theirs = xr.load_dataset(tmp_path / "a.h5", engine="h5netcdf")
    xr.testing.assert_identical(ours, theirs)
    assert {n: v.dtype for n, v in ours.variables.items()} == {n: v.dtype for n, v in theirs.variables.items()}


def test_both_ways_of_reading_give_the_same_bits() -> None:
    payload = np.array([np.nan], np.float64).view(np.uint64) | 12345
    data = netcdf(surface().assign(payload=("p", payload.view(np.float64))))
    here = as_result("a", reading.parse(data))
    apart = as_result("a", reading.unpack(b"".join(reading.answer(data))))
    xr.testing.assert_identical(here, apart)
    assert all(here[name].values.tobytes() == apart[name].values.tobytes() for name in here.variables)
    assert here["payload"].values.view(np.uint64)[0] == payload[0]


@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f2", ">f4", ">i2", "<u8", ">i8", "|i1", "bool", "<f16"])
def test_real_numbers_of_any_type_and_byte_order_are_read(kind: str) -> None:
    values = np.array([0, 1, 0, 1, 1]).astype(kind)
    data = h5_bytes(lambda file: file.create_dataset("a", data=values))
    read = reading.unpack(b"".join(reading.answer(data))).items["a"].values
    assert read.dtype.isnative
    assert read.tolist() == values.tolist()


def h5_bytes(fill: Callable[[h5py.File], object]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def external(file: h5py.File) -> None:
    file.create_dataset("loss", shape=(3,), dtype="f8", external=[("/etc/passwd", 0, 24)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource("other.h5", "loss", shape=(3,))
    file.create_virtual_dataset("loss", layout)


def linked_out(file: h5py.File) -> None:
    file["loss"] = h5py.ExternalLink("other.h5", "/loss")


def linked_inside(file: h5py.File) -> None:
    file["loss"] = h5py.SoftLink("/nowhere")


def group_in_itself(file: h5py.File) -> None:
    file.create_group("a")["b"] = file["/"]


def deep(file: h5py.File) -> None:
    file.create_group("/".join("a" * 40))


def filtered(file: h5py.File) -> None:
    file.create_dataset("loss", data=np.arange(100.0), compression="lzf")


def huge(file: h5py.File) -> None:
    file.create_dataset("loss", shape=(2**60,), dtype="f8", chunks=(1024,), fillvalue=1)


def complex_numbers(file: h5py.File) -> None:
    file["loss"] = np.ones(3, complex)


def records(file: h5py.File) -> None:
    file["loss"] = np.zeros(2, dtype=[("a", "f8"), ("b", "i4")])


def references(file: h5py.File) -> None:
    file["b"] = [1]
    file.create_dataset("loss", data=[file["b"].ref], dtype=h5py.ref_dtype)


def opaque(file: h5py.File) -> None:
    file["loss"] = np.zeros(2, dtype="V5")


def ragged(file: h5py.File) -> None:
    file.create_dataset("loss", (2,), dtype=h5py.vlen_dtype(np.int32))


def without_values(file: h5py.File) -> None:
    file["loss"] = h5py.Empty("f8")


def attribute_of_records(file: h5py.File) -> None:
    file.attrs["made"] = np.zeros(2, dtype=[("a", "f8")])


def dimensions_without_end(file: h5py.File) -> None:
    """A name of a dimension for each letter of an attribute."""
    file["loss"] = np.ones(3)
    file["loss"].make_scale("loss")
    file["loss"].attrs["_Netcdf4Dimid"] = 0
    file["loss"].attrs["_Netcdf4Coordinates"] = np.zeros(5000, np.int32)


def far_longer_dimension(file: h5py.File) -> None:
    file.create_dataset("step", (1,), "f4", maxshape=(None,), chunks=(1,)).make_scale("step")
    file["step"].resize((2**27,))
    file.create_dataset("loss", data=np.ones((1, 2)), maxshape=(None, 2))
    file["a"] = np.ones(2)
    file["a"].make_scale("a")
    file["loss"].dims[0].attach_scale(file["step"])
    file["loss"].dims[1].attach_scale(file["a"])


def bomb(file: h5py.File) -> None:
    """A chunk of 1,024 bytes whose packed bytes make two gigabytes of zeros."""
    times, piece = 128, bytes(1 << 24)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)  # a whole block may stand any number of times
    checksum = 1
    for _ in range(times):
        checksum = zlib.adler32(piece, checksum)
    packed = b"\x78\xda" + block * times + b"\x03\x00" + checksum.to_bytes(4, "big")
    dataset = file.create_dataset("loss", shape=(1024,), dtype="u1", chunks=(1024,), compression="gzip")
    dataset.id.write_direct_chunk((0,), packed)


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (external, "values lie in another file"),
        (virtual, "virtual data set 'loss'"),
        (linked_out, "holds a link, 'loss'"),
        (linked_inside, "holds a link, 'loss'"),
        (group_in_itself, "twice, perhaps inside itself"),
        (deep, "nested more than"),
        (filtered, "HDF5 filter 32000"),
        (huge, "bytes of values, and at most"),
        (complex_numbers, "complex numbers in data set 'loss'"),
        (records, "records or complex numbers in data set 'loss'"),
        (references, "references in data set 'loss'"),
        (opaque, "bytes without a meaning in data set 'loss'"),
        (ragged, "arrays of many lengths in data set 'loss'"),
        (without_values, "without any values"),
        (attribute_of_records, "attribute 'made'"),
        (dimensions_without_end, "'loss' over 1 axes, with names for 5000 dimensions"),
        (far_longer_dimension, "'loss' over dimensions that are far longer|bytes of values"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_plain_array_is_refused_before_a_value_is_read(
    fill: Callable[[h5py.File], None], words: str
) -> None:
    def result(file: h5py.File) -> None:
        file.attrs["kind"] = "plane"
        fill(file)

    with pytest.raises(reading.UnreadableError, match=words):
        reading.unpack(b"".join(reading.answer(h5_bytes(result))))


def test_values_in_another_file_are_refused_by_the_loader(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(h5_bytes(external))
    with pytest.raises(ResultFileError, match=r"a\.h5: holds the data set 'loss', whose values lie in another file"):
        load_result(tmp_path / "a.h5")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is confined where the system can")
def test_packed_values_take_no_more_memory_than_they_say(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(h5_bytes(bomb))
    assert (tmp_path / "a.h5").stat().st_size < 4_000_000
    with pytest.raises(ResultFileError, match="damaged"):
        load_result(tmp_path / "a.h5")
    # In a process without other children, whose peak would count too.
    program = (
        "import contextlib, resource, sys\nfrom landscape.results import load_result\n"
        "with contextlib.suppress(Exception): load_result(sys.argv[1])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.h5")]
    kilobytes = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert 0 < kilobytes < 1_000_000


def test_a_file_on_which_hdf5_spins_is_given_up_and_ctrl_c_reaches_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.h5").write_bytes(spinning())
    monkeypatch.setattr(hdf5, "_SECONDS", 1)
    with pytest.raises(ResultFileError, match=r"did not come to an end within 1 s"):
        load_result(tmp_path / "a.h5")
    # a shell that runs this in the background has it ignore Ctrl-C
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); print(1, flush=True); "
        "from landscape.results import load_result; load_result(sys.argv[1])"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.h5")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        time.sleep(1.5)
        began = time.monotonic()
        os.kill(waiting.pid, signal.SIGINT)
        _, said = waiting.communicate(timeout=20)
    assert "KeyboardInterrupt" in said
    assert time.monotonic() - began < 3


def test_a_crash_of_the_reader_is_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.h5").write_bytes(netcdf(surface()))
    crash = "import os, sys; sys.stdin.buffer.read(); os.abort()  # {path} {file}"
    monkeypatch.setattr(hdf5, "_PROGRAM", crash)
    with pytest.raises(ResultFileError, match="HDF5 crashed on it"):
        load_result(tmp_path / "a.h5")


def test_the_reader_imports_nothing_of_landscape_and_nothing_large() -> None:
    program = (
        f"import sys, runpy; runpy.run_path({reading.__file__!r}); "
        "print([name for name in sys.modules if name.split('.')[0] in ('landscape', 'torch', 'xarray', 'pandas')])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_a_script_without_a_guard_reads_files_without_a_digest(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(netcdf(surface()))
    (tmp_path / "h5py.py").write_text("raise SystemExit('the folder of the file is no place to import from')")
    (tmp_path / "own").mkdir()
    script = tmp_path / "own" / "script.py"
    script.write_text("import landscape as ls\nprint(ls.load('a.h5').attrs['kind'])\n")
    told = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.stdout == "plane of mine\n", told.stderr


@pytest.mark.parametrize(("name", "value"), [("scale_factor", "text"), ("add_offset", "x"), ("_Encoding", "nothing")])
def test_attributes_that_cannot_be_decoded_are_refused_where_the_file_is_read(
    tmp_path: Path, name: str, value: str
) -> None:
    def fill(file: h5py.File) -> None:
        file.attrs["kind"] = "mine"
        file["a"] = np.full((2,), b"ab") if name == "_Encoding" else np.ones(2)
        file["a"].make_scale("a")
        file["a"].attrs[name] = value

    (tmp_path / "a.h5").write_bytes(h5_bytes(fill))
    with pytest.raises(ResultFileError, match="do not fit together"):
        load_result(tmp_path / "a.h5")
