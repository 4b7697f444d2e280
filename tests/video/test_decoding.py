import http.server
import threading

import av
import cv2
import numpy as np
import pytest
from video.clips import encode, gradient

from siamjax import video


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
