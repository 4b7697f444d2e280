import errno
import os
import shutil
import subprocess
import sys
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
from video.clips import gradient, green

from siamjax import video


def boxes_of(data):
    """The top-level boxes of an mp4, in order."""
    kinds, at = [], 0
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        kinds.append(kind.decode())
        at += size
    return kinds


def test_writer_makes_h264_with_its_index_in_front(tmp_path):
    path = tmp_path / "out.mp4"
    with video.VideoWriter(path, 30000 / 1001) as writer:
        for index in range(12):
            writer.write(gradient(index))
    assert os.listdir(tmp_path) == ["out.mp4"]
    kinds = boxes_of(path.read_bytes())
    assert kinds.index("moov") < kinds.index("mdat")
    assert "moof" not in kinds
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == Fraction(30000, 1001)
    found = list(video.frames(path))
    assert len(found) == writer.count == 12
    np.testing.assert_allclose([green(frame) for frame in found], 8 * np.arange(12), atol=5)
    assert found[0].image[8, 8].min() > 245


@pytest.mark.parametrize(("width", "height"), [(63, 47), (64, 47), (1, 1)])
def test_writer_pads_odd_sizes(tmp_path, width, height):
    image = np.full((height, width, 3), (30, 160, 90), np.uint8)
    with video.VideoWriter(tmp_path / "odd.mp4", 25) as writer:
        writer.write(image)
    (frame,) = video.frames(tmp_path / "odd.mp4")
    assert frame.image.shape == (height + height % 2, width + width % 2, 3)
    np.testing.assert_allclose(frame.image.astype(float), np.broadcast_to((30, 160, 90),
                               frame.image.shape), atol=8)  # fmt: skip


def test_writer_letterboxes_another_size(tmp_path):
    white = lambda height, width: np.full((height, width, 3), 255, np.uint8)
    with video.VideoWriter(tmp_path / "boxed.mp4", 25) as writer:
        writer.write(white(48, 64))
        writer.write(white(96, 32))
    image = list(video.frames(tmp_path / "boxed.mp4"))[1].image
    assert image.shape == (48, 64, 3)
    assert image[:, 28:36].min() > 230  # 16 columns of 64 in the middle
    assert max(image[:, :20].max(), image[:, 44:].max()) < 25


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_writer_keeps_what_was_written(tmp_path, error):
    path = tmp_path / "out.mp4"

    def write():
        with video.VideoWriter(path, 25) as writer:
            for index in range(7):
                writer.write(gradient(index))
            raise error

    with pytest.raises(error):
        write()
    assert os.listdir(tmp_path) == ["out.mp4"]
    assert len(list(video.frames(path))) == 7


def test_writer_without_frames_writes_nothing(tmp_path):
    with video.VideoWriter(tmp_path / "out.mp4", 25):
        pass
    assert os.listdir(tmp_path) == []


def test_writer_killed_leaves_a_readable_partial(tmp_path):
    code = (
        "import os, sys, numpy as np; from siamjax.video import VideoWriter\n"
        "writer = VideoWriter(sys.argv[1], 25)\n"
        "noise = np.random.default_rng(0).integers(0, 255, (200, 48, 64, 3), np.uint8)\n"
        "[writer.write(image) for image in noise]\n"
        "os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "out.mp4"
    done = subprocess.run([sys.executable, "-c", code, str(path)], timeout=120)
    assert done.returncode == -9
    shutil.move(tmp_path / "out.mp4.partial", tmp_path / "rescued.mp4")
    with warnings.catch_warnings():  # it was not finished, and may say so
        warnings.simplefilter("ignore", UserWarning)
        assert len(list(video.frames(tmp_path / "rescued.mp4"))) >= 50


FULL = """
import resource, sys, numpy as np
from siamjax.video import VideoWriter
noise = np.random.default_rng(0).integers(0, 255, (400, 48, 64, 3), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    with VideoWriter(sys.argv[1], 25) as writer:
        for image in noise:
            writer.write(image)
except OSError as error:
    sys.exit(error.errno)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits")
def test_writer_on_a_full_disk_keeps_a_playable_file(tmp_path):
    path = tmp_path / "out.mp4"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], timeout=120)
    assert done.returncode == errno.EFBIG
    assert os.listdir(tmp_path) == ["out.mp4"]
    found = []
    with warnings.catch_warnings():  # whether the cut shows depends on where it fell
        warnings.simplefilter("ignore", UserWarning)
        found.extend(video.frames(path))
    assert 50 < len(found) < 400


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_writer_refuses_a_rate(tmp_path, rate):
    with pytest.raises(ValueError, match="rate: expected frames per second > 0"):
        video.VideoWriter(tmp_path / "out.mp4", rate)


def test_writer_into_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError), video.VideoWriter(tmp_path / "no" / "o.mp4", 25) as w:
        w.write(gradient(0))
