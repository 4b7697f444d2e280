"""The TraX protocol: transcripts of sessions, the command in a process, the reference client."""

import base64
import contextlib
import io
import os
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from siamjax import weights
from siamjax.adapters import trax, trax_messages
from siamjax.data.media import read_picture
from siamjax.track.siamfc import SiamFC
from siamjax.track.state import Out

DEADLINE = 300


class Bright:
    """Moves right by the frame's first pixel; draws its box as a mask; its answers in frames of
    brightness 99 are not valid."""

    def init(self, variables, frame, box, hyper=None):
        return np.asarray(box)

    def step(self, variables, state, frame, hyper=None):
        step = int(frame[0, 0, 0])
        valid = step != 99
        state = state + np.array([step if valid else 0, 0, 0, 0], np.float32)
        left, top, width, height = state.astype(int)
        mask = np.zeros(frame.shape[:2], np.float32)
        mask[top : top + height, left : left + width] = 1
        flags = (np.float32(0.25), np.bool_(valid), np.bool_(False))
        return state, Out(state, *flags, mask, np.array(0.5, np.float32))


class Boxes(Bright):
    """The same without masks."""

    def step(self, variables, state, frame, hyper=None):
        state, out = super().step(variables, state, frame, hyper)
        return state, out._replace(mask=None, mask_threshold=None)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Grey frames of 60 x 40 by their brightness."""
    place = tmp_path_factory.mktemp("frames")
    paths = {grey: place / f"{grey}.png" for grey in (0, 1, 2, 5, 99)}
    for grey, path in paths.items():
        cv2.imwrite(str(path), np.full((40, 60, 3), grey, np.uint8))
    return paths


def _session(lines, tracker=None, **options):
    """Answer the lines of a client; give the lines of the server."""
    reader = io.BytesIO("".join(f"{line}\n" for line in lines).encode())
    writer = io.BytesIO()
    raised = None
    try:
        trax.serve(reader, writer, tracker or Bright(), {}, **options)
    except ValueError as error:
        raised = str(error)
    return writer.getvalue().decode().splitlines(), raised


HELLO = (
    '@@TRAX:hello "trax.version=4" "trax.name=siamjax" "trax.image=path;url;memory;buffer;"'
    ' "trax.region=rectangle;polygon;mask;" "trax.channels=color;" "trax.multiobject=1"'
)


def test_version_4(frames):
    said, raised = _session(
        [
            "some other output of the client",
            '@@TRAX:initialize "10,5,20,10" "object=first"',
            f'@@TRAX:frame "file://{frames[0]}"',
            f'@@TRAX:frame "file://{frames[2]}" "key=some value"',
            f"@@TRAX:frame {frames[99]}",
            '@@TRAX:initialize "0,0,8,8"',  # one more object, in the next frame
            f"@@TRAX:frame file://{frames[1]}",
            f"@@TRAX:frame file://{frames[5]}",
            "@@TRAX:initialize",  # all anew
            '@@TRAX:initialize "3,3,9,9"',
            f"@@TRAX:frame file://{frames[0]}",
            "@@TRAX:quit",
            "@@TRAX:frame not read any more",
        ]
    )
    assert raised is None
    state = '@@TRAX:state "{}.0000,{}.0000,{}.0000,{}.0000" "confidence={:.6f}"'
    assert said == [
        HELLO,
        state.format(10, 5, 20, 10, 1),
        state.format(12, 5, 20, 10, 0.25),
        state.format(12, 5, 20, 10, 0.25),  # the last valid box
        state.format(13, 5, 20, 10, 0.25),
        state.format(0, 0, 8, 8, 1),
        state.format(18, 5, 20, 10, 0.25),
        state.format(5, 0, 8, 8, 0.25),
        state.format(3, 3, 9, 9, 1),
    ]


def test_version_3_and_the_forms_of_regions(frames):
    path = f"file://{frames[0]}"
    moved = f"@@TRAX:frame file://{frames[2]}"
    polygon = "10,5,30,5,30,15,10,15"
    mask = "mask:8,4,22,12,24,20" + ",2,20" * 9  # its window is wider than what is drawn
    said, raised = _session(
        [
            f'@@TRAX:initialize "{path}" "{polygon}"',
            moved,
            f'@@TRAX:initialize "{path}" "{mask}"',
            moved,
            f'@@TRAX:initialize "{path}" "rect:10,5,20,10" "key=value"',
            moved,
            "@@TRAX:quit",
        ],
        version=3,
    )
    assert raised is None
    assert '"trax.version=3"' in said[0]
    assert "multiobject" not in said[0]
    regions = [trax_messages.parse(line).arguments[0] for line in said[1:]]
    assert regions[0] == "10.0000,5.0000,30.0000,5.0000,30.0000,15.0000,10.0000,15.0000"
    corners = np.sort(np.reshape([float(v) for v in regions[1].split(",")], (4, 2)), axis=0)
    np.testing.assert_allclose(corners[[0, -1]], [[12, 5], [31, 14]], atol=1)
    assert regions[2] == "mask:10,5,20,10,0,200"
    assert regions[3] == "mask:12,5,20,10,0,200"
    assert regions[4:] == ["10.0000,5.0000,20.0000,10.0000", "12.0000,5.0000,20.0000,10.0000"]


def test_a_tracker_without_masks_answers_with_boxes(frames):
    lines = ["@@TRAX:initialize mask:10,5,20,10,0,200", f"@@TRAX:frame {frames[0]}"]
    said, _ = _session([*lines, f"@@TRAX:frame {frames[2]}"], Boxes())
    assert '"12.0000,5.0000,20.0000,10.0000"' in said[2]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["@@TRAX:frame {0}"], "frame: expected an object to follow before it"),
        (["@@TRAX:initialize 1,2,3,4 5 6"], "initialize: not expected here with 3 arguments"),
        (["@@TRAX:state 1,2,3,4"], "state: not expected here with 1 arguments"),
        (["@@TRAX:initialize 1,2,3"], "expected a code, four numbers, a polygon or a mask"),
        (["@@TRAX:initialize ring:1,2"], "region: expected rect, poly, mask or special"),
        (["@@TRAX:initialize mask:1,2,3"], "expected m and run lengths, got 'm1,2,3'"),
        (["@@TRAX:initialize 1", "@@TRAX:frame {0}"], "region: expected one to start from"),
        (["@@TRAX:initialize 99,2,3,4", "@@TRAX:frame {0}"], "region: .* wholly outside"),
        (['@@TRAX:initialize "1,2'], "initialize: cannot be read from '\"1,2' on"),
        (["@@TRAX:initialize 1,2,3,4", "@@TRAX:frame {0}x"], r"png.*No such file"),
        (["@@TRAX:initialize 1,2,3,4", "@@TRAX:frame ftp://a/b"], "image: expected file, image"),
        (["@@TRAX:initialize 1,2,3,4", "@@TRAX:frame image:2;2;rgb;QUJD"], "12 bytes of rgb"),
        (["@@TRAX:initialize 1,2,3,4", "@@TRAX:frame image:2;2;hsv;QUJD"], "got 'hsv'"),
        (["@@TRAX:initialize 1,2,3,4", "@@TRAX:frame image:2;2"], "width;height;format;pixels"),
        (["@@TRAX:initialize 1,2,3,4", "@@TRAX:frame data:image/png;?"], "not in base 64"),
        (["@@TRAX:initialize 1,2,3,4", "@@TRAX:frame data:image/png;QUJD"], "not a picture"),
    ],
)
def test_the_client_is_told_what_is_wrong(frames, lines, reason):
    said, raised = _session([line.replace("{0}", str(frames[0])) for line in lines])
    quits = trax_messages.parse(said[-1])
    assert quits.kind == "quit"
    assert quits.properties["trax.reason"] == raised
    with pytest.raises(ValueError, match=reason):
        raise ValueError(raised)


def test_messages_keep_what_is_in_them():
    text = 'a "quoted" \\ back\nslash'
    line = trax_messages.shown("state", (text, "x=1 y"), {"key": text})
    assert line == (
        '@@TRAX:state "a \\"quoted\\" \\\\ back\\nslash" "x=1 y" "key=a \\"quoted\\" \\\\ back\\n'
        'slash"\n'
    )
    found = trax_messages.parse(line)
    assert found == ("state", (text,), {"x": "1 y", "key": text})
    assert trax_messages.parse("@@TRAX:status a\\ b AA==\r\n") == ("state", ("a b",), {"AA": "="})
    path = "file:///a=b/c.png"
    assert trax_messages.parse(f"@@TRAX:frame {path}") == ("frame", (path,), {})
    for line in ("frame x", "@@TRAX:unknown x", " @@TRAX:frame x", ""):
        assert trax_messages.parse(line) is None
    with pytest.raises(ValueError, match="version: expected 1 to 4, got 5"):
        trax.serve(io.BytesIO(), io.BytesIO(), Bright(), {}, version=5)


def test_where_images_come_from(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 3)).astype(np.uint8)
    path = tmp_path / "a b.png"
    cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    packed = base64.b64encode(path.read_bytes()).decode()
    raw = base64.b64encode(pixels.tobytes()).decode()
    given = io.BytesIO(path.read_bytes())
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: contextlib.closing(given))
    for text in (
        str(path),
        f"file://{path}",
        f"image:2;3;rgb;{raw}",
        f"data:image/png;{packed}",
        f"data:image/png;base64;{packed}",
        "https://example.org/a.png",
    ):
        np.testing.assert_array_equal(trax_messages.read_image(text), pixels)
    greys = base64.b64encode(bytes([1, 2, 3, 4, 5, 6])).decode()
    assert trax_messages.read_image(f"image:3;2;gray8;{greys}")[..., 1].tolist() == [
        [1, 2, 3],
        [4, 5, 6],
    ]
    upper = trax_messages.read_image(f"image:3;1;gray16;{greys}")
    assert (upper.shape, upper[..., 0].tolist()) == ((1, 3, 3), [[2, 4, 6]])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A small model, and frames in which a bright square moves."""
    place = tmp_path_factory.mktemp("clip")
    tracker = SiamFC("alexnet-v1", width=1 / 16)
    variables = tracker.init_variables(jax.random.key(0))
    weights.save(place / "small.npz", tracker, variables, source="a test", licence="MIT")
    noise = np.random.RandomState(0).randint(0, 60, (48, 64, 3)).astype(np.uint8)
    paths = [place / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        frame = noise.copy()
        frame[15:31, 10 + i : 26 + i] = 220
        cv2.imwrite(str(path), frame)
    return place / "small.npz", paths, tracker, variables


def _process(*command):
    return {
        "args": [sys.executable, *map(str, command)],
        "env": {**os.environ, "JAX_PLATFORMS": "cpu"},
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
    }


def _library(clip):
    """The boxes by stepping the tracker: `siamjax`'s own way."""
    _, paths, tracker, variables = clip
    state = tracker.init(variables, read_picture(paths[0]), np.array([10, 15, 16, 16], np.float32))
    boxes = [np.array([10, 15, 16, 16], np.float32)]
    for path in paths[1:]:
        state, out = tracker.step(variables, state, read_picture(path))
        boxes.append(np.asarray(out.box))
    return np.stack(boxes)


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import test_trax
from siamjax import cli, weights
cli.enable_compile_cache = lambda: None
weights.load = lambda model: (test_trax.Noisy(), {})
sys.exit(cli.main(["trax", "--model", "some/where/mine.npz", "--json"]))
"""


class Noisy(Boxes):
    """Prints where messages go."""

    def init(self, variables, frame, box, hyper=None):
        print("@@TRAX:state 1,2,3,4", flush=True)
        return super().init(variables, frame, box, hyper)


def test_the_command_in_a_process(frames):
    lines = ['@@TRAX:initialize "10,5,20,10"', *(f"@@TRAX:frame {frames[k]}" for k in (0, 2, 5))]
    text = "\n".join([*lines, "@@TRAX:quit", ""]).encode()
    command = _process("-c", SCRIPT, Path(__file__).parent)
    with subprocess.Popen(**command, stderr=subprocess.PIPE) as process:
        said, logged = process.communicate(text, timeout=DEADLINE)
    assert process.returncode == 0, logged.decode()
    answers = [trax_messages.parse(line) for line in said.decode().splitlines()]
    assert [one.kind for one in answers] == ["hello", "state", "state", "state"]
    assert answers[0].properties["trax.name"] == "mine"
    lefts = [one.arguments[0].split(",")[0] for one in answers[1:]]
    assert lefts == ["10.0000", "12.0000", "17.0000"]
    assert b"@@TRAX:state 1,2,3,4" in logged
    assert b'{"frames": 3}' in logged


@pytest.mark.slow
def test_the_reference_client_drives_the_command(clip):
    """libtrax, as VOT's toolkit uses it, where it is installed (`pip install vot-trax`)."""
    pytest.importorskip("trax")
    from trax.client import Client
    from trax.image import FileImage
    from trax.region import Mask, Polygon, Rectangle

    model, paths, *_ = clip
    with subprocess.Popen(**_process("-m", "siamjax", "trax", "--model", model)) as process:
        guard = threading.Timer(DEADLINE, process.kill)
        guard.start()
        streams = (process.stdin.fileno(), process.stdout.fileno())
        client = Client(streams, log=lambda _: None)
        assert client.tracker_name == "small"
        assert client.get("multiobject") is True
        pictures = [{"color": FileImage.create(str(path))} for path in paths]
        given = (Rectangle.create(10, 15, 16, 16), {})
        found = [client.initialize(pictures[0], [given], {})[0]]
        found += [client.frame(one, {}, [])[0] for one in pictures[1:]]
        boxes = [region.bounds() for ((region, _),) in found]
        np.testing.assert_allclose(boxes, _library(clip), atol=1e-3)
        assert 0 < float(found[1][0][1]["confidence"]) <= 1
        mask = np.zeros((48, 64), np.uint8)
        mask[15:31, 10:26] = 1
        corners = Polygon.create([(10, 15), (26, 15), (26, 31), (10, 31)])
        first, _ = client.initialize(pictures[0], [(Mask.create(mask), {}), (corners, {})], {})
        assert [region.type for region, _ in first] == ["mask", "polygon"]
        second, _ = client.frame(pictures[1], {}, [])
        assert [region.type for region, _ in second] == ["rectangle"] * 2  # it draws no masks
        np.testing.assert_allclose(second[0][0].bounds(), boxes[1], atol=1e-3)
        assert second[1][0].bounds()[2:] == (17, 17)  # a polygon's box, as VOT's rule has it
        client.quit()
        assert process.wait(DEADLINE) == 0
        guard.cancel()
