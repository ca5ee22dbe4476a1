"""What files hold, by kind: from the schemas, and the long names and units of files that were written."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch
import xarray as xr
from landscape_cli.settings_options import options_of

import landscape
from extension.rst import code, escaped, table, title
from landscape.registry import asked, found, of_file, probes
from landscape.results.schema import Schema

FROZEN = Path(__file__).parents[2] / "tests" / "frozen"
RUN = ["train", "--model", "mlp", "--model-option", "hidden=8", "--train-images", "60", "--epochs", "3", "--out", "run"]
RUN += ["--checkpoint-every", "1", "--probe-every", "1", "--probe-along", "gradient+update+relative"]
ALONE = "one value"  # of no dimension
# Small values of options, for kinds that have them.
SMALL = {"images": "100", "x": "-1:1:7", "y": "-1:1:7", "draws": "2", "points": "3", "max-products": "20"}
# Runs command lines one after another.
COMMANDS = """
import json, sys
from landscape_cli.main import main
for words in json.load(sys.stdin):
    try:
        main([*words, "-q"])
    except SystemExit as ended:
        if ended.code:
            raise
"""


def pages() -> dict[str, str]:
    """One page for all kinds."""
    parts = [
        title("Files"),
        "A result is one netCDF4-compatible HDF5 file, read by ``ls.load``, xarray, netCDF4 and h5py. It holds these variables, "
        "each with its dimensions, a unit and a long name, and :doc:`attributes </reference/attributes>` that say how it was "
        "made. What stands in brackets may be absent. A dimension *grid* stands for the axes: ``x``, or ``y`` and ``x``, and "
        "``seed`` before them.\n",
    ]
    for kind in sorted({probe.of_file for probe in probes().values()}):
        parts += [title(kind.replace("_", " "), "-"), _section(kind)]
    return {"files": "\n".join(parts)}


def _section(kind: str) -> str:
    record = of_file(kind)
    assert record is not None
    schema: Schema = found(record.schema)
    files = [one for one in samples() if one.attrs["kind"] == kind]
    known = {str(name): variable for one in files for name, variable in one.variables.items()}
    anywhere = {str(name): variable for one in samples() for name, variable in one.variables.items()}
    rows = []
    for wanted in schema.table:
        dims = ", ".join(f"*{dim}*" if dim == "grid" else code(dim) for dim in wanted.dims) or ALONE
        name = code(wanted.name) if wanted.needed else f"[{code(wanted.name)}]"
        rows.append(
            [
                name,
                dims,
                "text" if wanted.text else "numbers",
                _words(known.get(wanted.name, anywhere.get(wanted.name))),
            ]
        )
    named = {wanted.name for wanted in schema.table}
    for name, variable in known.items():
        if name not in named:
            dims = ", ".join(code(str(dim)) for dim in variable.dims) or ALONE
            rows.append(
                [f"[{code(name)}]", dims, "text" if variable.dtype.kind in "OUS" else "numbers", _words(variable)]
            )
    said = f"{escaped(record.question)}\n\n" if record.question else ""
    return said + f"``kind = {json.dumps(kind)}``\n\n" + table(["variable", "over", "holds", "is"], rows)


def _words(variable: xr.Variable | None) -> str:
    if variable is None:
        return ""
    said = str(variable.attrs.get("long_name", ""))
    unit = str(variable.attrs.get("units", ""))
    flags = str(variable.attrs.get("flag_meanings", "")).split()
    values = [str(value) for value in variable.attrs.get("flag_values", [])]
    meanings = ", ".join(f"{v} {m.replace('_', ' ')}" for v, m in zip(values, flags, strict=False))
    return escaped("; ".join(filter(None, [said, "" if unit in ("", "1") else unit, meanings])))


@cache
def samples() -> tuple[xr.Dataset, ...]:
    """Files of every kind: those that the suite keeps, and small ones that are measured now, with what those lack."""
    kept = [landscape.load(path) for path in sorted(FROZEN.rglob("*.h5"))]
    return (*kept, *_measured(), _critical_steps())


def _measured() -> list[xr.Dataset]:
    """What a training of seconds writes, and a result of each kind that can be asked of its checkpoint."""
    lines = [RUN]
    for probe in asked().values():
        known = {flag for option in options_of(found(probe.settings)) for flag in option.opts}
        small = [f"--{name}={value}" for name, value in SMALL.items() if f"--{name}" in known]
        small += ["--adaptive"] if {"--adaptive", "--y"} <= known else []
        to = ["run/epoch-0001.pt", "run/epoch-0002.pt"][: {"path": 1, "trajectory": 2}.get(probe.name, 0)]
        lines.append(
            [
                "probe",
                probe.command,
                "--checkpoint",
                "run/last.pt",
                "--out",
                f"{probe.name}.h5",
                *small,
                *(f"--to={one}" for one in to),
            ]
        )
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-c", COMMANDS],
            input=json.dumps(lines),
            text=True,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return [landscape.load(path) for path in sorted(Path(folder).rglob("*.h5"))]


def _critical_steps() -> xr.Dataset:
    """What only an observer measures, which no command starts."""
    probe = landscape.CriticalSharpnessProbe(every=1)
    data = (torch.randn(20, 2, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2)
    model = landscape.build_model("mlp", inputs=2, classes=2, hidden=4)
    landscape.fit(model, data, landscape.TrainingConfig(epochs=1, batch_size=10), observers=[probe])
    return probe.dataset()
