"""What is installed is what is there, and the front door opens."""

from __future__ import annotations

import ast
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


def test_every_folder_of_code_is_a_package_that_is_found() -> None:
    for path in (ROOT / "landscape").rglob("*.py"):
        assert (path.parent / "__init__.py").exists(), path


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
    for path in (ROOT / "landscape").rglob("*"):
        assert path.suffix not in (".py", ".pyi") or path.relative_to(ROOT).as_posix() in names
    for path in (ROOT / "cli").glob("*.py"):
        assert f"landscape_cli/{path.name}" in names


def test_every_public_name_resolves_and_is_listed() -> None:
    for name in landscape.__all__:
        assert getattr(landscape, name) is not None
    assert dir(landscape) == landscape.__all__
    with pytest.raises(AttributeError, match="No landscape attribute nothing"):
        _ = landscape.nothing


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {landscape.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_editors_see_the_names_that_there_are() -> None:
    stub = ast.parse((ROOT / "landscape" / "__init__.pyi").read_text())
    aliases = [alias for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(alias.name for alias in aliases) == sorted(landscape.__all__)
    assert all(alias.asname == alias.name for alias in aliases)  # or it is not seen, or has another name at run time


def test_a_name_leads_to_what_it_names_whatever_was_imported_before_and_to_no_compiler() -> None:
    code = (
        "import landscape.probes.plane, landscape.probes.curvature, landscape as ls;"
        "from landscape.results import load_result, save_result; import landscape.testing as kit;"
        "from landscape.probes.plane.measure import plane; from landscape._version import __version__;"
        "assert ls.plane is plane and callable(ls.curvature) and ls.testing is kit;"
        "assert ls.load is load_result and ls.save is save_result and ls.__version__ == __version__;"
        "import sys, torch; o = ls.Objective(torch.nn.Linear(2, 2), 'cross_entropy', (torch.randn(9, 2), torch.arange(9) % 2));"
        "ls.line(o, x=(-1, 1, 3), seeds=[0]); assert 'torch._dynamo' not in sys.modules"  # PyTorch's compiler takes seconds
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, landscape; print({'torch', 'xarray', 'matplotlib'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"


def test_what_a_result_file_says_is_told_without_torch() -> None:
    code = (
        "import sys\nfrom landscape.registry import found, probes\n"
        "for probe in probes().values():\n    found(probe.schema), probe.words and found(probe.words)\n"
        "print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False"


def test_files_stay_short() -> None:
    files = [*(ROOT / "landscape").rglob("*.py"), *(ROOT / "cli").rglob("*.py"), *(ROOT / "tests").glob("*.py")]
    long = {str(f.relative_to(ROOT)): n for f in files if (n := len(f.read_text().splitlines())) > 450}
    assert not long
