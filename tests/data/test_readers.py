import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from siamjax.data.media import VideoFile
from siamjax.data.readers import coco, folder, got10k, masks, otb
from siamjax.video import VideoWriter

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside this")


def picture(path, value=50, shape=(24, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*shape, 3), value, np.uint8))


def pictures(place, count, form="{:04d}.jpg"):
    for i in range(1, count + 1):
        picture(place / form.format(i), i)


def test_folder_of_pictures_and_video(tmp_path):
    pictures(tmp_path / "b" / "img", 2)
    (tmp_path / "b" / "groundtruth_rect.txt").write_text("1\t2\t3\t4\nnan nan nan nan\n")
    (tmp_path / "a").mkdir()
    with VideoWriter(tmp_path / "a" / "video.mp4", 25.0) as writer:
        for _ in range(3):
            writer.write(np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "a" / "groundtruth.txt").write_text("0.5,1,2,3\n1, 1, 2, 3\r\n2,1,2,3\n\n")
    (tmp_path / "notes").mkdir()
    tracks = folder.read(tmp_path)
    assert [(track.name, len(track)) for track in tracks] == [("a", 3), ("b", 2)]
    assert isinstance(tracks[0].media, VideoFile)
    assert tracks[0].boxes[:2].tolist() == [[0.5, 1, 2, 3], [1, 1, 2, 3]]
    assert tracks[1].visible.tolist() == [0]
    assert tracks[1].media.frame(1)[0, 0, 0] == 2
    assert [track.name for track in folder.read(tmp_path / "b")] == ["b"]


def test_folder_errors(tmp_path):
    with pytest.raises(ValueError, match="gone: no such folder"):
        folder.read(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"no folder with groundtruth\.txt"):
        folder.read(tmp_path)
    place = tmp_path / "seq"
    place.mkdir()
    (place / "groundtruth.txt").write_text("1,2,3,4\n")
    with pytest.raises(ValueError, match="seq: expected a video, or pictures"):
        folder.read(tmp_path)
    pictures(place, 2)
    with pytest.raises(ValueError, match=r"seq/\S+\.txt: 2 frames but 1 annotations"):
        folder.read(tmp_path)
    (place / "groundtruth.txt").write_text("1,2,3,4\n1,2,x,4\n")
    with pytest.raises(ValueError, match=r"groundtruth\.txt, line 2: expected four numbers"):
        folder.read(tmp_path)
    (place / "groundtruth.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"groundtruth\.txt: holds no annotation"):
        folder.read(tmp_path)
    (place / "a.mp4").touch()
    (place / "b.avi").touch()
    with pytest.raises(ValueError, match=r"expected one video, found a\.mp4, b\.avi"):
        folder.read(tmp_path)


@pytest.mark.parametrize("separator", [",", "\t", " "])
def test_otb_boxes_become_zero_based(tmp_path, separator):
    pictures(tmp_path / "Car" / "img", 2)
    lines = [separator.join(row) for row in (("10", "20", "3", "4"), ("1", "1", "5", "6"))]
    (tmp_path / "Car" / "groundtruth_rect.txt").write_text("\n".join(lines))
    (track,) = otb.read(tmp_path)
    assert track.boxes.tolist() == [[9, 19, 3, 4], [0, 0, 5, 6]]


def test_otb_two_targets_and_ranges(tmp_path):
    pictures(tmp_path / "Jogging" / "img", 2)
    for target in (1, 2):
        path = tmp_path / "Jogging" / f"groundtruth_rect.{target}.txt"
        path.write_text(f"{target} 1 5 5\n{target} 1 5 5\n")
    pictures(tmp_path / "Football1" / "img", 75)
    (tmp_path / "Football1" / "groundtruth_rect.txt").write_text("1,1,5,5\n" * 74)
    tracks = otb.read(tmp_path)
    assert [track.name for track in tracks] == ["Football1", "Jogging.1", "Jogging.2"]
    assert len(tracks[0].media) == 74
    assert tracks[2].boxes[0, 0] == 1
    assert tracks[1].media == tracks[2].media
    (tmp_path / "Football1" / "groundtruth_rect.txt").write_text("1,1,5,5\n" * 70)
    with pytest.raises(ValueError, match=r"groundtruth_rect\.txt: 74 frames but 70"):
        otb.read(tmp_path)
    with pytest.raises(ValueError, match="gone: no such folder"):
        otb.read(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no folder with groundtruth_rect"):
        otb.read(tmp_path / "empty")


def make_got10k(root):
    place = root / "train" / "GOT-10k_Train_000001"
    pictures(place, 3, "{:08d}.jpg")
    (root / "train" / "list.txt").write_text("GOT-10k_Train_000001\n")
    (place / "groundtruth.txt").write_text("1.5,2,30,40\n2,2,30,40\n3,2,30,40\n")
    (place / "absence.label").write_text("0\n1\n0\n")
    (place / "cover.label").write_text("8\n0\n3\n")
    (place / "cut_by_image.label").write_text("0\n0\n0\n")
    (place / "meta_info.ini").write_text(
        "[METAINFO]\nurl: https://x/watch?v=%3d\nobject_class: bear\nresolution: (32, 24)\n"
    )
    return place


def test_got10k(tmp_path):
    place = make_got10k(tmp_path)
    (track,) = got10k.read(tmp_path)
    assert (track.name, track.category) == ("GOT-10k_Train_000001", "bear")
    assert track.frame_size == (32, 24)
    assert track.visible.tolist() == [0, 2]
    assert track.boxes[0].tolist() == [1.5, 2, 30, 40]
    assert track.cover.tolist() == [8, 0, 3]
    assert [t.name for t in got10k.read(tmp_path / "train")] == [track.name]
    (place / "groundtruth.txt").write_text("1.5,2,30,40\n")
    assert got10k.read(tmp_path)[0].visible.tolist() == [0]
    (place / "groundtruth.txt").write_text("1.5,2,30,40\n1,2,3,4\n")
    with pytest.raises(ValueError, match=r"groundtruth\.txt: 3 frames but 2 annotations"):
        got10k.read(tmp_path)


def test_got10k_errors(tmp_path):
    place = make_got10k(tmp_path)
    with pytest.raises(ValueError, match=r"val/list\.txt: no such file"):
        got10k.read(tmp_path, "val")
    (place / "cover.label").write_text("8\n0\n")
    with pytest.raises(ValueError, match=r"cover\.label: 3 frames but 2"):
        got10k.read(tmp_path)
    (place / "cover.label").write_text("8\n0\nx\n")
    with pytest.raises(ValueError, match=r"cover\.label, line 3: expected an integer"):
        got10k.read(tmp_path)
    (tmp_path / "train" / "list.txt").write_text("\n")
    with pytest.raises(ValueError, match="names no sequence"):
        got10k.read(tmp_path)
    (tmp_path / "train" / "list.txt").write_text("missing\n")
    with pytest.raises(ValueError, match="missing: no such folder"):
        got10k.read(tmp_path)


def write_coco(path, **changes):
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 32, "height": 24}],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1.5, 2, 12, 10], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [1, 2, 12, 9], "iscrowd": 0},
            {"id": 3, "image_id": 7, "category_id": 3, "bbox": [0, 0, 20, 20], "iscrowd": 1},
            {"id": 4, "image_id": 7, "category_id": 9, "bbox": [0, 0, 20, 20]},
        ],
    }
    path.write_text(json.dumps(content | changes))


