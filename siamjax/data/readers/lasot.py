"""LaSOT (Fan et al.): `CATEGORY/SEQ/img/00000001.jpg`, `groundtruth.txt`, flags of frames.

Boxes are 1-based, and kept where `full_occlusion.txt` or `out_of_view.txt` say that the target is
not in sight, since toolkits differ in what they make of these frames: the flags become tags. The
category is the sequence's name up to its number (`dog-7`). Attributes are read where the evaluation
toolkit's `att` lies beside the sequences or the categories (`att/SEQ.txt`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from siamjax import geometry
from siamjax.data.readers import truth
from siamjax.data.tracks import Track, check_counts

FLAGS = ("full_occlusion", "out_of_view")
ATTRIBUTES = (
    *("IV", "POC", "DEF", "MB", "CM", "ROT", "BC"),
    *("VC", "SV", "FOC", "FM", "OV", "LR", "ARC"),
)
"""In the order of the toolkit's files (Fan et al. 2019, table 3, has their meaning)."""


def read_sequence(folder: str | Path) -> Track:
    """Read one sequence.

    Raises:
        ValueError: naming the path: files missing, damaged, or of other lengths than the frames.
    """
    folder = Path(folder)
    path = folder / "groundtruth.txt"
    boxes = np.asarray(geometry.from_one_based(truth.read_boxes(path)))
    media = truth.pictures([folder / "img"])
    check_counts(path, len(media), len(boxes))
    files = {flag: folder / f"{flag}.txt" for flag in FLAGS}
    tags = {
        flag: truth.read_flags(file, len(boxes)) for flag, file in files.items() if file.is_file()
    }
    described = [folder.parent / "att", folder.parent.parent / "att"]
    tags |= truth.read_attributes(described, folder.name, ATTRIBUTES, len(boxes))
    return Track(folder.name, media, boxes, folder.name.rpartition("-")[0] or None, tags=tags)


def read(root: str | Path, names: str | Path | Sequence[str] = ()) -> list[Track]:
    """Read sequences below `root`, beside each other or in folders of categories.

    Args:
        root: the dataset.
        names: of the sequences, in order, or a file of them (`testing_set.txt`); all by default,
            by name.

    Raises:
        ValueError: naming the path: missing, without sequences, or a sequence that does not fit.
    """
    root = Path(root)
    inside = truth.folders(root)
    inner = [place for folder in inside for place in truth.folders(folder)]
    found = {
        place.name: place for place in (*inside, *inner) if (place / "groundtruth.txt").is_file()
    }
    if not found:
        raise ValueError(f"{root}: no folder with groundtruth.txt inside")
    chosen = truth.listed(Path(names)) if isinstance(names, str | Path) else list(names)
    for name in chosen:
        if name not in found:
            raise ValueError(f"{root}: no sequence {name!r}")
    return [read_sequence(found[name]) for name in chosen or sorted(found)]
