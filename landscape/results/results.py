"""Results as labelled netCDF4-compatible HDF5 files: replaced at once, resumed by fingerprint, one writer at a time.

One rule for attributes: text and numbers are stored as they are, arrays of numbers too; true and false become 1 and 0;
mappings, lists and tuples become JSON text; None is left out. The file says besides when and by what it was written
(:func:`landscape.results.attributes.creation`).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import xarray as xr
from filelock import FileLock, Timeout

from landscape.errors import InputError, LockedError, MismatchError, ResultFileError
from landscape.results.atomic import atomic_write, check_writable, hidden_beside, write_error
from landscape.results.attributes import creation
from landscape.results.digest import sealed
from landscape.results.fingerprints import canonical_json, differences, fingerprint
from landscape.results.hdf5 import MARK, read_contents, refuse_other
from landscape.results.reading import Contents
from landscape.results.schema import check

_COMPRESSED_FROM = 4096  # entries; below this a chunk's bookkeeping costs more than compression saves


def save_result(dataset: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Store a result as the whole content of ``path``, at once.

    NaN and ±inf are values and stay: no variable has a fill value. Types stay too (``int8`` flags are ``int8``).
    xarray (``open_dataset``, ``open_datatree``), netCDF4 tools and plain h5py read the file. Its last 48 bytes, which those do not
    look at, are its digest (:mod:`landscape.results.digest`).

    Raises:
        InputError: for what is no data set, one without the attribute ``kind``, or with a value that netCDF cannot hold.
        LockedError: if another process is writing the file.
        ResultFileError: if the file cannot be written, or is there already and is no result, or one that is damaged.

    Example:
        >>> ls.save(ls.line(objective, x=(-1, 1, 5)), "line.h5")
        >>> ls.load("line.h5").attrs["kind"]
        'plane'
    """
    if not isinstance(dataset, xr.Dataset):
        raise InputError(
            f"dataset: expected an xarray.Dataset, got {type(dataset).__name__}. It comes first: ls.save(dataset, path)."
        )
    data = serialize(dataset)
    with _Lock(path):
        refuse_other(path, _is_result, "a result of landscape")
        atomic_write(path, data)


def load_result(path: str | os.PathLike[str], *, unchecked: bool = False) -> xr.Dataset:
    """The result in memory; the file is closed again, so anything may replace it.

    The file is held against its digest before anything parses it; one that never had a digest, such as xarray's, is parsed in a
    process of its own. What comes out is held against :mod:`landscape.results.schema`. Real numbers of any byte order are read.

    Args:
        path: the file.
        unchecked: take a file that was changed after it was written, as it is now. Its digest is not looked at.

    Raises:
        ResultFileError: where it is missing, empty, cut short, damaged, changed after it was written, not HDF5, or no result of
            landscape; where its values lie in other files, or are neither real numbers nor text; where it lacks what a result
            of its kind has.

    Example:
        >>> line = ls.line(objective, x=(-1, 1, 5))
        >>> ls.save(line, "line.h5")
        >>> ls.load("line.h5")["loss"].equals(line["loss"])
        True
    """
    return as_result(path, read_contents(path, unchecked=unchecked))


save, load = save_result, load_result  # their names at the front door


def as_result(path: str | os.PathLike[str], contents: Contents) -> xr.Dataset:
    """The data set that a file's contents are.

    Raises:
        ResultFileError: where they are not a result of landscape, or lack what one of their kind has.
    """
    if not contents.is_result:
        raise ResultFileError(_foreign(path, contents))
    try:
        variables = {name: xr.Variable(item.dims, item.values, item.attrs) for name, item in contents.items.items()}
        stored = xr.Dataset(variables, attrs=contents.attrs)
        dataset = xr.decode_cf(stored, decode_times=False, decode_timedelta=False).load()  # what is wrong shows now
    except Exception as error:  # xarray trips over dimensions and attributes that contradict each other in many ways
        raise ResultFileError(
            f"{path}: its data sets do not fit together ({error}). It has been left as it is: put back a copy, or make it again."
        ) from error
    check(path, dataset)
    return dataset.drop_encoding()


