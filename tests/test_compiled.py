"""C code is compiled once for a machine, and only what was compiled for this user, as it was written, is loaded."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from landscape.numerics.kernels import compiled
from landscape.numerics.kernels.compiled import Unbuildable, library

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

SOURCES = {
    "answer.c": b'#include "answer.h"\nint answer(void) { return ANSWER; }\n',
    "answer.h": b"#define ANSWER 42\n",
}
OTHER = {**SOURCES, "answer.h": b"#define ANSWER 43\n"}
FLAGS = ("-O2", "-march=native", "-shared", "-fPIC")
CODE = f"from landscape.numerics.kernels.compiled import library; print(library('answer', {SOURCES!r}, {FLAGS!r}).answer())"

# A compiler that tells how often it has compiled, and does something before.
COMPILER = """#!/bin/sh
case "$*" in *-dM*) ;; *) echo compiled >> "$COUNTED"; BEFORE;; esac
exec cc "$@"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where kernels are kept, in a home that is there for the test."""
    monkeypatch.delenv("LANDSCAPE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COUNTED", str(tmp_path / "counted"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    compiler_that(tmp_path, "true", monkeypatch)
    return tmp_path / "cache" / "landscape" / "kernels"


def compiler_that(place: Path, before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "counting").write_text(COMPILER.replace("BEFORE", before))
    (place / "counting").chmod(0o755)
    monkeypatch.setenv("CC", str(place / "counting"))


def times_compiled() -> int:
    counted = Path(os.environ["COUNTED"])
    return len(counted.read_text().split()) if counted.exists() else 0


def answer(sources: dict[str, bytes] = SOURCES, flags: tuple[str, ...] = FLAGS) -> int:
    return int(library("answer", sources, flags).answer())


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.so"))


def test_processes_at_the_same_time_and_after_each_other_compile_once(folder: Path) -> None:
    for count in (3, 1):
        running = [subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE) for _ in range(count)]
        assert [process.communicate(timeout=60)[0] for process in running] == [b"42\n"] * count
    assert times_compiled() == 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in kept(folder)] == [0o600]


def test_other_code_flags_and_compilers_are_files_of_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (answer(), answer(OTHER), answer(flags=("-O1", *FLAGS[1:]))) == (42, 43, 42)
    monkeypatch.setenv("CC", "cc -DNOTHING")
    assert answer() == 42
    assert len(kept(folder)) == 4


def test_another_processor_is_a_file_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer()
    script = Path(os.environ["CC"])
    script.write_text(
        script.read_text().replace('case "$*" in *-dM*)', 'case "$*" in *-dM*) echo "#define __AVX9__ 1"')
    )
    answer()
    assert len(kept(folder)) == 2


@pytest.mark.parametrize("damage", ["cut short", "one bit", "empty"])
def test_a_damaged_file_is_made_again(folder: Path, damage: str) -> None:
    answer()
    (file,) = kept(folder)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"cut short": content[: len(content) // 2], "one bit": content, "empty": b""}[damage])
    assert answer() == 42
    assert times_compiled() == 2
    assert len(kept(folder)) == 1


def test_what_others_may_write_or_lead_to_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    answer()
    (file,) = kept(folder)
    file.chmod(0o666)
    assert answer() == 42
    assert times_compiled() == 2
    (file,) = kept(folder)
    elsewhere = file.rename(tmp_path / "elsewhere.so")
    file.symlink_to(elsewhere)
    assert answer() == 42
    assert times_compiled() == 3
    assert not kept(folder)[0].is_symlink()


def test_a_folder_that_others_may_write_is_not_used(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert answer() == 42
    assert kept(folder) == []
    assert len(kept(tmp_path / "tmp" / f"landscape-{os.geteuid()}")) == 1


def test_a_folder_that_leads_elsewhere_is_not_used(folder: Path, tmp_path: Path) -> None:
    folder.parent.mkdir(parents=True)
    (tmp_path / "theirs").mkdir()
    folder.symlink_to(tmp_path / "theirs")
    assert answer() == 42
    assert list((tmp_path / "theirs").iterdir()) == []


def test_a_file_and_a_folder_of_another_user_are_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert not compiled._private(folder)
    assert compiled._found(folder, kept(folder)[0].stem.rpartition("-")[0]) is None


def test_switched_off_nothing_is_kept(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSCAPE_CACHE", "off")
    assert (answer(), answer()) == (42, 42)
    assert times_compiled() == 2
    assert not folder.exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_folder_can_be_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSCAPE_CACHE", str(tmp_path / "mine"))
    assert answer() == 42
    assert len(kept(tmp_path / "mine")) == 1
    assert not folder.exists()


def test_without_a_home_the_folder_for_temporary_files_has_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").touch()  # no folder can be made in it
    assert (answer(), answer()) == (42, 42)
    assert times_compiled() == 1
    assert len(kept(tmp_path / "tmp" / f"landscape-{os.geteuid()}")) == 1


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").touch()
    (tmp_path / "tmp").rmdir()
    (tmp_path / "tmp").touch()
    with pytest.raises(Unbuildable, match=r"^counting cannot build or load the kernel \(Not a directory\)$"):
        answer()


def test_where_nothing_may_be_loaded_from_one_folder_another_is_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = ctypes.CDLL

    def refused(path: str) -> ctypes.CDLL:
        if "landscape/kernels" in os.path.realpath(path) or everywhere:
            raise OSError("failed to map segment from shared object")
        return load(path)

    everywhere = False
    monkeypatch.setattr(ctypes, "CDLL", refused)
    assert (answer(), answer()) == (42, 42)
    assert times_compiled() == 2
    everywhere = True
    with pytest.raises(Unbuildable, match=r"kernel \(failed to map segment from shared object\)$"):
        answer()


def test_a_compiler_with_arguments_is_run_with_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", f"env COUNTED={os.environ['COUNTED']} {os.environ['CC']} '-DTWO WORDS'")
    assert answer() == 42
    assert times_compiled() == 1


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ("no-such-cache cc", "the compiler that CC='no-such-cache cc' names is not on the PATH"),
        ("cc 'open", r"CC=\"cc 'open\" cannot be read as a command \(No closing quotation\)"),
        ("false", r"false cannot build the kernel \(exit status 1\)"),
        ("cc -no-such-option", r"cc cannot build the kernel \(.*no-such-option.*\)"),
    ],
)
def test_a_compiler_that_is_missing_or_broken_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, own: str, sentence: str
) -> None:
    monkeypatch.setenv("CC", own)
    with pytest.raises(Unbuildable, match=f"^{sentence}$"):
        answer()
    assert kept(folder) == []


def test_what_a_compiler_says_of_the_code_names_no_folder(folder: Path) -> None:
    with pytest.raises(Unbuildable, match=r"^counting cannot build the kernel \(answer\.c:1:\d+: .*error.*\)$"):
        answer({"answer.c": b'#include "missing.h"\n'})


def test_a_slow_compiler_is_waited_for_and_one_that_hangs_is_given_up_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler_that(tmp_path, "sleep 0.3", monkeypatch)
    assert answer() == 42
    compiler_that(tmp_path, 'sleep 60 & echo $! > "$COUNTED"; wait', monkeypatch)
    monkeypatch.setattr(compiled, "LIMIT", 0.6)
    with pytest.raises(Unbuildable, match=r"^counting did not end within 0\.01 minutes$"):
        answer(OTHER)
    sleeping = Path(f"/proc/{Path(os.environ['COUNTED']).read_text().strip()}/cmdline")
    deadline = time.monotonic() + 10
    while sleeping.exists() and sleeping.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not (sleeping.exists() and sleeping.read_bytes())


def test_what_a_killed_process_was_building_is_cleared_away(folder: Path) -> None:
    (folder / "build-dead").mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    (folder / "build-dead" / "half.so").write_bytes(b"half")
    assert answer() == 42
    assert not (folder / "build-dead").exists()
