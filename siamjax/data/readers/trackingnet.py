"""TrackingNet (Mueller et al.): `TRAIN_0/anno/SEQ.txt` and `TRAIN_0/frames/SEQ/0.jpg`; TEST too.

The test split tells the first box alone; the others are NaN.
"""

from collections.abc import Sequence
from pathlib import Path

from siamjax.data.readers import truth
from siamjax.data.tracks import Track, check_counts


def read_sequence(split: str | Path, name: str) -> Track:
    """Read one sequence of a split's folder.

    Raises:
        ValueError: naming the path: files missing, damaged, or of other lengths than the frames.
    """
    path = Path(split) / "anno" / f"{name}.txt"
    media = truth.pictures([Path(split) / "frames" / name])
    boxes = truth.first_only(truth.read_boxes(path), len(media))
    check_counts(path, len(media), len(boxes))
    return Track(name, media, boxes)


def read(root: str | Path, splits: Sequence[str] = ("TEST",)) -> list[Track]:
    """Read splits one after another, each by name.

    Args:
        root: the folder of the splits' folders.
        splits: "TEST", "TRAIN_0" to "TRAIN_11".

    Raises:
        ValueError: naming the path: missing, without sequences, or a sequence that does not fit.
    """
    root = Path(root)
    tracks = []
    for split in splits:
        if not (root / split / "anno").is_dir():
            raise ValueError(f"{root / split / 'anno'}: no such folder")
        names = sorted(path.stem for path in (root / split / "anno").glob("*.txt"))
        if not names:
            raise ValueError(f"{root / split / 'anno'}: expected SEQ.txt, found none")
        tracks += [read_sequence(root / split, name) for name in names]
    return tracks
