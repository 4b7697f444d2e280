import hashlib
import io
import json
import os
import stat
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siamjax.weights import npz


def header(arrays, **changes):
    base = {"format": npz.FORMAT, "version": npz.VERSION, "sha256": npz.digest(arrays)}
    return base | {"parameters": npz.count(arrays)} | changes


ARRAYS = {
    "params/a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "batch_stats/a/count": np.array(3, np.int32),
}


def test_digest_is_the_stated_one():
    """Written out by hand: label line, then little-endian bytes, sorted by name."""
    text = b'["batch_stats/a/count", "int32", []]\n' + struct.pack("<i", 3)
    text += b'["params/a/kernel", "float32", [2, 3]]\n' + struct.pack("<6f", 0, 1, 2, 3, 4, 5)
    assert npz.digest(ARRAYS) == hashlib.sha256(text).hexdigest()
    assert npz.digest(dict(reversed(ARRAYS.items()))) == npz.digest(ARRAYS)


@pytest.mark.parametrize(
    "changed",
    [
        {"params/b/kernel": ARRAYS["params/a/kernel"]},
        {"params/a/kernel": ARRAYS["params/a/kernel"].reshape(3, 2)},
        {"params/a/kernel": ARRAYS["params/a/kernel"].view(np.int32)},
        {"params/a/kernel": ARRAYS["params/a/kernel"] + np.float32(1e-6)},
    ],
)
def test_digest_sees_name_shape_dtype_and_bytes(changed):
    one = {"params/a/kernel": ARRAYS["params/a/kernel"]}
    assert npz.digest(one) != npz.digest(changed)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text("abc/_é", min_size=1, max_size=6).map(lambda name: f"params/{name}"),
        st.sampled_from(["float32", "float16", "int32", "uint32", "uint8", "int8", "bool"]).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
        ),
        max_size=4,
    )
)
def test_any_arrays_come_back(arrays):
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    data = npz.encode(header(arrays, note="n"), arrays)
    assert data == npz.encode(header(arrays, note="n"), dict(reversed(arrays.items())))
    got, read = npz.decode(data)
    assert got == header(arrays, note="n")
    assert sorted(read) == sorted(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()


def test_numpy_reads_the_file_without_pickle(tmp_path):
    path = tmp_path / "w.npz"
    npz.write(path, npz.encode(header(ARRAYS, source="s"), ARRAYS))
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == ["batch_stats/a/count", "header", "params/a/kernel"]
        np.testing.assert_array_equal(file["params/a/kernel"], ARRAYS["params/a/kernel"])
        assert json.loads(file["header"].tobytes())["source"] == "s"


def test_every_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "w.npz"
    data = npz.encode(header(ARRAYS), ARRAYS)
    for position in range(len(data)):
        for bit in (1, 0x80):
            changed = bytearray(data)
            changed[position] ^= bit
            with pytest.raises(ValueError, match=r"damaged|not an \.npz"):
                npz.decode(bytes(changed))
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ValueError, match=r"w\.npz is damaged: its SHA-256 seal does not match"):
        npz.read(path)


def test_every_truncation_is_noticed():
    data = npz.encode(header(ARRAYS), ARRAYS)
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"damaged|not an \.npz"):
            npz.decode(data[:length])


def seal(data):
    return data[:-64] + hashlib.sha256(data[:-64]).hexdigest().encode()


def test_arrays_are_checked_against_the_header_too(tmp_path):
    """A file sealed anew after a change still has the header's own sum of the arrays."""
    data = npz.encode(header(ARRAYS, sha256="0" * 64), ARRAYS)
    with pytest.raises(ValueError, match="the SHA-256 of its arrays is not the one in its header"):
        npz.decode(data)
    data = npz.encode(header(ARRAYS, parameters=7), ARRAYS)
    with pytest.raises(ValueError, match="another number of parameters"):
        npz.decode(data)
    data = bytearray(npz.encode(header(ARRAYS), ARRAYS))
    data[data.index(ARRAYS["params/a/kernel"].tobytes()) + 5] ^= 1
    path = tmp_path / "w.npz"
    path.write_bytes(seal(bytes(data)))
    with pytest.raises(ValueError, match=r"w\.npz Bad CRC-32"):
        npz.read(path)


