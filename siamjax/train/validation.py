"""Success on annotated clips, as measured during a training.

Clips must be others than those trained on. A clip begins at its first annotated frame and is cut
after a number of frames: what is compared is one step of a training with another, not trackers.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from siamjax.data.media import Frame, Media
from siamjax.data.tracks import Track
from siamjax.evaluate.drive import Tracker
from siamjax.evaluate.onepass import run_track
from siamjax.evaluate.run import evaluate_boxes
from siamjax.typing import Variables


@dataclass(frozen=True)
class Part:
    """Some frames of a clip, one after another."""

    media: Media
    first: int
    count: int

    @property
    def name(self) -> str:
        return self.media.name

    def __len__(self) -> int:
        return self.count

    def frame(self, i: int) -> Frame:
        if not 0 <= i < self.count:
            raise IndexError(f"{self.name}: frame {i} of {self.count}")
        return self.media.frame(self.first + i)

    def __iter__(self) -> Iterator[Frame]:
        return islice(iter(self.media), self.first, self.first + self.count)


def prepare(tracks: Sequence[Track], frames: int) -> list[Track]:
    """Cut clips to at most `frames` frames from the first annotated one on.

    Raises:
        ValueError: no clip has annotations in two frames, or `frames` is below 2.
    """
    if frames < 2:
        raise ValueError(f"clip_frames: expected at least 2, got {frames}")
    cut = [_cut(track, frames) for track in tracks if len(track.visible)]
    cut = [track for track in cut if len(track.visible) > 1]
    if not cut:
        raise ValueError(f"clips: expected clips with boxes in two frames, got {len(tracks)} clips")
    return cut


def success(tracker: Tracker, tracks: Sequence[Track], variables: Variables) -> dict[str, float]:
    """Follow every clip's target once; gives the success AUC of each by its name."""
    return {
        track.name: evaluate_boxes(track, run_track(track, tracker, variables).boxes).success_auc
        for track in tracks
    }


def _cut(track: Track, frames: int) -> Track:
    first = int(track.visible[0])
    kept = slice(first, first + frames)
    boxes = track.boxes[kept]
    return dataclasses.replace(
        track,
        media=Part(track.media, first, len(boxes)),
        boxes=boxes,
        cover=None if track.cover is None else track.cover[kept],
        masks=None,
        regions=None,
        tags={name: values[kept] for name, values in track.tags.items()},
    )
