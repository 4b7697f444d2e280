"""COCO instances: each annotated object of a still picture is a track of one frame."""

import json
from pathlib import Path

import numpy as np

from siamjax.data.media import Picture
from siamjax.data.segmentation import CocoMask
from siamjax.data.tracks import Track


def read(annotations: str | Path, images: str | Path, min_side: float = 10.0) -> list[Track]:
    """Read the objects of a COCO json file.

    Args:
        annotations: `instances_*.json` with `images`, `annotations` and `categories`.
        images: folder of the pictures.
        min_side: objects with a smaller width or height, in pixels, are left out, as are crowds.

    Returns:
        One track for each object, in the order of the file, with its mask where the file has one
        and says how large the picture is.

    Raises:
        ValueError: naming the path: missing, not COCO json, a picture that is not there, or no
            object left.
    """
    annotations, images = Path(annotations), Path(images)
    if not annotations.is_file():
        raise ValueError(f"{annotations}: no such file")
    if not images.is_dir():
        raise ValueError(f"{images}: no such folder")
    try:
        content = json.loads(annotations.read_text(encoding="utf-8"))
        pictures = {entry["id"]: entry for entry in content["images"]}
        names = {entry["id"]: entry["name"] for entry in content.get("categories", [])}
        objects = [
            (pictures[entry["image_id"]], entry, np.asarray(entry["bbox"], np.float32))
            for entry in content["annotations"]
            if not entry.get("iscrowd", 0)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{annotations}: not COCO instances json ({type(error).__name__}: {error})"
        ) from error
    media: dict[str, Picture] = {}
    tracks = []
    for picture, entry, box in objects:
        if box.shape != (4,) or not (box[2:] >= min_side).all():
            continue
        file_name = picture["file_name"]
        if file_name not in media:
            path = images / file_name
            if not path.is_file():
                raise ValueError(f"{path}: no such picture, named by {annotations}")
            media[file_name] = Picture(path)
        size = (int(picture["width"]), int(picture["height"])) if "width" in picture else None
        category = names.get(entry.get("category_id"))
        name = f"{Path(file_name).stem}-{entry['id']}"
        drawn = entry.get("segmentation")
        mask = CocoMask(drawn, (size[1], size[0])) if drawn and size else None
        tracks.append(Track(name, media[file_name], box[None], category, None, size, mask))
    if not tracks:
        raise ValueError(f"{annotations}: no object of at least {min_side} px")
    return tracks
