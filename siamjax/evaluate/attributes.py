"""Attributes of sequences: those that a dataset gives, or, where it gives none, derived ones.

Derived attributes follow from the truth alone, by the thresholds of OTB and UAV123, and carry the
word in their names. They stand in for what an annotator would have seen; occlusion, blur or clutter
cannot be told from boxes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from siamjax import geometry
from siamjax.data.tracks import Track
from siamjax.evaluate import aggregate
from siamjax.evaluate.compare import Measure, mean
from siamjax.evaluate.conventions import present
from siamjax.typing import AnyArray

FAST_PIXELS = 20.0
"""Motion of the centre from one frame to the next above which it is fast (OTB, UAV123)."""

SMALL_AREA = 400.0
"""Pixels of the box below which its resolution is low (OTB, UAV123)."""

RATIO = 2.0
"""Change of area or aspect since the first frame beyond which it counts (OTB, UAV123)."""

DERIVED = " (derived)"
"""End of the name of every derived attribute."""

Frames = Bool[np.ndarray, " T"]


def derive(truth: Shaped[AnyArray, "T 4"], size: tuple[int, int]) -> dict[str, Frames]:
    """Tell from the boxes of one target which frames have which attribute.

    - fast motion: the centre is more than `FAST_PIXELS` from where it was in the frame before.
    - low resolution: the box holds fewer than `SMALL_AREA` pixels.
    - scale change: the area is more than `RATIO` times, or less than 1 / `RATIO` times, that of the
      first box (the sources say "ratio of the bounding boxes"; areas are compared here).
    - aspect change: likewise the ratio of width to height.
    - leaves the view: the truth is absent, or reaches the edge of the frame (boxes are often cut
      there, so that touching it is taken for a part outside).

    Args:
        truth: float[T, 4], (x, y, width, height) in pixels, 0-based; NaN where absent.
        size: (width, height) of the frames.

    Returns:
        bool[T] by name; a frame without truth has none but the last.

    Source: Wu et al., Object tracking benchmark, 2015, table 2 (fast motion, low resolution, scale
        variation, out of view); Mueller et al., UAV123, 2016, table 1 (the same and aspect ratio).
        Their annotators mark whole sequences, and out of view by eye.
    """
    boxes = np.asarray(truth, np.float64)
    there = present(boxes)
    known = np.where(there[:, None], boxes, np.nan)
    centers = np.asarray(geometry.pixel_center(known))
    moved = np.sqrt((np.diff(centers, axis=0, prepend=centers[:1]) ** 2).sum(axis=1))
    width, height = known[:, 2], known[:, 3]
    area, aspect = width * height, width / height
    start = int(np.argmax(there))
    ends, limit = known[:, :2] + known[:, 2:], np.asarray([size], np.float64)
    reaching = np.logical_or.reduce((known[:, :2] <= 0) | (ends >= limit), axis=1)
    found = {
        "fast motion": moved > FAST_PIXELS,
        "low resolution": area < SMALL_AREA,
        "scale change": _beyond(area / area[start]),
        "aspect change": _beyond(aspect / aspect[start]),
        "leaves the view": ~there | reaching,
    }
    return {f"{name}{DERIVED}": frames for name, frames in found.items()}


def _beyond(ratio: Float64[np.ndarray, " T"]) -> Frames:
    return (ratio > RATIO) | (ratio < 1 / RATIO)


def having(tracks: Sequence[Track], sizes: Mapping[str, tuple[int, int]]) -> dict[str, list[str]]:
    """Give the names of the sequences of each attribute, present in at least one frame.

    Args:
        tracks: of a dataset; their tags where any track has some, else derived attributes.
        sizes: (width, height) of the frames, by the name of the track.
    """
    given = aggregate.attributes(tracks)
    if given or any(track.tags for track in tracks):
        return given
    found: dict[str, list[str]] = {}
    for track in tracks:
        for name, frames in derive(track.boxes, sizes[track.name]).items():
            if frames.any():
                found.setdefault(name, []).append(track.name)
    return dict(sorted(found.items()))


def summarise(
    sequences: Mapping[str, Mapping[str, Any]],
    having: Mapping[str, Sequence[str]],
    measures: Sequence[Measure],
) -> dict[str, dict[str, Any]]:
    """Average the numbers of sequences over those that have each attribute.

    Each sequence has the same weight, as OTB, UAV123, NfS, TColor128 and LaSOT average; pooled
    measures (GOT-10k's average overlap) weigh them by their frames.

    Args:
        sequences: of each sequence, numbers by their key.
        having: names of the sequences of each attribute.
        measures: to average.

    Returns:
        For each attribute the names of its `sequences`, and the mean under each measure's key.
    """
    found = {}
    for name, names in having.items():
        chosen = {one: sequences[one] for one in names if one in sequences}
        if chosen:
            numbers = {measure.key: mean(chosen, measure) for measure in measures}
            found[name] = {"sequences": list(chosen), **numbers}
    return found
