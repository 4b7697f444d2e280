"""The anchor-based analysis of VOT 2020 and later: a run from every anchor to an end of the clip.

From an anchor in its first half a clip is run forward, from one in its second half backward. A run
fails at the first of ten frames in a row whose overlap is 0.1 at most, and is nothing worth after.
Source: Kristan et al., The eighth visual object tracking VOT2020 challenge results, section 3;
ends and weights follow the VOT toolkit's `multistart.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from siamjax.data.media import Frame, Media
from siamjax.data.tracks import Mask, Masks, Track
from siamjax.evaluate import aggregate
from siamjax.evaluate.aggregate import Interval

THRESHOLD, PATIENCE = 0.1, 10
LOW, HIGH = 115, 755
"""Lengths in frames over which the expected overlap is averaged."""


@dataclass(frozen=True)
class Anchored:
    """The frames of a clip from one on, forward or backward.

    Attributes:
        clip: the whole of it.
        anchor: number of its frame that comes first.
        backward: run to frame 0 rather than to the last.
    """

    clip: Media
    anchor: int
    backward: bool

    @property
    def name(self) -> str:
        return self.clip.name

    def __len__(self) -> int:
        return self.anchor + 1 if self.backward else len(self.clip) - self.anchor

    def frame(self, i: int) -> Frame:
        if not 0 <= i < len(self):
            raise IndexError(f"{self.name}: frame {i} of {len(self)}")
        return self.clip.frame(self.anchor - i if self.backward else self.anchor + i)

    def __iter__(self):
        return (self.frame(i) for i in range(len(self)))


@dataclass(frozen=True)
class Reordered:
    """Masks of a clip in another order: `order` holds the numbers of their frames."""

    masks: Masks
    order: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.order)

    def mask(self, i: int) -> Mask:
        return self.masks.mask(self.order[i])


def from_anchor(track: Track, anchor: int, *, backward: bool) -> Track:
    """Give the part of a track that a run from an anchor sees, in its order.

    Its name is the track's with the anchor's frame number, as the toolkit names result files.

    Raises:
        ValueError: no such frame.
    """
    if not 0 <= anchor < len(track.boxes):
        raise ValueError(f"anchor: {track.name} has {len(track.boxes)} frames, got {anchor}")
    order = order_of(len(track), anchor, backward)
    return Track(
        name=name_of(track.name, anchor),
        media=Anchored(track.media, anchor, backward),
        boxes=track.boxes[order],
        category=track.category,
        frame_size=track.frame_size,
        masks=None if track.masks is None else Reordered(track.masks, tuple(order.tolist())),
        regions=None if track.regions is None else track.regions[order],
        tags={tag: frames[order] for tag, frames in track.tags.items()},
    )


def name_of(sequence: str, anchor: int) -> str:
    """Give the name of a run, as the VOT toolkit's files have it."""
    return f"{sequence}_{anchor:08d}"


def order_of(frames: int, anchor: int, backward: bool) -> Int[np.ndarray, " n"]:
    """Give the numbers of a clip's frames in the order in which a run from an anchor sees them."""
    return np.arange(anchor, -1, -1) if backward else np.arange(anchor, frames)


def directions(values: Float[np.ndarray, " T"]) -> list[tuple[int, bool]]:
    """Read a clip's anchors: (frame number, whether backward), forward ones first.

    Args:
        values: of the file `anchor.value`: above zero where a forward run starts, below zero where
            a backward one does.
    """
    forward, backward = np.flatnonzero(values > 0), np.flatnonzero(values < 0)
    return [(int(k), False) for k in forward] + [(int(k), True) for k in backward]


def progress(overlap: Float[np.ndarray, " T"], truth: Bool[np.ndarray, " T"]) -> int:
    """Count the frames of a run before its failure, all of them if it does not fail.

    Args:
        overlap: of every frame.
        truth: frames in which the target is there; elsewhere nothing can fail.
    """
    row = 0
    for index, low in enumerate((overlap <= THRESHOLD) & truth):
        row = row + 1 if low else 0
        if row == PATIENCE:
            return index + 1 - PATIENCE
    return len(overlap)


