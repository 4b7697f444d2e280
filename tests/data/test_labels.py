import struct
import zlib

import cv2
import numpy as np
import pytest

from siamjax.data import labels
from siamjax.data.media import DamagedMediaError


def chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def indexed(values, bits, colors=b"\x07" * 768):
    """Write an indexed PNG by hand, its pixels packed into so many bits, without filters."""
    height, width = values.shape
    spread = (values[..., None] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(spread.reshape(height, -1).astype(np.uint8), axis=1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", colors[: 3 * 2**bits]), (b"tRNS", b"\0")]
    parts += [(b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


MAP = np.random.RandomState(0).randint(0, 256, (13, 21)).astype(np.uint8)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_indices_are_read_whatever_their_colours(bits):
    values = MAP >> (8 - bits)
    np.testing.assert_array_equal(labels.decode(indexed(values, bits)), values)


def test_written_maps_are_indexed_and_read_back():
    data = labels.encode(MAP)
    assert data[25] == 3  # colour type
    np.testing.assert_array_equal(labels.decode(data), MAP)
    # Any other program sees DAVIS's colours.
    seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(seen, labels.palette()[MAP])
    assert labels.encode(MAP) == data


def test_palette():
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128)}
    known |= {7: (128, 128, 128), 8: (64, 0, 0), 255: (224, 224, 192)}
    for number, color in known.items():
        assert tuple(labels.palette()[number]) == color
    assert len(np.unique(labels.palette(), axis=0)) == 256


def test_grey_pictures(tmp_path):
    for picture in (MAP, np.stack([MAP] * 3, axis=2)):
        cv2.imwrite(str(tmp_path / "a.png"), picture)
        np.testing.assert_array_equal(labels.read(tmp_path / "a.png"), MAP)
    clear = np.dstack([MAP, MAP, MAP, MAP // 2])
    cv2.imwrite(str(tmp_path / "a.png"), clear)
    np.testing.assert_array_equal(labels.read(tmp_path / "a.png"), MAP)


def test_what_is_no_label_map(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(DamagedMediaError, match=r"a\.png: No such file"):
        labels.read(path)
    cv2.imwrite(str(path), np.stack([MAP, MAP, MAP + 1], axis=2))
    with pytest.raises(DamagedMediaError, match="indexed or grey picture, got one in colours"):
        labels.read(path)
    cv2.imwrite(str(path), MAP.astype(np.uint16))
    with pytest.raises(DamagedMediaError, match="labels of 8 bits, got uint16"):
        labels.read(path)
    path.write_bytes(b"")
    with pytest.raises(DamagedMediaError, match="not a PNG picture"):
        labels.read(path)


@pytest.mark.parametrize("place", [20, 60, -30])
def test_any_changed_or_missing_byte_is_noticed(place):
    data = labels.encode(MAP)
    changed = bytearray(data)
    changed[place] ^= 1
    for damaged in (bytes(changed), data[:place]):
        with pytest.raises(ValueError, match="ends early or is damaged"):
            labels.decode(damaged)
