import http.server
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from video.clips import green

from siamjax import video


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


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.mp4: no such video"):
        video.frames(tmp_path / "nothing.mp4")


def test_empty_file(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ValueError, match=r"empty\.mp4: the file is empty \(0 bytes\)"):
        video.frames(tmp_path / "empty.mp4")


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


def test_names_with_colons_are_files(tmp_path, clip):
    path = Path(shutil.copy(clip, tmp_path / "a:b.mp4"))
    assert len(list(video.frames(path))) == 20
