"""Read PyTorch checkpoint files without PyTorch and without running what is inside.

A `.pth` file is a pickle plus raw tensor storages, and unpickling runs whatever functions the file
names. Here only the few names of `_names` exist, each replaced by a stand-in of this module, so a
file can yield tensors and plain containers and nothing else. Both formats of `torch.save` are read:
the zip archive (torch >= 1.6) and the older sequence of pickles ("legacy"). The tar format of
torch < 0.1.10 is refused.

Source: the layouts written by `torch.save`, observed with torch 2.13 and older published files.
"""

import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

MAX_BYTES = 4 << 30
MAX_ENTRIES = 200_000
MAX_OPCODES = 20_000_000
MAX_DEPTH = 100
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")

_DTYPES = {
    name: np.dtype(getattr(jnp, name))
    for name in (
        "float32 float64 float16 bfloat16 float8_e4m3fn float8_e5m2 int64 int32 int16 int8 uint8"
        " uint16 uint32 uint64 complex64 complex128"
    ).split()
} | {"bool": np.dtype(np.bool_)}
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
_REFUSED_OPCODES = frozenset(
    "INST OBJ NEWOBJ NEWOBJ_EX EXT1 EXT2 EXT4 BYTEARRAY8 NEXT_BUFFER READONLY_BUFFER PERSID".split()
)


class Storage(NamedTuple):
    """A tensor storage that the pickle refers to: `count` elements of `dtype`."""

    key: str
    dtype: np.dtype
    count: int
    offset: int
    root_count: int


class Tensor(NamedTuple):
    """A strided view of a storage, in elements, not yet read or checked."""

    storage: Storage
    offset: Any
    shape: Any
    strides: Any
    dtype: np.dtype


class _Refused(ValueError):
    """Something in the file that is not read, with the reason."""


class _StandIn:
    """What a name in the pickle becomes: callable, and unchangeable by the pickle."""

    __slots__ = ("_call", "name", "value")

    def __init__(self, name: str, call: Callable[..., Any] | None = None, value: Any = None):
        self.name, self._call, self.value = name, call, value

    def __call__(self, *args: Any) -> Any:
        if self._call is None:
            raise _Refused(f"calls {self.name}, which is only a name here")
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        raise _Refused(f"sets attributes of {self.name}")


class _Dict(dict):
    """A plain dict that ignores attributes (`state_dict()._metadata`)."""

    def __setstate__(self, state: Any) -> None:
        """Drop the state; attributes of containers carry no weights."""


def _ordered_dict(items: Any = ()) -> _Dict:
    return _Dict((key, value) for key, value in (items.items() if hasattr(items, "items") else items))


def _rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise _Refused("rebuilds a tensor from something that is no storage")
    return Tensor(storage, offset, shape, strides, storage.dtype)


def _rebuild_v3(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    tensor = _rebuild(storage, offset, shape, strides)
    dtype = rest[2] if len(rest) > 2 else None
    if not isinstance(dtype, _StandIn) or not isinstance(dtype.value, np.dtype):
        raise _Refused("rebuilds a tensor without a known dtype")
    return tensor._replace(dtype=dtype.value)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _Refused("calls _codecs.encode on something other than the bytes of a pickle")
    return text.encode("latin1")


class _NumpyType:
    """Stand-in of a `numpy.dtype`; its pickled state holds nothing but the byte order."""

    __slots__ = ("order", "text")

    def __init__(self, text: Any = "", *rest: Any):
        self.text, self.order = text, "<"

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        self.order = order if order in ("<", ">", "|", "=") else "<"


def _numpy_scalar(dtype: Any, raw: Any = b"") -> Any:
    text = dtype.text if isinstance(dtype, _NumpyType) else None
    if not (isinstance(text, str) and text[:1] in "biufc" and text[1:] in ("1", "2", "4", "8")):
        raise _Refused("holds a NumPy scalar that is no number")
    kind = np.dtype(f"{dtype.order}{text}")
    if not isinstance(raw, bytes) or len(raw) != kind.itemsize:
        raise _Refused("holds a malformed NumPy scalar")
    return np.frombuffer(raw, kind)[0].item()


_CALLS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _NumpyType,
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
    "torch.device": lambda *parts: ":".join(str(part) for part in parts),
    "_codecs.encode": _encode,
    "builtins.set": list,
    "__builtin__.set": list,
}


