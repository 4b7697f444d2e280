"""DAVIS (Perazzi et al. 2016, Pont-Tuset et al. 2017), and sequence folders with masks like it.

The official tree: `JPEGImages/480p/SEQ/00000.jpg`, `Annotations/480p/SEQ/00000.png` and lists of
sequences in `ImageSets/2017/val.txt`. Or folders `SEQ/masks/00000.png` (or `SEQ/masks.npz`) beside
a video or pictures, as `siamjax.data.readers.folder` finds them. An annotation is an indexed PNG of
object numbers, 255 for void, or holds 0 and 255 alone, then one object. Boxes are those of the
masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from siamjax.data import cache, labels
from siamjax.data.media import Media, PictureFolder, list_pictures
from siamjax.data.readers import folder, truth
from siamjax.data.readers.masks import mask_box
from siamjax.data.tracks import Mask, Masks, Track, check_counts

SPLITS = ("2017/val", "2016/val", "480p/val")
"""Lists of `ImageSets` that are looked for, in this order, where none is asked for."""

VOID = 255


class Scene(NamedTuple):
    """One clip with all its objects: tracks over the same frames, each with masks."""

    name: str
    tracks: tuple[Track, ...]


@dataclass(frozen=True)
class LabelMasks:
    """The masks of one object in label maps, one picture a frame.

    Attributes:
        paths: of the label maps, None for a frame without one.
        number: of the object; None for one that is everything but the background.
    """

    paths: tuple[Path | None, ...]
    number: int | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def mask(self, i: int) -> Mask:
        """Decode label map `i`, which stays decoded for the other objects in it."""
        path = self.paths[i]
        if path is None:
            raise IndexError(f"frame {i} has no mask")
        return self.pick(cache.shared.get((path, "labels"), lambda: (labels.read(path),))[0])

    def pick(self, found: labels.Labels) -> Mask:
        """Give the object's mask out of a label map."""
        return found > 0 if self.number is None else found == self.number


def _scene(name: str, media: Media, paths: tuple[Path, ...], whole: bool) -> Scene:
    """Make a track for each object of the first frame; one of all objects where `whole`."""
    check_counts(paths[0].parent, len(media), len(paths))
    first = labels.read(paths[0])
    numbers = [n for n in np.unique(first).tolist() if n not in (0, VOID)]
    if whole or not numbers:
        targets = [LabelMasks(paths)]
    else:
        targets = [LabelMasks(paths, number) for number in numbers]
    if not (first > 0).any():
        raise ValueError(f"{paths[0]}: expected an object in the first frame, found none")
    boxes = np.full((len(targets), len(paths), 4), np.nan, np.float32)
    for i, path in enumerate(paths):
        found = labels.read(path)
        if found.shape != first.shape:
            raise ValueError(f"{path}: expected {first.shape} as the first, got {found.shape}")
        for target, row in zip(targets, boxes, strict=True):
            box = mask_box(target.pick(found))
            row[i] = np.nan if box is None else box
    size = first.shape[::-1]
    single = len(targets) == 1
    return Scene(
        name,
        tuple(
            Track(name if single else f"{name}.{masks.number}", media, row, None, None, size, masks)
            for masks, row in zip(targets, boxes, strict=True)
        ),
    )


def _packed_scene(name: str, media: Media, masks: Masks) -> Scene:
    check_counts(Path(name), len(media), len(masks))
    found = [mask_box(masks.mask(i)) for i in range(len(masks))]
    boxes = np.array([np.full(4, np.nan) if box is None else box for box in found], np.float32)
    return Scene(name, (Track(name, media, boxes, masks=masks),))


def read_sequence(place: str | Path) -> Scene | None:
    """Read one folder with `masks/` or `masks.npz` and frames; None where it has no masks.

    Raises:
        ValueError: no frames, damaged ones, another number of masks than frames, masks of several
            sizes, or no object in the first.
    """
    place = Path(place)
    paths = list_pictures(place / "masks") if (place / "masks").is_dir() else ()
    if paths:
        return _scene(place.name, folder.find_media(place), paths, whole=False)
    masks = folder.find_masks(place)
    return None if masks is None else _packed_scene(place.name, folder.find_media(place), masks)


def _names(path: Path) -> Sequence[str]:
    """Read a list of sequences; DAVIS 2016's own lists every picture beside its annotation."""
    try:
        words = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    return list(dict.fromkeys(Path(w).parent.name if "/" in w else w for w in words))


def _resolution(place: Path) -> Path:
    inside = truth.folders(place)
    named = [path for path in inside if path.name == "480p"]
    if not named and len(inside) != 1:
        raise ValueError(f"{place}: expected a folder 480p, found {[path.name for path in inside]}")
    return (named or inside)[0]


def _read_official(root: Path, split: str) -> list[Scene]:
    pictures, annotations = (_resolution(root / name) for name in ("JPEGImages", "Annotations"))
    lists = root / "ImageSets"
    chosen = split or next((s for s in SPLITS if (lists / f"{s}.txt").is_file()), "")
    if chosen:
        names = _names(lists / f"{chosen}.txt")
    else:
        names = [path.name for path in truth.folders(annotations)]
    scenes = []
    for name in names:
        frames, paths = (
            list_pictures(place / name) if (place / name).is_dir() else ()
            for place in (pictures, annotations)
        )
        if not frames or not paths:
            missing = pictures if not frames else annotations
            raise ValueError(f"{missing / name}: expected pictures, found none")
        # The task of 2016 has one object: all those that were told apart in 2017.
        scenes.append(_scene(name, PictureFolder(frames), paths, chosen.startswith("2016")))
    return scenes


def read_scenes(root: str | Path, split: str = "") -> list[Scene]:
    """Read an official tree, a sequence folder with masks, or all of them inside `root`.

    Args:
        root: of the tree, a folder with masks, or a folder of such folders, among which those
            without masks are left out.
        split: of an official tree, a list in `ImageSets` as `2016/val`; by default the first of
            `SPLITS` that is there, else all sequences. Lists of 2016 take all objects as one.

    Returns:
        Scenes in the order of the list, or sorted by name. An object is one that the first frame
        shows; a track is named after the scene, and with the object's number where there are
        several.

    Raises:
        ValueError: naming the path: missing, without sequences, a sequence that does not fit, or a
            split of what is no official tree.
    """
    root = Path(root)
    inside = truth.folders(root)
    if (root / "JPEGImages").is_dir():
        return _read_official(root, split)
    if split:
        raise ValueError(f"split: {root} has no lists of sequences, got {split!r}")
    found = [read_sequence(root)]
    if found == [None]:
        found = [read_sequence(place) for place in inside]
    scenes = [scene for scene in found if scene is not None]
    if not scenes:
        raise ValueError(f"{root}: no JPEGImages, and no folder with masks inside")
    return scenes


def read(root: str | Path, split: str = "") -> list[Track]:
    """Read every object of `read_scenes` as a track of its own."""
    return [track for scene in read_scenes(root, split) for track in scene.tracks]
