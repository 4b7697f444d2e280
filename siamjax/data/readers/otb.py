"""OTB (Wu, Lim, Yang): `SEQ/img/0001.jpg` ... and `SEQ/groundtruth_rect.txt`, boxes 1-based.

A sequence with two targets has `groundtruth_rect.1.txt` and `.2.txt` and gives two tracks, named
`SEQ.1` and `SEQ.2`; one of the files may be empty (Human4's first is) and gives none. Attributes
are read where the benchmark's `anno/att` or `att` lies beside the sequences (`SEQ.txt`,
`SEQ-1.txt`).
"""

from pathlib import Path

import numpy as np

from siamjax import geometry
from siamjax.data.media import PictureFolder, list_pictures
from siamjax.data.readers import truth
from siamjax.data.tracks import Track, check_counts

# Sequences whose boxes cover a part of the pictures: first and last picture, counted from 1.
# Used where the counts differ: some copies of the data hold only the pictures in question.
FRAME_RANGES = {
    "david": (300, 770),
    "football1": (1, 74),
    "freeman3": (1, 460),
    "freeman4": (1, 283),
    "diving": (1, 215),
}

ATTRIBUTES = ("IV", "OPR", "SV", "OCC", "DEF", "MB", "FM", "IPR", "OV", "BC", "LR")
"""In the order of the benchmark's files (Wu et al. 2015, table 2, has their meaning)."""


def _truth_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("groundtruth_rect*.txt"))


def read_sequence(folder: str | Path) -> list[Track]:
    """Read one sequence: one track for each of its ground-truth files.

    Raises:
        ValueError: no boxes, no pictures, or another number of boxes than pictures.
    """
    folder = Path(folder)
    files = [path for path in _truth_files(folder) if path.stat().st_size]
    if not files:
        raise ValueError(f"{folder}: expected groundtruth_rect.txt")
    place = folder / "img"
    pictures = list_pictures(place) if place.is_dir() else ()
    if not pictures:
        raise ValueError(f"{place}: expected pictures, found none")
    described = [folder.parent / "anno" / "att", folder.parent / "att"]
    tracks = []
    for path in files:
        boxes = np.asarray(geometry.from_one_based(truth.read_boxes(path)))
        used = pictures
        if len(used) != len(boxes) and folder.name.lower() in FRAME_RANGES:
            first, last = FRAME_RANGES[folder.name.lower()]
            used = pictures[first - 1 : last]
        check_counts(path, len(used), len(boxes))
        target = path.stem.removeprefix("groundtruth_rect")
        stem = folder.name + target.replace(".", "-")
        tags = truth.read_attributes(described, stem, ATTRIBUTES, len(boxes))
        tracks.append(Track(folder.name + target, PictureFolder(used), boxes, tags=tags))
    return tracks


def read(root: str | Path) -> list[Track]:
    """Read a sequence folder, or every sequence folder inside `root`.

    Raises:
        ValueError: naming the path: missing, without sequences, or a sequence that does not fit.
    """
    root = Path(root)
    inside = truth.folders(root)
    if _truth_files(root):
        return read_sequence(root)
    tracks = [t for folder in inside if _truth_files(folder) for t in read_sequence(folder)]
    if not tracks:
        raise ValueError(f"{root}: no folder with groundtruth_rect.txt inside")
    return tracks
