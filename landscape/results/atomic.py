"""Replace a file at once: whoever opens it, at any instant, finds the last complete content."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import time
from pathlib import Path

from landscape.errors import ResultFileError
from landscape.stopping import in_pieces, look_before_writing, process_lives

_SUFFIX = ".part"
_LONGEST_SHOWN = 100  # bytes of a name that are repeated in the names of its hidden files: a system takes 255, some 143
_ABANDONED_SECONDS = 600.0
_ATTEMPTS = 3  # at a system call that a signal interrupts, as some network file systems let it
_ADVICE = {
    errno.ENOSPC: ("the disk is full", "Free some space, or choose a folder on another disk"),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or choose a folder on another disk"),
    errno.EFBIG: ("the file would be larger than allowed here", "Raise the limit (ulimit -f), or choose another disk"),
    errno.EROFS: ("the disk is read-only", "Choose another folder"),
    errno.EACCES: ("its folder is not writable", "Choose another folder, or change its permissions"),
    errno.EPERM: ("its folder is not writable", "Choose another folder, or change its permissions"),
    errno.EISDIR: ("it is a folder", "Give the path of a file in it"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Choose another folder"),
    errno.EEXIST: ("a part of the path is a file, not a folder", "Choose another folder"),
    errno.EINTR: ("it is interrupted again and again", "Run it again"),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter one"),
}


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Make ``data`` the content of ``path``: temporary file in the same folder, fsync, rename, fsync of the folder.

    Missing folders are created, a symbolic link keeps pointing where it did, and a file that is replaced keeps its
    permissions. Whatever goes wrong, ``path`` holds its earlier content or the new one, whole. A writer that was killed leaves
    a hidden temporary file behind; the next write of the same path removes it.

    Raises:
        ResultFileError: where the file cannot be written, saying why and what to try.
    """
    with in_pieces():
        look_before_writing()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _write(path, data)
                break
            except InterruptedError as error:
                if attempt == _ATTEMPTS:
                    raise write_error(path, error) from error
            except (OSError, RuntimeError) as error:  # a circle of symbolic links is a RuntimeError
                raise write_error(path, error) from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out before long work whether its file can be written; nothing is left behind, and no folder made.

    Raises:
        ResultFileError: as :func:`atomic_write` would: where a folder or a device is there, the name or the path is too long, or
            its folder cannot be written or made.
    """
    try:
        target = _target(path)
        folder = target.parent
        while not os.path.lexists(folder):
            folder = folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        temporary = _temporary(target)
        parts = [*target.relative_to(folder).parts, temporary.name]
        too_long = max(map(_size, parts)) > _limit(folder, "PC_NAME_MAX", 255)
        if too_long or max(_size(target), _size(temporary)) >= _limit(folder, "PC_PATH_MAX", 4096):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        trial = folder / temporary.name
        try:
            trial.open("xb").close()
        finally:
            _discard(trial)
    except OSError as error:
        raise write_error(path, error) from error


def hidden_beside(target: Path, ending: str) -> Path:
    """A hidden file that belongs to ``target``: ``.NAME`` and the ending; a hash for a NAME so long that no ending fits."""
    shown = target.name
    if _size(shown) > _LONGEST_SHOWN:
        shown = hashlib.sha256(os.fsencode(shown)).hexdigest()[:32]
    return target.with_name(f".{shown}{ending}")


def write_error(path: str | os.PathLike[str], error: OSError | RuntimeError) -> ResultFileError:
    """The operating system's refusal to write ``path``, in words."""
    number, said = getattr(error, "errno", None) or 0, getattr(error, "strerror", None)
    reason, advice = _ADVICE.get(number, (said or str(error), "Choose another folder"))
    return ResultFileError(f"{path}: cannot be written: {reason}. What was there before is unharmed. {advice}.")


def _target(path: str | os.PathLike[str]) -> Path:
    """The file that ``path`` stands for, which may be there or not; links are followed."""
    try:
        target = Path(path).resolve()
    except RuntimeError:  # as some versions of Python call a loop of symbolic links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if target.exists() and not target.is_file():
        raise ResultFileError(f"{path}: is a device or a pipe, not a file; it cannot be replaced. Choose a file.")
    return target


def _temporary(target: Path) -> Path:
    return hidden_beside(target, f".{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}")


def _size(name: str | Path) -> int:
    return len(os.fsencode(name))


def _limit(folder: Path, name: str, usual: int) -> int:
    """What the file system of a folder says of the length of names or paths."""
    try:
        return os.pathconf(folder, name) if hasattr(os, "pathconf") else usual
    except (OSError, ValueError):
        return usual


def _write(path: str | os.PathLike[str], data: bytes) -> None:
    target = _target(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    _replace(target, data)
    try:
        _sync_folder(target.parent)
    except InterruptedError:
        raise
    except OSError as error:
        raise ResultFileError(
            f"{path}: was written, but may not outlast a power cut: its folder cannot be synchronised "
            f"({error.strerror}). Write it again, or choose another disk."
        ) from error


def _replace(target: Path, data: bytes) -> None:
    temporary = _temporary(target)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        try:
            _keep_permissions(target, descriptor)
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(target)
    except BaseException:
        _discard(temporary)
        raise


def _discard(temporary: Path) -> None:
    """Remove what was made on the way; a disk that refuses is asked once more."""
    for _ in range(2):
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
            return


def _keep_permissions(target: Path, descriptor: int) -> None:
    # Not every file system has permissions, or lets them be set.
    with contextlib.suppress(OSError):
        os.chmod(descriptor, stat.S_IMODE(target.stat().st_mode))


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can open folders (POSIX) and the file system syncs them."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that can be written and not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _remove_abandoned(target: Path) -> None:
    """Tidy up after writers that were killed. What cannot be seen, or belongs to another user, does not stop this write."""
    prefix, entries = hidden_beside(target, ".").name, list[Path]()
    with contextlib.suppress(OSError):
        entries += target.parent.iterdir()
    for entry in entries:
        owner = entry.name.removeprefix(prefix).removesuffix(_SUFFIX).partition("-")[0]
        ours = entry.name.startswith(prefix) and entry.name.endswith(_SUFFIX) and owner.isdigit()
        with contextlib.suppress(OSError):
            if ours and _is_abandoned(entry, int(owner)):
                entry.unlink()


def _is_abandoned(temporary: Path, owner: int) -> bool:
    """Its writer is gone, or has not touched it for ten minutes (process numbers come round again in containers)."""
    return time.time() - temporary.stat().st_mtime > _ABANDONED_SECONDS or not process_lives(owner)