class Scores(NamedTuple):
    """What runs from anchors are worth, over a dataset.

    `curve` holds at k the expected overlap over k frames after the first, k below `HIGH`;
    `sequences` has (accuracy, robustness) by name; `eao_interval` is the bootstrap's over
    sequences, None for a lone one.
    """

    accuracy: float
    robustness: float
    eao: float
    curve: Float64[np.ndarray, " length"]
    sequences: dict[str, tuple[float, float]]
    eao_interval: Interval | None = None


class Runs(NamedTuple):
    """The runs over one sequence of `length` frames.

    `overlaps` are each run's, from its anchor on (the anchor's own is not asked and counts 0, as in
    the toolkit); `truths` tells for the same frames whether the target is there.
    """

    name: str
    length: int
    overlaps: Sequence[Float[np.ndarray, " _"]]
    truths: Sequence[Bool[np.ndarray, " _"]]


def analyse(sequences: Sequence[Runs], low: int = LOW, high: int = HIGH) -> Scores:
    """Score runs from anchors.

    A sequence's accuracy is the overlap summed up to each run's failure over the frames up to it,
    its robustness these frames over the frames of the runs. Over the dataset, accuracies are
    weighted by the former number, robustnesses by the sequence's length.

    Args:
        sequences: with at least one run each.
        low: first length of the expected overlap's interval.
        high: last.

    Raises:
        ValueError: no sequence, one without runs, an interval that is none or that no run reaches.
    """
    if not sequences:
        raise ValueError("sequences: expected at least one, got none")
    if not 1 <= low < high:
        raise ValueError(f"low, high: expected 1 <= low < high, got {low} and {high}")
    each = np.zeros((len(sequences), 2, high))
    found, accuracy, robustness = {}, 0.0, 0.0
    followed = frames = 0
    for row, one in enumerate(sequences):
        if not one.overlaps:
            raise ValueError(f"{one.name}: no run to score")
        overlap_sum, before, total = 0.0, 0, 0
        for values, truth in zip(one.overlaps, one.truths, strict=True):
            overlap = np.nan_to_num(np.asarray(values, np.float64))
            overlap[0] = 0
            end = progress(overlap, truth)
            overlap_sum += float(overlap[:end].sum())
            before, total = before + end, total + len(overlap)
            each[row] += _curve(overlap, end, high)
        found[one.name] = (overlap_sum / before if before else 0.0, before / total)
        accuracy, followed = accuracy + overlap_sum, followed + before
        robustness, frames = robustness + found[one.name][1] * one.length, frames + one.length
    summed, weights = each.sum(axis=0)
    curve = summed / np.where(weights > 0, weights, 1)
    if not weights[low:].any():
        raise ValueError(f"low: no run lasts {low} frames")
    eao = float(curve[low : high + 1].mean())
    mean_accuracy = accuracy / followed if followed else 0.0
    spread = aggregate.mean_ratio_interval(*each[:, :, low : high + 1].transpose(1, 0, 2))
    return Scores(mean_accuracy, robustness / frames, eao, curve, found, spread)


def _curve(
    overlap: Float64[np.ndarray, " T"], end: int, length: int
) -> tuple[Float64[np.ndarray, " length"], Float64[np.ndarray, " length"]]:
    """Give mean overlaps over frames 1 to k, and 1 for every k that a run tells about."""
    failed = end < len(overlap)
    kept = np.where(np.arange(len(overlap)) < end, overlap, 0)
    places = np.arange(length)
    sums = np.concatenate([[0.0], np.cumsum(kept[1:])])[np.minimum(places, len(kept) - 1)]
    beyond = places >= len(kept)
    active = ((~beyond | failed) & (places > 0)).astype(np.float64)
    # Beyond its end a failed run is divided by one frame less, as the toolkit has it.
    return active * sums / np.maximum(np.where(beyond, places - 1, places), 1), active
