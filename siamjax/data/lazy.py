"""Tracks that are read when they are first asked for, clip by clip.

Large datasets say cheaply which targets there are; their boxes may need a file of each clip opened.
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, overload

from siamjax.data.tracks import Track


class Clip(NamedTuple):
    """One clip whose tracks are not read yet."""

    tracks: int
    """How many tracks `read` gives."""
    read: Callable[[], Sequence[Track]]
    """Raises ValueError where the files do not fit, DamagedMediaError where one is damaged."""
    categories: Sequence[str | None] = ()
    """Of the tracks, where they are known beforehand."""


class LazyTracks(Sequence):
    """The tracks of clips one after another; each clip is read once, when first asked for.

    Not a `Sequence[Track]` by name: checkers of types at run time would read items of one.

    Args:
        clips: in order.

    Attributes:
        categories: of the tracks, None where a clip does not tell beforehand.

    Raises:
        ValueError: when a clip gives another number of tracks than it announced.
    """

    def __init__(self, clips: Iterable[Clip]):
        self._clips = tuple(clips)
        self._ends = list(itertools.accumulate(clip.tracks for clip in self._clips))
        self._read: dict[int, tuple[Track, ...]] = {}
        self.categories: list[str | None] = [
            category for clip in self._clips for category in clip.categories or [None] * clip.tracks
        ]

    @property
    def clips(self) -> int:
        """Number of clips."""
        return len(self._clips)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Track: ...
    @overload
    def __getitem__(self, index: slice) -> list[Track]: ...

    def __getitem__(self, index: int | slice) -> Track | list[Track]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        clip = bisect_right(self._ends, place)
        return self._tracks(clip)[place - self._ends[clip]]

    def _tracks(self, number: int) -> tuple[Track, ...]:
        tracks = self._read.get(number)
        if tracks is None:
            clip = self._clips[number]
            tracks = tuple(clip.read())
            if len(tracks) != clip.tracks:
                name = tracks[0].media.name if tracks else f"clip {number}"
                raise ValueError(f"{name}: expected {clip.tracks} tracks, got {len(tracks)}")
            # Another thread may have read the same: all are given the first.
            tracks = self._read.setdefault(number, tracks)
        return tracks
