"""TColor128 (Liang, Blasch, Ling): `SEQ/img/0001.jpg`, `SEQ/SEQ_gt.txt`, `SEQ/SEQ_frames.txt`.

Boxes are 1-based; the frames file holds the first and last picture that they are about. Attributes
(`SEQ/SEQ_att.txt`, abbreviations) become tags of every frame.
"""

import re
from pathlib import Path

import numpy as np

from siamjax import geometry
from siamjax.data.readers import truth
from siamjax.data.tracks import Track, check_counts


def read_sequence(folder: str | Path) -> Track:
    """Read one sequence.

    Raises:
        ValueError: naming the path: files missing, damaged, or of other lengths than the frames.
    """
    folder = Path(folder)
    path = folder / f"{folder.name}_gt.txt"
    boxes = np.asarray(geometry.from_one_based(truth.read_boxes(path)))
    media = truth.pictures([folder / "img"])
    part = folder / f"{folder.name}_frames.txt"
    if part.is_file():
        ((first, last),) = truth.read_rows(part, "first and last frame", (2,))[:1]
        media = truth.between(media, int(first), int(last))
    check_counts(path, len(media), len(boxes))
    described = folder / f"{folder.name}_att.txt"
    words = re.findall(r"\w+", " ".join(truth.listed(described))) if described.is_file() else []
    tags = {word: np.ones(len(boxes), np.bool_) for word in words}
    return Track(folder.name, media, boxes, tags=tags)


def read(root: str | Path) -> list[Track]:
    """Read every sequence folder inside `root`, by name.

    Raises:
        ValueError: naming the path: missing, without sequences, or a sequence that does not fit.
    """
    inside = truth.folders(Path(root))
    tracks = [
        read_sequence(place) for place in inside if (place / f"{place.name}_gt.txt").is_file()
    ]
    if not tracks:
        raise ValueError(f"{root}: no folder SEQ with SEQ_gt.txt inside")
    return tracks