def test_foreign_and_newer_files(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ValueError, match=r"w\.npz has no siamjax header: it is another kind"):
        npz.read(path)
    for data in (b"", b"\x93NUMPY", b"hello" * 100):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"w\.npz is not an \.npz weights file"):
            npz.read(path)
    path.write_bytes(npz.encode(header(ARRAYS, version=2), ARRAYS))
    with pytest.raises(ValueError, match=r"has format version 2, .* reads 1; update siamjax"):
        npz.read(path)
    path.write_bytes(npz.encode(header(ARRAYS, format="other"), ARRAYS))
    with pytest.raises(ValueError, match="has no siamjax-weights header"):
        npz.read(path)
    with pytest.raises(FileNotFoundError):
        npz.read(tmp_path / "missing.npz")


class Evil:
    """Writes a file when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return eval, (f"open({str(self.marker)!r}, 'w').close()",)


def test_objects_are_never_unpickled(tmp_path):
    """A file with a right seal whose array is a pickle."""
    marker, path, stream = tmp_path / "ran", tmp_path / "w.npz", io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, archive.open("header.npy", "w") as entry:
        objects = np.array([Evil(marker)], dtype=object)
        np.lib.format.write_array(entry, objects, allow_pickle=True)
        archive.comment = b"siamjax sha256 " + b"0" * 64
    path.write_bytes(seal(stream.getvalue()))
    with pytest.raises(ValueError, match=r"w\.npz Object arrays cannot be loaded"):
        npz.read(path)
    assert not marker.exists()
    np.load(path, allow_pickle=True)["header"]
    assert marker.exists(), "the attack itself must work"
    with pytest.raises(ValueError, match="has dtype object"):
        npz.encode(header({}), {"params/a": np.array([None])})
    with pytest.raises(ValueError, match="has dtype float64"):
        npz.encode(header({}), {"params/a": np.zeros(2)})


def test_header_must_be_json():
    for value in (object(), float("nan")):
        with pytest.raises(ValueError, match="must be JSON"):
            npz.encode({"note": value}, {})


def test_halving_and_restoring():
    arrays = {
        "params/kernel": np.float32([[1.0009765625, 1 / 3]]),
        "params/bias": np.float32([1 / 3]),
        "batch_stats/var": np.float32([1e6]),
    }
    half = npz.halve(arrays)
    assert {name: a.dtype.name for name, a in half.items()} == {
        "params/kernel": "float16",
        "params/bias": "float32",
        "batch_stats/var": "float32",
    }
    back = npz.restore(half)
    assert all(array.dtype == np.float32 for array in back.values())
    assert back["params/kernel"].tolist() == [[1.0009765625, 0.333251953125]]
    assert back["batch_stats/var"].tolist() == [1e6]
    with pytest.raises(ValueError, match="params/kernel holds 70000, which float16 cannot store"):
        npz.halve({"params/kernel": np.float32([[-70000]])})


def test_writing_replaces_wholly_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "w.npz"
    npz.write(path, b"first")
    assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write: No space left on device: '.*w\.npz'"):
        npz.write(path, b"second")
    monkeypatch.undo()
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="cannot write"):
        npz.write(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_that_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot write: No such file or directory"):
        npz.write(tmp_path / "missing" / "w.npz", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="cannot write: Not a directory"):
        npz.write(tmp_path / "file" / "w.npz", b"x")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write anywhere, so the last case cannot be made")
    with pytest.raises(PermissionError, match="cannot write: Permission denied"):
        npz.write(closed / "w.npz", b"x")
