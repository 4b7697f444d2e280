import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from siamjax.data import cache, labels, pairs, pipeline
from siamjax.data.lazy import Clip, LazyTracks
from siamjax.data.media import DamagedMediaError, VideoFile
from siamjax.data.readers import (
    coco,
    crop511,
    davis,
    imagenet_det,
    imagenet_vid,
    youtube_bb,
    youtube_vos,
)
from siamjax.data.sources import Filter
from siamjax.video import VideoWriter

CONFIG = pairs.PairConfig(template_size=15, search_size=31, exemplar=11)


def picture(path, value=50, shape=(24, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path.with_suffix(".jpg")), np.full((*shape, 3), value, np.uint8))
    path.with_suffix(".jpg").rename(path)


def label_map(path, *objects, shape=(24, 32)):
    """Write an indexed PNG of objects (number, x, y, width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = np.zeros(shape, np.uint8)
    for number, x, y, width, height in objects:
        found[y : y + height, x : x + width] = number
    path.write_bytes(labels.encode(found))


def xml(path, *objects, size=(32, 24)):
    """Write a VOC file of objects (track or None, name, corners, occluded, generated)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>"]
    for track, name, (left, top, right, bottom), occluded, generated in objects:
        lines.append("<object>")
        if track is not None:
            lines.append(f"<trackid>{track}</trackid>")
        lines.append(
            f"<name>{name}</name><bndbox><xmax>{right}</xmax><xmin>{left}</xmin><ymax>{bottom}"
            f"</ymax><ymin>{top}</ymin></bndbox><occluded>{occluded}</occluded>"
            f"<generated>{generated}</generated></object>"
        )
    path.write_text("\n".join([*lines, "</annotation>"]))


def skips(tracks, damaged: Path):
    """Damage one picture of a source, and give what the pipeline counts over some batches."""
    damaged.write_bytes(b"no picture")
    cache.shared.clear()
    source = pairs.Source(tracks, filter=Filter(min_side=1.0))
    batches = pipeline.batches([source], CONFIG, batch_size=8, threads=1)
    batch = next(batches)
    batches.close()
    assert batch["search"].shape == (8, 31, 31, 3)
    assert list(batches.damaged) == [str(damaged)]


def test_lazy_tracks_are_read_once():
    read = []

    def clip(number, count):
        def tracks():
            read.append(number)
            return [imagenet_track(f"{number}.{i}") for i in range(count)]

        return Clip(count, tracks)

    tracks = LazyTracks([clip(0, 2), clip(1, 0), clip(2, 3)])
    assert len(tracks) == 5
    assert read == []
    assert tracks[4].name == "2.2"
    assert [track.name for track in tracks[:3]] == ["0.0", "0.1", "2.0"]
    assert tracks[-5] is tracks[0]
    assert read == [2, 0]
    with pytest.raises(IndexError):
        tracks[5]
    wrong = LazyTracks([clip(3, 1), Clip(2, clip(4, 1).read)])
    with pytest.raises(ValueError, match="expected 2 tracks, got 1"):
        wrong[2]


def imagenet_track(name):
    from siamjax.data.media import Picture
    from siamjax.data.tracks import Track

    return Track(name, Picture(Path(name)), np.float32([[0, 0, 2, 2]]))


def make_vid(root):
    inside = Path("VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000")
    place = root / "Annotations" / inside
    one, two = ("0", "n02084071"), ("1", "n01674464")
    xml(place / "000000.xml", (*one, (4, 5, 13, 20), 0, 0))
    xml(place / "000001.xml", (*two, (1, 2, 3, 4), 1, 1), (*one, (5, 5, 14, 20), 0, 1))
    xml(place / "000002.xml")
    for i in range(3):
        picture(root / "Data" / inside / f"{i:06d}.JPEG", i)
    return place, root / "Data" / inside


def test_imagenet_vid(tmp_path):
    place, pictures = make_vid(tmp_path)
    dog, bird = imagenet_vid.read(tmp_path)
    assert (dog.name, dog.category) == ("ILSVRC2015_train_00000000.0", "n02084071")
    assert dog.boxes[:2].tolist() == [[4, 5, 10, 16], [5, 5, 10, 16]]
    assert dog.visible.tolist() == [0, 1]
    assert dog.frame_size == (32, 24)
    assert dog.tags["occluded"].tolist() == [False, False, False]
    assert dog.tags["generated"].tolist() == [False, True, False]
    assert bird.name == "ILSVRC2015_train_00000000.1"
    assert bird.visible.tolist() == [1]
    assert bird.tags["occluded"].tolist() == [False, True, False]
    assert bird.media == dog.media
    assert dog.media.frame(2)[0, 0, 0] == 2
    part = imagenet_vid.read(tmp_path, "train/ILSVRC2015_VID_train_0000")
    assert [track.name for track in part] == [dog.name, bird.name]
    skips([dog], pictures / "000001.JPEG")
    (place / "000001.xml").write_text("<annotation>\n<object></annotation>")
    with pytest.raises(ValueError, match=r"000001\.xml, line 2: not XML"):
        imagenet_vid.read(tmp_path)
    (place / "000001.xml").write_text("<annotation><object><name>x</name></object></annotation>")
    with pytest.raises(ValueError, match=r"000001\.xml: expected objects .*'xmin'"):
        imagenet_vid.read(tmp_path)
    with pytest.raises(ValueError, match="VID/val: no such folder"):
        imagenet_vid.read(tmp_path, "val")
    pictures.rename(pictures.with_name("gone"))
    with pytest.raises(ValueError, match="ILSVRC2015_train_00000000: no such folder, for the fra"):
        imagenet_vid.read(tmp_path)


