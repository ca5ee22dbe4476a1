"""What is installed is what is there, and the front door opens."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

import landscape

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def test_every_folder_of_code_is_listed_as_a_package() -> None:
    folders = {p.parent.relative_to(ROOT) for p in (ROOT / "landscape").rglob("__init__.py")}
    packages = {".".join(folder.parts) for folder in folders} | {"landscape_cli"}
    assert set(SETUPTOOLS["packages"]) == packages


def test_every_file_beside_the_code_is_package_data() -> None:
    patterns = SETUPTOOLS["package-data"]
    for path in (ROOT / "landscape").rglob("*"):
        if path.is_dir() or path.suffix in (".py", ".pyc"):
            continue
        assert any(
            fnmatch(path.relative_to(ROOT).as_posix(), f"{package.replace('.', '/')}/{pattern}")
            for package, listed in patterns.items()
            for pattern in listed
        ), path


def test_every_dependency_says_why_it_is_there() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [name for names in (PROJECT["project"]["dependencies"], *extras) for name in names]
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for name in wanted:
        line = next(line for line in lines if line.strip().startswith(f'"{name}",'))
        assert name.startswith("landscape-lab[") or re.search(r"# \w", line), name


@pytest.mark.slow
def test_the_wheel_holds_every_module(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)], check=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    for path in (ROOT / "landscape").rglob("*.py"):
        assert path.relative_to(ROOT).as_posix() in names
    for path in (ROOT / "cli").glob("*.py"):
        assert f"landscape_cli/{path.name}" in names


def test_every_public_name_resolves_and_is_listed() -> None:
    for name in landscape.__all__:
        assert getattr(landscape, name) is not None
    assert set(landscape._HOMES) | {"__version__"} == set(landscape.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = landscape.nothing


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, landscape; print({'torch', 'xarray', 'matplotlib'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"


def test_files_stay_short() -> None:
    files = [*(ROOT / "landscape").rglob("*.py"), *(ROOT / "cli").rglob("*.py"), *(ROOT / "tests").glob("*.py")]
    long = {str(f.relative_to(ROOT)): n for f in files if (n := len(f.read_text().splitlines())) > 450}
    assert not long