def _names(module: str, name: str) -> _StandIn:
    """Return the stand-in of a name, or refuse it: the allow-list."""
    full = f"{module}.{name}"
    if full in _CALLS:
        return _StandIn(full, _CALLS[full])
    if module in ("torch", "torch.storage", "torch.cuda") and name in _STORAGES:
        return _StandIn(full, None, _DTYPES[_STORAGES[name]])
    dtype = _DTYPE_ALIASES.get(name, name)
    if module == "torch" and dtype in _DTYPES:
        return _StandIn(full, None, _DTYPES[dtype])
    raise _Refused(
        f"refused {full}: only tensors and plain containers are read, and code is never run"
        " (save a model's state_dict() instead of the model)"
    )


class _Unpickler(pickle.Unpickler):
    """The standard unpickler with nothing but stand-ins in reach."""

    def __init__(self, file: BinaryIO, storages: dict[str, Storage]):
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        return _names(module, name)

    def persistent_load(self, pid: Any) -> Storage:
        if not (isinstance(pid, tuple) and len(pid) in (5, 6) and _text(pid[0]) == "storage"):
            raise _Refused("holds a reference that is no tensor storage")
        kind, key, count, view = pid[1], _text(pid[2]), pid[4], (*pid, None)[5]
        if not isinstance(kind, _StandIn) or not isinstance(kind.value, np.dtype):
            raise _Refused("holds a storage of unknown type")
        if not isinstance(key, str) or not _is_size(count):
            raise _Refused("holds a storage without a name or size")
        known = self._storages.setdefault(key, Storage(key, kind.value, count, 0, count))
        if (known.dtype, known.count) != (kind.value, count):
            raise _Refused(f"describes storage {key!r} in two ways")
        if view is None:
            return known
        if not (isinstance(view, tuple) and len(view) == 3 and all(map(_is_size, view[1:]))):
            raise _Refused(f"holds a malformed view of storage {key!r}")
        if view[1] + view[2] > count:
            raise _Refused(f"holds a view beyond the end of storage {key!r}")
        return Storage(key, kind.value, view[2], view[1], count)


def _text(value: Any) -> Any:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 0


def _load_pickle(data: BinaryIO, storages: dict[str, Storage]) -> Any:
    """Scan one pickle for what is never read, then load it; `data` ends up behind it."""
    start, count, highest = data.tell(), 0, 0
    for opcode, argument, _ in pickletools.genops(data):
        count += 1
        if opcode.name in _REFUSED_OPCODES:
            raise _Refused(f"refused pickle opcode {opcode.name}: only tensors are read")
        if opcode.name == "GLOBAL":
            _names(*str(argument).split(" ", 1))
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            highest = max(highest, int(str(argument)))
        if count > MAX_OPCODES:
            raise _Refused(f"holds a pickle of more than {MAX_OPCODES} operations")
    if highest > count:
        raise _Refused("holds a pickle whose memo is larger than the pickle")
    end = data.tell()
    data.seek(start)
    value = _Unpickler(io.BytesIO(data.read(end - start)), storages).load()
    data.seek(end)
    return value


