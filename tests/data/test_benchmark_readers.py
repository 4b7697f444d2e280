"""Each benchmark's raw layout, as a small tree that the test makes."""

import cv2
import numpy as np
import pytest

from siamjax.data.readers import (
    dtb70,
    got10k,
    lasot,
    nfs,
    otb,
    tcolor,
    trackingnet,
    truth,
    uav123,
    vot,
    votlt,
)
from siamjax.data.tracks import Track


def _pictures(place, numbers, form="{:08d}.jpg"):
    place.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(place / form.format(number)), np.full((12, 16, 3), number, np.uint8))


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _first_values(track):
    """Give the grey of each frame: the number of its picture, nearly (JPEG)."""
    return [round(float(frame.mean())) for frame in track.media]


def test_vot_polygons_and_tags(tmp_path):
    _pictures(tmp_path / "b" / "color", [1, 2, 3])
    _write(
        tmp_path / "b" / "groundtruth.txt",
        "1,5,5,1,9,5,5,9\n2,5,6,1,10,5,6,9\nnan,nan,nan,nan,nan,nan,nan,nan\n",
    )
    _write(tmp_path / "b" / "occlusion.tag", "0\n1\n")
    _pictures(tmp_path / "a", [1])
    _write(tmp_path / "a" / "groundtruth.txt", "1,2,3,4\n")
    _write(tmp_path / "a" / "camera_motion.label", "1\n")
    _write(tmp_path / "list.txt", "b\na\n")
    polygon, box = vot.read(tmp_path)
    assert (polygon.name, box.name) == ("b", "a")
    assert polygon.boxes[:2].tolist() == [[1, 1, 8, 8], [2, 1, 8, 8]]
    assert polygon.regions is not None
    assert polygon.regions[1].tolist() == [2, 5, 6, 1, 10, 5, 6, 9]
    assert polygon.visible.tolist() == [0, 1]
    assert polygon.tags["occlusion"].tolist() == [False, True, False]
    assert box.boxes.tolist() == [[1, 2, 3, 4]]
    assert box.regions is None
    assert list(box.tags) == ["camera_motion"]
    (tmp_path / "list.txt").unlink()
    assert [track.name for track in vot.read(tmp_path)] == ["a", "b"]
    with pytest.raises(ValueError, match="b: expected boxes, got polygons or masks"):
        votlt.read(tmp_path)


def test_vot_masks_and_anchors(tmp_path):
    place = tmp_path / "ants"
    _pictures(place / "color", [1, 2])
    # Left 3, top 2, 3 wide, 2 high: a background pixel, four of the target, the rest background.
    _write(place / "groundtruth.txt", "m3,2,3,2,1,4\nm14,1,4,1,0,4\n")
    _write(place / "anchor.value", "1\n-1\n")
    (track,) = vot.read(tmp_path)
    assert track.masks is not None
    assert np.argwhere(track.masks.mask(0)).tolist() == [[2, 4], [2, 5], [3, 3], [3, 4]]
    assert track.masks.mask(0).shape == (12, 16)
    assert np.argwhere(track.masks.mask(1)).tolist() == [[1, 14], [1, 15]]  # cut by the frame
    assert track.boxes.tolist() == [[3, 2, 3, 2], [14, 1, 4, 1]]
    anchors = vot.read_anchors(place)
    assert anchors is not None
    assert anchors.tolist() == [1, -1]
    assert vot.read_anchors(tmp_path) is None
    _write(place / "groundtruth.txt", "m3,2,3,2,1,4\nm3,2,x\n")
    with pytest.raises(ValueError, match=r"groundtruth\.txt, line 2: expected m and run lengths"):
        vot.read(tmp_path)
    _write(place / "groundtruth.txt", "m0,0,0,0\nm0,0,2,2,4\n")
    (track,) = vot.read(tmp_path)
    assert track.visible.tolist() == []


