"""Where pairs are drawn from: tracks of a dataset, which of their boxes count, and how often."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Int

from siamjax.data.lazy import LazyTracks
from siamjax.data.tracks import OUT_OF_SIGHT, Track


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
        without: tags of frames that are left out, as "occluded" or "generated" of ImageNet VID.
    """

    min_area: float = 0.0
    min_side: float = 4.0
    max_side: float = math.inf
    min_relative: float = 0.0
    max_relative: float = math.inf
    min_aspect: float = 0.0
    max_aspect: float = math.inf
    min_cover: float = 0.0
    without: tuple[str, ...] = OUT_OF_SIGHT

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
        for tag in track.tags.keys() & self.without:
            keep &= ~track.tags[tag][frames]
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
        frame_range: the search frame lies at most this far from the template's.
        name: for messages.
        filter: which boxes may be drawn.
        clips: tracks in clips of their own, a part of which a recipe may hold out to validate on.
        bare: the targets stand before nothing, to be pasted over a photo (`siamjax.data.compose`).
        range_in: what `frame_range` counts: accepted frames, or all "frames" of the clip.
        per_epoch: pairs of an epoch, in place of the weight, for all sources or none: every epoch
            draws each source exactly so often, and its tracks in turn, in an order drawn anew.
    """

    tracks: Sequence[Track]
    weight: float = 1.0
    frame_range: int = 100
    name: str = "source"
    filter: Filter = Filter()
    clips: bool = False
    bare: bool = False
    range_in: Literal["accepted", "frames"] = "accepted"
    per_epoch: int = 0
    _accepted: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        if not self.tracks:
            raise ValueError(f"tracks: expected at least one track in source {self.name!r}")
        if not (self.weight >= 0 and math.isfinite(self.weight)):
            raise ValueError(f"weight: expected a finite number >= 0, got {self.weight}")
        if self.frame_range < 0:
            raise ValueError(f"frame_range: expected at least 0, got {self.frame_range}")
        if self.range_in not in ("accepted", "frames"):
            raise ValueError(f"range_in: expected accepted or frames, got {self.range_in!r}")
        if self.per_epoch < 0:
            raise ValueError(f"per_epoch: expected at least 0, got {self.per_epoch}")

    @cached_property
    def kin(self) -> dict[str, list[int]]:
        """Numbers of the tracks of each category, where categories are known."""
        tracks = self.tracks
        known = (
            tracks.categories if isinstance(tracks, LazyTracks) else [t.category for t in tracks]
        )
        found: dict[str, list[int]] = {}
        for number, category in enumerate(known):
            if category is not None:
                found.setdefault(category, []).append(number)
        return found

    def near(self, frames: Int[np.ndarray, " n"], place: int) -> tuple[int, int]:
        """Give the first and last place in `frames` that lie within range of `place`."""
        if self.range_in == "accepted":
            return max(0, place - self.frame_range), min(len(frames) - 1, place + self.frame_range)
        middle, within = frames[place], self.frame_range
        first = np.searchsorted(frames, middle - within, "left")
        return int(first), int(np.searchsorted(frames, middle + within, "right")) - 1

    def accepted(self, track: int) -> Int[np.ndarray, " n"]:
        """Give the frames of track number `track` that may be drawn."""
        frames = self._accepted.get(track)
        if frames is None:
            frames = self.filter.accept(self.tracks[track])
            self._accepted[track] = frames
        return frames