def check_result_path(path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Find out before long work whether a result can be written to ``path``.

    Args:
        path: where to.
        inputs: files that the result is made from, which it must not replace.

    Raises:
        ResultFileError: as :func:`landscape.results.atomic.check_writable`, and where ``path`` is one of ``inputs``, or is there
            already and is no result.
    """
    check_writable(path)
    if any(os.path.realpath(path) == os.path.realpath(one) for one in inputs):
        raise ResultFileError(f"{path}: is what the result is made from. Choose another name; it stays as it is.")
    refuse_other(path, _is_result, "a result of landscape")


class ResultFile:
    """One result file held against a second writer, which knows what it is asked for.

    Args:
        path: the file; its folder is created. A hidden lock file ``.NAME.lock`` lies beside it, or one with a hash for a long NAME.
        settings: everything that decides the values; stored with them as JSON, and as their fingerprint.

    Raises:
        InputError: for settings that JSON cannot hold.

    On entering:
        LockedError: if another process holds the file.
        ResultFileError: if the file cannot be written there.
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.settings = dict(settings)
        self.fingerprint = fingerprint(settings)
        self._lock = _Lock(path)
        self._checked = False

    def __enter__(self) -> Self:
        check_writable(self.path)
        self._lock.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    def existing(self) -> xr.Dataset | None:
        """What the file holds already; None where there is no file.

        Raises:
            MismatchError: if it was made with other settings, naming each that differs.
            ResultFileError: if it is cut short, not HDF5, or not a result. It is left as it is.
        """
        dataset = load_result(self.path) if os.path.lexists(self.path) else None
        if dataset is not None and dataset.attrs.get("fingerprint") != self.fingerprint:
            raise MismatchError(self._mismatch(dataset))
        self._checked = True
        return dataset

    def save(self, dataset: xr.Dataset) -> None:
        """Replace the content at once, with ``settings`` and ``fingerprint`` among the attributes.

        Raises:
            MismatchError, ResultFileError: as :meth:`existing`, for what would be overwritten.
            ResultFileError: if the file cannot be written.
        """
        if not self._checked:
            self.existing()
        marked = dataset.assign_attrs(settings=canonical_json(self.settings), fingerprint=self.fingerprint)
        atomic_write(self.path, serialize(marked))

    def kept(self, dataset: xr.Dataset) -> xr.Dataset:
        """Save it, and give what the file holds then: the same as whoever reads it later, with every attribute."""
        self.save(dataset)
        return load_result(self.path)

    def _mismatch(self, dataset: xr.Dataset) -> str:
        advice = "Ask for the same settings to continue it, or write to another file."
        stored = dataset.attrs.get("settings")
        if stored is None:
            return f"{self.path}: holds a result that does not say which settings it was made with. {advice}"
        changed = "; ".join(differences(json.loads(stored), self.settings))
        return f"{self.path}: holds a result of other settings ({changed}). {advice}"


def serialize(dataset: xr.Dataset) -> bytes:
    """The netCDF4-compatible HDF5 file of a data set, in memory.

    Raises:
        InputError: for what is no data set, one without the attribute ``kind``, or with a value that netCDF cannot hold.
    """
    if not isinstance(dataset.attrs.get("kind"), str):
        raise InputError(
            f"dataset: expected the attribute 'kind' to say what it is, such as 'plane', got {dataset.attrs.get('kind')!r}."
        )
    portable = dataset.drop_encoding()
    portable.attrs = _encoded(dataset.attrs | creation(), "dataset")
    for name, variable in portable.variables.items():
        portable[name].attrs = _encoded(variable.attrs, str(name))
    try:
        encoding = {name: _encoding(variable) for name, variable in portable.variables.items()}
        with _in_this_process():
            data = bytes(portable.to_netcdf(engine="h5netcdf", format="NETCDF4", encoding=encoding))
    except (TypeError, ValueError) as error:
        raise InputError(f"dataset: cannot be stored as netCDF: {error}") from error
    return sealed(_marked(data))


def _in_this_process() -> contextlib.AbstractContextManager[Any]:
    """Where there is a client of Dask, xarray would lock the file by it, which is none: its bytes are in memory."""
    dask = sys.modules.get("dask.config")
    return contextlib.nullcontext() if dask is None else dask.set(scheduler="synchronous")


def _marked(data: bytes) -> bytes:
    """The file, saying among the properties that name the programs that wrote it that a digest belongs behind it."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        file.attrs["_NCProperties"] = np.bytes_(file.attrs["_NCProperties"] + b"," + MARK)
    return buffer.getvalue()


class _Lock:
    """The hidden lock file beside a result, taken without waiting."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = FileLock(hidden_beside(self._path.resolve(), ".lock"), timeout=0)

    def __enter__(self) -> None:
        try:
            Path(self._lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise LockedError(
                f"{self._path}: another process is writing this file. Wait until it is done, or write to another file."
            ) from None
        except OSError as error:
            raise write_error(self._path, error) from error

    def __exit__(self, *_: object) -> None:
        try:
            self._lock.release()
        except OSError:  # the file is written; a lock that cannot be given up is tried again, and ends with the process
            with contextlib.suppress(OSError):
                self._lock.release()


def _is_result(contents: Contents) -> bool:
    return contents.is_result


def _foreign(path: str | os.PathLike[str], contents: Contents) -> str:
    if {"xcoordinates", "xdirection"} & set(contents.names()):
        return (
            f"{path}: is a file of the original loss-landscape tool. Import a surface with landscape convert; "
            "name a direction file as such."
        )
    return f"{path}: is an HDF5 file, but not a result of landscape (it has no attribute 'kind'). It has been left as it is."


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    # Without this xarray gives floats a fill value, which tells other readers to mask the NaN that were measured.
    encoding: dict[str, Any] = {} if variable.dtype.kind in "OUST" else {"_FillValue": None}
    if variable.dtype.kind in "iufb" and variable.size >= _COMPRESSED_FROM:
        encoding |= {"zlib": True, "complevel": 4, "shuffle": True}
    return encoding


def _encoded(attributes: Mapping[Hashable, Any] | Mapping[str, Any], owner: str) -> dict[str, Any]:
    return {
        str(name): _attribute(value, f"{owner}: attribute {name!r}")
        for name, value in attributes.items()
        if value is not None
    }


def _attribute(value: Any, argument: str) -> Any:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, str):
        return str(value)  # HDF5 knows no subclass of text, such as torch.__version__
    if isinstance(value, int | float | np.number):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.ndim <= 1:
        return value
    if isinstance(value, Mapping):
        return canonical_json(value)
    if isinstance(value, list | tuple):
        return canonical_json({"": value}).removeprefix('{"":').removesuffix("}")
    raise InputError(
        f"{argument}: expected text, a number, a list or mapping of these, or an array of numbers, got {value!r}."
    )
