"""Clips that are held out of a training, to validate on."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from siamjax.data.sources import Source
from siamjax.data.tracks import Track


def split(
    tracks: Sequence[Track], part: float = 0.2, seed: int = 0
) -> tuple[list[Track], list[Track]]:
    """Split tracks by clip, so that no clip is on both sides.

    Args:
        tracks: of two clips at least.
        part: of the clips that is held out, over 0 and under 1; at least one clip is.
        seed: decides which.

    Returns:
        The tracks to train on and those held out, each in their order.

    Raises:
        ValueError: `part` out of range, or a single clip.
    """
    if not 0 < part < 1:
        raise ValueError(f"part: expected a number over 0 and under 1, got {part}")
    clips = sorted({track.media.name for track in tracks})
    if len(clips) < 2:
        raise ValueError(f"tracks: expected two clips at least to split, got {len(clips)}")
    count = min(len(clips) - 1, max(1, round(part * len(clips))))
    chosen = np.random.default_rng(seed).choice(len(clips), count, replace=False)
    held = {clips[number] for number in chosen}
    train = [track for track in tracks if track.media.name not in held]
    return train, [track for track in tracks if track.media.name in held]


def split_sources(sources: Sequence[Source], part: float) -> tuple[list[Source], list[Track]]:
    """Hold out a part of the clips of every source whose tracks are `clips`.

    Args:
        sources: all of a training.
        part: of the clips of each that is held out; the same ones in every training.

    Returns:
        The sources to train on, and the tracks held out.

    Raises:
        ValueError: `part` out of range, or no source has clips, two at least.
    """
    if not any(source.clips for source in sources):
        names = ", ".join(repr(source.name) for source in sources)
        raise ValueError(f"hold_out: none of the sources {names} has clips")
    kept, held = [], []
    for source in sources:
        if source.clips:
            ours, others = split(list(source.tracks), part)
            source = dataclasses.replace(source, tracks=ours)
            held += others
        kept.append(source)
    return kept, held
