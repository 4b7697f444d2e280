"""Template and search pairs: the context crops cut around their targets.

Crops are `uint8[S, S, 3]` RGB with the target's centre at their centre; one crop pixel is
`context_side(size) / exemplar` frame pixels, so exemplars and search windows are cut out of them
without further scaling. `siamjax.data.draws` says which frames make a pair.
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from siamjax.data import cache
from siamjax.data.draws import Pair, PairConfig, Shot, draw
from siamjax.data.media import Frame
from siamjax.data.sources import Source
from siamjax.data.tracks import Mask


def context_crop(
    image: Frame, box: Float32[np.ndarray, "4"], size: int, exemplar: int = 127,
    out: np.ndarray | None = None,
) -> tuple[UInt8[np.ndarray, "size size 3"], Float32[np.ndarray, "4"]]:  # fmt: skip
    """Cut the square around a target, padded with the picture's mean colour.

    Args:
        image: frame, uint8[H, W, 3].
        box: (x, y, width, height) in frame pixels, finite, sides over 0.
        size: side of the crop.
        exemplar: side in crop pixels of the target's context square.
        out: where to write the crop, or None for a new array.

    Returns:
        The crop uint8[size, size, 3], the target's pixel centre at (size - 1) / 2, and the box in
        crop pixels.

    Raises:
        ValueError: a box with NaN or an empty side.

    Source: Bertinetto et al. 2016, section 3.4; windows as PySOT's, without its rounding of the
    window to whole frame pixels.
    """
    x, y, width, height = (float(value) for value in box)
    if not (math.isfinite(x + y) and 0 < width < math.inf and 0 < height < math.inf):
        raise ValueError(f"box: expected finite numbers and sides over 0, got {box.tolist()}")
    crop = _warp(image, box, size, exemplar, cv2.mean(image), out)
    return crop, box_inside(box, size, exemplar)


def box_inside(
    box: Float32[np.ndarray, "4"], size: int, exemplar: int = 127
) -> Float32[np.ndarray, "4"]:
    """Give the box of a target in its own context crop of `size` pixels a side."""
    half, step = (size - 1) / 2, _step(box, exemplar)
    w, h = float(box[2]) / step, float(box[3]) / step
    return np.asarray([half - (w - 1) / 2, half - (h - 1) / 2, w, h], np.float32)


def _step(box: np.ndarray, exemplar: int) -> float:
    """Give the frame pixels of a crop pixel."""
    width, height = (float(value) for value in box[2:])
    context = (width + height) / 2
    return math.sqrt((width + context) * (height + context)) / exemplar


def _warp(image, box, size, exemplar, fill, out):
    """Cut the square around a box out of a picture of any number of channels."""
    x, y, width, height = (float(value) for value in box)
    half, step = (size - 1) / 2, _step(box, exemplar)
    to_frame = np.array(
        [
            [step, 0, x + (width - 1) / 2 - half * step],
            [0, step, y + (height - 1) / 2 - half * step],
        ]
    )
    return cv2.warpAffine(
        image,
        to_frame,
        (size, size),
        dst=out,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=fill,
    )


def context_mask(
    mask: Mask, box: Float32[np.ndarray, "4"], size: int, exemplar: int = 127,
    out: np.ndarray | None = None,
) -> UInt8[np.ndarray, "size size"]:  # fmt: skip
    """Cut a mask as `context_crop` cuts its frame: 255 on the target, greys at its edge, else 0."""
    return _warp(mask.view(np.uint8) * np.uint8(255), box, size, exemplar, 0, out)


def read(pair: Pair, config: PairConfig, out: dict[str, Any], row: int) -> None:
    """Decode a pair and write its crops and boxes into row `row` of the arrays of a batch.

    Raises:
        DamagedMediaError: a picture or clip cannot be decoded.
    """
    for name, shot, size in (
        ("template", pair.template, config.template_size),
        ("search", pair.search, config.search_size),
    ):
        out[f"{name}_box"][row] = cut(shot, size, config, out[name][row])
    out["positive"][row] = pair.positive
    if config.masks:
        size = config.search_size
        out["has_mask"][row] = cut_mask(pair.search, size, config, out["search_mask"][row])


def cut(shot: Shot, size: int, config: PairConfig, out: np.ndarray) -> Float32[np.ndarray, "4"]:
    """Write a shot's context crop into `out`, and give the box in it; kept where so configured.

    Raises:
        DamagedMediaError: the frame cannot be decoded.
    """
    track, box = shot.track, shot.track.boxes[shot.frame]

    def make(to):
        if track.crops is None:
            return context_crop(track.media.frame(shot.frame), box, size, config.exemplar, to)
        crop = track.crops.cut(shot.frame, box, size, config.exemplar, to)
        return crop, box_inside(box, size, config.exemplar)

    if not config.keep:
        return make(out)[1]
    key = (shot.track, shot.frame, size, config.exemplar, "crop")
    crop, inside = cache.shared.get(key, lambda: make(None))
    out[:] = crop
    return inside


def cut_mask(shot: Shot, size: int, config: PairConfig, out: np.ndarray) -> bool:
    """Write the mask of a shot's context crop into `out`; zeros, and False, where it has none.

    Raises:
        DamagedMediaError: the mask cannot be decoded.
    """
    masks = shot.track.masks
    if masks is None:
        out[:] = 0
        return False
    box = shot.track.boxes[shot.frame]

    def make(to):
        if shot.track.crops is None:
            return context_mask(masks.mask(shot.frame), box, size, config.exemplar, to)
        return shot.track.crops.cut_mask(shot.frame, box, size, config.exemplar, to)

    if not config.keep:
        make(out)
        return True
    key = (shot.track, shot.frame, size, config.exemplar, "mask crop")
    out[:] = cache.shared.get(key, lambda: (make(None),))[0]
    return True


def sample(
    sources: Sequence[Source], config: PairConfig, seed: int, index: int, attempt: int = 0
) -> dict[str, np.ndarray]:
    """Give one pair with its crops: a batch of one without the batch axis.

    Raises:
        DamagedMediaError: a picture or clip cannot be decoded.
        ValueError: nothing to draw.
    """
    out = empty_batch(1, config)
    read(draw(sources, config, seed, index, attempt), config, out, 0)
    out["index"][0] = index
    return {name: array[0] for name, array in out.items()}


def empty_batch(count: int, config: PairConfig) -> dict[str, np.ndarray]:
    """Allocate the arrays of a batch of `count` pairs, uninitialised."""
    k, s = config.template_size, config.search_size
    batch = {
        "template": np.empty((count, k, k, 3), np.uint8),
        "template_box": np.empty((count, 4), np.float32),
        "search": np.empty((count, s, s, 3), np.uint8),
        "search_box": np.empty((count, 4), np.float32),
        "positive": np.empty(count, np.bool_),
        "index": np.empty(count, np.uint32),
    }
    if config.masks:
        batch["search_mask"] = np.empty((count, s, s), np.uint8)
        batch["has_mask"] = np.empty(count, np.bool_)
    return batch
