"""Clips held out of a training: whole, the same ones every time, of sources that have clips."""

import numpy as np
import pytest

from siamjax.data import held
from siamjax.data.media import Picture
from siamjax.data.sources import Source
from siamjax.data.tracks import Track


@pytest.fixture
def tracks(tmp_path):
    """Twenty tracks, two a clip."""
    boxes = np.float32([[0, 0, 2, 2]])
    return [Track(f"{i}", Picture(tmp_path / f"{i // 2}.png"), boxes) for i in range(20)]


def names(tracks):
    return [track.name for track in tracks]


def test_clips_are_held_out_whole(tracks):
    train, out = held.split(tracks, 0.2, seed=3)
    assert (len(train), len(out)) == (16, 4)
    assert not {t.media.name for t in train} & {t.media.name for t in out}
    assert names(held.split(tracks, 0.2, seed=3)[1]) == names(out)
    assert len(held.split(tracks, 0.01)[1]) == 2
    with pytest.raises(ValueError, match="part: expected a number over 0 and under 1, got 1"):
        held.split(tracks, 1.0)
    with pytest.raises(ValueError, match="expected two clips at least"):
        held.split(tracks[:2])


def test_stills_stay_in_the_training(tracks):
    films = Source(tracks, 2.0, 5, "films", clips=True)
    stills = Source(tracks[:3], name="stills")
    (kept, same), out = held.split_sources([films, stills], 0.3)
    assert same is stills
    assert (kept.weight, kept.frame_range, kept.name) == (2.0, 5, "films")
    assert names(out) == names(held.split(tracks, 0.3)[1])
    assert names(kept.tracks) == [name for name in names(tracks) if name not in names(out)]
    with pytest.raises(ValueError, match="none of the sources 'stills' has clips"):
        held.split_sources([stills], 0.3)
