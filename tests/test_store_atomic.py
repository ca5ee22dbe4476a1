"""A file that is being written is whole at every instant, whatever stops the writer."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from landscape.errors import ResultFileError
from landscape.results import atomic_write

OLD, NEW = b"old" * 1000, b"new" * 2000


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def output_of(code: str, *arguments: object) -> str:
    with child(code, *arguments) as process:
        return process.communicate(timeout=60)[0]


def test_content_is_replaced_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    atomic_write(path, OLD)
    atomic_write(path, NEW)
    assert path.read_bytes() == NEW
    assert list(path.parent.iterdir()) == [path]


def test_a_symbolic_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    real, link = tmp_path / "real.bin", tmp_path / "link.bin"
    real.write_bytes(OLD)
    link.symlink_to(real)
    atomic_write(link, NEW)
    assert link.is_symlink()
    assert real.read_bytes() == NEW


def test_new_files_have_the_permissions_that_the_user_chose(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    atomic_write(tmp_path / "atomic", NEW)
    assert (tmp_path / "atomic").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "larger than allowed"),
        (errno.EROFS, "read-only"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    path = tmp_path / "file.bin"
    atomic_write(path, OLD)

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ResultFileError, match=words) as caught:
        atomic_write(path, NEW)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.bin"
    atomic_write(path, OLD)

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, NEW)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_size_limit_of_the_system_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    atomic_write(path, OLD)
    code = """
import resource, sys
from landscape.results import atomic_write
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    atomic_write(sys.argv[1], bytes(1_000_000))
except Exception as error:
    print(type(error).__name__, error)
"""
    printed = output_of(code, path)
    assert printed.startswith("ResultFileError")
    assert "larger than allowed" in printed
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_an_unwritable_folder_is_said_to_be_one() -> None:
    code = """
import os, sys
from landscape.results import atomic_write
if os.geteuid() == 0:
    os.setuid(65534)  # root may write everywhere
try:
    atomic_write(sys.argv[1], b"new")
except Exception as error:
    print(type(error).__name__, error)
"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.bin"
        path.write_bytes(OLD)
        Path(folder).chmod(0o555)
        printed = output_of(code, path)
        assert path.read_bytes() == OLD
        Path(folder).chmod(0o755)
    assert printed.startswith("ResultFileError")
    assert "not writable" in printed


def test_a_folder_and_a_path_through_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(ResultFileError, match="it is a folder"):
        atomic_write(tmp_path, NEW)
    with pytest.raises(ResultFileError, match="a part of the path is a file"):
        atomic_write(tmp_path / "file" / "inside", NEW)
    assert (tmp_path / "file").read_bytes() == OLD


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ResultFileError, match="device or a pipe"):
        atomic_write(pipe, NEW)
    assert pipe.is_fifo()


def test_a_writer_killed_before_its_rename_leaves_the_old_file_and_the_next_write_tidies_up(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    atomic_write(path, OLD)
    code = """
import os, signal, sys
from landscape.results import atomic_write
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
atomic_write(sys.argv[1], b"new")
"""
    output_of(code, path)
    assert path.read_bytes() == OLD
    assert len(list(tmp_path.iterdir())) == 2
    atomic_write(path, NEW)
    assert path.read_bytes() == NEW
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_files_of_living_writers_and_of_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    living = tmp_path / f".file.bin.{os.getppid()}-00000000.part"
    other = tmp_path / ".another.bin.999999999-00000000.part"
    old = tmp_path / f".file.bin.{os.getppid()}-11111111.part"
    for left in (living, other, old):
        left.write_bytes(b"")
    os.utime(old, (time.time() - 3600, time.time() - 3600))
    atomic_write(path, NEW)
    assert set(tmp_path.iterdir()) == {path, living, other}


def test_kills_at_random_instants_never_show_a_partial_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    code = """
import itertools, sys
from landscape.results import atomic_write
for number in itertools.count():
    atomic_write(sys.argv[1], bytes([number % 256]) * 2_000_000)
    print(number, flush=True)
"""
    instants = random.Random(0)
    for _ in range(5):
        with child(code, path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            end = time.monotonic() + instants.uniform(0.01, 0.2)
            while time.monotonic() < end:
                content = path.read_bytes()
                assert len(content) == 2_000_000
                assert len(set(content[::4096]) | {content[-1]}) == 1
            process.send_signal(signal.SIGKILL)
        content = path.read_bytes()
        assert len(content) == 2_000_000
        assert len(set(content)) == 1
    atomic_write(path, NEW)
    assert list(tmp_path.iterdir()) == [path]
