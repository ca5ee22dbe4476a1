"""The digest that ends a file of ours: sixteen bytes that name it, then the SHA-256 of every byte before them.

An HDF5 file says itself where it ends, and a zip archive may end in a comment: other programs read both as if it were
not there. It tells damage; it is no signature, as whoever writes a file can write the digest that fits.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

from landscape.errors import CheckpointError

_NAME = b"landscape sha256"
_RECORD = ".landscape_digest"
SIZE = len(_NAME) + hashlib.sha256().digest_size


def sealed(content: bytes) -> bytes:
    """The content with its digest behind it."""
    return content + _NAME + hashlib.sha256(content).digest()


def sealed_archive(archive: bytes) -> bytes:
    """A zip archive that has no comment, with its digest as the comment, and a record that says so."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as file:
        folder = file.namelist()[0].partition("/")[0]
        file.writestr(
            zipfile.ZipInfo(f"{folder}/{_RECORD}"), b""
        )  # whose checksum is 0, as in archives without checksums
    buffer.seek(-2, os.SEEK_END)  # the length of the comment ends the archive
    buffer.write(SIZE.to_bytes(2, "little"))
    buffer.write(_NAME + hashlib.sha256(buffer.getbuffer()).digest())
    return buffer.getvalue()


def is_whole(data: bytes) -> bool | None:
    """Whether the content is what the digest at its end says; None where there is no digest."""
    if data[-SIZE:-32] != _NAME:
        return None
    return hashlib.sha256(memoryview(data)[:-SIZE]).digest() == data[-32:]


def has_digest(file: Path) -> bool:
    """Whether a file ends in a digest, right or not."""
    return _digest_at_end(file) is not None


def check_archive(file: Path) -> None:
    """Hold a zip archive against its digest or, where it never had one, every record against the archive's own checksum.

    Raises:
        CheckpointError: where something does not match, or the archive's table of contents cannot be read.
    """
    stored = _digest_at_end(file)
    if stored is not None:
        if _digest(file) != stored:
            raise _damaged(file, "its content does not match the digest that it was written with")
        return
    try:
        with zipfile.ZipFile(file) as archive:
            # An archive that was written without checksums has 0 for every one of them.
            checked = any(record.CRC for record in archive.infolist())
            wrong = archive.testzip() if checked else None
            lost = any(name.endswith(f"/{_RECORD}") for name in archive.namelist())
    except Exception as error:  # zipfile trips over a damaged table in many ways
        raise _damaged(file, f"its records cannot be read: {error}") from error
    if wrong is not None:
        raise _damaged(file, f"record {wrong!r} does not match its checksum")
    if lost:
        raise _damaged(file, "the digest that it was written with is gone")


def _digest_at_end(file: Path) -> bytes | None:
    with file.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(stream.tell() - SIZE, 0))
        end = stream.read()
    return end[-32:] if end.startswith(_NAME) else None


def _digest(file: Path) -> bytes:
    state, left = hashlib.sha256(), file.stat().st_size - SIZE
    with file.open("rb") as stream:
        while left > 0 and (block := stream.read(min(left, 1 << 20))):
            state.update(block)
            left -= len(block)
    return state.digest()


def _damaged(file: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{file}: is damaged: {what}. Copy it again, or use another checkpoint of the same run.")
