"""The pickles of PyTorch checkpoints, loaded with nothing but tensors and containers in reach.

Unpickling runs whatever functions a file names. Here only the few names of `_stand_in` exist, each
replaced by an inert stand-in of this module, so a pickle can yield plain containers, numbers, text
and references to tensors (`Tensor`), and nothing else. Each pickle is scanned before it is loaded,
for names and operations that are refused and for sizes that would exhaust the memory.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

MAX_OPCODES = 20_000_000

_PLAIN = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16")
_PLAIN += ("uint32", "uint64", "complex64", "complex128", "bool")
_DTYPES = {name: np.dtype(name) for name in _PLAIN} | {
    name: np.dtype(getattr(jnp, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")
}
_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
_DTYPE_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "long": "int64"}
# Opcodes that make instances by other ways than a stand-in's call, or share buffers.
_REFUSED_OPCODES = {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID"}
_REFUSED_OPCODES |= {"BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER"}


class Storage(NamedTuple):
    """A tensor storage that the pickle refers to: `length` elements of `dtype`."""

    key: str
    dtype: np.dtype
    length: int
    offset: int
    root_length: int


class Tensor(NamedTuple):
    """A strided view of a storage, in elements, not yet read or checked."""

    storage: Storage
    offset: Any
    shape: Any
    strides: Any
    dtype: np.dtype


class Refused(ValueError):
    """Something in the file that is not read, with the reason."""


class StandIn:
    """What a name in the pickle becomes: callable, and unchangeable by the pickle."""

    __slots__ = ("_call", "name", "value")

    def __init__(self, name: str, call: Callable[..., Any] | None = None, value: Any = None):
        self.name, self._call, self.value = name, call, value

    def __call__(self, *args: Any) -> Any:
        if self._call is None:
            raise Refused(f"calls {self.name}, which is only a name here")
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        raise Refused(f"sets attributes of {self.name}")


class _Dict(dict):
    """A plain dict that ignores attributes (`state_dict()._metadata`)."""

    def __setstate__(self, state: Any) -> None:
        """Drop the state; attributes of containers carry no weights."""


def _ordered_dict(items: Any = ()) -> _Dict:
    return _Dict(
        (key, value) for key, value in (items.items() if hasattr(items, "items") else items)
    )


def _rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise Refused("rebuilds a tensor from something that is no storage")
    return Tensor(storage, offset, shape, strides, storage.dtype)


def _rebuild_v3(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    tensor = _rebuild(storage, offset, shape, strides)
    dtype = rest[2] if len(rest) > 2 else None
    if not isinstance(dtype, StandIn) or not isinstance(dtype.value, np.dtype):
        raise Refused("rebuilds a tensor without a known dtype")
    return tensor._replace(dtype=dtype.value)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("calls _codecs.encode on something other than the bytes of a pickle")
    return text.encode("latin1")


class NumpyType:
    """Stand-in of a `numpy.dtype`; its pickled state holds nothing but the byte order."""

    __slots__ = ("order", "text")

    def __init__(self, text: Any = "", *rest: Any):
        self.text, self.order = text, "<"

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        self.order = order if order in ("<", ">", "|", "=") else "<"


def _numpy_scalar(dtype: Any, raw: Any = b"") -> Any:
    text = dtype.text if isinstance(dtype, NumpyType) else None
    if not (isinstance(text, str) and text[:1] in "biufc" and text[1:] in ("1", "2", "4", "8")):
        raise Refused("holds a NumPy scalar that is no number")
    kind = np.dtype(f"{dtype.order}{text}")
    if not isinstance(raw, bytes) or len(raw) != kind.itemsize:
        raise Refused("holds a malformed NumPy scalar")
    return np.frombuffer(raw, kind)[0].item()


_CALLS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": NumpyType,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _ordered_dict,
    "torch._utils._rebuild_tensor": _rebuild,
    "torch._utils._rebuild_tensor_v2": _rebuild,
    "torch._utils._rebuild_tensor_v3": _rebuild_v3,
    "torch._utils._rebuild_parameter": lambda data, *rest: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *rest: data,
    "torch.Size": lambda sizes=(): tuple(sizes),
    "torch.device": lambda *parts: ":".join(show(part).strip("'") for part in parts),
    "_codecs.encode": _encode,
    "builtins.set": list,
    "__builtin__.set": list,
}


def _stand_in(module: str, name: str) -> StandIn:
    """Return the stand-in of a name, or refuse it: the allow-list."""
    full = f"{module}.{name}"
    if full in _CALLS:
        return StandIn(full, _CALLS[full])
    if module in ("torch", "torch.storage", "torch.cuda") and name in _STORAGES:
        return StandIn(full, None, _DTYPES[_STORAGES[name]])
    dtype = _DTYPE_ALIASES.get(name, name)
    if module == "torch" and dtype in _DTYPES:
        return StandIn(full, None, _DTYPES[dtype])
    raise Refused(
        f"refused {full}: only tensors and plain containers are read, and code is never run"
        " (save a model's state_dict() instead of the model)"
    )


class _Unpickler(pickle.Unpickler):
    """The standard unpickler with nothing but stand-ins in reach."""

    def __init__(self, file: io.BytesIO, storages: dict[str, Storage]):
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        return _stand_in(module, name)

    def persistent_load(self, pid: Any) -> Storage:
        if not (isinstance(pid, tuple) and len(pid) in (5, 6) and text_of(pid[0]) == "storage"):
            raise Refused("holds a reference that is no tensor storage")
        kind, key, count, view = pid[1], text_of(pid[2]), pid[4], (*pid, None)[5]
        if not isinstance(kind, StandIn) or not isinstance(kind.value, np.dtype):
            raise Refused("holds a storage of unknown type")
        if not isinstance(key, str) or not is_size(count):
            raise Refused("holds a storage without a name or size")
        known = self._storages.setdefault(key, Storage(key, kind.value, count, 0, count))
        if (known.dtype, known.length) != (kind.value, count):
            raise Refused(f"describes storage {key!r} in two ways")
        if view is None:
            return known
        if not (isinstance(view, tuple) and len(view) == 3 and all(map(is_size, view[1:]))):
            raise Refused(f"holds a malformed view of storage {key!r}")
        if view[1] + view[2] > count:
            raise Refused(f"holds a view beyond the end of storage {key!r}")
        return Storage(key, kind.value, view[2], view[1], count)


def text_of(value: Any) -> Any:
    """Give text for the bytes that Python 2 wrote as text."""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


def show(value: Any) -> str:
    """Give the repr of a plain value, else its type: nested values may have endless ones."""
    plain = value is None or type(value) in (bool, int, float, str, bytes)
    return repr(value)[:80] if plain else f"an object of type {type(value).__name__}"


def is_size(value: Any) -> bool:
    """Tell whether a value of the pickle is an integer of at least 0."""
    return type(value) is int and value >= 0


def load_pickle(data: io.BytesIO, storages: dict[str, Storage]) -> Any:
    """Scan one pickle for what is never read, then load it; `data` ends up behind it."""
    start, count, highest = data.tell(), 0, 0
    for opcode, argument, _ in pickletools.genops(data):
        count += 1
        if opcode.name in _REFUSED_OPCODES:
            raise Refused(f"refused pickle opcode {opcode.name}: only tensors are read")
        if opcode.name == "GLOBAL":
            _stand_in(*str(argument).split(" ", 1))
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            highest = max(highest, int(str(argument)))
        if count > MAX_OPCODES:
            raise Refused(f"holds a pickle of more than {MAX_OPCODES} operations")
    if highest > count:
        raise Refused("holds a pickle whose memo is larger than the pickle")
    end = data.tell()
    data.seek(start)
    value = _Unpickler(io.BytesIO(data.read(end - start)), storages).load()
    data.seek(end)
    return value