class _Checkpoint:
    """A loaded pickle and the bytes of its storages; `resolve` turns views into arrays."""

    def __init__(self, tree: Any, fetch: Callable[[Storage], bytes], little: bool = True):
        self.tree, self._fetch, self._little, self._left = tree, fetch, little, MAX_BYTES
        self._raw: dict[str, np.ndarray] = {}

    def array(self, tensor: Tensor) -> np.ndarray:
        """Check one view against its storage and copy it out, contiguous, native byte order."""
        storage, size = tensor.storage, tensor.dtype.itemsize
        raw = self._bytes(storage)
        raw = raw[storage.offset * storage.dtype.itemsize :]
        available = storage.count * storage.dtype.itemsize // size
        shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
        if not (
            isinstance(shape, (tuple, list))
            and isinstance(strides, (tuple, list))
            and len(shape) == len(strides) <= 32
            and all(map(_is_size, (*shape, *strides, offset)))
        ):
            raise _Refused(f"holds a tensor of malformed shape {shape!r} and strides {strides!r}")
        if math.prod(shape) == 0:
            return np.empty(shape, tensor.dtype)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if last >= available:
            raise _Refused(
                f"holds a tensor {tuple(shape)} that reaches element {last} of storage"
                f" {storage.key!r}, which has {available}"
            )
        self._left -= math.prod(shape) * size
        if self._left < 0:
            raise _Refused(f"holds tensors of more than {MAX_BYTES} bytes in total")
        flat = raw[: available * size]
        if not self._little:
            unit = size // 2 if tensor.dtype.kind == "c" else size
            flat = np.ascontiguousarray(flat.reshape(-1, unit)[:, ::-1]).reshape(-1)
        flat = flat.view(tensor.dtype)[offset:]
        steps = [step * size for step in strides]
        view = np.lib.stride_tricks.as_strided(flat, tuple(shape), steps, writeable=False)
        return np.array(view, order="C")

    def _bytes(self, storage: Storage) -> np.ndarray:
        if storage.key not in self._raw:
            raw = self._fetch(storage)
            wanted = storage.root_count * storage.dtype.itemsize
            if len(raw) != wanted:
                raise _Refused(
                    f"has {len(raw)} bytes in storage {storage.key!r}, expected {wanted}"
                )
            self._raw[storage.key] = np.frombuffer(raw, np.uint8)
        return self._raw[storage.key]

    def resolve(self, value: Any, depth: int = 0, seen: dict[int, Any] | None = None) -> Any:
        """Replace every tensor below `value` by an array, containers by dict, list and tuple."""
        seen = {} if seen is None else seen
        if isinstance(value, Tensor):
            if id(value) not in seen:
                seen[id(value)] = self.array(value)
            return seen[id(value)]
        if isinstance(value, Storage):
            return self.array(Tensor(value, 0, (value.count,), (1,), value.dtype))
        if isinstance(value, _StandIn):
            return value.name
        if isinstance(value, _NumpyType):
            return str(value.text)
        if not isinstance(value, (dict, list, tuple)):
            return value
        if depth > MAX_DEPTH:
            raise _Refused(f"is nested more than {MAX_DEPTH} deep")
        if id(value) in seen:
            return seen[id(value)]
        if isinstance(value, dict):
            result = {
                _plain_key(key): self.resolve(item, depth + 1, seen) for key, item in value.items()
            }
        else:
            result = [self.resolve(item, depth + 1, seen) for item in value]
            result = tuple(result) if isinstance(value, tuple) else result
        seen[id(value)] = result
        return result


def _plain_key(key: Any) -> Any:
    if isinstance(key, (str, int, float, bool, bytes, type(None))):
        return key
    raise _Refused(f"holds a dict with a key of type {type(key).__name__}")


def _open_zip(stream: BinaryIO, size: int) -> _Checkpoint:
    """Read the archive of torch >= 1.6: `ROOT/data.pkl`, `ROOT/data/KEY`, `ROOT/byteorder`."""
    archive = zipfile.ZipFile(stream)
    entries = {info.filename: info for info in archive.infolist()}
    if len(entries) != len(archive.infolist()) or len(entries) > MAX_ENTRIES:
        raise _Refused("is a zip archive with repeated or too many entries")
    if sum(info.file_size for info in entries.values()) > size:
        raise _Refused("is a zip archive whose entries are larger than the file")
    if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
        raise _Refused("is a compressed zip archive, which torch.save does not write")
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise _Refused("is a zip archive but no PyTorch checkpoint (no data.pkl)")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries:
        raise _Refused("is a TorchScript program, not a checkpoint of tensors")
    order = archive.read(f"{root}byteorder") if f"{root}byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise _Refused(f"names an unknown byte order {order!r}")

    def fetch(storage: Storage) -> bytes:
        name = f"{root}data/{storage.key}"
        if name not in entries:
            raise _Refused(f"lacks storage {storage.key!r}")
        return archive.read(name)

    tree = _load_pickle(io.BytesIO(archive.read(pickles[0])), {})
    return _Checkpoint(tree, fetch, little=order == b"little")


def _open_legacy(data: bytes) -> _Checkpoint:
    """Read the format of torch < 1.6: five pickles, then each storage as int64 count and bytes."""
    stream, storages = io.BytesIO(data), dict[str, Storage]()
    if _load_pickle(stream, {}) != LEGACY_MAGIC or _load_pickle(stream, {}) != 1001:
        raise _Refused("is a pickle but no PyTorch checkpoint")
    _load_pickle(stream, {})
    tree = _load_pickle(stream, storages)
    keys = [_text(key) for key in _load_pickle(stream, {})]
    spans: dict[str, tuple[int, int]] = {}
    position = stream.tell()
    for key in keys:
        if key not in storages:
            raise _Refused(f"holds storage {key!r} that no tensor uses")
        count = int.from_bytes(data[position : position + 8], "little", signed=True)
        length = count * storages[key].dtype.itemsize
        if count < 0 or position + 8 + length > len(data):
            raise _Refused(f"ends within storage {key!r}: truncated")
        spans[key] = (position + 8, position + 8 + length)
        position += 8 + length

    def fetch(storage: Storage) -> bytes:
        if storage.key not in spans:
            raise _Refused(f"lacks storage {storage.key!r}")
        return data[slice(*spans[storage.key])]

    return _Checkpoint(tree, fetch)