def test_imagenet_det(tmp_path):
    inside = Path("DET/train/ILSVRC2013_train/n02084071")
    big, small = (None, "n02084071", (0, 0, 15, 11), 0, 0), (None, "n1", (1, 1, 5, 20), 0, 0)
    xml(tmp_path / "Annotations" / inside / "a.xml", big, small, (None, "n2", (2, 3, 20, 20), 0, 0))
    xml(tmp_path / "Annotations" / inside / "b.xml", small)
    picture(tmp_path / "Data" / inside / "a.JPEG", 7)
    first, second = imagenet_det.read(tmp_path)
    assert (first.name, first.category) == ("a-0", "n02084071")
    assert first.boxes.tolist() == [[0, 0, 16, 12]]
    assert (second.name, second.boxes.tolist()) == ("a-2", [[2, 3, 19, 18]])
    assert first.media == second.media
    assert first.media.frame(0)[0, 0, 0] == 7
    assert len(imagenet_det.read(tmp_path, min_side=5.0)) == 4
    with pytest.raises(ValueError, match="no object of at least 30 px"):
        imagenet_det.read(tmp_path, min_side=30.0)
    (tmp_path / "Data" / inside / "a.JPEG").write_bytes(b"")
    cache.shared.clear()
    with pytest.raises(DamagedMediaError, match=r"a\.JPEG"):
        first.media.frame(0)


def test_youtube_vos(tmp_path):
    place = tmp_path / "train"
    objects = {
        "1": {"category": "dog", "frames": ["00000", "00005"]},
        "3": {"category": "cat", "frames": ["00005"]},
    }
    (place / "JPEGImages").mkdir(parents=True)
    (place / "meta.json").write_text(json.dumps({"videos": {"abc": {"objects": objects}}}))
    for i in range(7):
        picture(place / "JPEGImages" / "abc" / f"{i:05d}.jpg", i)
    label_map(place / "Annotations" / "abc" / "00000.png", (1, 2, 3, 10, 8))
    label_map(place / "Annotations" / "abc" / "00005.png", (1, 4, 3, 10, 8), (3, 20, 1, 6, 5))
    tracks = youtube_vos.read(tmp_path)
    assert len(tracks) == 2
    dog, cat = tracks
    assert (dog.name, dog.category, cat.name) == ("abc.1", "dog", "abc.3")
    assert dog.boxes.tolist() == [[2, 3, 10, 8], [4, 3, 10, 8]]
    assert cat.visible.tolist() == [1]
    assert cat.boxes[1].tolist() == [20, 1, 6, 5]
    assert cat.masks is not None
    assert int(cat.masks.mask(1).sum()) == 30
    assert dog.media.frame(1)[0, 0, 0] == 5
    assert youtube_vos.read(place)[1].name == "abc.3"
    skips(tracks, place / "JPEGImages" / "abc" / "00005.jpg")
    damaged = youtube_vos.read(tmp_path)
    (place / "Annotations" / "abc" / "00005.png").write_bytes(b"no picture")
    cache.shared.clear()
    with pytest.raises(DamagedMediaError, match=r"00005\.png"):
        damaged[0]
    (place / "meta.json").write_text('{"videos": {"abc": {}}}')
    with pytest.raises(ValueError, match=r"meta\.json: not YouTube-VOS's json \(KeyError"):
        youtube_vos.read(tmp_path)
    with pytest.raises(ValueError, match=r"valid/meta\.json: cannot be read"):
        youtube_vos.read(tmp_path, "valid")


CSV = """\
aaa,1000,3,dog,0,present,0.25,0.75,0.5,1.0
aaa,2000,3,dog,0,absent,-1,-1,-1,-1
bbb,500,3,dog,1,present,0,0.5,0,0.5
aaa,3000,3,dog,0,present,0,0.5,0.25,0.5
ccc,7000,5,cat,0,present,0,1,0,1
ddd,7000,5,cat,0,present,0,1,0,1
ddd,8000,5,cat,0,uncertain,0.5,1,0.5,1
"""


