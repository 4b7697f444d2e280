"""YouTube-VOS (Xu et al. 2018): `SPLIT/JPEGImages/VIDEO/00000.jpg`, `Annotations`, `meta.json`.

`meta.json` tells the objects of each video, `Annotations/VIDEO/00000.png` holds their numbers in
the annotated frames, usually each fifth; the other frames are left out. Boxes are those of the
masks, which are decoded when a video is first drawn.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from siamjax.data import labels
from siamjax.data.lazy import Clip, LazyTracks
from siamjax.data.media import PictureFolder, list_pictures
from siamjax.data.readers import truth
from siamjax.data.readers.davis import LabelMasks
from siamjax.data.readers.masks import mask_box
from siamjax.data.tracks import Track


def read_video(root: Path, name: str, objects: Mapping[str, Any]) -> list[Track]:
    """Read one video: a track for each object, over the annotated frames.

    Args:
        root: folder of the split.
        name: of the video.
        objects: from `meta.json`: number of each object, with its `category`.

    Raises:
        ValueError: naming the path: no annotation, or none with a frame.
        DamagedMediaError: an annotation that cannot be decoded.
    """
    place, frames = root / "Annotations" / name, root / "JPEGImages" / name
    for folder in (place, frames):
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder, for a video of {root / 'meta.json'}")
    pictures = {path.stem: path for path in list_pictures(frames)}
    paths = tuple(path for path in list_pictures(place) if path.stem in pictures)
    if not paths:
        raise ValueError(f"{place}: no annotation of a frame in {frames}")
    media = PictureFolder(tuple(pictures[path.stem] for path in paths))
    masks = {number: LabelMasks(paths, int(number)) for number in objects}
    boxes = {number: np.full((len(paths), 4), np.nan, np.float32) for number in objects}
    size = None
    for i, path in enumerate(paths):
        found = labels.read(path)
        size = found.shape[::-1] if size is None else size
        for number, rows in boxes.items():
            box = mask_box(masks[number].pick(found))
            rows[i] = np.nan if box is None else box
    return [
        Track(f"{name}.{number}", media, boxes[number], about.get("category"), None, size, mask)
        for (number, about), mask in zip(objects.items(), masks.values(), strict=True)
    ]


def read(root: str | Path, split: str = "train") -> LazyTracks:
    """Read a split with all annotations (the challenge's `valid` has those of first frames alone).

    Args:
        root: folder that holds `split`, or the folder of the split itself.
        split: "train".

    Returns:
        Tracks in the order of `meta.json`.

    Raises:
        ValueError: naming the path: missing, or not such a json.
    """
    root = Path(root)
    root = root if (root / "meta.json").is_file() else root / split
    path = root / "meta.json"
    try:
        videos = json.loads(truth.read_text(path))["videos"]
        objects = {name: video["objects"] for name, video in videos.items()}
        numbers = [int(number) for found in objects.values() for number in found]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if not path.is_file():
            raise
        raise ValueError(
            f"{path}: not YouTube-VOS's json ({type(error).__name__}: {error})"
        ) from error
    if not numbers:
        raise ValueError(f"{path}: names no object")
    clips = (
        Clip(
            len(found),
            functools.partial(read_video, root, name, found),
            [about.get("category") for about in found.values()],
        )
        for name, found in objects.items()
    )
    return LazyTracks(clips)
