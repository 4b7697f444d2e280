"""What a pack will hold: which record of which shard shows what.

A function of sources and settings alone, so that a packing that was killed can go on.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

from siamjax.data.media import DamagedMediaError, Media
from siamjax.data.sources import Source
from siamjax.data.tracks import Track

LEAST, MOST = 256, 16384
"""Records of a shard: enough shards to share work and lose little, few enough to hold open."""


@dataclass(frozen=True)
class PackConfig:
    """What is stored, and how.

    Attributes:
        store: "crops" of targets with their context, or whole "frames".
        side: of the crops, pixels; the largest that training will cut.
        exemplar: side of the target's context square in them.
        encoding: of crops and of frames of videos: "jpeg", or "png", which loses nothing.
        quality: of JPEG, 1 to 100.
    """

    store: Literal["crops", "frames"] = "crops"
    side: int = 431
    exemplar: int = 127
    encoding: Literal["jpeg", "png"] = "jpeg"
    quality: int = 95

    def __post_init__(self):
        for name in ("side", "exemplar", "quality"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.quality > 100:
            raise ValueError(f"quality: expected at most 100, got {self.quality}")


class Shot(NamedTuple):
    """What one record shows."""

    frame: int
    """Of the clip."""
    track: int
    """Whose crop or mask it is; -1 for the frame itself."""
    mask: bool
    """It is a mask."""


@dataclass(eq=False)
class ClipPlan:
    """One clip, and its records in order."""

    media: Media
    first: int = 0
    """Number of its first record in the pack."""
    shots: list[Shot] = field(default_factory=list)


@dataclass(eq=False)
class Plan:
    """Everything that will be written."""

    config: PackConfig
    sources: Sequence[Source]
    tracks: list[Track] = field(default_factory=list)
    """Of all sources, one after another."""
    counts: list[int] = field(default_factory=list)
    """Tracks of each source."""
    clips: list[ClipPlan] = field(default_factory=list)
    clip_of: list[int] = field(default_factory=list)
    """Number of each track's clip."""
    shards: list[range] = field(default_factory=list)
    """Clips of each shard."""
    damaged: Counter[str] = field(default_factory=Counter)
    """Files because of which tracks are left out."""

    @property
    def records(self) -> int:
        """How many there will be."""
        return sum(len(clip.shots) for clip in self.clips)

    def digest(self) -> str:
        """Hash what decides the contents: settings, clips, tracks, boxes, shards."""
        about = [asdict(self.config), self.counts, self.clip_of]
        about += [[shard.start for shard in self.shards], [len(c.shots) for c in self.clips]]
        about += [[clip.media.name for clip in self.clips], [track.name for track in self.tracks]]
        total = hashlib.sha256(json.dumps(about).encode())
        for track in self.tracks:
            total.update(track.boxes.tobytes())
        return total.hexdigest()


def make(sources: Sequence[Source], config: PackConfig) -> Plan:
    """Plan the pack of sources: every frame in which a target is visible, filters aside.

    Raises:
        ValueError: nothing of a source can be read.
    """
    plan = Plan(config, sources)
    numbers: dict[Media, int] = {}
    for source in sources:
        before = len(plan.tracks)
        for number in range(len(source.tracks)):
            try:
                track = source.tracks[number]
            except DamagedMediaError as error:
                plan.damaged[str(error.path)] += 1
                continue
            clip = numbers.setdefault(track.media, len(numbers))
            if clip == len(plan.clips):
                plan.clips.append(ClipPlan(track.media))
            plan.clip_of.append(clip)
            plan.tracks.append(track)
        plan.counts.append(len(plan.tracks) - before)
        if not plan.counts[-1]:
            raise ValueError(f"sources: nothing of {source.name!r} can be read")
    _place(plan)
    plan.shards = list(_split([len(clip.shots) for clip in plan.clips]))
    return plan


def _place(plan: Plan) -> None:
    """Give every record its clip and place."""
    wanted: list[set[Shot]] = [set() for _ in plan.clips]
    for number, (track, clip) in enumerate(zip(plan.tracks, plan.clip_of, strict=True)):
        shown = number if plan.config.store == "crops" else -1
        for frame in track.visible.tolist():
            wanted[clip].add(Shot(frame, shown, False))
            if track.masks is not None:
                wanted[clip].add(Shot(frame, number, True))
    first = 0
    for clip, shots in zip(plan.clips, wanted, strict=True):
        clip.first, clip.shots = first, sorted(shots)
        first += len(shots)


def _split(counts: Sequence[int]) -> Iterator[range]:
    """Group clips of so many records into shards."""
    most = min(max(sum(counts) // 64, LEAST), MOST)
    start, held = 0, 0
    for number, count in enumerate(counts):
        if held and held + count > most:
            yield range(start, number)
            start, held = number, 0
        held += count
    if counts:
        yield range(start, len(counts))
