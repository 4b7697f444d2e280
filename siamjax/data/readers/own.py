"""Your own clips: a folder of videos, picture folders or pictures, with boxes or masks.

- Boxes: one CSV file in the folder, with the columns `video, frame, x, y, w, h` and, if you like,
  `target` (tells several objects of a clip apart) and `label` (what they are). `video` is a path
  below the folder, its suffix left out or not; `frame` counts from 0, or is a picture's file name;
  `x, y` is the box's upper left corner in pixels from 0; a box left empty says that the target is
  absent. Frames without a line are not annotated.
- Masks: `masks/VIDEO/00000.png`, indexed or grey pictures of object numbers (0 for none, 255 for
  void; 0 and 255 alone: one object), named by the frame's number, or as the picture they belong to;
  `masks/PICTURE.png` for a single picture.
- Or sequence folders, a video or pictures beside `groundtruth.txt` (`siamjax.data.readers.folder`)
  or `masks/` (`siamjax.data.readers.davis`).
"""

import csv
import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from siamjax.data import labels
from siamjax.data.media import (
    PICTURE_SUFFIXES,
    VIDEO_SUFFIXES,
    Media,
    Picture,
    PictureFolder,
    VideoFile,
    list_pictures,
)
from siamjax.data.readers import davis, folder, truth
from siamjax.data.readers.masks import mask_box
from siamjax.data.tracks import Track

COLUMNS = ("video", "frame", "x", "y", "w", "h")
MASKS = "masks"
MEDIA_SUFFIXES = PICTURE_SUFFIXES | VIDEO_SUFFIXES


@dataclass
class _Target:
    """What the lines of one target of one video say: its label, and (line, frame, box) of each."""

    label: str
    boxes: list[tuple[int, str, tuple[float, ...]]] = field(default_factory=list)


