import errno
import http.server
import os
import shutil
import subprocess
import sys
import threading
import warnings
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from siamjax import video


def gradient(index, width=64, height=48):
    """A frame whose green tells its number and whose top left quarter is white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = 8 * index
    image[: height // 2, : width // 2] = 255
    return image


def encode(path, images, *, rate=25, times=None, rotation=None, mirror=False, format=None, **opts):
    with av.open(str(path), "w", format=format, options=opts) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1", "g": "10"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate) if times is None else Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=mirror)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            seconds = index / rate if times is None else times[index]
            frame.pts, frame.time_base = round(1000 * seconds), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def clip(tmp_path):
    return encode(tmp_path / "clip.mp4", [gradient(i) for i in range(20)])


def green(frame):
    return float(frame.image[-8:, -8:, 1].mean())


def test_frames_of_a_file_are_rgb_in_order_with_times(clip):
    found = list(video.frames(clip))
    assert [frame.index for frame in found] == list(range(20))
    np.testing.assert_allclose([frame.time for frame in found], np.arange(20) / 25, atol=1e-3)
    np.testing.assert_allclose([green(frame) for frame in found], 8 * np.arange(20), atol=3)
    assert found[0].image.dtype == np.uint8
    assert found[0].image.shape == (48, 64, 3)
    index, time, image = found[3]
    assert (index, image.shape) == (3, (48, 64, 3))
    assert time == pytest.approx(0.12, abs=1e-3)


def test_colors_are_red_green_blue(tmp_path):
    red = np.full((48, 64, 3), (200, 40, 10), np.uint8)
    path = encode(tmp_path / "red.mp4", [red])
    image = next(video.frames(path)).image
    np.testing.assert_allclose(image.mean((0, 1)), [200, 40, 10], atol=4)


def test_info(clip):
    assert video.info(clip) == video.VideoInfo(64, 48, 25.0, 20)


def test_start_skips_frames_and_keeps_numbers_and_times(clip):
    found = list(video.frames(str(clip), start=17))
    assert [frame.index for frame in found] == [17, 18, 19]
    assert found[0].time == pytest.approx(17 / 25, abs=1e-3)
    assert green(found[0]) == pytest.approx(136, abs=3)


@pytest.mark.parametrize("start", [20, 1000])
def test_start_beyond_the_end(clip, start):
    with pytest.raises(ValueError, match=rf"start: frame {start} .*clip.mp4.* 20 frames"):
        list(video.frames(clip, start=start))


def test_negative_start_is_refused_at_once(clip):
    with pytest.raises(ValueError, match="start: expected a frame number >= 0, got -1"):
        video.frames(clip, start=-1)


def test_variable_frame_rate_times(tmp_path):
    times = [0.0, 0.04, 0.2, 0.25, 1.0]
    path = encode(tmp_path / "vfr.mp4", [gradient(i) for i in range(5)], times=times)
    np.testing.assert_allclose([f.time for f in video.frames(path)], times, atol=2e-3)


def test_times_count_from_the_first_frame(tmp_path):
    times = 5 + np.arange(30) / 25
    path = encode(tmp_path / "late.ts", [gradient(i) for i in range(30)], times=times)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).time >= 5  # the file's own clock
    found = [frame.time for frame in video.frames(path)]
    np.testing.assert_allclose(found, np.arange(30) / 25, atol=2e-3)


def test_times_of_a_file_without_timestamps(tmp_path):
    path = encode(tmp_path / "raw.h264", [gradient(i) for i in range(5)], format="h264")
    found = [frame.time for frame in video.frames(path)]
    np.testing.assert_allclose(found, np.arange(5) / 25, atol=1e-6)


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


def test_frames_that_change_size_are_yielded_as_they_are(tmp_path):
    small = encode(tmp_path / "a.h264", [gradient(0)] * 3, format="h264")
    large = encode(tmp_path / "b.h264", [gradient(0, 96, 80)] * 3, format="h264")
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    shapes = [frame.image.shape[:2] for frame in video.frames(both)]
    assert shapes == [(48, 64)] * 3 + [(80, 96)] * 3


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_truncated_file_gives_what_decodes_and_warns(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), np.uint8)
    flags = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = encode(tmp_path / name, list(noise), **flags)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = []
    with pytest.warns(UserWarning, match=rf"{name}: truncated or damaged .*frames were read") as w:
        found.extend(video.frames(path))
    assert 10 <= len(found) < 45
    assert [frame.index for frame in found] == list(range(len(found)))
    assert f"; {len(found)}" in str(w[0].message)


def test_damaged_data_is_kept_up_to_the_damage(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8)
    path = encode(tmp_path / "bad.mp4", list(noise), movflags="faststart")
    data = bytearray(path.read_bytes())
    middle = data.find(b"mdat") + (len(data) - data.find(b"mdat")) // 2
    data[middle:-1] = bytes(len(data) - 1 - middle)
    path.write_bytes(data)
    found = []
    with pytest.warns(UserWarning, match=r"of 30 frames were read"):
        found.extend(video.frames(path))
    assert 5 <= len(found) < 30


def test_a_complete_file_does_not_warn(clip, tmp_path):
    for name in ("whole.mkv", "whole.avi", "whole.ts"):
        path = encode(tmp_path / name, [gradient(i) for i in range(20)])
        assert len(list(video.frames(path))) == 20  # warnings are errors here


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.mp4: no such video"):
        video.frames(tmp_path / "nothing.mp4")


def test_empty_file(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ValueError, match=r"empty\.mp4: the file is empty \(0 bytes\)"):
        video.frames(tmp_path / "empty.mp4")


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


@pytest.mark.skipif(os.path.exists("/dev/video97"), reason="there is such a webcam")
@pytest.mark.skipif(sys.platform != "linux", reason="webcams have other names here")
@pytest.mark.parametrize("source", [97, "97"])
def test_missing_webcam(source):
    with pytest.raises(FileNotFoundError, match="97: no such webcam"):
        next(video.frames(source))


class Stream(http.server.BaseHTTPRequestHandler):
    """A stream of 60 MJPEG pictures and, once `more` is set, 20 more; then `sent` is set."""

    more, sent = threading.Event(), threading.Event()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=cut")
        self.end_headers()
        for number in range(80):
            if number == 60:
                self.more.wait(20)
            picture = np.full((48, 64, 3), 3 * number, np.uint8)
            data = cv2.imencode(".jpg", picture)[1].tobytes()
            head = f"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")
        self.sent.set()

    def log_message(self, *_):
        pass


def test_stream_keeps_the_newest_frame():
    Stream.sent.clear()
    Stream.more.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        frames = video.frames(f"http://127.0.0.1:{server.server_address[1]}/live")
        first = next(frames)
        Stream.more.set()
        assert Stream.sent.wait(20)
        for thread in threading.enumerate():
            if thread.name == "newest-frame":
                thread.join(20)
        rest = list(frames)
        server.shutdown()
    assert first.index < 60
    assert [frame.index for frame in rest] == [79]  # the frames between are passed over
    assert rest[0].image.mean() == pytest.approx(3 * 79, abs=3)
    assert not [thread for thread in threading.enumerate() if thread.name == "newest-frame"]


class File(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_file_behind_a_url_is_read_frame_by_frame(clip):
    handler = lambda *args: File(*args, directory=str(clip.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        found = list(video.frames(url + "clip.mp4"))
        with pytest.raises(ValueError, match=r"nothing\.mp4: "):
            next(video.frames(url + "nothing.mp4"))
        server.shutdown()
    assert [frame.index for frame in found] == list(range(20))


def test_stream_that_does_not_answer():
    with pytest.raises(OSError, match=r"http://127\.0\.0\.1:1/x: cannot be opened"):
        next(video.frames("http://127.0.0.1:1/x"))


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


def test_names_with_colons_are_files(tmp_path, clip):
    path = Path(shutil.copy(clip, tmp_path / "a:b.mp4"))
    assert len(list(video.frames(path))) == 20
