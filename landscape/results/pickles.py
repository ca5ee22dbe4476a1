"""Pickles read as descriptions: tensors and plain values are built, and whatever else a file asks for stays a name.

Python's own reader looks up and calls what a pickle names. This one does neither: it follows the opcodes, and only the names in
:data:`_MAKERS` mean anything, each a function of this file or a container. That is enough for every checkpoint whose weights are
tensors, whatever stands beside them, and leaves a file nothing to run.
"""

from __future__ import annotations

import pickletools
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch
from torch import Tensor

_VALUES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
_FEW, _LARGEST_COPIES = 8, 200_000  # entries of containers: shapes are free, and all others together are so many
_STORAGES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool,
    "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64, "Untyped": torch.uint8,
    "QInt8": torch.int8, "QUInt8": torch.uint8, "QInt32": torch.int32,
}  # fmt: skip
_NAME = re.compile(r"(?!\d)[\w<>]+(\.[\w<>]+)*")  # a text file read as a pickle asks for things that are no names
_OLD_MODULES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
}  # what Python 2, and pickles up to protocol 2, call them

# Only for what is said: nothing is called in any case, but a file that asks for these was made to do harm, or is no data.
_SYSTEM = re.compile(
    r"_pickle|code|codeop|commands|ctypes|importlib|marshal|nt|os|pickle|posix|pty|runpy|shutil|socket|subprocess|sys|webbrowser"
)
_RUNNERS = re.compile(
    r"builtins\.(eval|exec|execfile|compile|__import__|open|input|breakpoint)|types\.(Function|Code)Type|torch\.(load|hub\.\w+)"
)


class PickleError(ValueError):
    """The bytes are no pickle, or one that makes no sense."""


class AsksToRun(PickleError):
    """A pickle that calls a function of the system."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Source(Protocol):
    """What pickles are read from: a file, bytes in memory, or a mapped file."""

    def read(self, n: int, /) -> bytes: ...

    def readline(self) -> bytes: ...


@dataclass(frozen=True)
class Named:
    """A class or function that a pickle names. It is not looked up."""

    name: str


class StandIn(dict[Any, Any]):
    """In the place of an object of the class ``name``: it holds the items that a mapping of that class would, and does nothing."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<{self.name}>"


@dataclass(frozen=True, eq=False)
class Storage:
    """The numbers behind tensors, as one flat tensor."""

    data: Tensor


@dataclass(eq=False)
class NumpyType:
    code: str
    order: str = "="

    def plain(self) -> np.dtype[Any] | None:
        """The type where it is one of numbers; None for structures, texts and objects."""
        return (
            np.dtype(f"{self.order}{self.code}") if re.fullmatch(r"b1|[iu][1248]|f[248]|c(8|16)", self.code) else None
        )


@dataclass(eq=False)
class NumpyArray:
    """An array, filled when its state comes; ``value`` stays None where that is not one of numbers."""

    value: np.ndarray[Any, Any] | None = None

    def fill(self, state: Any) -> None:
        _, shape, kind, fortran, content = state
        dtype = kind.plain() if isinstance(kind, NumpyType) else None
        if dtype is not None and isinstance(content, bytes):
            self.value = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")

    @cached_property
    def tensor(self) -> Tensor | None:
        """A copy in this machine's order of bytes."""
        return None if self.value is None else torch.tensor(self.value.astype(self.value.dtype.newbyteorder("=")))


def storage_dtype(kind: object) -> torch.dtype:
    """Of a storage's class such as ``torch.FloatStorage``."""
    match = re.fullmatch(r"torch\.(?:storage\.|cuda\.)?(\w+)Storage", kind.name) if isinstance(kind, Named) else None
    if match is None or match[1] not in _STORAGES:
        raise PickleError(f"storage of unknown kind {getattr(kind, 'name', kind)!r:.80}")
    return _STORAGES[match[1]]


class Pickles:
    """Pickles that are read one after the other from one source.

    Attributes:
        unmade: the names of what they ask for and was not made.
    """

    def __init__(self, source: Source | BinaryIO) -> None:
        self.unmade: list[str] = []
        self._source = source

    def read(self, storage: Callable[[Any], Any] | None = None) -> Any:
        """The next pickle's value, where ``storage`` gives what a persistent id stands for.

        Raises:
            AsksToRun: where it calls one of the functions that no data needs.
            PickleError: where the bytes are no pickle, or it does not make sense.
        """
        machine = _Machine(storage, self.unmade)
        try:
            for opcode, argument, _ in pickletools.genops(self._source):  # type: ignore[arg-type]
                machine.step(opcode.name, argument)
            return machine.stack.pop()
        except PickleError:
            raise
        except Exception as error:  # wrong bytes go wrong in every way there is
            raise PickleError(f"{type(error).__name__}: {error}") from error


