import os
import sys

import av
import numpy as np
import pytest
from video.clips import encode, gradient

from siamjax import video


def test_colors_are_red_green_blue(tmp_path):
    red = np.full((48, 64, 3), (200, 40, 10), np.uint8)
    path = encode(tmp_path / "red.mp4", [red])
    image = next(video.frames(path)).image
    np.testing.assert_allclose(image.mean((0, 1)), [200, 40, 10], atol=4)


@pytest.mark.parametrize(
    ("rotation", "mirror", "shape", "white"),
    [
        (0, False, (48, 64), "top left"),
        (90, False, (64, 48), "bottom left"),
        (180, False, (48, 64), "bottom right"),
        (-90, False, (64, 48), "top right"),
        (0, True, (48, 64), "top right"),
    ],
)
def test_rotation_metadata(tmp_path, rotation, mirror, shape, white):
    # FFmpeg counts degrees anticlockwise: 90 turns the top left corner to the bottom left.
    path = tmp_path / "phone.mp4"
    encode(path, [gradient(0)] * 2, rotation=rotation, mirror=mirror)
    image = next(video.frames(path)).image
    assert image.shape[:2] == shape
    corners = {
        "top left": image[8, 8],
        "top right": image[8, -8],
        "bottom left": image[-8, 8],
        "bottom right": image[-8, -8],
    }
    assert max(corners, key=lambda name: int(corners[name].sum())) == white
    info = video.info(path)
    assert (info.height, info.width) == shape


@pytest.mark.parametrize("content", [b"just text\n" * 50, b"\0" * 5000])
def test_file_that_is_no_video(tmp_path, content):
    path = tmp_path / "text.mp4"
    path.write_bytes(content)
    for read in (lambda: next(video.frames(path)), lambda: video.info(path)):
        with pytest.raises(ValueError, match=r"text\.mp4: not a video that can be read") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_mp4_cut_before_its_index(tmp_path, clip):
    path = tmp_path / "head.mp4"
    path.write_bytes(clip.read_bytes()[:700])
    with pytest.raises(ValueError, match=r"head\.mp4: not a video that can be read"):
        next(video.frames(path))


def test_sound_without_picture(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(ValueError, match=r"sound\.wav: holds no video"):
        next(video.frames(path))


@pytest.mark.skipif(os.path.exists("/dev/video97"), reason="there is such a webcam")
@pytest.mark.skipif(sys.platform != "linux", reason="webcams have other names here")
@pytest.mark.parametrize("source", [97, "97"])
def test_missing_webcam(source):
    with pytest.raises(FileNotFoundError, match="97: no such webcam"):
        next(video.frames(source))


def test_stream_that_does_not_answer():
    with pytest.raises(OSError, match=r"http://127\.0\.0\.1:1/x: cannot be opened"):
        next(video.frames("http://127.0.0.1:1/x"))
