"""One shard of a pack: frames decoded, cut and encoded, record after record."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from siamjax.data import packed, pairs
from siamjax.data.media import (
    DamagedMediaError,
    Frame,
    Media,
    Picture,
    PictureFolder,
    VideoFile,
    read_picture,
)
from siamjax.data.pack_plan import ClipPlan, PackConfig, Plan, Shot

OPTIONS = "group_size:1,uncompressed"
"""Of the files: each record can be read alone, and pictures are compressed already."""


def _encode(image: np.ndarray, config: PackConfig) -> bytes:
    """Encode RGB pixels as configured, grey ones without loss."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if image.ndim == 2 or config.encoding == "png":
        kind, options = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]
    else:
        kind, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, config.quality]
    return cv2.imencode(kind, image, options)[1].tobytes()


def _path(media: Media, i: int) -> Path | None:
    """Give the picture file of frame `i`, None where frames are not files."""
    if isinstance(media, PictureFolder):
        return media.paths[i]
    return media.path if isinstance(media, Picture) else None


def _frames(clip: ClipPlan) -> Iterator[tuple[int, Frame | DamagedMediaError]]:
    """Decode the frames that are wanted, in order; past the cache, as each is used once."""
    wanted = sorted({shot.frame for shot in clip.shots})
    if isinstance(clip.media, VideoFile):
        yield from _decoded(clip.media, wanted)
        return
    for i in wanted:
        path = _path(clip.media, i)
        try:
            yield i, clip.media.frame(i) if path is None else read_picture(path)
        except DamagedMediaError as error:
            yield i, error


def _decoded(
    media: VideoFile, wanted: list[int]
) -> Iterator[tuple[int, Frame | DamagedMediaError]]:
    """Decode a video from its beginning, which is faster than seeking each frame."""
    done = 0
    reason = DamagedMediaError(media.path, f"the video ends before frame {wanted[-1]}")
    try:
        for i, image in enumerate(media):
            if i == wanted[done]:
                done += 1
                yield i, image
            if done == len(wanted):
                return
    except DamagedMediaError as error:
        reason = error
    yield from ((i, reason) for i in wanted[done:])


def _record(plan: Plan, clip: ClipPlan, shot: Shot, image: Frame | DamagedMediaError) -> bytes:
    """Make the bytes of one record.

    Raises:
        DamagedMediaError: the picture or mask cannot be decoded.
    """
    if isinstance(image, DamagedMediaError):
        raise image
    config = plan.config
    if shot.track < 0:
        path = _path(clip.media, shot.frame)
        return _encode(image, config) if path is None else path.read_bytes()
    track = plan.tracks[shot.track]
    box, masks = track.boxes[shot.frame], track.masks
    if masks is None or not shot.mask:
        return _encode(pairs.context_crop(image, box, config.side, config.exemplar)[0], config)
    mask = masks.mask(shot.frame)
    if config.store == "frames":
        return _encode(mask.view(np.uint8) * np.uint8(255), config)
    return _encode(pairs.context_mask(mask, box, config.side, config.exemplar), config)


def write(plan: Plan, number: int, path: Path, tick: Callable[[], None]) -> dict[str, Any]:
    """Write one shard to `path`, by a temporary name.

    Args:
        plan: of the pack.
        number: of the shard.
        path: of the file.
        tick: called after every record; what it raises ends the writing, without a file.

    Returns:
        What the manifest says of it: `file`, `records`, `bytes`, `sha256`; `damaged`, how often
        each file could not be decoded; `sizes`, (width, height) of the frames by number of clip.
    """
    from array_record.python.array_record_module import ArrayRecordWriter

    partial = path.with_name(f"{path.name}.partial")
    writer = ArrayRecordWriter(str(partial), OPTIONS)
    damaged: Counter[str] = Counter()
    sizes: dict[str, tuple[int, int]] = {}
    records = 0
    try:
        for place in plan.shards[number]:
            clip, made = plan.clips[place], 0
            for frame, image in _frames(clip) if clip.shots else ():
                if not isinstance(image, DamagedMediaError):
                    sizes.setdefault(str(place), (image.shape[1], image.shape[0]))
                while made < len(clip.shots) and clip.shots[made].frame == frame:
                    try:
                        data = _record(plan, clip, clip.shots[made], image)
                    except DamagedMediaError as error:
                        damaged[str(error.path)] += 1
                        data = packed.DAMAGED + str(error.path).encode()
                    writer.write(data)
                    made += 1
                    tick()
            records += made
    finally:
        writer.close()
    about = {"file": path.name, "records": records, "bytes": partial.stat().st_size}
    about |= {"sha256": sha256(partial), "damaged": dict(damaged), "sizes": sizes}
    os.replace(partial, path)
    return about


def sha256(path: Path) -> str:
    """Hash a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
