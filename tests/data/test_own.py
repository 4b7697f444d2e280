import cv2
import numpy as np
import pytest

from siamjax.data import labels
from siamjax.data.media import Picture, PictureFolder, VideoFile
from siamjax.data.readers import own
from siamjax.video import VideoWriter


def clip(path, frames=4, shape=(24, 32)):
    with VideoWriter(path, 10.0) as writer:
        for _ in range(frames):
            writer.write(np.zeros((*shape, 3), np.uint8))


def picture(path, value=50, shape=(24, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*shape, 3), value, np.uint8))


TABLE = """\
video,frame,x,y,w,h,target,label
cars.mp4,0,1,2,10,12,red,car
cars.mp4,2,3,2.5,10,12,red,car
cars.mp4,2,9,2,5,6,blue,car
walk,00007.png,4,5,6,7,,
walk,2,,,,,,
still,0,0,0,8,9,,cup
"""


@pytest.fixture
def root(tmp_path):
    clip(tmp_path / "cars.mp4")
    for number in (3, 7, 11):
        picture(tmp_path / "walk" / f"{number:05d}.png", number)
    picture(tmp_path / "still.png", 9)
    (tmp_path / "boxes.csv").write_text(TABLE)
    return tmp_path


def test_boxes(root):
    red, blue, walk, still = own.read(root)
    assert [t.name for t in (red, blue, walk, still)] == ["cars.red", "cars.blue", "walk", "still"]
    assert isinstance(red.media, VideoFile)
    assert red.visible.tolist() == [0, 2]
    assert red.boxes[2].tolist() == [3, 2.5, 10, 12]
    assert (red.category, walk.category, still.category) == ("car", None, "cup")
    assert blue.visible.tolist() == [2]
    assert blue.media == red.media
    assert walk.visible.tolist() == [1]
    assert walk.media.frame(1)[0, 0, 0] == 7
    assert isinstance(still.media, Picture)
    assert [track.name for track in own.read(root, "boxes.csv")] == [
        "cars.red", "cars.blue", "walk", "still",
    ]  # fmt: skip


def test_tables_as_others_write_them(root):
    (root / "boxes.csv").write_bytes(
        "\ufeffFrame;Video;X;Y;W;H;note\r\n0;cars;1;2;3;4;a\r\n\r\n;;;;;;\r\n".encode()
    )
    (track,) = own.read(root)
    assert (track.name, track.boxes[0].tolist()) == ("cars", [1, 2, 3, 4])
    inside = root / "day" / "one"
    inside.mkdir(parents=True)
    clip(inside / "a.mp4", 1)
    (root / "boxes.csv").write_text("video,frame,x,y,w,h\nday/one/a.mp4,0,1,2,3,4\n")
    assert own.read(root)[0].name == "day-one-a"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("red,car\ncars.mp4,2,9", "red,bus\ncars.mp4,2,9", "line 3: the label is 'bus', but 'car'"),
        ("cars.mp4,2,3", "cars.mp4,4,3", r"line 3: frame 4, but .*cars\.mp4 has 4 frames"),
        ("cars.mp4,2,9,2,5,6,blue", "cars.mp4,0,9,2,5,6,red", "line 4: a second box .* line 2"),
        ("00007.png", "00008.png", "line 5: expected a frame's number or picture's name"),
        ("4,5,6,7", "4,5,6,-7", r"line 5: expected a box x, y, w, h in pixels, got '4,5,6,-7'"),
        ("4,5,6,7", "4,5,,7", "line 5: expected a box"),
        ("walk,2,,,,,,", "walk,2,,,,,", "line 6: expected 8 cells, got 7"),
        ("still,0", "stil,0", r"line 7: no video or pictures 'stil' in .*mean 'still\.png'"),
        ("walk,2,,,,,,", "walk,1,1,1,5,5,,", "line 6: a second box .* line 5"),
        ("video,frame,x,y", "video,frame,x,top", "line 1: expected the columns .* missing y in"),
    ],
)
def test_wrong_lines_are_named(root, old, new, message):
    assert old in TABLE
    (root / "boxes.csv").write_text(TABLE.replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"boxes\.csv, {message}"):
        own.read(root)


def test_folders_that_cannot_be_read(root, tmp_path_factory):
    with pytest.raises(ValueError, match=r"gone\.csv: no such file"):
        own.read(root, "gone.csv")
    with pytest.raises(ValueError, match="gone: no such folder"):
        own.read(root / "gone")
    (root / "more.csv").write_text(TABLE)
    with pytest.raises(ValueError, match=r"expected one CSV file, found boxes\.csv, more\.csv"):
        own.read(root)
    (root / "more.csv").unlink()
    clip(root / "still.mp4", 1)
    with pytest.raises(ValueError, match=r"'still' may be still\.mp4, still\.png"):
        own.read(root)
    (root / "boxes.csv").write_text("video,frame,x,y,w,h\n")
    with pytest.raises(ValueError, match="holds no annotation"):
        own.read(root)
    with pytest.raises(ValueError, match="expected a CSV file of boxes, masks/ or sequence"):
        own.read(tmp_path_factory.mktemp("empty"))


def mask(path, *objects, shape=(24, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    found = np.zeros(shape, np.uint8)
    for number, x, y, width, height in objects:
        found[y : y + height, x : x + width] = number
    path.write_bytes(labels.encode(found))


def test_masks(root):
    (root / "boxes.csv").unlink()
    places = root / "masks"
    mask(places / "cars" / "00000.png", (1, 2, 3, 10, 8), (255, 0, 0, 2, 2))
    mask(places / "cars" / "00003.png", (1, 4, 3, 10, 8), (2, 20, 1, 6, 5))
    mask(places / "walk" / "00011.png", (255, 4, 5, 6, 7))
    mask(places / "still.png", (1, 1, 1, 3, 3))
    one, two, still, walk = own.read(root)
    assert [t.name for t in (one, two, still, walk)] == ["cars.1", "cars.2", "still", "walk"]
    assert one.visible.tolist() == [0, 3]
    assert one.boxes[3].tolist() == [4, 3, 10, 8]
    assert two.visible.tolist() == [3]
    assert two.masks is not None
    assert int(two.masks.mask(3).sum()) == 30
    with pytest.raises(IndexError, match="frame 1 has no mask"):
        two.masks.mask(1)
    assert isinstance(walk.media, PictureFolder)
    assert walk.boxes[2].tolist() == [4, 5, 6, 7]
    mask(places / "cars" / "00004.png", (1, 4, 3, 10, 8))
    with pytest.raises(ValueError, match=r"00004\.png: frame 4, but .* has 4 frames"):
        own.read(root)
    mask(places / "cars" / "00004.png", (1, 4, 3, 5, 8), shape=(10, 10))
    (places / "cars" / "00004.png").rename(places / "cars" / "00002.png")
    with pytest.raises(ValueError, match=r"0000\d\.png: expected \(\d+, \d+\) as the first, got"):
        own.read(root)


def test_sequence_folders(tmp_path):
    (tmp_path / "b").mkdir()
    clip(tmp_path / "b" / "video.mp4", 1)
    mask(tmp_path / "b" / "masks" / "00000.png", (1, 1, 1, 3, 3))
    (track,) = own.read(tmp_path)
    assert (track.name, track.boxes.tolist()) == ("b", [[1, 1, 3, 3]])
    (tmp_path / "b" / "groundtruth.txt").write_text("1,1,3,5\n")
    (track,) = own.read(tmp_path)
    assert track.boxes.tolist() == [[1, 1, 3, 5]]
    assert len(own.read(tmp_path / "b")) == 1
