from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from siamjax.data import shuffle
from siamjax.data.draws import PairConfig, draw
from siamjax.data.lazy import Clip, LazyTracks
from siamjax.data.media import PictureFolder
from siamjax.data.sources import Filter, Source
from siamjax.data.tracks import Track


def clip(name, frames=4, category=None, media=None, **about):
    folder = PictureFolder(tuple(Path(media or name) / f"{i}.png" for i in range(frames)))
    boxes = np.tile(np.float32([[1, 2, 10, 12]]), (frames, 1))
    return Track(name, folder, boxes, category, frame_size=(64, 48), **about)


def many(sources, count=400, start=0, **config):
    return [draw(sources, PairConfig(**config), 5, i) for i in range(start, start + count)]


def test_range_in_accepted_frames_and_in_frames():
    track = clip("a", 40)
    track.boxes[1:20] = np.nan  # accepted: 0, 20, 21, ..., 39
    gaps = {}
    for unit in ("accepted", "frames"):
        found = many([Source([track], frame_range=3, range_in=unit)], 1200)
        gaps[unit] = [(p.template.frame, p.search.frame) for p in found]
    assert {b for a, b in gaps["accepted"] if a == 0} == {0, 20, 21, 22}
    assert {b for a, b in gaps["frames"] if a == 0} == {0}
    assert {b for a, b in gaps["frames"] if a == 21} == {20, 21, 22, 23, 24}
    assert {b for a, b in gaps["frames"] if a == 39} == {36, 37, 38, 39}
    source = Source([track])
    object.__setattr__(source, "range_in", "seconds")
    with pytest.raises(ValueError, match="range_in: expected accepted or frames, got 'seconds'"):
        source.__post_init__()


def test_negative_pairs_show_others_of_the_category():
    dogs = [clip(f"dog{i}", 3, "dog", media=f"park{i // 2}") for i in range(4)]
    cat, unknown = clip("cat", 3, "cat"), clip("unknown")
    sources = [Source([*dogs[:2], cat], 3.0), Source([*dogs[2:], unknown], 1.0)]
    found = many(sources, 600, negative=1.0, kin=1.0)
    assert not any(pair.positive for pair in found)
    searches = Counter(p.search.track.name for p in found if p.template.track is dogs[0])
    # The first source has the other dog of the same clip, the second, drawn a third as often, two.
    assert searches.keys() == {"dog1", "dog2", "dog3"}
    assert 0.6 < searches["dog1"] / searches.total() < 0.85
    assert {p.search.track.name for p in found if p.template.track is cat} == {
        "dog0", "dog1", "dog2", "dog3", "unknown",
    }  # fmt: skip
    half = many(sources, 600, negative=0.5, kin=0.5)
    kin = [
        p.template.track.category == p.search.track.category
        for p in half
        if not p.positive and p.template.track.category == "dog"
    ]
    assert 0.6 < np.mean(kin) < 0.95
    assert 0.45 < np.mean([p.positive for p in half]) < 0.55
    with pytest.raises(ValueError, match=r"kin: expected a probability 0\.\.1, got 2"):
        PairConfig(kin=2.0)


def test_categories_of_tracks_not_read_yet():
    read = []

    def later(number, category):
        def tracks():
            read.append(number)
            return [clip(f"{number}", 2, category)]

        return Clip(1, tracks, [category])

    tracks = LazyTracks([later(i, "dog" if i < 3 else "cat") for i in range(50)])
    source = Source.__new__(Source)  # the checker of types would read a track
    object.__setattr__(source, "tracks", tracks)
    assert source.kin["dog"] == [0, 1, 2]
    assert len(source.kin["cat"]) == 47
    assert read == []
    assert LazyTracks([Clip(2, list)]).categories == [None, None]


def test_epochs_draw_every_source_so_often_and_tracks_in_turn():
    sources = [
        Source([clip(f"a{i}") for i in range(7)], per_epoch=20, name="a"),
        Source([clip(f"b{i}") for i in range(3)], per_epoch=9, name="b"),
    ]
    epochs = [[p.template.track.name for p in many(sources, 29, 29 * e)] for e in range(7)]
    for names in epochs:
        assert Counter(name[0] for name in names) == {"a": 20, "b": 9}
        counts = Counter(names)
        assert {counts[f"b{i}"] for i in range(3)} == {3}
        assert all(2 <= counts[f"a{i}"] <= 4 for i in range(7))
    # 140 pairs of 7 tracks over 7 epochs.
    total = Counter(name for names in epochs for name in names)
    assert {total[f"a{i}"] for i in range(7)} == {20}
    assert len({tuple(names) for names in epochs}) == 7
    assert [p.template.track.name for p in many(sources, 5, 40)] == epochs[1][11:16]
    negatives = many(sources, 29, negative=1.0)
    assert Counter(p.template.track.name[0] for p in negatives) == {"a": 20, "b": 9}
    with pytest.raises(
        ValueError, match="per_epoch: expected of all sources or none, 'c' has none"
    ):
        many([*sources, Source([clip("c")], name="c")], 1)
    with pytest.raises(ValueError, match="per_epoch: expected at least 0, got -1"):
        Source([clip("c")], per_epoch=-1)


def test_turns_without_an_accepted_box_go_to_others():
    empty = clip("empty")
    empty.boxes[:] = np.nan
    names = {p.template.track.name for p in many([Source([clip("a"), empty], per_epoch=10)], 40)}
    assert names == {"a"}


def test_frames_are_left_out_by_tags():
    hidden = np.array([True, False, False, True])
    track = clip("a", tags={"occluded": hidden, "out_of_view": ~hidden & [True, False, True, True]})
    assert Filter().accept(track).tolist() == [0, 1, 3]
    assert Filter(without=("occluded", "out_of_view", "blur")).accept(track).tolist() == [1]
    assert Filter(without=()).accept(track).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 64, 65, 1000])
def test_shuffle_is_an_order_of_all(n):
    assert sorted(shuffle.place(i, n, (3, 4)) for i in range(n)) == list(range(n))


def test_shuffles_differ_and_are_even():
    orders = [[shuffle.place(i, 50, (seed, 1)) for i in range(50)] for seed in range(400)]
    assert len({tuple(order) for order in orders}) == 400
    counts = np.zeros((50, 50))
    for order in orders:
        counts[np.arange(50), order] += 1
    # 400 orders put a thing in each of 50 places 8 times; chi-squared of 49 degrees of freedom.
    chi = ((counts - 8) ** 2 / 8).sum(axis=1)
    assert 40 < chi.mean() < 58
    assert chi.max() < 100
    with pytest.raises(ValueError, match="i: expected 0 to 49, got 50"):
        shuffle.place(50, 50, (0,))