def test_coco(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    file = tmp_path / "instances.json"
    write_coco(file)
    tracks = coco.read(file, tmp_path / "images")
    assert [track.name for track in tracks] == ["a-1", "a-4"]
    assert [track.category for track in tracks] == ["car", None]
    assert tracks[0].boxes.tolist() == [[1.5, 2, 12, 10]]
    assert tracks[0].frame_size == (32, 24)
    assert tracks[0].media is tracks[1].media
    with pytest.raises(ValueError, match=r"no object of at least 30\.0 px"):
        coco.read(file, tmp_path / "images", min_side=30.0)
    with pytest.raises(ValueError, match="gone: no such folder"):
        coco.read(file, tmp_path / "gone")
    with pytest.raises(ValueError, match=r"gone\.json: no such file"):
        coco.read(tmp_path / "gone.json", tmp_path / "images")
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(ValueError, match=r"a\.jpg: no such picture"):
        coco.read(file, tmp_path / "images")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"images": []}', '{"images": [1], "annotations": []}']
)
def test_coco_refuses_other_json(tmp_path, text):
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"other\.json: not COCO instances json"):
        coco.read(file, tmp_path)


def test_masks(tmp_path):
    for name in ("0002", "0001", "0003"):
        picture(tmp_path / "images" / f"{name}.jpg")
        mask = np.zeros((24, 32), np.uint8)
        if name != "0003":
            mask[5:9, 10:13] = 255
            mask[20, 30] = 100  # below the threshold
        cv2.imwrite(str(tmp_path / "images" / ".." / f"{name}.png"), mask)
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / f"{name}.png").rename(tmp_path / "masks" / f"{name}.png")
    tracks = masks.read(tmp_path)
    assert [track.name for track in tracks] == ["0001", "0002"]
    assert tracks[0].boxes.tolist() == [[10, 5, 3, 4]]
    cv2.imwrite(str(tmp_path / "masks" / "0002.png"), np.full((24, 31), 255, np.uint8))
    with pytest.raises(ValueError, match=r"0002\.png: mask of 31x24 pixels for a photo of 32x24"):
        masks.read(tmp_path)
    (tmp_path / "masks" / "0002.png").unlink()
    with pytest.raises(ValueError, match=r"0002\.jpg: no mask of this name"):
        masks.read(tmp_path)
    with pytest.raises(ValueError, match="gone: no such folder"):
        masks.read(tmp_path, images="gone")


@needs_shared
def test_shared_data():
    dev = folder.read(SHARED / "dev")
    assert len(dev) == 30
    train = folder.read(SHARED / "train" / "video" / "DAVIS2016-train")
    assert (len(train), sum(map(len, train))) == (30, 2079)
    objects = coco.read(SHARED / "train/coco/annotations.json", SHARED / "train/coco/images")
    assert len({track.media for track in objects}) > 300
    bear = next(track for track in train if track.name == "bear")
    assert bear.boxes[0] == pytest.approx([57.56, 128.40, 221.23, 132.60])
