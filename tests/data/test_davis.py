import cv2
import numpy as np
import pytest

from siamjax.data import labels
from siamjax.data.media import VideoFile
from siamjax.data.readers import davis
from siamjax.data.tracks import Masks
from siamjax.video import VideoWriter

SIZE = (20, 30)


def rectangle(found, number, x, y, width, height):
    found[y : y + height, x : x + width] = number
    return found


def write(path, found):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(labels.encode(found))


def picture(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*SIZE, 3), value, np.uint8))


def sequence(root, name, numbers=(1, 2), frames=3):
    """Objects that move right by their number a frame; object 2 is hidden in the last."""
    for i in range(frames):
        picture(root / "JPEGImages" / "480p" / name / f"{i:05d}.jpg", 10 * i)
        found = np.zeros(SIZE, np.uint8)
        for number in numbers:
            if (number, i) != (2, frames - 1):
                rectangle(found, number, 1 + i * min(number, 3), 6 * min(number, 3) - 5, 4, 5)
        write(root / "Annotations" / "480p" / name / f"{i:05d}.png", found)


@pytest.fixture
def tree(tmp_path):
    sequence(tmp_path, "two")
    sequence(tmp_path, "one", numbers=(255,))
    sequence(tmp_path, "left", numbers=(1,))
    for year, names in {"2016": "one\ntwo\n", "2017": "two\none\n"}.items():
        (tmp_path / "ImageSets" / year).mkdir(parents=True)
        (tmp_path / "ImageSets" / year / "val.txt").write_text(names)
    return tmp_path


def test_every_object_is_a_track(tree):
    two, one = davis.read_scenes(tree)
    assert [scene.name for scene in (two, one)] == ["two", "one"]
    assert [track.name for track in two.tracks] == ["two.1", "two.2"]
    assert two.tracks[0].media is two.tracks[1].media
    assert two.tracks[0].boxes.tolist() == [[1, 1, 4, 5], [2, 1, 4, 5], [3, 1, 4, 5]]
    assert two.tracks[1].boxes[:2].tolist() == [[1, 7, 4, 5], [3, 7, 4, 5]]
    assert np.isnan(two.tracks[1].boxes[2]).all()
    assert two.tracks[1].size() == (30, 20)
    masks = two.tracks[1].masks
    assert isinstance(masks, Masks)
    assert [masks.mask(i).sum() for i in range(3)] == [20, 20, 0]
    assert np.argwhere(masks.mask(1))[0].tolist() == [7, 3]
    assert two.tracks[0].media.frame(1)[0, 0, 0] == 10
    # 0 and 255, as in 2016: one object.
    assert [track.name for track in one.tracks] == ["one"]
    assert one.tracks[0].boxes[0].tolist() == [1, 13, 4, 5]
    assert one.tracks[0].masks.mask(0).sum() == 20
    assert [track.name for track in davis.read(tree)] == ["two.1", "two.2", "one"]


def test_lists(tree):
    one, two = davis.read_scenes(tree, "2016/val")
    assert [scene.name for scene in (one, two)] == ["one", "two"]
    # The task of 2016 has one object: all of 2017's together.
    assert [track.name for track in two.tracks] == ["two"]
    assert two.tracks[0].boxes[0].tolist() == [1, 1, 4, 11]
    assert two.tracks[0].masks.mask(0).sum() == 40
    with pytest.raises(ValueError, match=r"test\.txt: cannot be read"):
        davis.read_scenes(tree, "2017/test")
    (tree / "ImageSets" / "2017" / "val.txt").unlink()
    assert [scene.name for scene in davis.read_scenes(tree)] == ["one", "two"]
    (tree / "ImageSets" / "2016" / "val.txt").unlink()
    assert [scene.name for scene in davis.read_scenes(tree)] == ["left", "one", "two"]
    # The list of the first release names every picture and its annotation.
    (tree / "ImageSets" / "480p").mkdir()
    pairs = [f"/JPEGImages/480p/left/{i:05d}.jpg /Annotations/x.png\n" for i in range(3)]
    (tree / "ImageSets" / "480p" / "val.txt").write_text("".join(pairs))
    assert [scene.name for scene in davis.read_scenes(tree)] == ["left"]