class _Machine:
    """The stack machine that pickles are programs of; see the module ``pickletools`` for its opcodes."""

    def __init__(self, storage: Callable[[Any], Any] | None, unmade: list[str]) -> None:
        self.stack: list[Any] = []
        self._unmade, self._copied = unmade, 0
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._storage = storage
        self._encoded: dict[int, tuple[str, bytes]] = {}  # a text may stand for bytes many times

    def step(self, name: str, argument: Any) -> None:
        if name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif "PUT" in name or name == "MEMOIZE":
            self._memo[len(self._memo) if argument is None else argument] = self.stack[-1]
        elif "GET" in name:
            self.stack.append(self._memo[argument])
        elif "EXT" in name or "BUFFER" in name:
            raise PickleError(f"opcode {name} belongs to no file")
        elif name not in ("PROTO", "FRAME", "STOP"):
            self.stack.append(argument)  # a number or a text

    def call(self, function: object, arguments: Any) -> Any:
        """What a call would give: made here for the few names that are known, else a stand-in."""
        name = function.name if isinstance(function, Named | StandIn) else type(function).__name__
        if isinstance(function, Named) and (_SYSTEM.fullmatch(name.split(".")[0]) or _RUNNERS.fullmatch(name)):
            raise AsksToRun(name)
        if not isinstance(arguments, tuple):
            raise PickleError(f"{name} is called without arguments")
        if name == "_codecs.encode" and len(arguments) == 2 and arguments[1] in ("latin1", "latin-1"):
            return self._encoded.setdefault(id(arguments[0]), (arguments[0], arguments[0].encode("latin-1")))[1]
        # A container can be copied again and again by a few bytes each time; no checkpoint does.
        self._copied += sum(len(a) for a in arguments if isinstance(a, list | dict | tuple) and len(a) > _FEW)
        maker = _MAKERS.get(name) if isinstance(function, Named) and self._copied < _LARGEST_COPIES else None
        made = None if maker is None else maker(*arguments)
        return self.stand_in(name) if made is None else made

    def stand_in(self, name: str) -> StandIn:
        self._unmade.append(name)
        return StandIn(name)

    def items(self) -> list[Any]:
        """What was pushed since the last mark."""
        found, self.stack = self.stack, self._marks.pop()
        return found

    def mark(self, _: Any) -> None:
        self._marks.append(self.stack)
        self.stack = []

    def name(self, argument: str) -> Any:
        module, _, name = argument.partition(" ")
        if not _NAME.fullmatch(module) or not _NAME.fullmatch(name):
            raise PickleError("a name that is none")
        full = f"{_OLD_MODULES.get(module, module)}.{name}"
        return _VALUES.get(full, Named(full))

    def push_stack_global(self, _: Any) -> None:
        module, name = self.stack[-2:]
        if not (isinstance(module, str) and isinstance(name, str)):
            raise PickleError("a name that is no text")
        self.stack[-2:] = [self.name(f"{module} {name}")]

    def take(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise PickleError("more is taken than is there")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def reduce(self, _: Any) -> None:
        function, arguments = self.take(2)
        self.stack.append(self.call(function, arguments))

    def new_with_keywords(self, _: Any) -> None:
        kind, _, _ = self.take(3)
        known = isinstance(kind, Named) and kind.name in _MAKERS  # none of these takes keywords
        self.stack.append(self.stand_in("object") if known else self.call(kind, ()))

    def instance(self, argument: str) -> None:
        arguments = tuple(self.items())
        self.stack.append(self.call(self.name(argument), arguments))

    def old_object(self, _: Any) -> None:
        kind, *arguments = self.items()
        self.stack.append(self.call(kind, tuple(arguments)))

    def build(self, _: Any) -> None:
        (state,) = self.take(1)
        target = self.stack[-1]
        if isinstance(target, NumpyArray):
            target.fill(state)
        elif isinstance(target, NumpyType):
            target.order = state[1] if state[1] in ("<", ">") else "="
        elif isinstance(target, OrderedDict) and isinstance(state, dict) and isinstance(state.get("_metadata"), dict):
            target._metadata = state["_metadata"]  # type: ignore[attr-defined]  # versions, which modules read their weights by

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, set):
            target.update(map(_key, values))
        elif not isinstance(target, StandIn):
            raise PickleError("a list's items for something else")

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise PickleError("a mapping's items for something else")
        target.update(_pairs(values))

    def persistent(self, identity: Any) -> None:
        if self._storage is None:
            raise PickleError("a storage outside of an archive")
        self.stack.append(self._storage(identity))


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return {_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)}


def _key(value: Any) -> Any:
    # Hashing a tuple of tuples of tuples … takes for ever, and no weight is called by one.
    flat = isinstance(value, _SIMPLE) or (isinstance(value, tuple) and all(isinstance(v, _SIMPLE) for v in value))
    return value if flat else StandIn(type(value).__name__)


