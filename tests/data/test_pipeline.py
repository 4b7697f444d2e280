import json

import cv2
import numpy as np
import pytest

from siamjax.data import cache, pairs, pipeline
from siamjax.data.media import Picture, PictureFolder
from siamjax.data.tracks import Track

CONFIG = pairs.PairConfig(template_size=23, search_size=47, exemplar=15, negative=0.2)


@pytest.fixture
def sources(tmp_path):
    cache.shared.clear()
    rng = np.random.default_rng(0)
    tracks = []
    for name in range(6):
        paths = tuple(tmp_path / f"{name}-{i}.png" for i in range(3))
        for path in paths:
            cv2.imwrite(str(path), rng.integers(0, 256, (30, 40, 3), np.uint8))
        boxes = rng.uniform(4, 14, (3, 4)).astype(np.float32)
        tracks.append(Track(f"clip{name}", PictureFolder(paths), boxes))
    stills = [Track("still", Picture(tmp_path / "0-0.png"), np.float32([[2, 2, 9, 9]]))]
    return [pairs.Source(tracks, frame_range=2), pairs.Source(stills, weight=0.2)]


def take(iterator, count):
    try:
        return [next(iterator) for _ in range(count)]
    finally:
        iterator.close()


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_batch_is_what_its_indices_say(sources):
    got = take(pipeline.batches(sources, CONFIG, batch_size=4, seed=5, start=8, threads=2), 2)
    assert {name: (array.shape, str(array.dtype)) for name, array in got[0].items()} == {
        "template": ((4, 23, 23, 3), "uint8"),
        "template_box": ((4, 4), "float32"),
        "search": ((4, 47, 47, 3), "uint8"),
        "search_box": ((4, 4), "float32"),
        "positive": ((4,), "bool"),
        "index": ((4,), "uint32"),
    }
    assert got[1]["index"].tolist() == [12, 13, 14, 15]
    for batch in got:
        for row, index in enumerate(batch["index"]):
            one = pairs.sample(sources, CONFIG, 5, int(index))
            same({name: array[row] for name, array in batch.items()}, one)


def test_threads_change_nothing(sources):
    one = take(pipeline.batches(sources, CONFIG, batch_size=3, seed=1, threads=1), 12)
    many = take(pipeline.batches(sources, CONFIG, batch_size=3, seed=1, threads=7), 12)
    for a, b in zip(one, many, strict=True):
        same(a, b)
    other = take(pipeline.batches(sources, CONFIG, batch_size=3, seed=2, threads=1), 1)[0]
    assert (other["search"] != one[0]["search"]).any()


@pytest.mark.parametrize("threads", [1, 3])
def test_resume_is_exact(sources, threads):
    whole = take(pipeline.batches(sources, CONFIG, batch_size=3, seed=1, threads=2), 7)
    first = pipeline.batches(sources, CONFIG, batch_size=3, seed=1, threads=2)
    for _ in range(4):
        next(first)
    state = json.loads(json.dumps(first.get_state()))
    first.close()
    second = pipeline.batches(sources, CONFIG, batch_size=3, seed=1, threads=threads)
    next(second)
    second.set_state(state)
    for a, b in zip(whole[4:], take(second, 3), strict=True):
        same(a, b)
    assert second.get_state()["next"] == 21


def test_state_of_another_run_is_refused(sources):
    batches = pipeline.batches(sources, CONFIG, batch_size=3, seed=1)
    with pytest.raises(ValueError, match="of seed 2, but the pipeline has 1"):
        batches.set_state({"next": 0, "seed": 2})
    with pytest.raises(ValueError, match="expected what get_state gave"):
        batches.set_state({"seed": 1})


def test_hosts_share_the_global_batch(sources):
    whole = take(pipeline.batches(sources, CONFIG, batch_size=6, seed=1, threads=2), 3)
    parts = [
        take(pipeline.batches(sources, CONFIG, batch_size=6, seed=1, threads=2, shard=(i, 3)), 3)
        for i in range(3)
    ]
    for step, batch in enumerate(whole):
        joined = {n: np.concatenate([part[step][n] for part in parts]) for n in batch}
        same(batch, joined)


def test_damaged_pictures_are_replaced_and_counted(sources, tmp_path):
    good = take(pipeline.batches(sources, CONFIG, batch_size=4, seed=1, threads=2), 6)
    cache.shared.clear()
    bad = [tmp_path / f"2-{i}.png" for i in range(3)]
    for path in bad:
        path.write_bytes(path.read_bytes()[:100])
    runs = []
    for threads in (1, 4):
        batches = pipeline.batches(sources, CONFIG, batch_size=4, seed=1, threads=threads)
        runs.append((take(batches, 6), batches.damaged, batches.get_state()))
    for a, b in zip(runs[0][0], runs[1][0], strict=True):
        same(a, b)
    assert runs[0][1] == runs[1][1]
    assert runs[0][1].keys() <= {str(path) for path in bad}
    assert runs[0][2]["damaged"] == dict(runs[0][1])
    changed = 0
    for a, b in zip(good, runs[0][0], strict=True):
        rows = (a["search"] != b["search"]).any((1, 2, 3)) | (a["template"] != b["template"]).any(
            (1, 2, 3)
        )
        changed += int(rows.sum())
    assert 0 < changed <= runs[0][1].total()
    continued = pipeline.batches(sources, CONFIG, batch_size=4, seed=1)
    continued.set_state(runs[0][2])
    assert continued.damaged == runs[0][1]


def test_nothing_but_damage_ends_the_run_by_name(tmp_path):
    path = tmp_path / "bad.jpg"
    path.write_bytes(b"x")
    source = pairs.Source([Track("bad", Picture(path), np.float32([[0, 0, 9, 9]]))])
    config = pairs.PairConfig(template_size=23, search_size=47)
    batches = pipeline.batches([source], config, batch_size=1, threads=1)
    with pytest.raises(ValueError, match=r"could not be decoded, the last being .*bad\.jpg"):
        next(batches)
    batches.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 5, "shard": (0, 2)}, "batch_size: expected a multiple of 2 hosts, got 5"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 4, "shard": (2, 2)}, "shard"),
        ({"batch_size": 4, "seed": -1}, "seed, start"),
        ({"batch_size": 4, "threads": 0}, "threads"),
    ],
)
def test_wrong_numbers(sources, wrong, message):
    with pytest.raises(ValueError, match=message):
        pipeline.batches(sources, CONFIG, **wrong)
    with pytest.raises(ValueError, match="sources"):
        pipeline.batches([], CONFIG, batch_size=1)
