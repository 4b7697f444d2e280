import cv2
import numpy as np
import pytest

from siamjax import video


def test_folder_without_pictures(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ValueError, match="no pictures in this folder") as caught:
        video.frames(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_picture_folder_in_natural_order(tmp_path):
    for number in (10, 2, 1, 100):
        cv2.imwrite(str(tmp_path / f"im{number}.png"), np.full((4, 5, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._im3.png").write_bytes(b"a file manager's")
    found = list(video.frames(tmp_path))
    assert [int(frame.image[0, 0, 0]) for frame in found] == [1, 2, 10, 100]
    assert [frame.time for frame in found] == [0, 0.04, 0.08, 0.12]
    assert video.info(tmp_path) == video.VideoInfo(5, 4, 25.0, 4)
    assert [frame.index for frame in video.frames(tmp_path, start=3)] == [3]
    with pytest.raises(ValueError, match=r"start: frame 4 .* 4 frames"):
        next(video.frames(tmp_path, start=4))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.full((3, 4), 90, np.uint8), (90, 90, 90)),
        (np.full((3, 4, 3), (10, 20, 30), np.uint8), (30, 20, 10)),
        (np.full((3, 4, 4), (10, 20, 30, 128), np.uint8), (30, 20, 10)),
        (np.full((3, 4), 90 * 257, np.uint16), (90, 90, 90)),
        (np.full((3, 4, 3), (2570, 5140, 7710), np.uint16), (30, 20, 10)),
        (np.full((1, 1, 3), (1, 2, 3), np.uint8), (3, 2, 1)),
    ],
    ids=["grey", "rgb", "rgba", "grey16", "rgb16", "one pixel"],
)
def test_pictures_become_rgb_uint8(tmp_path, stored, expected):
    path = tmp_path / "p.png"
    cv2.imwrite(str(path), stored)
    (frame,) = video.frames(path)
    assert frame.image.dtype == np.uint8
    assert frame.image.shape == (*stored.shape[:2], 3)
    assert tuple(frame.image[0, 0].tolist()) == expected


def test_broken_picture_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "2.png").write_bytes(b"not a picture")
    frames = video.frames(tmp_path)
    next(frames)
    with pytest.raises(ValueError, match=r"2\.png: not a picture"):
        next(frames)
