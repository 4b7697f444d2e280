"""Frames of videos, picture folders and single pictures, by their number.

They are `uint8[H, W, 3]` RGB. Decoded ones are shared through `siamjax.data.cache.shared`.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import UInt8

from siamjax.data import cache

Frame = UInt8[np.ndarray, "H W 3"]

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
)
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg"})


class DamagedMediaError(ValueError):
    """A picture or video that cannot be decoded; `path` names it."""

    def __init__(self, path: Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = path


@runtime_checkable
class Media(Protocol):
    """Frames in order. Equal and hashable by path."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def frame(self, i: int) -> Frame:
        """Give frame `i`, read-only. Raises IndexError or DamagedMediaError."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...


def _cut_short(data: bytes) -> bool:
    """Tell a JPEG, PNG or WebP whose end is missing: decoders fill the rest with grey."""
    if data[:2] == b"\xff\xd8":
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    if data[:4] == b"\x89PNG":
        return b"IEND" not in data[-64:]
    if data[:4] == b"RIFF":
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    return False


def read_picture(path: Path) -> Frame:
    """Decode a picture file to uint8[H, W, 3] RGB.

    Raises:
        DamagedMediaError: the file cannot be read, is no picture, or ends early.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedMediaError(path, error.strerror or "cannot be read") from error
    return decode_picture(data, path)


def decode_picture(data: bytes, path: Path) -> Frame:
    """Decode the bytes of a picture file to uint8[H, W, 3] RGB; `path` is what errors name.

    Raises:
        DamagedMediaError: no picture, or one that ends early.
    """
    if _cut_short(data):
        raise DamagedMediaError(path, f"the picture ends early ({len(data)} bytes)")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise DamagedMediaError(path, f"not a picture that can be decoded ({len(data)} bytes)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def list_pictures(folder: Path) -> tuple[Path, ...]:
    """Give the picture files of a folder, numbers in their names counted as numbers."""
    found = (p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    return tuple(sorted((p for p in found if not p.name.startswith(".")), key=_natural))


def _check_index(media: Media, i: int) -> None:
    if not 0 <= i < len(media):
        raise IndexError(f"{media.name}: frame {i} of {len(media)}")


@dataclass(frozen=True)
class Picture:
    """One still picture as a clip of one frame."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def __len__(self) -> int:
        return 1

    def frame(self, i: int) -> Frame:
        _check_index(self, i)
        return cache.shared.get(self.path, lambda: (read_picture(self.path),))[0]

    def __iter__(self) -> Iterator[Frame]:
        yield self.frame(0)


@dataclass(frozen=True)
class PictureFolder:
    """Numbered pictures as a clip."""

    paths: tuple[Path, ...]

    @property
    def name(self) -> str:
        return str(self.paths[0].parent) if self.paths else "(no pictures)"

    def __len__(self) -> int:
        return len(self.paths)

    def frame(self, i: int) -> Frame:
        _check_index(self, i)
        path = self.paths[i]
        return cache.shared.get(path, lambda: (read_picture(path),))[0]

    def __iter__(self) -> Iterator[Frame]:
        for path in self.paths:
            yield read_picture(path)


@functools.cache
def _measure_video(path: Path) -> tuple[int, int]:
    """Give (frames, decoded bytes) of a video; counts by decoding where its header is silent."""
    from siamjax import video

    try:
        info = video.info(path)
        count = info.count
        if count is None:
            count = sum(1 for _ in video.frames(path))
    except (OSError, ValueError) as error:
        raise DamagedMediaError(path, f"not a video that can be decoded ({error})") from error
    return count, count * info.width * info.height * 3


@dataclass(frozen=True)
class VideoFile:
    """A video file, decoded once as a whole where the budget of the cache holds it.

    A longer one is decoded frame by frame from the nearest place that can be sought.
    """

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def __len__(self) -> int:
        return _measure_video(self.path)[0]

    def frame(self, i: int) -> Frame:
        _check_index(self, i)
        if _measure_video(self.path)[1] > cache.shared.budget:
            found = next(self._decode(i), None)
        else:
            frames = cache.shared.get(self.path, lambda: tuple(self._decode(0)))
            found = frames[i] if i < len(frames) else None
        if found is None:
            raise DamagedMediaError(self.path, f"the video ends before frame {i} of {len(self)}")
        return found

    def __iter__(self) -> Iterator[Frame]:
        kept = cache.shared.peek(self.path)
        return self._decode(0) if kept is None else iter(kept)

    def _decode(self, start: int) -> Iterator[Frame]:
        from siamjax import video

        try:
            for frame in video.frames(self.path, start=start):
                yield frame.image
        except (OSError, ValueError) as error:
            raise DamagedMediaError(self.path, f"cannot be decoded ({error})") from error