def test_youtube_bb(tmp_path):
    table, frames = tmp_path / "yt_bb_detection_train.csv", tmp_path / "frames"
    table.write_text(CSV)
    for time in (1000, 2000, 3000):
        picture(frames / "3" / f"aaa_{time}_3_0.jpg", time // 100)
    picture(frames / "3" / "bbb+3+1" / "500.jpg", 9)
    (frames / "5").mkdir()
    with VideoWriter(frames / "5" / "ddd+5+0.mp4", 5.0) as writer:
        for _ in range(7):
            writer.write(np.zeros((16, 32, 3), np.uint8))
    tracks = youtube_bb.read(table, frames)
    assert [track.name for track in tracks] == ["aaa+3+0", "bbb+3+1", "ddd+5+0"]
    first, second, third = tracks
    assert first.category == "dog"
    assert first.visible.tolist() == [0, 2]
    assert first.boxes[[0, 2]].tolist() == [[8, 12, 16, 12], [0, 6, 16, 6]]
    assert first.media.frame(2)[0, 0, 0] == 30
    assert second.boxes.tolist() == [[0, 0, 16, 12]]
    assert isinstance(third.media, VideoFile)
    assert third.visible.tolist() == [0, 5]
    assert third.boxes[5].tolist() == [16, 8, 16, 8]
    skips([first], frames / "3" / "aaa_3000_3_0.jpg")
    table.write_text(CSV.replace("0.25,0.75", "0.25,x"))
    with pytest.raises(ValueError, match=r"train\.csv, line 1: expected 10 columns"):
        youtube_bb.read(table, frames)
    table.write_text("eee,1000,3,dog,0,present,0.25,0.75,0.5,1.0\n")
    with pytest.raises(ValueError, match="no frame of any segment"):
        youtube_bb.read(table, frames)


def test_crop511(tmp_path):
    # 30 x 90: context 60, square of sqrt(90 * 150) pixels; 40 x 40: a square of 80.
    boxes = {"000004": [5, 10, 35, 100], "000000": [40, 40], "frames": []}
    content = {"a/vid": {"00": boxes, "02": {"000000": [0, 0, 0, 5]}}}
    (tmp_path / "train.json").write_text(json.dumps(content))
    crops = tmp_path / "crop511"
    for frame in (0, 4):
        picture(crops / "a" / "vid" / f"{frame:06d}.00.x.jpg", 10 + frame, (511, 511))
    (crops / "a" / "vid" / "000000.00.m.png").touch()
    tracks = crop511.read(tmp_path / "train.json", crops)
    assert len(tracks) == 2
    track, empty = tracks
    assert track.name == "a/vid.00"
    sides = np.array([[63.5, 63.5], [30 * 127 / 13500**0.5, 90 * 127 / 13500**0.5]])
    np.testing.assert_allclose(track.boxes[:, 2:], sides, rtol=1e-6)
    np.testing.assert_allclose(track.boxes[:, :2] + (sides - 1) / 2, 255, rtol=1e-6)
    assert track.masks is not None
    assert track.media.frame(1)[0, 0, 0] == 14
    assert empty.visible.tolist() == []
    # The context crop of a crop is the crop's own middle, at its own scale.
    ramp = np.tile(np.arange(511, dtype=np.float32)[None, :, None] / 2, (511, 1, 3))
    crop, _ = pairs.context_crop(ramp.astype(np.uint8), track.boxes[1], 431)
    assert np.abs(crop[..., 0].astype(int) - ramp[40:471, 40:471, 0].astype(int)).max() <= 1
    skips(tracks[:1], crops / "a" / "vid" / "000004.00.x.jpg")
    content["a/vid"]["00"]["000000"] = [1, 2, 3]
    (tmp_path / "train.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"train\.json: a/vid, 00, 000000: expected two or four"):
        crop511.read(tmp_path / "train.json", crops)[0]
    (tmp_path / "train.json").write_text("[]")
    with pytest.raises(ValueError, match=r"train\.json: not PySOT's json"):
        crop511.read(tmp_path / "train.json", crops)
    with pytest.raises(ValueError, match="gone: no such folder"):
        crop511.read(tmp_path / "train.json", tmp_path / "gone")


def test_davis_train_and_coco_skip_what_is_damaged(tmp_path):
    root = tmp_path / "davis"
    for i in range(3):
        picture(root / "JPEGImages" / "480p" / "bear" / f"{i:05d}.jpg", i)
        label_map(root / "Annotations" / "480p" / "bear" / f"{i:05d}.png", (1, 2, 3, 10, 8))
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "train.txt").write_text("bear\n")
    (track,) = davis.read(root, "2017/train")
    assert track.boxes.tolist() == [[2, 3, 10, 8]] * 3
    skips([track], root / "JPEGImages" / "480p" / "bear" / "00001.jpg")
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / "coco" / name)
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(("a.jpg", "b.jpg"))],
        "annotations": [{"id": i, "image_id": i, "bbox": [1, 2, 12, 14]} for i in range(2)],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    skips(coco.read(tmp_path / "instances.json", tmp_path / "coco"), tmp_path / "coco" / "b.jpg")