def test_vot_errors(tmp_path):
    with pytest.raises(ValueError, match=r"no list\.txt, and no folder with groundtruth\.txt"):
        vot.read(tmp_path)
    _write(tmp_path / "a" / "groundtruth.txt", "1,2,3,4\n1,2,3,4,5,6,7,8\n")
    with pytest.raises(ValueError, match="color: expected pictures, found none"):
        vot.read(tmp_path)
    _pictures(tmp_path / "a", [1])
    with pytest.raises(ValueError, match=r"groundtruth\.txt, line 1: expected 8 numbers, got 4"):
        vot.read(tmp_path)
    _write(tmp_path / "a" / "groundtruth.txt", "1,2,3,4\n1,2,3\n")
    with pytest.raises(ValueError, match=r"groundtruth\.txt, line 2: expected four or eight"):
        vot.read(tmp_path)
    _write(tmp_path / "a" / "groundtruth.txt", "1,2,3,4\n1,2,3,4\n")
    with pytest.raises(ValueError, match="1 frames but 2 annotations"):
        vot.read(tmp_path)
    _write(tmp_path / "a" / "groundtruth.txt", "1,2,3,4\n")
    _write(tmp_path / "a" / "size_change.tag", "2\n")
    with pytest.raises(ValueError, match=r"size_change\.tag: expected 1 zeros and ones"):
        vot.read(tmp_path)


def test_votlt(tmp_path):
    _pictures(tmp_path / "ballet" / "color", [1, 2, 3])
    _write(tmp_path / "ballet" / "groundtruth.txt", "1,2,3,4\nnan,nan,nan,nan\nnan\n")
    (track,) = votlt.read(tmp_path)
    assert track.visible.tolist() == [0]
    assert track.boxes[0].tolist() == [1, 2, 3, 4]


def test_lasot(tmp_path):
    for name in ("dog-2", "dog-10"):
        place = tmp_path / "dog" / name
        _pictures(place / "img", [1, 2, 3])
        _write(place / "groundtruth.txt", "10,20,30,40\n0,0,0,0\n11,20,30,40\n")
        _write(place / "full_occlusion.txt", "0,1,0\n")
        _write(place / "out_of_view.txt", "0\n0\n1\n")
    _write(tmp_path / "testing_set.txt", "dog-2\n")
    (track,) = lasot.read(tmp_path, tmp_path / "testing_set.txt")
    assert (track.name, track.category) == ("dog-2", "dog")
    assert track.boxes[0].tolist() == [9, 19, 30, 40]
    assert track.visible.tolist() == [0, 2]
    assert track.shown.tolist() == [True, False, False]
    assert [one.name for one in lasot.read(tmp_path)] == ["dog-10", "dog-2"]
    assert [one.name for one in lasot.read(tmp_path / "dog", ["dog-10"])] == ["dog-10"]
    with pytest.raises(ValueError, match="no sequence 'cat-1'"):
        lasot.read(tmp_path, ["cat-1"])
    _write(tmp_path / "dog" / "dog-2" / "out_of_view.txt", "0,0,0,0\n")
    with pytest.raises(ValueError, match=r"out_of_view\.txt, line 1: expected zeros and ones"):
        lasot.read(tmp_path)