def _table(root: Path, annotations: str) -> Path | None:
    """Find the CSV file, None where the folder has none."""
    if annotations:
        path = root / annotations
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
        return path
    found = sorted(root.glob("*.csv"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{root}: expected one CSV file, found {names}; name the one to read")
    return found[0] if found else None


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each line and its cells by column."""
    lines = truth.read_text(path).splitlines()
    header = lines[0] if lines else ""
    separator = max(",;\t", key=header.count)
    names = [name.strip().lower() for name in header.split(separator)]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(
            f"{path}, line 1: expected the columns {', '.join(COLUMNS)}; missing"
            f" {', '.join(missing)} in {header!r}"
        )
    reader = csv.reader(lines[1:], delimiter=separator)
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        line = reader.line_num + 1
        if len(cells) != len(names):
            raise ValueError(f"{path}, line {line}: expected {len(names)} cells, got {len(cells)}")
        yield line, dict(zip(names, map(str.strip, cells), strict=True))


def _box(where: str, cells: Sequence[str]) -> tuple[float, ...]:
    """Read a box; four empty cells or NaN give NaN."""
    try:
        box = tuple(float(cell) for cell in cells) if any(cells) else (math.nan,) * 4
    except ValueError:
        box = ()
    absent = len(box) == 4 and all(map(math.isnan, box))
    if not absent and (not box or not all(map(math.isfinite, box)) or min(box[2:]) < 0):
        raise ValueError(f"{where}: expected a box x, y, w, h in pixels, got {','.join(cells)!r}")
    return box


def _read_table(path: Path) -> dict[str, dict[str, _Target]]:
    """Group the lines by video and target, each in the order of its first line."""
    videos: dict[str, dict[str, _Target]] = {}
    for line, row in _rows(path):
        where = f"{path}, line {line}"
        label = row.get("label", "")
        targets = videos.setdefault(row["video"], {})
        target = targets.setdefault(row.get("target", ""), _Target(label))
        if label != target.label:
            raise ValueError(
                f"{where}: the label is {label!r}, but {target.label!r} for the same target in line"
                f" {target.boxes[0][0]}"
            )
        box = _box(where, [row[name] for name in "xywh"])
        target.boxes.append((line, row["frame"], box))
    if not videos:
        raise ValueError(f"{path}: holds no annotation")
    return videos


def _find_media(root: Path, name: str, where: str) -> Media:
    """Find the video, picture folder or picture that `name` means.

    Raises:
        ValueError: there is none, or several; the message begins with `where`.
    """
    place = root / name
    found = [place] if name and place.exists() else []
    if not found and name and place.parent.is_dir():
        inside = sorted(place.parent.iterdir())
        found = [p for p in inside if p.stem == place.name and p.suffix.lower() in MEDIA_SUFFIXES]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{where}: video {name!r} may be {names}; write it with its suffix")
    if not found:
        files = [p.name for p in place.parent.iterdir()] if place.parent.is_dir() else []
        close = difflib.get_close_matches(place.name, files, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{where}: no video or pictures {name!r} in {root}{hint}")
    path = found[0]
    if path.is_dir():
        return folder.find_media(path)
    if path.suffix.lower() not in MEDIA_SUFFIXES:
        raise ValueError(f"{where}: {path} is neither a video nor a picture")
    return Picture(path) if path.suffix.lower() in PICTURE_SUFFIXES else VideoFile(path)


def _file_names(media: Media) -> dict[str, int]:
    """Give the numbers of frames by the names of their files, with and without suffix."""
    if isinstance(media, PictureFolder):
        paths = media.paths
    else:
        paths = (media.path,) if isinstance(media, Picture) else ()
    return {name: i for i, path in enumerate(paths) for name in (path.name, path.stem)}


def _frame(word: str, media: Media, names: dict[str, int], where: str) -> int:
    """Read a frame's number, or find the picture of this name."""
    if word.isdecimal():
        number = int(word)
        if number < len(media):
            return number
        raise ValueError(
            f"{where}: frame {number}, but {media.name} has {len(media)} frames, counted from 0"
        )
    if word not in names:
        raise ValueError(f"{where}: expected a frame's number or picture's name, got {word!r}")
    return names[word]


def _read_boxes(root: Path, path: Path) -> list[Track]:
    tracks = []
    for video, targets in _read_table(path).items():
        first = min(target.boxes[0][0] for target in targets.values())
        media = _find_media(root, video, f"{path}, line {first}")
        names = _file_names(media)
        for number, target in targets.items():
            boxes = np.full((len(media), 4), np.nan, np.float32)
            lines: dict[int, int] = {}
            for line, word, box in target.boxes:
                where = f"{path}, line {line}"
                frame = _frame(word, media, names, where)
                if lines.setdefault(frame, line) != line:
                    raise ValueError(
                        f"{where}: a second box of this target and frame, as in line {lines[frame]}"
                    )
                boxes[frame] = box
            tracks.append(Track(_name(video, number), media, boxes, target.label or None))
    return tracks


def _name(video: str, target: str) -> str:
    suffix = Path(video).suffix
    clip = video.removesuffix(suffix) if suffix.lower() in MEDIA_SUFFIXES else video
    return clip.replace("/", "-") + (f".{target}" if target else "")


def _read_masks(root: Path) -> list[Track]:
    """Read `masks/`: one folder a clip, one picture a still."""
    tracks = []
    for place in sorted((root / MASKS).iterdir()):
        if place.name.startswith("."):
            continue
        if place.is_dir():
            paths = list_pictures(place)
        else:
            paths = (place,) if place.suffix.lower() in PICTURE_SUFFIXES else ()
        if paths:
            name = place.name if place.is_dir() else place.stem
            tracks += _masked(name, _find_media(root, name, str(place)), paths)
    if not tracks:
        raise ValueError(f"{root / MASKS}: expected masks of clips or pictures, found none")
    return tracks


def _masked(name: str, media: Media, paths: Sequence[Path]) -> list[Track]:
    names = _file_names(media)
    placed: list[Path | None] = [None] * len(media)
    boxes: dict[int | None, np.ndarray] = {}
    shape = None
    for path in paths:
        frame = names[path.stem] if path.stem in names else _frame(path.stem, media, {}, str(path))
        placed[frame] = path
        found = labels.read(path)
        shape = found.shape if shape is None else shape
        if found.shape != shape:
            raise ValueError(f"{path}: expected {shape} as the first, got {found.shape}")
        numbers: list[int | None] = [n for n in np.unique(found).tolist() if 0 < n < davis.VOID]
        if not numbers and found.any():
            numbers = [None]
        for number in numbers:
            rows = boxes.setdefault(number, np.full((len(media), 4), np.nan, np.float32))
            rows[frame] = mask_box(davis.LabelMasks((path,), number).pick(found))
    if shape is None or not boxes:
        raise ValueError(f"{paths[0].parent}: expected an object in the masks, found none")
    if None in boxes and len(boxes) > 1:
        raise ValueError(f"{paths[0].parent}: masks of 0 and 255 alone beside some of numbers")
    size = shape[::-1]
    return [
        Track(
            name if len(boxes) == 1 else f"{name}.{number}",
            media, rows, None, None, size, davis.LabelMasks(tuple(placed), number),
        )
        for number, rows in boxes.items()
    ]  # fmt: skip


def read(root: str | Path, annotations: str = "") -> list[Track]:
    """Read a folder of your own clips.

    Args:
        root: the folder.
        annotations: the CSV file in it; by default the only one there. Without a CSV file,
            sequence folders are read, and without those `masks/`.

    Returns:
        A track for each target, in the order of the CSV file, or by name; named after the video,
        and after the target where there is one of several.

    Raises:
        ValueError: naming the file, and the line of a CSV file: something missing or misread.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    path = _table(root, annotations)
    if path is not None:
        return _read_boxes(root, path)
    inside = truth.folders(root)
    if any(folder.is_sequence(place) for place in (root, *inside)):
        return folder.read(root)
    if (root / MASKS).is_dir():
        return _read_masks(root)
    if any((place / MASKS).is_dir() for place in inside):
        return davis.read(root)
    raise ValueError(f"{root}: expected a CSV file of boxes, {MASKS}/ or sequence folders in it")