_SIMPLE = (str, bytes, int, float, Named, StandIn, torch.dtype, type(None))
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": _Machine.mark,
    "POP": lambda m, _: m.take(1) if m.stack else m.items(),
    "POP_MARK": lambda m, _: m.items(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "TUPLE": lambda m, _: _push(m, tuple(m.items())),
    "TUPLE1": lambda m, _: m.stack.append(tuple(m.take(1))),
    "TUPLE2": lambda m, _: m.stack.append(tuple(m.take(2))),
    "TUPLE3": lambda m, _: m.stack.append(tuple(m.take(3))),
    "LIST": lambda m, _: _push(m, m.items()),
    "FROZENSET": lambda m, _: _push(m, frozenset(map(_key, m.items()))),
    "DICT": lambda m, _: _push(m, _pairs(m.items())),
    "APPEND": lambda m, _: m.append(m.take(1)),
    "APPENDS": lambda m, _: m.append(m.items()),
    "ADDITEMS": lambda m, _: m.append(m.items()),
    "SETITEM": lambda m, _: m.set_items(m.take(2)),
    "SETITEMS": lambda m, _: m.set_items(m.items()),
    "GLOBAL": lambda m, argument: m.stack.append(m.name(argument)),
    "STACK_GLOBAL": _Machine.push_stack_global,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.new_with_keywords,
    "INST": _Machine.instance,
    "OBJ": _Machine.old_object,
    "BUILD": _Machine.build,
    "PERSID": lambda m, argument: m.persistent(argument),
    "BINPERSID": lambda m, _: m.persistent(m.take(1)[0]),
}


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)  # evaluated after the mark was taken off, which changes the stack


def _mapping(pairs: Any = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((_key(key), value) for key, value in pairs)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor | None:
    if not isinstance(storage, Storage) or (len(rest) > 2 and rest[2]):  # bits that say "conjugate", "negative"
        return None
    return _strided(storage.data, size, stride, offset)


def _typed_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, _: Any, __: Any, dtype: Any, *rest: Any
) -> Tensor | None:
    if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype) or (rest and rest[0]):
        return None
    return _strided(storage.data.view(torch.uint8).view(dtype), size, stride, offset)


def _strided(data: Tensor, size: Any, stride: Any, offset: Any) -> Tensor:
    if min((0, *size, *stride, offset)) < 0:
        raise PickleError("a tensor of negative size")
    return torch.as_strided(data, tuple(size), tuple(stride), offset)  # refuses what lies outside of ``data``


def _same(data: Any, *_: Any) -> Any:
    return data if isinstance(data, Tensor) else None


def _of_type(function: Any, kind: Any, arguments: Any, _: Any) -> Any:
    """A parameter, or a tensor with attributes; other subclasses may mean something else by their numbers."""
    plain = isinstance(kind, Named) and kind.name in _PLAIN
    maker = _TENSORS.get(function.name) if isinstance(function, Named) and plain else None
    return None if maker is None else maker(*arguments)


def _numpy_type(code: Any, *_: Any) -> NumpyType | None:
    return NumpyType(code) if isinstance(code, str) else None


def _numpy_scalar(kind: Any, content: Any) -> Any:
    dtype = kind.plain() if isinstance(kind, NumpyType) else None
    return (
        np.frombuffer(content, dtype, count=1)[0].item() if dtype is not None and isinstance(content, bytes) else None
    )


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any, *_: Any) -> NumpyArray:
    made = NumpyArray()
    made.fill((1, shape, kind, order == "F", bytes(content) if isinstance(content, bytes | bytearray) else None))
    return made


def _reconstructed(kind: Any, base: Any, state: Any) -> Any:
    """What protocols 0 and 1 make of an object: of a mapping, its items."""
    made = StandIn(kind.name if isinstance(kind, Named) else "object")
    if isinstance(state, Mapping):
        made.update(state)
    return made


_PLAIN = frozenset(
    {"torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"}
)
_TENSORS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _same,
    "torch._utils._rebuild_parameter_with_state": _same,
}
_MAKERS: dict[str, Callable[..., Any]] = {
    **_TENSORS,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch.nn.parameter.Parameter": _same,
    "torch.Size": lambda sizes=(): torch.Size(sizes),
    "torch.device": lambda *named: torch.device(*named),
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": lambda *_: OrderedDict(),
    "builtins.dict": _mapping,
    "collections.Counter": lambda counts=(): Counter(_mapping(dict(counts).items())),
    "builtins.complex": lambda *parts: complex(*parts),
    "builtins.bytearray": lambda content=b"", *_: content if isinstance(content, bytes) else None,
    "builtins.set": lambda entries=(): set(map(_key, entries)),
    "builtins.frozenset": lambda entries=(): frozenset(map(_key, entries)),
    "copyreg._reconstructor": _reconstructed,
    "numpy.dtype": _numpy_type,
    **{
        f"numpy.{core}.{name}": maker
        for core in ("core", "_core")
        for name, maker in (
            ("multiarray.scalar", _numpy_scalar),
            ("multiarray._reconstruct", lambda *_: NumpyArray()),
            ("numeric._frombuffer", _from_buffer),
        )
    },
}
