"""Damage that knows nothing of the format: one to three changes of a file's bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Change = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
_LENGTHS = (1, 2, 4, 8, 16, 64, 300, 1024, 4096)


def damaged(dice: random.Random, whole: bytes, others: Sequence[bytes]) -> bytes:
    """The file after the changes; ``others`` are files of the same format, to splice from."""
    data = whole
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        data = dice.choice(CHANGES)(dice, data, others)
    return data


def _place(dice: random.Random, data: bytes) -> tuple[int, int]:
    start = dice.randrange(len(data) + 1)
    return start, min(start + dice.choice(_LENGTHS), len(data))


def _put(data: bytes, start: int, end: int, new: bytes) -> bytes:
    return data[:start] + new + data[end:]


def flip_bit(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def flip_bits(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    for _ in range(dice.choice((2, 10, 100))):
        data = flip_bit(dice, data, others)
    return data


def zeros(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _place(dice, data)
    return _put(data, start, end, bytes(end - start))


def ones(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _place(dice, data)
    return _put(data, start, end, b"\xff" * (end - start))


def noise(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _place(dice, data)
    return _put(data, start, end, dice.randbytes(end - start))


def number(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A length, an address or a count of another size."""
    size = dice.choice((1, 2, 4, 8))
    start = dice.randrange(max(len(data) - size, 0) + 1)
    value = dice.choice(
        (0, 1, 2, 255, 65535, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, len(data), dice.randrange(2**32))
    )
    return _put(data, start, start + size, (value % 256**size).to_bytes(size, dice.choice(("little", "big"))))


def cut(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def cut_out(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _place(dice, data)
    return _put(data, start, end, b"")


def extend(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _place(dice, data)
    return data + dice.choice((bytes(end - start), dice.randbytes(end - start), data[start:end]))


def repeat(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _place(dice, data)
    return _put(data, end, end, data[start:end] * dice.choice((1, 2, 50)))


def splice(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = dice.choice(others)
    start, end = _place(dice, data)
    return _put(data, start, end, other[start:end] if dice.random() < 0.5 else other[-(end - start) :])


CHANGES: tuple[Change, ...] = (
    flip_bit, flip_bits, zeros, ones, noise, number, number, cut, cut_out, extend, repeat, splice,
)  # fmt: skip
