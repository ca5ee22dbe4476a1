"""Every system call of a save fails once in turn, or is the last thing that the process does: the old file or the new one is whole.

Files are compared with what an undisturbed save of the same thing makes.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr

from landscape.errors import LandscapeError
from landscape.results import ResultFile, atomic_write, save_checkpoint, save_result

CHANGING = [(os, name) for name in ("open", "write", "fsync", "close", "replace", "unlink", "mkdir", "chmod")]
CHANGING += [(fcntl, "flock")]
LOOKING = [(os, name) for name in ("stat", "fstat", "listdir")]


def result(value: float) -> xr.Dataset:
    return xr.Dataset({"loss": ("x", [value, 2.0])}, attrs={"kind": "line", "title": "a line"})


def in_a_held_file(path: Path, value: float) -> None:
    with ResultFile(path, {"seed": 0}) as file:
        file.save(result(value))


def checkpoint(path: Path, value: float) -> None:
    save_checkpoint(path, state={"model": {"weight": torch.full((3,), value)}})


SAVES: dict[str, Callable[[Path, float], None]] = {
    "bytes": lambda path, value: atomic_write(path, bytes([int(value)]) * 100_000),
    "a result": lambda path, value: save_result(result(value), path),
    "a result that is held": in_a_held_file,
    "a checkpoint": checkpoint,
}


@pytest.fixture(autouse=True)
def _one_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file says when it was written: here, always the same."""
    monkeypatch.setattr("landscape.results.results.creation", lambda: {"created_at": "2026-01-01T00:00:00+00:00"})


@dataclass
class Faults:
    """Counts system calls, and lets the ``at``-th of them go wrong by ``how``."""

    at: int
    how: Callable[..., Any]
    calls: list[tuple[Any, str]] = field(default_factory=lambda: CHANGING)
    count: int = 0
    name: str = ""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module, name in self.calls:
            monkeypatch.setattr(module, name, self._wrapped(getattr(module, name)))

    def _wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                self.name = call.__name__
                return self.how(call, *args, **kwargs)
            return call(*args, **kwargs)

        return maybe


def fails_with(number: int) -> Callable[..., Any]:
    def fail(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if call.__name__ == "close":  # the descriptor is gone all the same, as on Linux
            call(*args)
        raise OSError(number, os.strerror(number))

    return fail


def dies(call: Callable[..., Any], *_: Any, **__: Any) -> Any:
    signal.raise_signal(signal.SIGKILL)


@dataclass
class Place:
    """A file in a folder of its own, made and to be made, and what it is whole."""

    save: Callable[[Path, float], None]
    folder: Path
    old: bytes
    new: bytes

    @classmethod
    def of(cls, save: Callable[[Path, float], None], folder: Path) -> Place:
        for name, value in (("old", 1.0), ("new", 9.0)):
            (folder / name).mkdir()
            save(folder / name / "file", value)
        return cls(save, folder / "here", *((folder / name / "file").read_bytes() for name in ("old", "new")))

    @property
    def path(self) -> Path:
        return self.folder / "deep" / "file"

    def reset(self, fresh: bool) -> None:
        for entry in self.path.parent.iterdir() if self.path.parent.exists() else ():
            entry.unlink()
        if self.path.parent.exists():
            self.path.parent.rmdir()
        if not fresh:
            self.save(self.path, 1.0)

    def is_whole(self, fresh: bool) -> bool:
        if not self.path.exists():
            return fresh
        return self.path.read_bytes() in (self.old, self.new)

    def leftovers(self) -> list[str]:
        entries = self.path.parent.iterdir() if self.path.parent.exists() else ()
        return [entry.name for entry in entries if entry.name not in ("file", ".file.lock")]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EINTR], ids=errno.errorcode.get)
@pytest.mark.parametrize(
    ("kind", "fresh"),
    [("bytes", True), ("bytes", False), ("a checkpoint", False), ("a result", False), ("a result that is held", True)],
)
def test_a_system_call_that_fails_leaves_a_whole_file_and_a_sentence(
    tmp_path: Path, kind: str, number: int, fresh: bool
) -> None:
    fail_in_turn(Place.of(SAVES[kind], tmp_path), kind, number, fresh, CHANGING + LOOKING * (number == errno.EIO))


def fail_in_turn(place: Place, kind: str, number: int, fresh: bool, calls: list[tuple[Any, str]]) -> int:
    """How many calls there are; each fails once."""
    seen = set()
    for at in itertools.count(1):
        place.reset(fresh)
        faults = Faults(at, fails_with(number), calls)
        with pytest.MonkeyPatch.context() as patch:
            faults.install(patch)
            try:
                place.save(place.path, 9.0)
            except LandscapeError as error:
                assert str(place.path) in str(error), faults
                assert "\n" not in str(error)
            else:
                assert place.path.read_bytes() == place.new, faults
        assert place.is_whole(fresh), faults
        assert place.leftovers() == [], faults
        if faults.count < at:
            break
        seen.add(faults.name)
        place.save(place.path, 9.0)
        assert place.path.read_bytes() == place.new
    assert {"open", "write", "fsync", "close", "replace"} <= seen
    assert ("flock" in seen) == ("result" in kind)
    return at - 1


@pytest.mark.parametrize(
    ("kind", "fresh"), [("bytes", True), ("a checkpoint", False), ("a result that is held", False)]
)
def test_a_kill_at_any_system_call_leaves_a_whole_file_and_the_next_save_tidies_up(
    tmp_path: Path, kind: str, fresh: bool
) -> None:
    assert kill_in_turn(Place.of(SAVES[kind], tmp_path), fresh, CHANGING) > 7


def kill_in_turn(place: Place, fresh: bool, calls: list[tuple[Any, str]]) -> int:
    """How many calls there are; each is the last of a process."""
    for at in itertools.count(1):
        place.reset(fresh)
        child = os.fork()
        if not child:
            Faults(at, dies, calls).install(pytest.MonkeyPatch())
            place.save(place.path, 9.0)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert place.is_whole(fresh), at
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        place.save(place.path, 9.0)
        assert place.path.read_bytes() == place.new
        assert place.leftovers() == []
    return at - 1


@pytest.mark.slow
def test_every_system_call_of_every_save(tmp_path: Path) -> None:
    failures = kills = 0
    for number, (kind, fresh) in enumerate(itertools.product(SAVES, (True, False))):
        (tmp_path / str(number)).mkdir()
        place = Place.of(SAVES[kind], tmp_path / str(number))
        for error in (errno.EIO, errno.ENOSPC, errno.EINTR):
            failures += fail_in_turn(place, kind, error, fresh, CHANGING + LOOKING)
        kills += kill_in_turn(place, fresh, CHANGING + LOOKING)
    print(f"{failures} failures, {kills} kills")
    assert (failures, kills) > (500, 150)


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1000]))
    atomic_write(tmp_path / "file", bytes(range(256)) * 100)
    assert (tmp_path / "file").read_bytes() == bytes(range(256)) * 100


def test_a_call_that_is_always_interrupted_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(LandscapeError, match="interrupted again and again"):
        atomic_write(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o600)
    atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_synchronised_is_said_for_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def fail(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LandscapeError, match="was written, but may not outlast a power cut"):
        atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
