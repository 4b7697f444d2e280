"""Label maps, uint8[H, W] of object numbers (0 for none), as the indexed PNGs that DAVIS keeps.

OpenCV reads an indexed PNG as colours and writes none. But the pixels of an indexed and of a grey
PNG are stored alike, so the numbers are had, and kept, by changing what the header says.
Source: Portable Network Graphics specification, sections 5 and 11.2.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from siamjax.data.media import DamagedMediaError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _INDEXED = 0, 3

Labels = UInt8[np.ndarray, "H W"]


def palette() -> UInt8[np.ndarray, "256 3"]:
    """Give DAVIS's (and VOC's) colours: the bits of a number spread over red, green and blue."""
    number = np.arange(256)
    colors = np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            if 3 * bit + channel < 8:
                colors[:, channel] |= ((number >> (3 * bit + channel)) & 1) << (7 - bit)
    return colors.astype(np.uint8)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each part of a PNG file."""
    if data[:8] != _SIGNATURE:
        raise ValueError("not a PNG picture")
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[at : at + 8].ljust(8, b"\0"))
        content, check = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if check != struct.pack(">I", zlib.crc32(kind + content)):
            raise ValueError("the picture ends early or is damaged")
        yield kind, content
        at += 12 + length


def _join(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [_SIGNATURE]
    for kind, content in chunks:
        check = struct.pack(">I", zlib.crc32(kind + content))
        parts += [struct.pack(">I", len(content)), kind, content, check]
    return b"".join(parts)


def _headed(header: bytes, color: int) -> bytes:
    """Give a header (width, height, depth, colour type, ...) with another colour type."""
    return header[:9] + bytes([color]) + header[10:]


def decode(data: bytes) -> Labels:
    """Read the label map in the bytes of a PNG.

    Args:
        data: an indexed PNG, whose indices are the labels, or a grey one (also stored as three
            equal channels), whose values are.

    Raises:
        ValueError: no PNG, damaged, of more than 8 bits, or in colours.
    """
    chunks = list(_chunks(data))
    header = chunks[0][1]
    if chunks[0][0] != b"IHDR" or len(header) != 13:
        raise ValueError("the picture has no header")
    depth, color = header[8], header[9]
    if color == _INDEXED:
        pixels = [chunk for chunk in chunks[1:] if chunk[0] in (b"IDAT", b"IEND")]
        data = _join([(b"IHDR", _headed(header, _GREY)), *pixels])
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("not a PNG picture that can be decoded")
    if image.dtype != np.uint8:
        raise ValueError(f"expected labels of 8 bits, got {image.dtype}")
    if image.ndim == 3:
        image, others = image[..., 0], image[..., 1:3]
        if (others != image[..., None]).any():
            raise ValueError("expected an indexed or grey picture, got one in colours")
    if color == _INDEXED and depth < 8:
        image = image // (255 // (2**depth - 1))  # decoders stretch fewer bits to 0..255
    return image


def encode(labels: Labels) -> bytes:
    """Make an indexed PNG with DAVIS's colours, whose indices are the labels."""
    done, data = cv2.imencode(".png", labels)
    if not done:
        raise ValueError(f"labels: expected uint8[H, W], got shape {labels.shape}")
    chunks = list(_chunks(data.tobytes()))
    (_, header), *pixels = [chunk for chunk in chunks if chunk[0] in (b"IHDR", b"IDAT", b"IEND")]
    colors = (b"PLTE", palette().tobytes())
    return _join([(b"IHDR", _headed(header, _INDEXED)), colors, *pixels])


def read(path: Path) -> Labels:
    """Read a label map from a PNG file; see `decode`.

    Raises:
        DamagedMediaError: the file cannot be read, or holds no label map.
    """
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise DamagedMediaError(path, error.strerror or "cannot be read") from error
    except ValueError as error:
        raise DamagedMediaError(path, str(error)) from error