def test_void_is_no_object(tree):
    path = tree / "Annotations" / "480p" / "two" / "00000.png"
    write(path, rectangle(labels.read(path), 255, 20, 10, 5, 5))
    (two, _) = davis.read_scenes(tree)
    assert [track.name for track in two.tracks] == ["two.1", "two.2"]
    assert two.tracks[0].masks.mask(0).sum() == 20


def test_objects_are_those_of_the_first_frame(tree):
    path = tree / "Annotations" / "480p" / "two" / "00001.png"
    write(path, rectangle(labels.read(path), 3, 20, 10, 5, 5))
    assert len(davis.read_scenes(tree)[0].tracks) == 2


def folder(place, frames=3, packed=False):
    place.mkdir(parents=True)
    with VideoWriter(place / "video.mp4", 25.0) as writer:
        for _ in range(frames):
            writer.write(np.zeros((*SIZE, 3), np.uint8))
    masks = np.zeros((frames, *SIZE), np.uint8)
    for i in range(frames):
        rectangle(masks[i], 255, 3 + i, 2, 6, 7)
    if packed:
        bits = np.packbits(masks > 0, axis=2)
        np.savez(place / "masks.npz", bits=bits, shape=np.array(masks.shape))
        return
    (place / "masks").mkdir()
    for i in range(frames):
        cv2.imwrite(str(place / "masks" / f"{i:05d}.png"), masks[i])


def test_sequence_folders(tmp_path):
    folder(tmp_path / "b")
    folder(tmp_path / "a", packed=True)
    (tmp_path / "boxes_alone").mkdir()
    (tmp_path / "boxes_alone" / "groundtruth.txt").write_text("1,2,3,4\n")
    a, b = davis.read_scenes(tmp_path)
    for name, scene in {"a": a, "b": b}.items():
        (track,) = scene.tracks
        assert (scene.name, track.name, len(track)) == (name, name, 3)
        assert isinstance(track.media, VideoFile)
        assert track.boxes.tolist() == [[3, 2, 6, 7], [4, 2, 6, 7], [5, 2, 6, 7]]
        assert track.masks.mask(2).sum() == 42
    assert [scene.name for scene in davis.read_scenes(tmp_path / "b")] == ["b"]
    with pytest.raises(ValueError, match=r"split: .* has no lists"):
        davis.read_scenes(tmp_path, "2016/val")


def test_what_does_not_fit(tree, tmp_path):
    with pytest.raises(ValueError, match="gone: no such folder"):
        davis.read_scenes(tmp_path / "gone")
    annotations = tree / "Annotations" / "480p"
    with pytest.raises(ValueError, match="no JPEGImages, and no folder with masks inside"):
        davis.read_scenes(annotations)
    write(annotations / "two" / "00001.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"00001\.png: expected \(20, 30\) as the first"):
        davis.read_scenes(tree)
    write(annotations / "two" / "00000.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(ValueError, match=r"00000\.png: expected an object in the first frame"):
        davis.read_scenes(tree)
    (annotations / "two" / "00002.png").unlink()
    with pytest.raises(ValueError, match="two: 3 frames but 2 annotations"):
        davis.read_scenes(tree)
    (tree / "ImageSets" / "2017" / "val.txt").write_text("three\n")
    with pytest.raises(ValueError, match="three: expected pictures, found none"):
        davis.read_scenes(tree)
    (tree / "JPEGImages" / "480p").rename(tree / "JPEGImages" / "1080p")
    (tree / "JPEGImages" / "720p").mkdir()
    with pytest.raises(ValueError, match="JPEGImages: expected a folder 480p"):
        davis.read_scenes(tree)


def test_masks_of_the_development_clips(shared):
    """The boxes that come with the clips were made from the same masks, at another size."""
    place = shared / "data" / "dev" / "DAVIS_cows"
    (scene,) = davis.read_scenes(place)
    stored = np.loadtxt(place / "groundtruth.txt", delimiter=",", dtype=np.float32)
    np.testing.assert_allclose(scene.tracks[0].boxes, stored, atol=2.1)
