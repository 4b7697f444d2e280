"""UAV123 and UAV20L (Mueller, Smith, Ghanem): `data_seq/UAV123/FOLDER/000001.jpg`, `anno/UAV123/`.

`anno/UAV123/SEQ.txt` holds 1-based boxes, NaN where the target is out of sight. Several sequences
may be parts of one folder's pictures: `configSeqs.m`, which comes with the data, names folder,
first and last frame of each. A sequence that it does not name is the whole of its own folder.
"""

import re
from pathlib import Path

import numpy as np

from siamjax import geometry
from siamjax.data.readers import truth
from siamjax.data.tracks import Track, check_counts

_ENTRY = re.compile(
    r"'name'\s*,\s*'(?P<name>[^']+)'\s*,\s*'path'\s*,\s*'(?P<path>[^']+)'"
    r"\s*,\s*'startFrame'\s*,\s*(?P<first>\d+)\s*,\s*'endFrame'\s*,\s*(?P<last>\d+)"
)


def _parts(path: Path, subset: str) -> dict[str, tuple[str, int, int]]:
    """Read each sequence's folder, first and last frame."""
    if not path.is_file():
        return {}
    found = {}
    for entry in _ENTRY.finditer(path.read_text(encoding="utf-8", errors="replace")):
        steps = [step for step in re.split(r"[\\/]+", entry["path"]) if step]
        if subset in steps:
            found[entry["name"]] = (steps[-1], int(entry["first"]), int(entry["last"]))
    return found


def read(root: str | Path, subset: str = "UAV123") -> list[Track]:
    """Read a subset, by name.

    Args:
        root: the dataset, with `anno` and `data_seq`.
        subset: "UAV123" or "UAV20L".

    Raises:
        ValueError: naming the path: missing, without sequences, or a sequence that does not fit.
    """
    root = Path(root)
    place = root / "anno" / subset
    if not place.is_dir():
        raise ValueError(f"{place}: no such folder")
    files = sorted(place.glob("*.txt"))
    if not files:
        raise ValueError(f"{place}: expected SEQ.txt, found none")
    parts = _parts(root / "configSeqs.m", subset)
    folders = root / "data_seq"
    tracks = []
    for path in files:
        boxes = np.asarray(geometry.from_one_based(truth.read_boxes(path)))
        folder, first, last = parts.get(path.stem, (path.stem, 0, 0))
        media = truth.pictures([folders / subset / folder, folders / folder])
        if last:
            media = truth.between(media, first, last)
        check_counts(path, len(media), len(boxes))
        tracks.append(Track(path.stem, media, boxes))
    return tracks
