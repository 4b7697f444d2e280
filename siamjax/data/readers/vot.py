"""VOT, short-term: `list.txt`, `SEQ/groundtruth.txt`, `SEQ/color/00000001.jpg` or `SEQ/*.jpg`.

Truth is a box a line (2013), a polygon of four corners (2014 to 2019) or a mask (2020 on: `m`, then
left, top, width, height and run lengths, background first). Coordinates are taken as written.
`ATTRIBUTE.tag` or `.label` holds a flag a frame, and `anchor.value` where runs from anchors start.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from siamjax import polygons
from siamjax.data.readers import truth
from siamjax.data.tracks import Mask, Track, check_counts


@dataclass(frozen=True, eq=False)
class RunLengths:
    """Masks in VOT's run lengths.

    Attributes:
        rows: a mask each: left, top, width, height, then lengths of runs along rows, background
            first; all background after them.
        shape: (height, width) of the frames.
    """

    rows: Sequence[Sequence[int]]
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.rows)

    def mask(self, i: int) -> Mask:
        """Unroll mask `i` and put it in its place; what lies outside the frame is cut."""
        found = np.zeros(self.shape, np.bool_)
        left, top, width, height = self.rows[i][:4]
        inner = self.window(i)
        start_x, start_y = max(left, 0), max(top, 0)
        end_x, end_y = min(left + width, self.shape[1]), min(top + height, self.shape[0])
        if start_x < end_x and start_y < end_y:
            found[start_y:end_y, start_x:end_x] = inner[
                start_y - top : end_y - top, start_x - left : end_x - left
            ]
        return found

    def window(self, i: int) -> Mask:
        """Unroll mask `i` within its own bounds, bool[height, width]."""
        width, height, lengths = self.rows[i][2], self.rows[i][3], self.rows[i][4:]
        values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)[: width * height]
        rest = np.zeros(width * height - len(values), np.bool_)
        return np.concatenate([values, rest]).reshape(height, width)

    def box(self, i: int) -> list[float]:
        """Give the box around mask `i`; NaN where it is empty."""
        inner = self.window(i)
        rows, columns = np.flatnonzero(inner.any(axis=1)), np.flatnonzero(inner.any(axis=0))
        if not len(rows):
            return [np.nan] * 4
        left, top = self.rows[i][:2]
        size = (columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        return [float(left + columns[0]), float(top + rows[0]), float(size[0]), float(size[1])]


@dataclass(frozen=True, eq=False)
class AnchoredTrack(Track):
    """A track with frames that runs start from (VOT 2020 on).

    Attributes:
        anchors: float64[T], above zero where a forward run starts, below where a backward one does.
    """

    anchors: np.ndarray = field(default_factory=lambda: np.zeros(0))


def run_lengths(mask: Mask) -> list[int]:
    """Encode a mask as a row of `RunLengths`: its bounds, then runs along rows, background first.

    An empty mask has no width and no height.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0, 0]
    top, left = int(rows[0]), int(columns[0])
    inner = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    values = np.concatenate([[False], inner.reshape(-1)])
    ends = np.flatnonzero(np.diff(values)) + 1
    lengths = np.diff(np.concatenate([[1], ends, [len(values)]]))
    return [left, top, inner.shape[1], inner.shape[0], *lengths.tolist()]


def _read_masks(path: Path, shape: tuple[int, int]) -> RunLengths:
    rows = []
    for number, line in enumerate(truth.listed(path), 1):
        try:
            rows.append(parse_mask(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    return RunLengths(rows, shape)


def parse_mask(line: str) -> list[int]:
    """Read a text `m` and run lengths as a row of `RunLengths`.

    Raises:
        ValueError: it is something else, or has more pixels than its bounds.
    """
    try:
        row = [int(word) for word in line.removeprefix("m").split(",")]
    except ValueError:
        row = []
    fits = len(row) >= 4 and min(row[2:]) >= 0 and sum(row[4:]) <= row[2] * row[3]
    if not line.startswith("m") or not fits:
        raise ValueError(f"expected m and run lengths, got {line[:60]!r}")
    return row


def read_sequence(folder: str | Path) -> Track:
    """Read one sequence: boxes around its polygons or masks, and these in `regions` or `masks`.

    Raises:
        ValueError: naming the path: files missing, damaged, or of other lengths than the frames.
    """
    folder = Path(folder)
    path = folder / "groundtruth.txt"
    media = truth.pictures([folder / "color", folder])
    regions, masks = None, None
    if truth.listed(path)[0].startswith("m"):
        height, width = media.frame(0).shape[:2]
        masks = _read_masks(path, (height, width))
        boxes = np.asarray([masks.box(i) for i in range(len(masks))], np.float32)
    else:
        regions = truth.read_regions(path)
        boxes = np.asarray(polygons.outer_boxes(regions), np.float32)
        regions = regions if regions.shape[1] > 4 else None
    check_counts(path, len(media), len(boxes))
    files = sorted([*folder.glob("*.tag"), *folder.glob("*.label")])
    tags = {file.stem: truth.read_flags(file, len(boxes)) for file in files}
    parts = {"masks": masks, "regions": regions, "tags": tags}
    anchors = read_anchors(folder)
    if anchors is None:
        return Track(folder.name, media, boxes, **parts)
    if len(anchors) != len(boxes) or not anchors.any():
        raise ValueError(
            f"{folder / 'anchor.value'}: expected {len(boxes)} numbers, not all of them 0, got"
            f" {len(anchors)}"
        )
    return AnchoredTrack(folder.name, media, boxes, **parts, anchors=anchors)


def read_anchors(folder: str | Path) -> Float64[np.ndarray, " T"] | None:
    """Read where runs from anchors start, for `siamjax.evaluate.multistart.directions`.

    Returns:
        A number a frame, above zero where a forward run starts, below where a backward one does;
        None where the sequence has no anchors.

    Raises:
        ValueError: naming the file and the line that holds no number.
    """
    path = Path(folder) / "anchor.value"
    if not path.is_file():
        return None
    return np.asarray(truth.read_rows(path, "a number", (1,)))[:, 0]


def read(root: str | Path) -> list[Track]:
    """Read the sequences of `root` in the order of its `list.txt`, by name without one.

    Raises:
        ValueError: naming the path: missing, without sequences, or a sequence that does not fit.
    """
    root = Path(root)
    inside = truth.folders(root)
    if (root / "list.txt").is_file():
        return [read_sequence(root / name) for name in truth.listed(root / "list.txt")]
    found = [place for place in inside if (place / "groundtruth.txt").is_file()]
    if not found:
        raise ValueError(f"{root}: no list.txt, and no folder with groundtruth.txt inside")
    return [read_sequence(place) for place in found]
