from pathlib import Path

import cv2
import numpy as np
import pytest

from siamjax.data import cache
from siamjax.data.media import (
    DamagedMediaError,
    Picture,
    VideoFile,
    list_pictures,
    read_picture,
)
from siamjax.video import VideoWriter


def plain(value, shape=(24, 32)):
    return np.full((*shape, 3), value, np.uint8)


@pytest.fixture(autouse=True)
def _fresh():
    cache.shared.clear()
    yield
    cache.shared.resize(cache.DEFAULT_BUDGET)
    cache.shared.clear()


def test_picture_is_rgb(tmp_path):
    bgr = plain(0)
    bgr[:, :, 2] = 200  # red
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), bgr)
    image = Picture(path).frame(0)
    assert image[5, 5].tolist() == [200, 0, 0]
    assert not image.flags.writeable
    assert Picture(path) == Picture(path)
    assert len({Picture(path), Picture(path)}) == 1
    with pytest.raises(IndexError, match="frame 1 of 1"):
        Picture(path).frame(1)


def test_numbers_in_names_order_the_pictures(tmp_path):
    for name in ("10.png", "9.png", "100.png", "notes.txt", ".hidden.png"):
        cv2.imwrite(str(tmp_path / name), plain(0)) if name.endswith("png") else None
    assert [path.name for path in list_pictures(tmp_path)] == ["9.png", "10.png", "100.png"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_truncated_picture_is_refused_by_name(tmp_path, suffix):
    rng = np.random.default_rng(0)
    path = tmp_path / f"cut{suffix}"
    cv2.imwrite(str(path), rng.integers(0, 256, (64, 64, 3), np.uint8))
    assert read_picture(path).shape == (64, 64, 3)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(DamagedMediaError, match=f"cut{suffix}: the picture ends early"):
        read_picture(path)


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_files_that_are_no_pictures(tmp_path, content):
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(DamagedMediaError, match=r"bad\.jpg: not a picture"):
        Picture(path).frame(0)
    with pytest.raises(DamagedMediaError, match=r"gone\.jpg: No such file"):
        Picture(tmp_path / "gone.jpg").frame(0)


def make_video(path: Path, count=6):
    with VideoWriter(path, 25.0) as writer:
        for i in range(count):
            writer.write(plain(40 * i))


def test_video_is_decoded_once_and_shared(tmp_path):
    path = tmp_path / "clip.mp4"
    make_video(path)
    video = VideoFile(path)
    assert len(video) == 6
    assert [round(float(video.frame(i).mean()) / 40) for i in (4, 0, 2)] == [4, 0, 2]
    assert cache.shared.bytes == 6 * 24 * 32 * 3
    assert VideoFile(path).frame(1) is video.frame(1)
    assert [round(float(frame.mean()) / 40) for frame in video] == [0, 1, 2, 3, 4, 5]
    with pytest.raises(IndexError, match="frame 6 of 6"):
        video.frame(6)


def test_video_over_the_budget_is_read_frame_by_frame(tmp_path):
    path = tmp_path / "clip.mp4"
    make_video(path)
    cache.shared.resize(1000)
    assert round(float(VideoFile(path).frame(3).mean()) / 40) == 3
    assert cache.shared.bytes == 0


def test_file_that_is_no_video(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"nothing of a video")
    with pytest.raises(DamagedMediaError, match=r"clip\.mp4: not a video"):
        len(VideoFile(path))
