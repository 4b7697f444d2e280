"""Pictures as frames: one, or a folder of them in natural order."""

import re
from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np

from siamjax.video.frame import Frame, beyond

PICTURES = frozenset(
    [".bmp", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
PICTURE_RATE = 25.0


def list_pictures(folder: Path) -> list[Path]:
    """Give the pictures of a folder in natural order.

    Raises:
        ValueError: there are none.
    """
    pictures = [entry for entry in folder.iterdir() if entry.suffix.lower() in PICTURES]
    pictures = [entry for entry in pictures if not entry.name.startswith(".")]
    if not pictures:
        raise ValueError(f"{folder}: no pictures in this folder (looked for jpg, png, bmp, ...)")
    return sorted(pictures, key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort `2.png` before `10.png`; letters without regard to case."""
    parts = re.findall(r"\d+|\D+", path.stem)
    key = [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts]
    return key, path.name


def read_picture(path: Path) -> np.ndarray:
    """Read a grey, RGB, RGBA, 8- or 16-bit picture as upright RGB uint8 (opacity is dropped).

    Raises:
        ValueError: it cannot be read.
    """
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise ValueError(f"{path}: not a picture that can be read")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def picture_frames(paths: list[Path], start: int) -> Generator[Frame, None, None]:
    """Yield pictures from number `start` on.

    Raises:
        ValueError: `start` lies beyond the last one, or one cannot be read.
    """
    if start >= len(paths):
        raise ValueError(beyond(start, len(paths), str(paths[0].parent)))
    for index in range(start, len(paths)):
        yield Frame(index, index / PICTURE_RATE, read_picture(paths[index]))
