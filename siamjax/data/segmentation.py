"""Masks of targets: packed bits, folders of pictures, COCO's polygons and run lengths.

Every class here is a `siamjax.data.tracks.Masks`: `mask(i)` gives `bool[H, W]`, True on the target,
and decodes when asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from siamjax.data import cache
from siamjax.data.media import DamagedMediaError, read_picture
from siamjax.data.tracks import Mask


def read_mask(path: Path) -> Mask:
    """Decode a mask kept as a picture: what is over 127 in any channel belongs to the target.

    Raises:
        DamagedMediaError: the file is no picture or ends early.
    """
    return read_picture(path).max(axis=2) > 127


@dataclass(frozen=True)
class PictureMasks:
    """One picture a frame, as `masks/00000.png`."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def mask(self, i: int) -> Mask:
        """Decode mask `i`; it is kept as its decoded picture would be."""
        path = self.paths[i]
        return cache.shared.get((path, "mask"), lambda: (read_mask(path),))[0]


@dataclass(frozen=True)
class PackedMasks:
    """All masks of a clip in one .npz: `bits`, packed along rows, and `shape` (frames, H, W)."""

    path: Path
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def mask(self, i: int) -> Mask:
        """Unpack mask `i`; the packed bits of the clip are kept."""
        bits = cache.shared.get((self.path, "bits"), self._load)[i]
        return np.unpackbits(bits, axis=1, count=self.shape[2]).astype(np.bool_)

    def _load(self) -> list[np.ndarray]:
        frames, height, width = self.shape
        bits = _arrays(self.path)["bits"]
        expected = (frames, height, -(-width // 8))
        if bits.shape != expected or bits.dtype != np.uint8:
            raise DamagedMediaError(
                self.path, f"bits: expected uint8{list(expected)}, got {bits.dtype}{bits.shape}"
            )
        return list(bits)


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in ("bits", "shape")}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DamagedMediaError(path, f"not masks packed as bits and shape ({error})") from error


def packed(path: Path) -> PackedMasks:
    """Open packed masks; only their shape is looked at.

    Raises:
        DamagedMediaError: another file, or another shape.
    """
    shape = _arrays(path)["shape"]
    if shape.shape != (3,):
        raise DamagedMediaError(path, f"shape: expected (frames, height, width), got {shape}")
    frames, height, width = (int(value) for value in shape)
    return PackedMasks(path, (frames, height, width))


@dataclass(frozen=True, eq=False)
class CocoMask:
    """The mask of one COCO object: polygons `[[x, y, x, y, ...], ...]` or run lengths.

    Attributes:
        segmentation: as COCO's json has it.
        shape: (height, width) of the picture.
    """

    segmentation: Any
    shape: tuple[int, int]

    def __len__(self) -> int:
        return 1

    def mask(self, i: int) -> Mask:
        """Fill the polygons, or unroll the run lengths.

        Raises:
            IndexError: `i` is not 0.
            ValueError: neither polygons nor run lengths of this picture.
        """
        if i != 0:
            raise IndexError(f"mask {i} of 1")
        if isinstance(self.segmentation, Mapping):
            return _unroll(self.segmentation, self.shape)
        return fill(self.segmentation, self.shape)


_SHIFT = 4  # OpenCV's fixed point: vertices in sixteenths of a pixel


def fill(polygons: Sequence[Sequence[float | int]], shape: tuple[int, int]) -> Mask:
    """Draw the union of polygons.

    Args:
        polygons: vertices x, y, x, y, ... in COCO's coordinates, where pixel 0 reaches from 0 to 1.
            Pixels that the outline touches count.
        shape: (height, width).

    Raises:
        ValueError: an odd count of numbers, or fewer than three vertices.
    """
    canvas = np.zeros(shape, np.uint8)
    for polygon in polygons:
        numbers = np.asarray(polygon, np.float64)
        if numbers.ndim != 1 or numbers.size < 6 or numbers.size % 2:
            raise ValueError(f"polygons: expected x, y of three or more vertices, got {polygon}")
        vertices = np.rint((numbers.reshape(-1, 2) - 0.5) * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(canvas, [vertices], (1,), shift=_SHIFT)
    return canvas.astype(np.bool_)


def _unroll(lengths: Mapping[str, Any], shape: tuple[int, int]) -> Mask:
    """Turn COCO's run lengths, column by column and background first, into a mask."""
    counts = lengths.get("counts")
    runs = _decompress(counts) if isinstance(counts, str | bytes) else np.asarray(counts, np.int64)
    size = tuple(lengths.get("size", shape))
    if size != tuple(shape) or runs.ndim != 1 or (runs < 0).any() or runs.sum() != np.prod(shape):
        raise ValueError(
            f"segmentation: run lengths of {size} that sum to {runs.sum()} do not fit a picture of"
            f" {shape[0]}x{shape[1]} (height x width)"
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(shape[1], shape[0]).T)


def _decompress(text: str | bytes) -> np.ndarray:
    """Read COCO's compressed run lengths: base 32, six bits a character from "0" on.

    Five bits count, the sixth says that more follow; numbers are signed, and from the third on
    differences to the second last one.
    """
    codes = text.encode("ascii") if isinstance(text, str) else text
    runs: list[int] = []
    value, bits = 0, 0
    for code in codes:
        digit = code - 48
        value |= (digit & 31) << bits
        bits += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << bits
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, bits = 0, 0
    return np.asarray(runs, np.int64)
