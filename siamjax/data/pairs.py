"""Template and search pairs: which frames, and the context crops cut around their targets.

Every pair is a pure function of (seed, global sample index). Crops are `uint8[S, S, 3]` RGB with
the target's centre at their centre; one crop pixel is `context_side(size) / exemplar` frame
pixels, so exemplars and search windows are cut out of them without further scaling.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8

from siamjax.data.tracks import Frame, Mask, Track

ATTEMPTS = 100


@dataclass(frozen=True)
class Filter:
    """Which annotated boxes may be drawn.

    Attributes:
        min_area: in square pixels.
        min_side: of the smaller side, pixels.
        max_side: of the larger side, pixels.
        min_relative: smallest side as a part of the frame's.
        max_relative: largest side as a part of the frame's.
        min_aspect: width / height.
        max_aspect: width / height.
        min_cover: boxes need `cover > max(1, min_cover * largest cover)` where the track has
            covers (eighths of the target that are visible); 0 takes all.
    """

    min_area: float = 0.0
    min_side: float = 4.0
    max_side: float = math.inf
    min_relative: float = 0.0
    max_relative: float = math.inf
    min_aspect: float = 0.0
    max_aspect: float = math.inf
    min_cover: float = 0.0

    def accept(self, track: Track) -> Int[np.ndarray, " n"]:
        """Give the numbers of the frames of `track` that pass, increasing."""
        frames = track.visible
        boxes = track.boxes[frames]
        width, height = boxes[:, 2], boxes[:, 3]
        shorter, longer = np.minimum(width, height), np.maximum(width, height)
        keep = (width * height >= self.min_area) & (shorter >= self.min_side)
        aspect = width / np.maximum(1, height)
        keep &= (longer <= self.max_side) & (aspect >= self.min_aspect)
        keep &= aspect <= self.max_aspect
        if keep.any() and (self.min_relative > 0 or self.max_relative < math.inf):
            relative = boxes[:, 2:] / np.asarray([track.size()], np.float32)
            keep &= (relative >= self.min_relative).all(axis=1)
            keep &= (relative <= self.max_relative).all(axis=1)
        if track.cover is not None and self.min_cover > 0 and len(track.cover):
            keep &= track.cover[frames] > max(1.0, self.min_cover * float(track.cover.max()))
        return frames[keep]


# siamfc-pytorch, datasets.py (REFERENCE 1.8): what it accepts of GOT-10k.
SIAMFC_FILTER = Filter(
    min_area=20.0, min_side=20.0, max_side=500.0, min_relative=0.01, max_relative=0.5,
    min_aspect=0.25, max_aspect=4.0, min_cover=0.3,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Source:
    """Tracks that are drawn alike.

    Attributes:
        tracks: at least one.
        weight: how often the source is drawn, relative to the others.
        frame_range: the search frame lies within this many accepted frames of the template's.
        name: for messages.
        filter: which boxes may be drawn.
    """

    tracks: Sequence[Track]
    weight: float = 1.0
    frame_range: int = 100
    name: str = "source"
    filter: Filter = Filter()
    _accepted: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        if not self.tracks:
            raise ValueError(f"tracks: expected at least one track in source {self.name!r}")
        if not (self.weight >= 0 and math.isfinite(self.weight)):
            raise ValueError(f"weight: expected a finite number >= 0, got {self.weight}")
        if self.frame_range < 0:
            raise ValueError(f"frame_range: expected at least 0, got {self.frame_range}")

    def accepted(self, track: int) -> Int[np.ndarray, " n"]:
        """Give the frames of track number `track` that may be drawn."""
        frames = self._accepted.get(track)
        if frames is None:
            frames = self.filter.accept(self.tracks[track])
            self._accepted[track] = frames
        return frames


@dataclass(frozen=True)
class PairConfig:
    """What a pair is made of.

    Attributes:
        template_size: K, side of the template's context crop.
        search_size: S, side of the search's context crop.
        exemplar: side of the exemplar in crop pixels, which sets their scale.
        negative: probability of a pair whose search shows another target.
        masks: cut the mask of the search's target as well.
    """

    template_size: int = 191
    search_size: int = 431
    exemplar: int = 127
    negative: float = 0.0
    masks: bool = False

    def __post_init__(self):
        for name in ("template_size", "search_size", "exemplar"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1 pixel, got {getattr(self, name)}")
        if not 0 <= self.negative <= 1:
            raise ValueError(f"negative: expected a probability 0..1, got {self.negative}")


class Shot(NamedTuple):
    """One frame of one track."""

    track: Track
    frame: int


class Pair(NamedTuple):
    """A template shot, a search shot, and whether they show the same target."""

    template: Shot
    search: Shot
    positive: bool


def _weights(sources: Sequence[Source]) -> np.ndarray:
    total = math.fsum(source.weight for source in sources)
    if not total > 0:
        raise ValueError("sources: expected at least one with a weight over 0")
    return np.cumsum([source.weight / total for source in sources])


def _draw_track(
    sources: Sequence[Source], weights: np.ndarray, rng: np.random.Generator
) -> tuple[Source, Track, np.ndarray]:
    for _ in range(ATTEMPTS):
        number = int(np.searchsorted(weights, rng.random(), side="right"))
        source = sources[min(number, len(sources) - 1)]
        chosen = int(rng.integers(len(source.tracks)))
        frames = source.accepted(chosen)
        if len(frames):
            return source, source.tracks[chosen], frames
    names = ", ".join(repr(source.name) for source in sources)
    raise ValueError(
        f"sources: {ATTEMPTS} tracks drawn in a row from {names} have no box that the filter"
        " accepts"
    )


def draw(
    sources: Sequence[Source],
    config: PairConfig,
    seed: int,
    index: int,
    attempt: int = 0,
) -> Pair:
    """Choose the pair of a global sample index.

    A source by weight, one of its tracks, a template frame among the accepted ones, all uniformly;
    then a search frame within `frame_range` accepted frames, the template's own included. The
    search of a negative pair is drawn afresh until it comes from another clip.

    Args:
        sources: where tracks come from.
        config: probability of a negative pair.
        seed: of the run.
        index: global sample index.
        attempt: 0; a higher number gives the replacement of a pair that could not be read.

    Returns:
        The pair, a function of the arguments alone.

    Raises:
        ValueError: the filters accept nothing, or no second clip exists for a negative pair.
    """
    weights = _weights(sources)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, index, attempt])))
    negative = rng.random() < config.negative
    source, track, frames = _draw_track(sources, weights, rng)
    place = int(rng.integers(len(frames)))
    template = Shot(track, int(frames[place]))
    if not negative:
        first = max(0, place - source.frame_range)
        last = min(len(frames) - 1, place + source.frame_range)
        return Pair(template, Shot(track, int(frames[rng.integers(first, last + 1)])), True)
    for _ in range(ATTEMPTS):
        _, other, frames = _draw_track(sources, weights, rng)
        if other.media != track.media:
            return Pair(template, Shot(other, int(frames[rng.integers(len(frames))])), False)
    raise ValueError(f"negative: {ATTEMPTS} draws in a row gave no clip but {track.media.name}")


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
    half, step = (size - 1) / 2, _step(box, exemplar)
    crop = _warp(image, box, size, exemplar, cv2.mean(image), out)
    w, h = width / step, height / step
    inside = np.asarray([half - (w - 1) / 2, half - (h - 1) / 2, w, h], np.float32)
    return crop, inside


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
        image = shot.track.media.frame(shot.frame)
        target = shot.track.boxes[shot.frame]
        _, box = context_crop(image, target, size, config.exemplar, out[name][row])
        out[f"{name}_box"][row] = box
    out["positive"][row] = pair.positive
    if config.masks:
        _read_mask(pair.search, config, out, row)


def _read_mask(shot: Shot, config: PairConfig, out: dict[str, Any], row: int) -> None:
    """Write the mask of a search into row `row`, zeros where its track has none."""
    masks = shot.track.masks
    out["has_mask"][row] = masks is not None
    if masks is None:
        out["search_mask"][row] = 0
        return
    mask, target = masks.mask(shot.frame), shot.track.boxes[shot.frame]
    context_mask(mask, target, config.search_size, config.exemplar, out["search_mask"][row])


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
