import dataclasses
import json

import cv2
import numpy as np
import pytest

from siamjax.cli import main
from siamjax.data import cache, pack, pack_plan, packed, pairs, pipeline, shards
from siamjax.data.media import DamagedMediaError, Picture, PictureFolder, VideoFile
from siamjax.data.segmentation import CocoMask
from siamjax.data.sources import Filter
from siamjax.data.tracks import Track
from siamjax.train import recipe as recipes
from siamjax.video import VideoWriter

CONFIG = pairs.PairConfig(template_size=21, search_size=45, exemplar=15, negative=0.3, masks=True)
SIZES = {"side": 45, "exemplar": 15}


def smooth(seed, shape=(60, 80)):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 216, (shape[0] // 8, shape[1] // 8, 1)) + rng.integers(0, 40, 3)
    return cv2.resize(noise.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def sources(tmp_path):
    """A clip of pictures, a video with a gap and a category, a photo of two objects with masks."""
    place = tmp_path / "data"
    place.mkdir()
    paths = tuple(place / f"{i}.png" for i in range(5))
    for i, path in enumerate(paths):
        cv2.imwrite(str(path), smooth(i))
    boxes = np.float32([[10 + i, 12, 20, 16] for i in range(5)])
    clip = Track("clip", PictureFolder(paths), boxes, cover=np.array([8, 8, 0, 8, 8]))
    with VideoWriter(place / "video.mp4", 10.0) as writer:
        for i in range(6):
            writer.write(smooth(20 + i, (64, 80)))
    gap = boxes[[0, 1, 2, 3, 4, 4]].copy()
    gap[3] = np.nan
    tags = {"occluded": np.array([True, False, False, False, False, True])}
    video = Track("video", VideoFile(place / "video.mp4"), gap, "dog", tags=tags)
    cv2.imwrite(str(place / "photo.jpg"), smooth(40))
    photo = Picture(place / "photo.jpg")
    outlines = ([[5, 5, 35, 5, 20, 40]], [[40, 10, 70, 10, 70, 50]])
    objects = [
        Track(f"object-{i}", photo, box[None], "cat", None, (80, 60), CocoMask(outline, (60, 80)))
        for i, (box, outline) in enumerate(
            zip(np.float32([[5, 5, 30, 35], [40, 10, 30, 40]]), outlines, strict=True)
        )
    ]
    return [
        pairs.Source([clip, video], 0.5, 2, "clips", Filter(min_cover=0.3, max_relative=0.9)),
        pairs.Source(objects, 0.5, 0, "photos"),
    ]


def drawn(sources, count=24):
    cache.shared.clear()
    return [pairs.sample(sources, CONFIG, 3, index) for index in range(count)]


def test_lossless_crops_give_the_same_pairs(sources, tmp_path):
    seen = []
    config = pack.PackConfig(encoding="png", **SIZES)
    manifest = pack.write(
        sources, tmp_path / "p", config, on_progress=lambda *now: seen.append(now)
    )
    # 5 frames of the clip, 5 of the video, two objects with a mask each.
    assert manifest["records"] == 14
    assert seen[-1] == (14, 14)
    again = packed.read(tmp_path / "p")
    assert [(s.name, s.weight, s.frame_range, s.filter) for s in again] == [
        (s.name, s.weight, s.frame_range, s.filter) for s in sources
    ]
    for one, two in zip(drawn(sources), drawn(again), strict=True):
        assert one.keys() == two.keys()
        for name in one.keys() - {"template"}:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)
        # The middle of a larger crop: its pixels are interpolated at places rounded elsewhere.
        assert np.abs(one["template"].astype(int) - two["template"]).max() <= 1
    video = again[0].tracks[1]
    assert (video.name, video.category, video.frame_size) == ("video", "dog", (80, 64))
    assert video.tags["occluded"].tolist() == [True, False, False, False, False, True]
    assert again[0].tracks[0].cover.tolist() == [8, 8, 0, 8, 8]
    assert again[1].tracks[0].media == again[1].tracks[1].media
    assert again[1].tracks[0].media != video.media
    with pytest.raises(ValueError, match="frame 0 was not packed"):
        video.media.frame(0)


def test_frames_give_the_same_pairs_to_the_bit(sources, tmp_path):
    pack.write(sources, tmp_path / "p", pack.PackConfig("frames", encoding="png"))
    again = packed.read(tmp_path / "p")
    for one, two in zip(drawn(sources), drawn(again), strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    media = again[1].tracks[0].media
    record = media.records.read(int(media.numbers[0]))
    assert record == (tmp_path / "data" / "photo.jpg").read_bytes()


def test_jpeg_crops_are_near_and_other_scales_are_cut_from_them(sources, tmp_path):
    pack.write(sources, tmp_path / "same", pack.PackConfig(**SIZES))
    pack.write(sources, tmp_path / "p", pack.PackConfig(quality=95, side=91, exemplar=30))
    again = packed.read(tmp_path / "p")
    expected = drawn(sources, 8)
    for found in (packed.read(tmp_path / "same"), again):
        away = []
        for one, two in zip(expected, drawn(found, 8), strict=True):
            away += [np.abs(one[n].astype(int) - two[n]).mean() for n in ("template", "search")]
            np.testing.assert_array_equal(one["search_box"], two["search_box"])
        assert np.mean(away) < 1
    larger = pairs.PairConfig(template_size=21, search_size=47, exemplar=15)
    with pytest.raises(ValueError, match="crops of 91 px at an exemplar of 30; a crop of 47 at 15"):
        pairs.sample(again, larger, 0, 0)


def test_a_killed_packing_goes_on(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(pack_plan, "LEAST", 4)
    config = pack.PackConfig(encoding="png", **SIZES)
    whole = pack.write(sources, tmp_path / "whole", config)
    assert len(whole["shards"]) == 3
    encode, left = shards._encode, [7]

    def dies(image, config):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return encode(image, config)

    part = tmp_path / "part"
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_encode", dies)
        with pytest.raises(KeyboardInterrupt):
            pack.write(sources, part, config, threads=1)
    finished = part / "00000.array_record"
    before = finished.stat().st_mtime_ns
    assert not (part / "00001.array_record").exists()
    with pytest.raises(ValueError, match="not finished; run the same `siamjax pack` again"):
        packed.read(part)
    (part / "00001.array_record.partial").write_bytes(b"left behind")
    assert pack.write(sources, part, config) == whole
    assert finished.stat().st_mtime_ns == before
    names = sorted(path.name for path in part.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert "00001.json" not in names
    assert pack.check(part) == []
    assert pack.write(sources, part, config) == whole
    with pytest.raises(ValueError, match=r"packed with other settings: .*'side': 45"):
        pack.write(sources, part)
    with pytest.raises(ValueError, match="a pack of other data"):
        pack.write(sources[:1], part, config)
    with pytest.raises(ValueError, match="expected an empty folder or one of `siamjax pack`"):
        pack.write(sources, tmp_path / "data", config)


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_flipped_byte_is_found_and_named(sources, tmp_path):
    folder = tmp_path / "p"
    pack.write(sources, folder, pack.PackConfig(encoding="png", **SIZES))
    path = folder / "00000.array_record"
    again = packed.read(folder)
    record = again[0].tracks[0].crops.numbers[2]
    place = path.read_bytes().index(again[0].tracks[0].crops.records.read(int(record)))
    flip(path, place + 40)
    (wrong,) = pack.check(folder)
    assert wrong.startswith(f"{path}, record 2: ")
    cache.shared.clear()
    clip = packed.read(folder)[0].tracks[0]
    with pytest.raises(DamagedMediaError, match=r"00000\.array_record: record 2: "):
        pairs.cut(pairs.Shot(clip, 2), 45, CONFIG, np.empty((45, 45, 3), np.uint8))
    batches = pipeline.batches(
        [pairs.Source([clip])], pairs.PairConfig(21, 45, 15), batch_size=8, threads=1
    )
    next(batches)
    batches.close()
    assert list(batches.damaged) == [str(path)]
    flip(path, place + 40)
    assert pack.check(folder) == []
    flip(folder / "tracks.npz", 200)
    assert pack.check(folder) == [f"{folder / 'tracks.npz'}: not the bytes that were written"]
    with pytest.raises(ValueError, match=r"tracks\.npz: missing or damaged"):
        packed.read(folder)
    path.unlink()
    assert pack.check(folder)[1:] == [f"{path}: missing"]


def test_pictures_that_cannot_be_decoded_are_named(sources, tmp_path):
    bad = tmp_path / "data" / "3.png"
    bad.write_bytes(bad.read_bytes()[:100])
    folder = tmp_path / "p"
    manifest = pack.write(sources, folder, pack.PackConfig(encoding="png", **SIZES))
    assert manifest["damaged"] == {str(bad): 1}
    runs = []
    for given in (sources, packed.read(folder)):
        cache.shared.clear()
        batches = pipeline.batches(given, CONFIG, batch_size=24, seed=3, threads=2)
        runs.append((next(batches), dict(batches.damaged)))
        batches.close()
    assert runs[0][1] == runs[1][1]
    assert runs[0][1].keys() == {str(bad)}
    np.testing.assert_array_equal(runs[0][0]["search"], runs[1][0]["search"])


def test_a_pack_resumes_exactly_with_other_threads(sources, tmp_path):
    pack.write(sources, tmp_path / "p", pack.PackConfig(**SIZES))
    again = packed.read(tmp_path / "p")
    whole = pipeline.batches(again, CONFIG, batch_size=3, threads=1)
    first = [next(whole) for _ in range(4)]
    part = pipeline.batches(packed.read(tmp_path / "p"), CONFIG, batch_size=3, threads=3)
    next(part), next(part)
    state = json.loads(json.dumps(part.get_state()))
    part.close()
    part.set_state(state)
    for batch in first[2:]:
        for name, array in next(part).items():
            np.testing.assert_array_equal(array, batch[name])
    part.close()
    whole.close()


RECIPE = """
from siamjax.data import pairs
from siamjax.data.readers import folder
from siamjax.track import zoo
from siamjax.train.recipe import Recipe
from pathlib import Path

RECIPE = Recipe(
    name="small", steps=1, tracker=zoo.tracker("siamfc-lite"), data=Path("nowhere"),
    sources=lambda data: [pairs.Source(folder.read(data), name="mine")],
    pairs=pairs.PairConfig(template_size=21, search_size=45, exemplar=15),
)
"""


def test_command(tmp_path, capsys):
    place = tmp_path / "data" / "one"
    place.mkdir(parents=True)
    for i in range(3):
        cv2.imwrite(str(place / f"{i}.png"), smooth(i))
    (place / "groundtruth.txt").write_text("10,12,20,16\n" * 3)
    (tmp_path / "small.py").write_text(RECIPE)
    out = tmp_path / "packed"
    call = ["pack", str(tmp_path / "small.py"), "--out", str(out)]
    assert main([*call, "--data", str(tmp_path / "data"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["records"] == 3
    assert summary["sources"] == {"mine": 1}
    (source,) = packed.read(out)
    crop = source.tracks[0].crops
    assert (crop.side, crop.exemplar) == (45, 15)
    assert main([*call, "--check"]) == 0
    assert "every byte is as written" in capsys.readouterr().out
    flip(out / "00000.array_record", -100)
    assert main([*call, "--check"]) == 2
    assert "00000.array_record" in capsys.readouterr().err


def test_a_recipe_trains_from_a_pack(sources, tmp_path):
    (tmp_path / "small.py").write_text(RECIPE)
    recipe = recipes.load(str(tmp_path / "small.py"))
    recipe = dataclasses.replace(recipe, sources=lambda data: sources, threads=1, batch_size=4)
    pack.write(sources, tmp_path / "p", pack.PackConfig(encoding="png", **SIZES))
    found = []
    for packed_at in (None, tmp_path / "p"):
        batches = dataclasses.replace(recipe, packed=packed_at).batches()
        found.append(next(batches))
        batches.close()
    np.testing.assert_array_equal(found[0]["search"], found[1]["search"])
