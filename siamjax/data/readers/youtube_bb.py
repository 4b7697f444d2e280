"""YouTube-BoundingBoxes (Real et al. 2017): the detection CSV, and what was kept of the videos.

Lines of the CSV: `youtube_id, timestamp_ms, class_id, class_name, object_id, object_presence, xmin,
xmax, ymin, ymax`, one box a second in parts of the frame, no header. A segment is one object of one
video; below `frames/CLASS_ID/` it is, whichever is there,

- pictures `ID_TIMESTAMP_CLASS_OBJECT.jpg`, as PySOT's scripts expect them,
- a folder `ID+CLASS+OBJECT` of pictures named by timestamps, or
- a clip `ID+CLASS+OBJECT.mp4` that begins at the segment's first timestamp. Clips cut without
  encoding them anew begin at a key frame before it: boxes are then late.

Segments of which nothing is there are left out, since no two downloads are alike. Frame sizes and
rates are looked at when a segment is first drawn.
"""

import csv
import functools
import math
import os
from array import array
from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np

from siamjax import video
from siamjax.data.lazy import Clip, LazyTracks
from siamjax.data.media import DamagedMediaError, Media, PictureFolder, VideoFile
from siamjax.data.tracks import Track

COLUMNS = 10
Key = tuple[str, str, str]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            yield from enumerate(csv.reader(file), 1)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error


def _read_csv(path: Path) -> tuple[dict[Key, array], dict[str, str]]:
    """Give (timestamp, xmin, ymin, xmax, ymax) of each line by segment, and names of classes."""
    segments: dict[Key, array] = {}
    names: dict[str, str] = {}
    absent = (math.nan,) * 4
    for line, row in _rows(path):
        try:
            identity, time, number, name, target, presence, left, right, top, bottom = row
            box = (float(left), float(top), float(right), float(bottom))
            when = float(int(time))
        except ValueError:
            raise ValueError(
                f"{path}, line {line}: expected {COLUMNS} columns of YouTube-BB, got"
                f" {','.join(row)!r}"
            ) from None
        if presence == "absent" or not (0 <= box[0] < box[2] and 0 <= box[1] < box[3]):
            box = absent
        segments.setdefault((identity, number, target), array("d")).extend((when, *box))
        names[number] = name
    if not segments:
        raise ValueError(f"{path}: holds no annotation")
    return segments, names


def _numbers(values: array) -> np.ndarray:
    """Give float64[n, 5] of a segment, by time."""
    rows = np.frombuffer(values, np.float64).reshape(-1, 5)
    return rows[np.argsort(rows[:, 0], kind="stable")]


def _on_frames(name: str, media: Media, parts: np.ndarray, category: str) -> list[Track]:
    """Turn corners in parts of the frame into pixels."""
    height, width = media.frame(0).shape[:2]
    corners = parts * [width, height, width, height]
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    size = (width, height)
    return [Track(name, media, boxes.astype(np.float32), category, frame_size=size)]


def _pictures(name: str, files: dict[int, Path], values: array, category: str) -> list[Track]:
    rows = _numbers(values)
    kept = [row for row in rows if int(row[0]) in files]
    media = PictureFolder(tuple(files[int(row[0])] for row in kept))
    return _on_frames(name, media, np.asarray(kept)[:, 1:], category)


def _folder(name: str, place: Path, values: array, category: str) -> list[Track]:
    """Read a folder of pictures named by timestamps."""
    rows = _numbers(values)
    files = {int(path.stem): path for path in place.iterdir() if path.stem.isdecimal()}
    if not any(int(time) in files for time in rows[:, 0]):
        raise DamagedMediaError(place, "no picture is named by a timestamp of the annotations")
    return _pictures(name, files, values, category)


def _clip(name: str, path: Path, values: array, category: str) -> list[Track]:
    rows, media = _numbers(values), VideoFile(path)
    parts = np.full((len(media), 4), np.nan)
    frames = np.rint((rows[:, 0] - rows[0, 0]) / 1000 * video.info(path).rate).astype(np.int64)
    there = frames < len(media)
    parts[frames[there]] = rows[there, 1:]
    return _on_frames(name, media, parts, category)


def _find(place: Path, there: Container[str], key: Key, values: array, category: str):
    """Find what is kept of a segment: the reading of its track, None where there is nothing."""
    identity, number, target = key
    name = "+".join(key)
    if f"{name}.mp4" in there:
        return functools.partial(_clip, name, place / f"{name}.mp4", values, category)
    if name in there:
        return functools.partial(_folder, name, place / name, values, category)
    files = {}
    for time in map(int, values[::5]):
        file = f"{identity}_{time}_{number}_{target}.jpg"
        if file in there:
            files[time] = place / file
    return functools.partial(_pictures, name, files, values, category) if files else None


def read(annotations: str | Path, frames: str | Path) -> LazyTracks:
    """Read the segments of a CSV of which frames were kept.

    Args:
        annotations: `yt_bb_detection_train.csv` or that of validation.
        frames: folder of the classes' folders.

    Returns:
        A track for each segment, in the order of the CSV, named ID+CLASS+OBJECT.

    Raises:
        ValueError: naming the path, and the line: missing, another csv, or no segment at all.
    """
    annotations, frames = Path(annotations), Path(frames)
    if not frames.is_dir():
        raise ValueError(f"{frames}: no such folder")
    segments, names = _read_csv(annotations)
    there = {
        place.name: frozenset(os.listdir(place)) for place in frames.iterdir() if place.is_dir()
    }
    clips = []
    for key, values in segments.items():
        inside = there.get(key[1], frozenset())
        found = _find(frames / key[1], inside, key, values, names[key[1]])
        if found is not None:
            clips.append(Clip(1, found, [names[key[1]]]))
    if not clips:
        raise ValueError(f"{frames}: no frame of any segment of {annotations}")
    return LazyTracks(clips)
