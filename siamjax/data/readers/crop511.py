"""PySOT's training crops: `crop511/VIDEO/000000.00.x.jpg` and a json of boxes.

The json maps video -> track -> frame -> `[x1, y1, x2, y2]` or `[width, height]` of the target in
the frame that it was cropped from, at any scale. A crop, 511 pixels a side, has the target's centre
at pixel 255 and its context scaled to 127: its box there follows from its shape alone.
SiamMask's crops have masks beside them (`000000.00.m.png`). Each track has pictures of its own.
Source: PySOT's `training_dataset/*/par_crop.py` and `pysot/datasets/dataset.py`.
"""

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from siamjax.data.lazy import Clip, LazyTracks
from siamjax.data.media import PictureFolder
from siamjax.data.readers import truth
from siamjax.data.segmentation import PictureMasks
from siamjax.data.tracks import Track

SIDE = 511
EXEMPLAR = 127


def inside(shapes: Float32[np.ndarray, "T 2"]) -> Float32[np.ndarray, "T 4"]:
    """Give the boxes in the crops of targets of these (width, height); NaN where one is empty."""
    context = shapes.sum(axis=1, keepdims=True) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        sides = shapes * EXEMPLAR / np.sqrt((shapes + context).prod(axis=1, keepdims=True))
    sides[~(shapes > 0).all(axis=1)] = np.nan
    return np.concatenate([(SIDE - 1) / 2 - (sides - 1) / 2, sides], axis=1)


def _read_track(crops: Path, video: str, track: str, frames: Mapping[str, Any]) -> Track:
    names = sorted(name for name in frames if name.isdecimal())
    shapes = []
    for name in names:
        numbers = np.asarray(frames[name], np.float32)
        if numbers.shape not in ((2,), (4,)):
            raise ValueError(
                f"{video}, {track}, {name}: expected two or four numbers, got {frames[name]}"
            )
        shapes.append(numbers[-2:] - (numbers[:2] if len(numbers) == 4 else 0))
    beginning = os.path.join(crops, video)
    paths = tuple(Path(beginning, f"{name}.{track}.x.jpg") for name in names)
    masks = tuple(Path(beginning, f"{name}.{track}.m.png") for name in names)
    drawn = PictureMasks(masks) if masks and masks[0].is_file() else None
    boxes = inside(np.asarray(shapes, np.float32).reshape(-1, 2))
    name = f"{video}.{track}"
    return Track(name, PictureFolder(paths), boxes, frame_size=(SIDE, SIDE), masks=drawn)


def _read_video(path: Path, crops: Path, video: str, tracks: Mapping[str, Any]) -> list[Track]:
    try:
        return [_read_track(crops, video, track, frames) for track, frames in tracks.items()]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def read(annotations: str | Path, crops: str | Path) -> LazyTracks:
    """Read a json of PySOT's and the crops that belong to it.

    Args:
        annotations: `train.json` or `val.json`; loaded as a whole, so of some gigabytes of memory
            for YouTube-BB.
        crops: folder `crop511`.

    Returns:
        Tracks in the order of the json, named VIDEO.TRACK; pictures are not looked for.

    Raises:
        ValueError: naming the path: missing, or not such a json; at the first use of a track, a
            box that is not two or four numbers.
    """
    annotations, crops = Path(annotations), Path(crops)
    if not crops.is_dir():
        raise ValueError(f"{crops}: no such folder")
    text = truth.read_text(annotations)
    try:
        videos = json.loads(text)
        counts = {video: len(tracks) for video, tracks in videos.items()}
        frames = sum(len(one) for tracks in videos.values() for one in tracks.values())
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{annotations}: not PySOT's json ({error})") from error
    if not frames:
        raise ValueError(f"{annotations}: names no box")
    return LazyTracks(
        Clip(counts[video], functools.partial(_read_video, annotations, crops, video, tracks))
        for video, tracks in videos.items()
    )
