"""The file format of weights: one `.npz` of plain arrays and a JSON header, sealed by SHA-256.

A file is a stored (uncompressed) zip of `.npy` entries that `numpy.load` reads without pickle:
arrays under names as `params/backbone/conv1/conv/kernel`, and `header`, the UTF-8 bytes of the
JSON header. The zip's comment is the SHA-256 of everything before it, so that any changed byte,
also in the zip's own tables, is noticed. Equal contents give equal bytes: names are sorted and no
time is stored.
"""

import hashlib
import io
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = "siamjax-weights"
VERSION = 1
_HEADER = "header"
_SEAL = b"siamjax sha256 "
_DTYPES = ("float32", "float16", "int32", "uint32", "uint8", "int8", "bool")


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Hash names, dtypes, shapes and bytes, sorted by name; independent of the container.

    Returns:
        SHA-256 in hexadecimal.
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        label = json.dumps([name, array.dtype.name, list(array.shape)])
        total.update(f"{label}\n".encode())
        total.update(little.tobytes())
    return total.hexdigest()


def halve(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Round float32 kernels (two axes or more) to float16; vectors and statistics stay.

    Raises:
        ValueError: a kernel holds a value that float16 cannot (beyond 65504).
    """
    result = {}
    for name, array in arrays.items():
        if array.dtype == np.float32 and array.ndim >= 2:
            largest = float(np.abs(array).max(initial=0.0))
            if not largest < 65504:
                raise ValueError(f"{name} holds {largest:g}, which float16 cannot store")
            array = array.astype(np.float16)
        result[name] = array
    return result


def restore(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give every float16 array as float32, the inverse of `halve` up to its rounding."""
    return {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in arrays.items()
    }


def encode(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Build the bytes of a weights file; `header` is stored as it is.

    Raises:
        ValueError: an array has a dtype other than float32, float16, int32, uint32, int8, uint8
            or bool, or the header is not JSON.
    """
    for name, array in arrays.items():
        if array.dtype.name not in _DTYPES:
            raise ValueError(
                f"{name} has dtype {array.dtype}, expected one of {', '.join(_DTYPES)}"
            )
    try:
        text = json.dumps(header, sort_keys=True, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the header of a weights file must be JSON: {error}") from error
    entries = {_HEADER: np.frombuffer(text.encode(), np.uint8)}
    entries |= {name: arrays[name] for name in sorted(arrays)}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in entries.items():
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            data = io.BytesIO()
            np.lib.format.write_array(data, np.asarray(array, order="C"), allow_pickle=False)
            archive.writestr(info, data.getvalue())
        archive.comment = _SEAL + b"0" * 64
    body = stream.getvalue()[:-64]
    return body + hashlib.sha256(body).hexdigest().encode()


def decode(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Parse and verify the bytes of a weights file.

    Returns:
        The header, and the arrays as stored.

    Raises:
        ValueError: with the reason, to follow the file's name: foreign, damaged, or newer.
    """
    if data[:4] != b"PK\x03\x04":
        raise ValueError("is not an .npz weights file")
    body, seal = data[:-64], data[-64:]
    if not body.endswith(_SEAL) or hashlib.sha256(body).hexdigest().encode() != seal:
        raise ValueError(_explain(data))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        entries = {name: _array(archive.read(f"{name}.npy")) for name in names}
    if _HEADER not in entries:
        raise ValueError("has no siamjax header")
    header = json.loads(entries.pop(_HEADER).tobytes())
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"has no {FORMAT} header")
    version = header.get("version")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        advice = "; update siamjax" if newer else ""
        raise ValueError(f"has format version {version}, this siamjax reads {VERSION}{advice}")
    if header.get("sha256") != digest(entries):
        raise ValueError("is damaged: the SHA-256 of its arrays is not the one in its header")
    if header.get("parameters") != count(entries):
        raise ValueError("is damaged: its header states another number of parameters")
    return header, entries


def count(arrays: Mapping[str, Any]) -> int:
    """Number of trained parameters: the elements below `params/`."""
    return sum(math.prod(a.shape) for name, a in arrays.items() if name.startswith("params/"))


def _array(data: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _explain(data: bytes) -> str:
    """Say why an unsealed file is refused: some other archive, or a damaged one of ours."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            foreign = f"{_HEADER}.npy" not in archive.namelist() and not archive.comment
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        foreign = False
    if foreign:
        return "has no siamjax header: it is another kind of archive"
    return "is damaged: its SHA-256 seal does not match (truncated or changed)"


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read and verify a weights file.

    Returns:
        The header, and the arrays by name as stored (see `restore`).

    Raises:
        ValueError: naming the file: not a weights file, damaged anywhere, or a newer format.
        OSError: the file cannot be read.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        return decode(data)
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        raise ValueError(f"{path} {' '.join(str(error).split())}") from error


def write(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, wholly or not at all.

    Raises:
        OSError: the folder is missing or cannot be written; a file already at `path` is kept.
    """
    path = Path(path)
    try:
        _replace(path, data)
    except OSError as error:
        raise OSError(error.errno, f"cannot write: {error.strerror}", str(path)) from error


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes the file private; weights get the permissions of any new file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