def _read(path: Path, select: Callable[[_Checkpoint], Any]) -> Any:
    """Open `path` in whichever format it has and apply `select`, every failure one ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"no such checkpoint file: {path}")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path} has {size} bytes; at most {MAX_BYTES} are read")
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
            stream.seek(0)
            if start[:4] == b"PK\x03\x04":
                return select(_open_zip(stream, size))
            if start[257:262] == b"ustar" or start[:9] == b"storages\0":
                raise _Refused("has the tar format of torch < 0.1.10; save it anew with torch")
            if start[:1] != b"\x80":
                raise _Refused("is no PyTorch checkpoint")
            return select(_open_legacy(stream.read()))
    except _Refused as error:
        raise ValueError(f"{path} {error}") from None
    except OSError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is a damaged or foreign checkpoint: {reason}") from error


def read_file(path: str | Path) -> Any:
    """Read everything in a PyTorch checkpoint: dicts, lists, tuples, scalars and arrays.

    Args:
        path: a file written by `torch.save`, zip or legacy format.

    Returns:
        The saved object. Tensors are NumPy arrays of the same shape, dtype and bits (bfloat16 as
        `jax.numpy.bfloat16`), OrderedDicts are dicts, devices and dtypes are strings.

    Raises:
        ValueError: the file is damaged, is no checkpoint, or names anything but tensors and plain
            containers; the message says which name. Nothing in the file is run.
        OSError: the file cannot be read.
    """
    return _read(Path(path), lambda checkpoint: checkpoint.resolve(checkpoint.tree))


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """Read the state dict in a PyTorch checkpoint.

    `{"state_dict": ...}`, `{"model": ...}` and the like are unwrapped, what lies beside the state
    dict (optimizer, epoch) is skipped, and the prefix `module.` of DataParallel is removed.

    Args:
        path: a file written by `torch.save`, zip or legacy format.

    Returns:
        Names and arrays in the file's order, in PyTorch's layout (convolutions OIHW).

    Raises:
        ValueError: as `read_file`, or the file holds no state dict.
        OSError: the file cannot be read.
    """

    def select(checkpoint: _Checkpoint) -> dict[str, np.ndarray]:
        tree = checkpoint.tree
        for _ in range(3):
            inner = (tree.get(name) for name in WRAPPERS) if isinstance(tree, dict) else ()
            tree = next((value for value in inner if isinstance(value, dict)), tree)
        if not isinstance(tree, dict):
            raise _Refused(f"holds {_describe(tree)}, not a dict of tensors")
        tensors = dict(_tensors(tree))
        if not tensors:
            keys = ", ".join(repr(key) for key in list(tree)[:5])
            raise _Refused(f"holds no state dict (its keys: {keys or 'none'})")
        seen: dict[int, Any] = {}
        arrays = {name: checkpoint.resolve(tensor, 0, seen) for name, tensor in tensors.items()}
        return strip_prefix(arrays)

    return _read(Path(path), select)


def _tensors(tree: Mapping[Any, Any]) -> Iterator[tuple[str, Tensor]]:
    for key, value in tree.items():
        if isinstance(value, Tensor):
            if not isinstance(key, str):
                raise _Refused(f"holds a tensor under the key {key!r}, expected a name")
            yield key, value


def _describe(tree: Any) -> str:
    return "a tensor" if isinstance(tree, Tensor) else f"an object of type {type(tree).__name__}"


def strip_prefix(state_dict: Mapping[str, Any], prefix: str = "module.") -> dict[str, Any]:
    """Remove `prefix` from the names that start with it.

    Raises:
        ValueError: two names become equal.
    """
    result: dict[str, Any] = {}
    for key, value in state_dict.items():
        name = key.removeprefix(prefix)
        if name in result:
            raise ValueError(f"state dict holds {name!r} both with and without {prefix!r}")
        result[name] = value
    return result