def test_uav123(tmp_path):
    _pictures(tmp_path / "data_seq" / "UAV123" / "bird1", range(1, 6), "{:06d}.jpg")
    _pictures(tmp_path / "data_seq" / "UAV123" / "boat1", [1, 2], "{:06d}.jpg")
    _write(tmp_path / "anno" / "UAV123" / "bird1_1.txt", "1,1,5,5\n2,1,5,5\n")
    _write(tmp_path / "anno" / "UAV123" / "bird1_2.txt", "3,1,5,5\nNaN,NaN,NaN,NaN\n")
    _write(tmp_path / "anno" / "UAV123" / "boat1.txt", "1,1,5,5\n1,1,5,5\n")
    _write(tmp_path / "anno" / "UAV20L" / "bird1.txt", "1,1,5,5\n" * 5)
    _write(
        tmp_path / "configSeqs.m",
        r"""seqUAV123={...
struct('name','bird1_1','path','F:\data_seq\UAV123\bird1\','startFrame',1,'endFrame',2,'nz',6),...
struct('name','bird1_2','path','F:\data_seq\UAV123\bird1\','startFrame',4,'endFrame',5,'nz',6)};
seqUAV20L={struct('name','bird1_1','path','F:\data_seq\UAV20L\x\','startFrame',1,'endFrame',9)};
""",
    )
    first, second, boat = uav123.read(tmp_path)
    assert [first.name, second.name, boat.name] == ["bird1_1", "bird1_2", "boat1"]
    assert _first_values(second) == [4, 5]
    assert first.boxes.tolist() == [[0, 0, 5, 5], [1, 0, 5, 5]]
    assert second.visible.tolist() == [0]
    _write(tmp_path / "data_seq" / "UAV20L" / "none.txt", "")
    with pytest.raises(ValueError, match="bird1: expected pictures, found none"):
        uav123.read(tmp_path, "UAV20L")
    (tmp_path / "configSeqs.m").unlink()
    with pytest.raises(ValueError, match="bird1_1: expected pictures, found none"):
        uav123.read(tmp_path)


def test_nfs(tmp_path):
    form = '0 {} 20 {} 60 {} {:d} {:d} 0 "race car"'
    lines = [form.format(10 + k, 30 + k, k, k == 8, k == 16) for k in range(25)]
    _pictures(tmp_path / "cars" / "240" / "cars", range(24), "{:05d}.jpg")
    _pictures(tmp_path / "cars" / "30" / "cars", range(3), "{:05d}.jpg")
    _write(tmp_path / "cars" / "240" / "cars.txt", "\n".join(lines))
    _write(tmp_path / "cars" / "30" / "cars.txt", "\n".join(lines))
    (fast,), (slow,) = nfs.read(tmp_path, 240), nfs.read(tmp_path)
    assert (fast.name, fast.category, len(fast), len(slow)) == ("cars", "race car", 24, 3)
    assert fast.boxes[1].tolist() == [11, 20, 20, 40]
    # One line more than pictures; every eighth of them at 30 frames a second.
    assert np.isnan(slow.boxes[1]).all()
    assert slow.boxes[2].tolist() == [26, 20, 20, 40]
    assert slow.tags["occlusion"].tolist() == [False, False, True]
    assert len(slow.media) == 3
    with pytest.raises(ValueError, match="fps: expected 30 or 240, got 60"):
        nfs.read(tmp_path, 60)
    _write(tmp_path / "cars" / "240" / "cars.txt", '0 1 2 3 4 0 0 0 0 "car"\n0 1 2\n')
    with pytest.raises(ValueError, match=r"cars\.txt, line 2: expected nine numbers and a label"):
        nfs.read(tmp_path, 240)


def test_tcolor(tmp_path):
    _pictures(tmp_path / "Airport_ce" / "img", range(1, 6), "{:04d}.jpg")
    _write(tmp_path / "Airport_ce" / "Airport_ce_gt.txt", "2,3,4,5\n3,3,4,5\n4,3,4,5\n")
    _write(tmp_path / "Airport_ce" / "Airport_ce_frames.txt", "3,5\n")
    _write(tmp_path / "Airport_ce" / "Airport_ce_att.txt", "OCC, SV\n")
    (track,) = tcolor.read(tmp_path)
    assert _first_values(track) == [3, 4, 5]
    assert track.boxes[0].tolist() == [1, 2, 4, 5]
    assert {tag: frames.tolist() for tag, frames in track.tags.items()} == {
        "OCC": [True] * 3,
        "SV": [True] * 3,
    }
    _write(tmp_path / "Airport_ce" / "Airport_ce_frames.txt", "3\n")
    with pytest.raises(ValueError, match=r"frames\.txt, line 1: expected first and last frame"):
        tcolor.read(tmp_path)
    with pytest.raises(ValueError, match=r"no folder SEQ with SEQ_gt\.txt inside"):
        tcolor.read(tmp_path / "Airport_ce")


