import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from siamjax import cli, draw, follow, rotated, video, weights
from siamjax.data import labels
from siamjax.track.siamfc import SiamFC

RUN = "import sys; from siamjax.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.npz"
    tracker = SiamFC("alexnet-v1", width=0.05)
    variables = tracker.init_variables(jax.random.key(0))
    weights.save(path, tracker, variables, source="test", licence="MIT")
    return str(path)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Run in an empty folder, without a compile cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "enable_compile_cache", lambda: None)


def noise(count, height=60, width=80, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (count, height, width, 3), np.uint8)


@pytest.fixture
def clip(tmp_path):
    with video.VideoWriter(tmp_path / "My clip.mp4", 10) as writer:
        for image in noise(8):
            writer.write(image)
    return tmp_path / "My clip.mp4"


def track(*arguments):
    return cli.main(["track", *map(str, arguments)])


def table(folder):
    with open(Path(folder) / "track.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_gives_mp4_csv_and_json(clip, model, capsys):
    assert track(clip, "--box", 20, 15, 24, 20, "--model", model, "--json") == 0
    folder = Path("siamjax-out/My clip")
    assert sorted(os.listdir(folder)) == ["track.csv", "track.json", "track.mp4"]
    header = (folder / "track.csv").read_text().splitlines()[0]
    assert header == "frame,target,x,y,width,height,score"
    rows = table(folder)
    assert [row["frame"] for row in rows] == [str(n) for n in range(8)]
    first = [float(rows[0][name]) for name in ("x", "y", "width", "height", "score")]
    assert first == [20, 15, 24, 20, 1]

    tracker, variables = weights.load(model)
    tracks = follow.track_video(clip, [20, 15, 24, 20], tracker=tracker, variables=variables)
    found = [[float(row[name]) for name in ("x", "y", "width", "height")] for row in rows]
    np.testing.assert_allclose(found, tracks.boxes[:, 0], atol=6e-4)

    content = json.loads((folder / "track.json").read_text())
    assert content["video"]["source"] == str(clip)
    assert (content["video"]["width"], content["video"]["height"]) == (80, 60)
    assert content["model"]["family"] == "siamfc"
    assert content["model"]["config"]["width"] == 0.05
    assert content["complete"] is True
    assert [frame["frame"] for frame in content["frames"]] == list(range(8))
    assert content["frames"][3]["time"] == pytest.approx(0.3, abs=1e-3)
    np.testing.assert_allclose(content["frames"][5]["boxes"][0], tracks.boxes[5, 0], atol=6e-4)
    assert content["timing"]["frames_per_second"] > 0
    assert content["timing"]["seconds_to_first_box"] > 0

    info = video.info(folder / "track.mp4")
    assert (info.width, info.height, info.count, info.rate) == (80, 60, 8, 10.0)
    out = capsys.readouterr().out.splitlines()
    summary = json.loads(out[-1])
    assert len(out) == 1
    assert summary["frames"] == 8
    assert summary["csv"] == str(folder / "track.csv")
    assert summary["timing"] == content["timing"]


def test_human_summary_names_the_files(clip, model, capsys):
    assert track(clip, "--box", 20, 15, 24, 20, "--model", model) == 0
    out = capsys.readouterr().out
    assert "8 frames" in out
    assert "siamjax-out/My clip: track.mp4, track.csv, track.json" in out


def test_several_boxes_start_limit_and_no_video(clip, model):
    boxes = ["--box", 20, 15, 24, 20, "--box", -4.5, 30, 16, 18]
    options = ["--start", 3, "--limit", 4, "--no-video", "--out", "there/deep"]
    assert track(clip, *boxes, *options, "--model", model) == 0
    assert sorted(os.listdir("there/deep")) == ["track.csv", "track.json"]
    rows = table("there/deep")
    assert [(row["frame"], row["target"]) for row in rows] == [
        (str(frame), str(target)) for frame in range(3, 7) for target in (0, 1)
    ]
    assert rows[1]["x"] == "-4.5"


def test_the_drawn_video_shows_the_box(tmp_path, model):
    grey = np.full((120, 160, 3), 128, np.uint8)
    with video.VideoWriter(tmp_path / "grey.mp4", 10) as writer:
        for _ in range(2):
            writer.write(grey)
    assert track("grey.mp4", "--box", 40, 40, 60, 50, "--model", model, "--limit", 1) == 0
    image = next(video.frames("siamjax-out/grey/track.mp4")).image.astype(int)
    assert np.abs(image[65, 39:42] - draw.color(0)).sum(axis=1).min() < 150
    assert np.abs(image[65, 70] - 128).max() < 6


def test_picture_folder_and_webcam_names(tmp_path, model):
    from siamjax.cli.track import _name

    assert _name("0") == "webcam-0"
    assert _name("rtsp://camera.example/live/door.sdp?x=1") == "door"
    assert _name("http://camera.example") == "camera.example"
    assert _name(str(tmp_path)) == tmp_path.name
    assert _name("a/b/clip.tar.mp4") == "clip.tar"


def test_bundled_clip_by_default(model):
    assert track("--model", model, "--limit", 3, "--no-video") == 0
    rows = table("siamjax-out/bigbuckbunny")
    clip = follow.bundled_clip()
    assert [row["frame"] for row in rows] == ["20", "21", "22"]
    first = [float(rows[0][name]) for name in ("x", "y", "width", "height")]
    assert first == clip.boxes[0].tolist()


def test_lost_targets_have_empty_fields(clip, model, monkeypatch):
    lost = follow.Tracked(1, 0.1, noise(1)[0], np.full((1, 4), np.nan, np.float32),
                          np.array([0.25], np.float32), np.array([False]),
                          np.array([True]))  # fmt: skip
    yes, no = np.array([True]), np.array([False])
    given = lost._replace(frame=0, boxes=np.ones((1, 4), np.float32), valid=yes, lost=no)

    def results(*_, **__):
        yield from (given, lost)

    monkeypatch.setattr(follow, "follow", results)
    assert track(clip, "--box", 1, 1, 1, 1, "--model", model) == 0
    assert (Path("siamjax-out/My clip") / "track.csv").read_text().splitlines()[2] == "1,0,,,,,0.25"
    content = json.loads((Path("siamjax-out/My clip") / "track.json").read_text())
    assert content["frames"][1]["boxes"] == [[None] * 4]
    assert content["frames"][1]["valid"] == [False]
    assert [frame["lost"] for frame in content["frames"]] == [[False], [True]]


def drawn(count):
    """Results with masks, of frames 2 and on: two blocks, the second half covered by the first."""
    for n in range(2, 2 + count):
        masks = np.zeros((2, 60, 80), np.float32)
        masks[0, 20:32, 10 + n : 26 + n] = 0.9
        masks[1, 20:40, 18 + n : 32 + n] = 0.8
        boxes = np.float32([[10 + n, 20, 16, 12], [18 + n, 20, 14, 20]])
        yes = np.array([True, True])
        labels = np.where(masks[0] > 0, 1, 2 * (masks[1] > 0)).astype(np.uint8)
        turned = rotated.boxes(masks, 0.5, boxes)
        if n == 3:
            turned[1] = np.nan
        ones = np.ones(2, np.float32)
        yield follow.Tracked(n, n / 10, noise(1)[0], boxes, ones, yes, ~yes, masks, labels, turned)


def test_masks_are_written_as_davis_keeps_them(clip, model, monkeypatch, capsys):
    monkeypatch.setattr(follow, "follow", lambda *_, **__: drawn(3))
    boxes = ["--box", 12, 20, 16, 12, "--box", 20, 20, 14, 20]
    assert track(clip, *boxes, "--model", model, "--json") == 0
    folder = Path("siamjax-out/My clip")
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["masks"] == str(folder / "masks")
    assert sorted(os.listdir(folder / "masks")) == ["00002.png", "00003.png", "00004.png"]
    for frame, result in zip((2, 3, 4), drawn(3), strict=True):
        written = labels.read(folder / "masks" / f"{frame:05d}.png")
        np.testing.assert_array_equal(written, result.labels)
        assert set(np.unique(written)) == {0, 1, 2}
    shown = cv2.imread(str(folder / "masks" / "00002.png"))[..., ::-1]
    assert shown[25, 14].tolist() == [128, 0, 0]  # DAVIS's colours
    assert shown[37, 25].tolist() == [0, 128, 0]
    content = json.loads((folder / "track.json").read_text())
    turned = np.array(content["frames"][0]["rotated_boxes"])
    np.testing.assert_allclose(turned.min(axis=1), [[12, 20], [20, 20]], atol=1e-3)
    np.testing.assert_allclose(turned.max(axis=1), [[27, 31], [33, 39]], atol=1e-3)
    assert content["frames"][1]["rotated_boxes"][1] == [[None, None]] * 4
    assert [row["x"] for row in table(folder)][:2] == ["12", "20"]
    image = next(video.frames(folder / "track.mp4")).image.astype(int)
    tint = image[34:38, 24:30].mean(axis=(0, 1)) - image[50:58, 60:75].mean(axis=(0, 1))
    assert tint @ (np.array(draw.color(1)) - 128) > 0  # the second target's colour
    assert track(clip, *boxes, "--model", model) == 0
    assert "track.mp4, track.csv, track.json, masks" in capsys.readouterr().out


def test_masks_of_an_interrupted_run_stay_and_those_of_an_older_one_go(clip, model, monkeypatch):
    folder = Path("siamjax-out/My clip") / "masks"
    folder.mkdir(parents=True)
    for name in ("00000.png", "00003.png.partial", "notes.png"):
        (folder / name).touch()
    arguments = [clip, "--box", 12, 20, 16, 12, "--box", 20, 20, 14, 20, "--model", model]

    def results(*_, **__):
        yield from drawn(2)
        raise KeyboardInterrupt

    monkeypatch.setattr(follow, "follow", results)
    assert track(*arguments) == 130
    assert sorted(os.listdir(folder)) == ["00002.png", "00003.png", "notes.png"]
    assert labels.read(folder / "00003.png").max() == 2
    (folder / "notes.png").unlink()
    monkeypatch.setattr(follow, "follow", lambda *_, **__: (
        result._replace(masks=None, labels=None, rotated_boxes=None) for result in drawn(1)
    ))  # fmt: skip
    assert track(*arguments) == 0
    assert not folder.exists()


def test_a_map_that_cannot_be_written_leaves_no_half_of_it(clip, model, monkeypatch, capsys):
    def full(path, data):
        path.touch()
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(follow, "follow", lambda *_, **__: drawn(2))
    monkeypatch.setattr(Path, "write_bytes", full)
    boxes = ["--box", 12, 20, 16, 12, "--box", 20, 20, 14, 20]
    assert track(clip, *boxes, "--model", model) == 2
    assert "No space left on device" in capsys.readouterr().err
    folder = Path("siamjax-out/My clip")
    assert os.listdir(folder / "masks") == []
    assert len(json.loads((folder / "track.json").read_text())["frames"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.mp4", "--box", 1, 1, 9, 9], "nothing.mp4: no such video"),
        (["empty.mp4", "--box", 1, 1, 9, 9], "empty.mp4: the file is empty"),
        (["text.mp4", "--box", 1, 1, 9, 9], "text.mp4: not a video"),
        (["folder", "--box", 1, 1, 9, 9], "folder: no pictures in this folder"),
        (["My clip.mp4"], "box: expected --box X Y W H"),
        (["My clip.mp4", "--box", "nan", 1, 9, 9], "boxes: expected finite numbers"),
        (["My clip.mp4", "--box", 1, 1, 0, 9], "boxes: expected a width and height"),
        (["My clip.mp4", "--box", 99, 1, 9, 9], "lies wholly outside the frame of 80x60"),
        (["My clip.mp4", "--box", 1, 1, 9, 9, "--start", 8], "start: frame 8 lies beyond"),
        (["My clip.mp4", "--box", 1, 1, 9, 9, "--start", -2], "start: expected a frame number"),
        (["My clip.mp4", "--box", 1, 1, 9, 9, "--limit", 0], "limit: expected at least 1"),
        (["--start", 5], "start: the bundled clip's own box is of frame 20, got 5"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(clip, model, capsys, arguments, message):
    Path("empty.mp4").touch()
    Path("text.mp4").write_text("not a video " * 99)
    Path("folder").mkdir()
    assert track(*arguments, "--model", model) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert [line for line in error if line.startswith("siamjax: error: ")] == error[-1:]
    assert message in error[-1]
    assert not [path for path in Path("siamjax-out").rglob("*") if path.is_file()]


def test_bad_input_leaves_older_results(clip, model):
    assert track(clip, "--box", 20, 15, 24, 20, "--model", model, "--limit", 2) == 0
    folder = Path("siamjax-out/My clip")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert track(clip, "--box", 99, 15, 24, 20, "--model", model) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_output_folder_that_cannot_be_made(clip, model, capsys):
    Path("file").write_text("in the way")
    out = Path("file") / "out"
    assert track(clip, "--box", 1, 1, 9, 9, "--model", model, "--out", out) == 2
    assert f"siamjax: error: out: cannot write to {out}: " in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_output_folder_without_permission(clip, model, capsys):
    Path("locked").mkdir(mode=0o500)
    assert track(clip, "--box", 1, 1, 9, 9, "--model", model, "--out", "locked") == 2
    assert "out: cannot write to locked: Permission denied" in capsys.readouterr().err


def test_truncated_video_is_tracked_to_its_end_with_a_warning(tmp_path, model, capsys):
    with video.VideoWriter(tmp_path / "cut.mp4", 25) as writer:
        for image in noise(40):
            writer.write(image)
    whole = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    assert track("cut.mp4", "--box", 20, 15, 24, 20, "--model", model) == 0
    rows = table("siamjax-out/cut")
    assert 5 < len(rows) < 35
    assert "cut.mp4: truncated or damaged (" in (error := capsys.readouterr().err)
    assert f"{len(rows)} of 40 frames were read" in error.replace("\n", " ")


def interrupted(after):
    """A stand-in for `follow.follow` during which Ctrl-C is pressed."""
    original = follow.follow

    def results(*args, **kwargs):
        for count, result in enumerate(original(*args, **kwargs)):
            if count == after:
                raise KeyboardInterrupt
            yield result

    return results


def test_interrupt_keeps_what_was_tracked(clip, model, monkeypatch, capsys):
    monkeypatch.setattr(follow, "follow", interrupted(5))
    assert track(clip, "--box", 20, 15, 24, 20, "--model", model) == 130
    folder = Path("siamjax-out/My clip")
    assert sorted(os.listdir(folder)) == ["track.csv", "track.json", "track.mp4"]
    assert len(table(folder)) == 5
    assert len(list(video.frames(folder / "track.mp4"))) == 5
    content = json.loads((folder / "track.json").read_text())
    assert content["complete"] is False
    assert len(content["frames"]) == 5
    assert "interrupted; 5 frames are kept" in capsys.readouterr().err


@pytest.fixture
def long_clip(tmp_path):
    with video.VideoWriter(tmp_path / "long.mp4", 25) as writer:
        for image in noise(1500, 48, 64):
            writer.write(image)
    return "long.mp4"


def environment(tmp_path):
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "JAX_PLATFORMS": "cpu"}


@pytest.mark.multi
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_real_interrupt_keeps_what_was_tracked(long_clip, model, tmp_path):
    # A shell's background job starts with Ctrl-C ignored, and so would the child.
    hear = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", hear + RUN, "track", long_clip]
    command += ["--box", "20", "15", "24", "20"]
    run = subprocess.Popen([*command, "--model", model, "--out", "out"], env=environment(tmp_path),
                           stderr=subprocess.PIPE, text=True)  # fmt: skip
    partial = tmp_path / "out" / "track.csv.partial"
    until = time.monotonic() + 120
    while time.monotonic() < until and run.poll() is None:
        if partial.exists() and len(partial.read_text().splitlines()) > 20:
            break
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    error = run.communicate(timeout=60)[1]
    assert run.returncode == 130, error
    assert "Traceback" not in error
    rows = table("out")
    assert 20 <= len(rows) < 1500
    assert sorted(os.listdir("out")) == ["track.csv", "track.json", "track.mp4"]
    assert len(list(video.frames("out/track.mp4"))) == len(rows)
    assert len(json.loads(Path("out/track.json").read_text())["frames"]) == len(rows)


FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000)); " + RUN


@pytest.mark.multi
@pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits")
def test_full_disk_is_one_line_and_keeps_what_was_tracked(long_clip, model, tmp_path):
    command = [sys.executable, "-c", FULL, "track", long_clip, "--box", "20", "15", "24", "20"]
    environ = {**environment(tmp_path), "JAX_ENABLE_COMPILATION_CACHE": "false"}
    run = subprocess.run([*command, "--model", model, "--out", "out"], env=environ,
                         stderr=subprocess.PIPE, text=True, timeout=200)  # fmt: skip
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("siamjax: error: ")
    assert "track.mp4" in last
    rows = table("out")
    assert 50 < len(rows) < 1500
    assert sorted(os.listdir("out")) == ["track.csv", "track.json", "track.mp4"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert len(list(video.frames("out/track.mp4"))) > 20


def test_show_without_a_screen_names_the_remedy(clip, model, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert track(clip, "--show", "--model", model) == 2
    assert "siamjax: error: show: there is no screen" in capsys.readouterr().err


class Screen:
    """A stand-in for the window: the mouse draws one box, q is pressed at the fourth frame."""

    shown = 0

    def ask_boxes(self, frame):
        return [[20.0, 15.0, 24.0, 20.0]]

    def show(self, frame):
        type(self).shown += 1
        return type(self).shown < 4

    def close(self):
        type(self).shown = -1


def test_show_asks_for_the_box_and_ends_at_q(clip, model, monkeypatch):
    monkeypatch.setattr(draw, "Window", Screen)
    assert track(clip, "--show", "--model", model, "--start", 1) == 0
    rows = table("siamjax-out/My clip")
    assert [row["frame"] for row in rows] == ["1", "2", "3", "4"]
    assert Screen.shown == -1


PAGE = """<video id=v muted autoplay src="track.mp4"></video><pre id=o>waiting</pre><script>
v.onerror = () => o.textContent = "error " + v.error.message;
v.ontimeupdate = () => { if (v.currentTime > 0.3)
  o.textContent = "played " + v.videoWidth + "x" + v.videoHeight; };
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")
def test_the_mp4_plays_in_a_browser(model, tmp_path):
    assert track("--model", model, "--limit", 40, "--out", "page") == 0
    Path("page/index.html").write_text(PAGE)
    command = [
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu"),
        f"--user-data-dir={tmp_path / 'profile'}",
        "--autoplay-policy=no-user-gesture-required",
        *("--timeout=15000", "--virtual-time-budget=15000", "--dump-dom"),
        (tmp_path / "page" / "index.html").as_uri(),
    ]
    page = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert '<pre id="o">played 640x360</pre>' in page
