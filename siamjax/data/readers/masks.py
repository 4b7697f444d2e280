"""Photos with a mask of their object (ECSSD and the like): `images/NAME.jpg`, `masks/NAME.png`."""

import contextlib
from pathlib import Path

import cv2
import numpy as np

from siamjax.data.media import DamagedMediaError, Picture, list_pictures
from siamjax.data.segmentation import PictureMasks, read_mask
from siamjax.data.tracks import Track


def mask_box(mask: np.ndarray) -> np.ndarray | None:
    """Give the box float32[4] around the set pixels of a mask [H, W]; None where none is set."""
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    return np.asarray([x, y, width, height], np.float32) if width and height else None


def read(root: str | Path, images: str = "images", masks: str = "masks") -> list[Track]:
    """Read photos whose mask shows one object; the target's box is the box of the mask.

    Args:
        root: folder that holds both.
        images: folder of the photos.
        masks: folder of the masks, of the same names; a pixel over 127 belongs to the object.

    Returns:
        Tracks of one frame sorted by name; photos with an empty mask are left out.

    Raises:
        ValueError: naming the path: missing folders, a photo without mask or of another size, or no
            photo at all.
    """
    root = Path(root)
    for folder in (root, root / images, root / masks):
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder")
    found = {path.stem: path for path in list_pictures(root / masks)}
    tracks = []
    for path in list_pictures(root / images):
        if path.stem not in found:
            raise ValueError(f"{path}: no mask of this name in {root / masks}")
        photo, mask = Picture(path), read_mask(found[path.stem])
        box = mask_box(mask)
        if box is None:
            continue
        size = (mask.shape[1], mask.shape[0])
        with contextlib.suppress(DamagedMediaError):  # met again, and counted, while training
            height, width = photo.frame(0).shape[:2]
            if size != (width, height):
                raise ValueError(
                    f"{found[path.stem]}: mask of {size[0]}x{size[1]} pixels for a photo of"
                    f" {width}x{height}"
                )
        drawn = PictureMasks((found[path.stem],))
        tracks.append(Track(path.stem, photo, box[None], None, None, size, drawn))
    if not tracks:
        raise ValueError(f"{root / images}: no photo with an object in its mask")
    return tracks