def test_dtb70(tmp_path):
    _pictures(tmp_path / "Animal1" / "img", [1, 2], "{:05d}.jpg")
    _write(tmp_path / "Animal1" / "groundtruth_rect.txt", "2,3,4,5\n3,3,4,5\n")
    (track,) = dtb70.read(tmp_path)
    assert (track.name, track.boxes[1].tolist()) == ("Animal1", [2, 2, 4, 5])


def test_trackingnet(tmp_path):
    for split, boxes in (("TEST", "1.5,2,3,4\n"), ("TRAIN_0", "1,2,3,4\n" * 11)):
        # 10.jpg comes after 9.jpg.
        _pictures(tmp_path / split / "frames" / "abc_0", range(11), "{}.jpg")
        _write(tmp_path / split / "anno" / "abc_0.txt", boxes)
    test, train = trackingnet.read(tmp_path, ("TEST", "TRAIN_0"))
    assert test.boxes[0].tolist() == [1.5, 2, 3, 4]
    assert (test.visible.tolist(), len(train.visible)) == ([0], 11)
    assert _first_values(train)[-1] == 10
    with pytest.raises(ValueError, match=r"TRAIN_1.anno: no such folder"):
        trackingnet.read(tmp_path, ("TRAIN_1",))


LENGTHS = {"david": 471, "football1": 74, "freeman3": 460, "freeman4": 283, "diving": 215}


def test_frame_ranges_of_otb(shared):
    assert {name: last - first + 1 for name, (first, last) in otb.FRAME_RANGES.items()} == LENGTHS
    with np.load(shared / "golden/eval/otb100_gt.npz") as golden:
        lengths = dict(zip(golden["names"].tolist(), np.diff(golden["offsets"]), strict=True))
    assert {name: lengths[name] for name in LENGTHS} == LENGTHS


def test_otb_pictures_that_do_not_start_at_one(tmp_path):
    # BlurCar1 begins with 0247.jpg; Human4 has an empty file for its first target.
    _pictures(tmp_path / "BlurCar1" / "img", [247, 248], "{:04d}.jpg")
    _write(tmp_path / "BlurCar1" / "groundtruth_rect.txt", "1\t2\t3\t4\n5 6\t7\t8\n")
    _pictures(tmp_path / "Human4" / "img", [1], "{:04d}.jpg")
    _write(tmp_path / "Human4" / "groundtruth_rect.1.txt", "")
    _write(tmp_path / "Human4" / "groundtruth_rect.2.txt", "1,2,3,4\n")
    tracks = otb.read(tmp_path)
    assert [track.name for track in tracks] == ["BlurCar1", "Human4.2"]
    assert tracks[0].boxes[1].tolist() == [4, 5, 7, 8]
    assert len(tracks[0].media) == 2


def test_got10k_says_where_a_target_is_shown(tmp_path):
    place = tmp_path / "val" / "GOT-10k_Val_000001"
    _pictures(place, [1, 2, 3])
    _write(tmp_path / "val" / "list.txt", "GOT-10k_Val_000001\n")
    _write(place / "groundtruth.txt", "1,2,3,4\n" * 3)
    _write(place / "cover.label", "8\n0\n1\n")
    (track,) = got10k.read(tmp_path, "val")
    assert track.shown.tolist() == [True, False, True]


def test_regions_and_tags_have_the_tracks_length(tmp_path):
    _pictures(tmp_path, [1])
    media, boxes = truth.pictures([tmp_path]), np.ones((1, 4), np.float32)
    for changes in (
        {"regions": np.ones((2, 8), np.float32)},
        {"tags": {"regions": np.ones(2, bool)}},
    ):
        with pytest.raises(ValueError, match="regions: expected 1, got 2"):
            Track("a", media, boxes, **changes)
