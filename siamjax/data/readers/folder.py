"""Sequence folders: a video or pictures beside a text file of boxes.

`SEQ/video.mp4` (or one other video file), or pictures in `SEQ` or `SEQ/img`; `groundtruth.txt` or
`groundtruth_rect.txt` with a 0-based box `x,y,width,height` a frame, `nan` where absent. Masks, if
any, are `SEQ/masks.npz` (`segmentation.packed`) or the pictures of `SEQ/masks`, one a frame.
"""

from pathlib import Path

from siamjax.data import segmentation
from siamjax.data.media import (
    VIDEO_SUFFIXES,
    Media,
    PictureFolder,
    VideoFile,
    list_pictures,
)
from siamjax.data.readers import truth
from siamjax.data.tracks import Masks, Track, check_counts

TRUTH_NAMES = ("groundtruth.txt", "groundtruth_rect.txt")


def _truth_file(folder: Path) -> Path | None:
    return next((folder / name for name in TRUTH_NAMES if (folder / name).is_file()), None)


def is_sequence(folder: Path) -> bool:
    """Tell a sequence folder, by its file of boxes."""
    return _truth_file(folder) is not None


def find_media(folder: Path) -> Media:
    """Find the frames of a sequence folder.

    Raises:
        ValueError: neither pictures nor exactly one video.
    """
    if (folder / "video.mp4").is_file():
        return VideoFile(folder / "video.mp4")
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
    if len(videos) == 1:
        return VideoFile(videos[0])
    if len(videos) > 1:
        names = ", ".join(p.name for p in videos)
        raise ValueError(f"{folder}: expected one video, found {names}; name one video.mp4")
    for place in (folder / "img", folder):
        pictures = list_pictures(place) if place.is_dir() else ()
        if pictures:
            return PictureFolder(pictures)
    raise ValueError(f"{folder}: expected a video, or pictures in it or in img/; found neither")


def find_masks(folder: Path) -> Masks | None:
    """Find the masks of a sequence folder, None where it has none.

    Raises:
        DamagedMediaError: `masks.npz` holds something else.
    """
    if (folder / "masks.npz").is_file():
        return segmentation.packed(folder / "masks.npz")
    pictures = list_pictures(folder / "masks") if (folder / "masks").is_dir() else ()
    return segmentation.PictureMasks(pictures) if pictures else None


def read_sequence(folder: str | Path) -> Track:
    """Read one sequence folder.

    Raises:
        ValueError: no boxes, no frames, a damaged video, or another number of boxes (or of masks)
            than frames.
    """
    folder = Path(folder)
    path = _truth_file(folder)
    if path is None:
        raise ValueError(f"{folder}: expected {' or '.join(TRUTH_NAMES)}")
    media, boxes = find_media(folder), truth.read_boxes(path)
    check_counts(path, len(media), len(boxes))
    return Track(folder.name, media, boxes, masks=find_masks(folder))


def read(root: str | Path) -> list[Track]:
    """Read a sequence folder, or every sequence folder inside `root`.

    Args:
        root: a folder with boxes and frames, or a folder of such folders.

    Returns:
        Tracks sorted by name.

    Raises:
        ValueError: naming the path: missing, without sequences, or a sequence that does not fit.
    """
    root = Path(root)
    inside = truth.folders(root)
    if is_sequence(root):
        return [read_sequence(root)]
    tracks = [read_sequence(folder) for folder in inside if is_sequence(folder)]
    if not tracks:
        raise ValueError(f"{root}: no folder with {' or '.join(TRUTH_NAMES)} inside")
    return tracks
