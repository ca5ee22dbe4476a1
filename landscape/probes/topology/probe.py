"""The topology of measured planes: result files in, result files out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from landscape.errors import InputError
from landscape.probes.topology.measure import topology
from landscape.results import check_result_path, load_result, save_result


def topology_files(
    planes: Sequence[Path], *, loss_max: float | None = None, out: Path | None = None
) -> list[tuple[Path, xr.Dataset]]:
    """The topology of each plane, in a file beside it (``NAME-topology.h5``) or in ``out``, with what it holds.

    Raises:
        InputError: as :func:`landscape.probes.topology.measure.topology` does, naming the file, and for ``out`` with several.
        ResultFileError: for a file that cannot be read or written.
    """
    if out is not None and len(planes) > 1:
        raise InputError(f"out: is one file, and {len(planes)} planes were given. Leave it out, or give one plane.")
    paths = [out or plane.with_name(f"{plane.stem}-topology.h5") for plane in planes]
    for path in paths:
        check_result_path(path, planes)
    made = []
    for plane, path in zip(planes, paths, strict=True):
        dataset = _named(plane, load_result(plane), loss_max)
        save_result(dataset, path)
        made.append((path, dataset))
    return made


def _named(path: Path, plane: xr.Dataset, loss_max: float | None) -> xr.Dataset:
    try:
        return topology(plane, loss_max=loss_max)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
