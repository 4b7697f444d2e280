"""Need for Speed (Kiani Galoogahi et al.): `SEQ/30/SEQ/00001.jpg` and `SEQ/30/SEQ.txt`, or 240.

Lines are VATIC's: track, left, top, right, bottom, frame, lost, occluded, generated, "label", with
0-based pixels. Lost targets are NaN, occluded ones tagged. The files of 30 frames a second may hold
the lines of all 240. Ten clips have one line fewer than frames; where the numbers differ by one,
both are cut to the smaller, as the GOT-10k toolkit does.
"""

import shlex
from pathlib import Path

import numpy as np

from siamjax.data.media import PictureFolder
from siamjax.data.readers import truth
from siamjax.data.tracks import Track, check_counts

FRAME_RATES = (30, 240)


def _read_lines(path: Path) -> tuple[np.ndarray, str | None]:
    """Read VATIC's lines: float[T, 9] and the label."""
    rows, label = [], None
    for number, line in enumerate(truth.listed(path), 1):
        try:
            words = shlex.split(line)
            row = [float(word) for word in words[:9]]
        except ValueError:
            words, row = [], []
        if len(row) != 9:
            raise ValueError(
                f"{path}, line {number}: expected nine numbers and a label, got {line!r}"
            )
        rows.append(row)
        label = words[9] if len(words) > 9 else label
    return np.asarray(rows), label


def read_sequence(folder: str | Path, fps: int = 30) -> Track:
    """Read one sequence at one of its frame rates.

    Raises:
        ValueError: naming the path: files missing, damaged, or of other lengths than the frames.
    """
    place = Path(folder) / str(fps)
    name = Path(folder).name
    path = place / f"{name}.txt"
    media = truth.pictures([place / name, place])
    rows, label = _read_lines(path)
    if abs(len(rows) / len(media) - 8) < 1:
        rows = rows[::8]
    if abs(len(rows) - len(media)) == 1:
        count = min(len(rows), len(media))
        rows, media = rows[:count], PictureFolder(media.paths[:count])
    check_counts(path, len(media), len(rows))
    boxes = np.concatenate([rows[:, 1:3], rows[:, 3:5] - rows[:, 1:3]], axis=1).astype(np.float32)
    boxes[rows[:, 6] > 0] = np.nan
    return Track(name, media, boxes, label, tags={"occlusion": rows[:, 7] > 0})


def read(root: str | Path, fps: int = 30) -> list[Track]:
    """Read every sequence inside `root` at 30 or 240 frames a second, by name.

    Raises:
        ValueError: another rate, or naming the path: missing, without sequences, or a sequence that
            does not fit.
    """
    if fps not in FRAME_RATES:
        raise ValueError(f"fps: expected 30 or 240, got {fps}")
    inside = truth.folders(Path(root))
    found = [place for place in inside if (place / str(fps) / f"{place.name}.txt").is_file()]
    if not found:
        raise ValueError(f"{root}: no folder SEQ with {fps}/SEQ.txt inside")
    return [read_sequence(place, fps) for place in found]
