"""Pickles that would run code, never end or fill the memory, and pickles of opcodes at random."""

from __future__ import annotations

import io
import pickle
import random
import struct
import zipfile

CALLS = (
    ("os", "system", "touch {canary}"),
    ("posix", "system", "touch {canary}"),
    ("builtins", "exec", "open({canary!r}, 'w')"),
    ("builtins", "eval", "open({canary!r}, 'w')"),
    ("builtins", "open", "{canary}"),
    ("pathlib", "Path.touch", "{canary}"),
    ("fuzz.canary", "sing", "{canary}"),
    ("torch", "load", "{canary}"),
    ("torch._utils", "_import_dotted_name", "fuzz.canary"),
    ("runpy", "run_path", "{canary}"),
    ("torch.serialization", "load", "{canary}"),
    ("numpy", "load", "{canary}"),
    ("collections", "OrderedDict", "{canary}"),
    ("torch.jit", "load", "{canary}"),
)
_TORCH = (
    "torch._utils _rebuild_tensor_v2", "torch FloatStorage", "torch LongStorage", "collections OrderedDict",
    "torch._utils _rebuild_parameter", "torch Size", "torch device", "torch._utils _rebuild_sparse_tensor",
    "torch._utils _rebuild_wrapper_subclass", "torch.storage UntypedStorage", "builtins set", "_codecs encode",
    "numpy._core.multiarray scalar", "numpy dtype", "argparse Namespace", "pathlib PosixPath",
    "torch._tensor _rebuild_from_type_v2",
)  # fmt: skip


def hostile(dice: random.Random, canary: str) -> bytes:
    """One pickle."""
    return dice.choice((_call, _call, _call, _tensor, _tensor, _opcodes, _opcodes, _nested, _large))(dice, canary)


def as_file(dice: random.Random, data: bytes) -> bytes:
    """The pickle as it may lie in a file: by itself, in the old layout, or in an archive."""
    layout = dice.choice(("plain", "legacy", "archive", "archive", "archive"))
    if layout == "plain":
        return data
    if layout == "legacy":
        head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
        return head + data + pickle.dumps([], 2)
    return archive(data, {"0": bytes(dice.choice((0, 4, 64)))}, dice)


def archive(data: bytes, storages: dict[str, bytes], dice: random.Random | None = None) -> bytes:
    buffer = io.BytesIO()
    packed = dice is not None and dice.random() < 0.1
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/byteorder", "little")
        for name, content in storages.items():
            file.writestr(f"archive/data/{name}", content)
        file.writestr("archive/version", "3\n")
    return buffer.getvalue()


def _call(dice: random.Random, canary: str) -> bytes:
    module, name, argument = dice.choice(CALLS)
    argument = argument.format(canary=canary)
    text = struct.pack("<I", len(argument.encode())) + argument.encode()
    call = dice.choice(
        (
            b"c" + f"{module}\n{name}\n".encode() + b"X" + text + b"\x85R",
            b"(" + b"X" + text + b"i" + f"{module}\n{name}\n".encode(),
            _short(module) + _short(name) + b"\x93X" + text + b"\x85R",
            b"c" + f"{module}\n{name}\n".encode() + b"X" + text + b"\x85\x81",
            b"c" + f"{module}\n{name}\n".encode() + b")\x81X" + text + b"b",
        )
    )
    inside = dice.choice((b"%b", b"}X\x01\x00\x00\x00w%bs", b"]%ba", b"}X\x05\x00\x00\x00model%bs"))
    return b"\x80" + bytes([dice.choice((2, 2, 3, 4, 5))]) + inside.replace(b"%b", call) + b"."


def _short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def _tensor(dice: random.Random, canary: str) -> bytes:
    """A tensor whose storage, offset, size or strides are impossible."""
    count = dice.choice((0, 1, 16, -1, 2**31, 2**40, 2**62))
    size = tuple(dice.choice((0, 1, 4, -1, 2**31, 2**62)) for _ in range(dice.choice((0, 1, 2, 3))))
    stride = tuple(dice.choice((0, 1, 4, -1, 2**40)) for _ in size)
    offset = dice.choice((0, 0, 1, 100, -1, 2**60))
    head = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(("
    storage = (
        pickle.dumps("storage", 2)[2:-1]
        + b"ctorch\nFloatStorage\n"
        + b"".join(pickle.dumps(part, 2)[2:-1] for part in ("0", dice.choice(("cpu", "cuda:0", "meta", "xyz")), count))
    )
    rest = b"".join(pickle.dumps(part, 2)[2:-1] for part in (offset, size, stride, False, {}))
    return head + storage + b"tQ" + rest + b"tRs."


def _opcodes(dice: random.Random, canary: str) -> bytes:
    """A run of opcodes that a stack may or may not bear."""
    made = [b"\x80\x02"]
    for _ in range(dice.randrange(1, 60)):
        made.append(
            dice.choice(
                (
                    b"(", b")", b"]", b"}", b"t", b"\x85", b"\x86", b"\x87", b"s", b"u", b"a", b"e", b"R", b"\x81", b"b", b"0",
                    b"N", b"\x88", b"\x89", b"Q", b"2", b"q" + bytes([dice.randrange(4)]), b"h" + bytes([dice.randrange(4)]),
                    b"K" + dice.randbytes(1), b"J" + dice.randbytes(4), b"G" + dice.randbytes(8), b"X\x01\x00\x00\x00a",
                    b"X\x07\x00\x00\x00storage", b"\x8a" + b"\x08" + dice.randbytes(8), b"j" + dice.randbytes(4),
                    b"X" + dice.randbytes(4), b"\x8a\xff" + dice.randbytes(3), b"B" + dice.randbytes(4), b"1",
                    b"c" + dice.choice(_TORCH).replace(" ", "\n").encode() + b"\n",
                )
            )
        )  # fmt: skip
    return b"".join(made) + b"."


def _nested(dice: random.Random, canary: str) -> bytes:
    """Tuples in tuples that take for ever to hash, and lists nested deep."""
    if dice.random() < 0.5:
        doubled = b")" + b"".join(b"q\x01h\x01\x86" for _ in range(dice.choice((5, 30, 60))))
        return b"\x80\x02}" + doubled + b"Ns."
    depth = dice.choice((10, 1000, 100_000))
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def _large(dice: random.Random, canary: str) -> bytes:
    """Lengths that no file has."""
    return dice.choice(
        (b"X\xff\xff\xff\xff", b"\x8b\xff\xff\xff\x7f", b"B\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 8)
    ).join((b"\x80\x04", b"."))
