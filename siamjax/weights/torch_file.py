"""Read PyTorch checkpoint files without PyTorch and without running what is inside.

Both formats of `torch.save` are read: the zip archive (torch >= 1.6) and the older sequence of
pickles ("legacy"); the tar format of torch < 0.1.10 is refused. What the pickles may contain is in
`torch_pickle`; here their storages become arrays, every size and view checked first.

Source: the layouts written by `torch.save`, observed with torch 2.13 and older published files.
"""

import io
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from siamjax.weights.torch_pickle import (
    NumpyType,
    Refused,
    StandIn,
    Storage,
    Tensor,
    is_size,
    load_pickle,
    show,
    text_of,
)

MAX_BYTES = 4 << 30
MAX_ENTRIES = 200_000
MAX_DEPTH = 100
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")


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
        available = storage.length * storage.dtype.itemsize // size
        shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
        if not (
            isinstance(shape, (tuple, list))
            and isinstance(strides, (tuple, list))
            and len(shape) == len(strides) <= 32
            and all(map(is_size, (*shape, *strides, offset)))
        ):
            raise Refused("holds a tensor of malformed shape, strides or offset")
        if math.prod(shape) == 0:
            return np.empty(shape, tensor.dtype)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if last >= available:
            raise Refused(
                f"holds a tensor {tuple(shape)} that reaches element {last} of storage"
                f" {storage.key!r}, which has {available}"
            )
        self._left -= math.prod(shape) * size
        if self._left < 0:
            raise Refused(f"holds tensors of more than {MAX_BYTES} bytes in total")
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
            wanted = storage.root_length * storage.dtype.itemsize
            if len(raw) != wanted:
                raise Refused(f"has {len(raw)} bytes in storage {storage.key!r}, expected {wanted}")
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
            return self.array(Tensor(value, 0, (value.length,), (1,), value.dtype))
        if isinstance(value, StandIn):
            return value.name
        if isinstance(value, NumpyType):
            return show(value.text)
        if not isinstance(value, (dict, list, tuple)):
            return value
        if depth > MAX_DEPTH:
            raise Refused(f"is nested more than {MAX_DEPTH} deep")
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
    raise Refused(f"holds a dict with a key of type {type(key).__name__}")


def _open_zip(stream: io.BufferedIOBase, size: int) -> _Checkpoint:
    """Read the archive of torch >= 1.6: `ROOT/data.pkl`, `ROOT/data/KEY`, `ROOT/byteorder`."""
    archive = zipfile.ZipFile(stream)
    entries = {info.filename: info for info in archive.infolist()}
    if len(entries) != len(archive.infolist()) or len(entries) > MAX_ENTRIES:
        raise Refused("is a zip archive with repeated or too many entries")
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refused("is a zip archive but no PyTorch checkpoint (no data.pkl)")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries:
        raise Refused("is a TorchScript program, not a checkpoint of tensors")
    if sum(info.file_size for info in entries.values()) > size:
        raise Refused("is a zip archive whose entries are larger than the file")
    if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
        raise Refused("is a compressed zip archive, which torch.save does not write")
    order = archive.read(f"{root}byteorder") if f"{root}byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise Refused(f"names an unknown byte order {order!r}")

    def fetch(storage: Storage) -> bytes:
        name = f"{root}data/{storage.key}"
        if name not in entries:
            raise Refused(f"lacks storage {storage.key!r}")
        return archive.read(name)

    tree = load_pickle(io.BytesIO(archive.read(pickles[0])), {})
    return _Checkpoint(tree, fetch, little=order == b"little")


def _open_legacy(data: bytes) -> _Checkpoint:
    """Read the format of torch < 1.6: five pickles, then each storage as int64 count and bytes."""
    stream, storages = io.BytesIO(data), dict[str, Storage]()
    if load_pickle(stream, {}) != LEGACY_MAGIC or load_pickle(stream, {}) != 1001:
        raise Refused("is a pickle but no PyTorch checkpoint")
    load_pickle(stream, {})
    tree = load_pickle(stream, storages)
    keys = [text_of(key) for key in load_pickle(stream, {})]
    spans: dict[str, tuple[int, int]] = {}
    position = stream.tell()
    for key in keys:
        if key not in storages:
            raise Refused(f"holds storage {key!r} that no tensor uses")
        count = int.from_bytes(data[position : position + 8], "little", signed=True)
        length = count * storages[key].dtype.itemsize
        if count < 0 or position + 8 + length > len(data):
            raise Refused(f"ends within storage {key!r}: truncated")
        spans[key] = (position + 8, position + 8 + length)
        position += 8 + length

    def fetch(storage: Storage) -> bytes:
        if storage.key not in spans:
            raise Refused(f"lacks storage {storage.key!r}")
        return data[slice(*spans[storage.key])]

    return _Checkpoint(tree, fetch)


def _read(path: Path, select: Callable[[_Checkpoint], Any]) -> Any:
    """Open `path` in whichever format it has and apply `select`, every failure one ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"no such checkpoint file: {path}")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path} has {size} bytes; at most {MAX_BYTES} are read")
    with path.open("rb") as stream:
        try:
            start = stream.read(512)
            stream.seek(0)
            if start[:4] == b"PK\x03\x04":
                return select(_open_zip(stream, size))
            if start[257:262] == b"ustar" or start[:9] == b"storages\0":
                raise Refused("has the tar format of torch < 0.1.10; save it anew with torch")
            if start[:1] != b"\x80":
                raise Refused("is no PyTorch checkpoint")
            return select(_open_legacy(stream.read()))
        except Refused as error:
            raise ValueError(f"{path} {error}") from None
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
            raise Refused(f"holds {_describe(tree)}, not a dict of tensors")
        tensors = dict(_tensors(tree))
        if not tensors:
            keys = ", ".join(show(key) for key in list(tree)[:5])
            raise Refused(f"holds no state dict (its keys: {keys or 'none'})")
        seen: dict[int, Any] = {}
        arrays = {name: checkpoint.resolve(tensor, 0, seen) for name, tensor in tensors.items()}
        return strip_prefix(arrays)

    return _read(Path(path), select)


def _tensors(tree: Mapping[Any, Any]) -> Iterator[tuple[str, Tensor]]:
    for key, value in tree.items():
        if isinstance(value, Tensor):
            if not isinstance(key, str):
                raise Refused(f"holds a tensor under the key {show(key)}, expected a name")
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
