"""The README's promise: the default model follows the bundled clip's target (issue 2, line 1)."""

import csv
import json
from contextlib import closing

import numpy as np
import pytest

import siamjax as sj
from siamjax import cli, follow, video

CLIP = follow.bundled_clip()
START, BOX = CLIP.frames[0], CLIP.boxes[0]
LENGTH = 132


def overlap(a, b):
    """Intersection over union, written out apart from siamjax.geometry."""
    sides = [max(0.0, min(a[k] + a[k + 2], b[k] + b[k + 2]) - max(a[k], b[k])) for k in (0, 1)]
    common = sides[0] * sides[1]
    return common / (a[2] * a[3] + b[2] * b[3] - common)


@pytest.fixture(scope="module")
def tracks():
    return sj.track_video(CLIP.path, BOX, start=START)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "enable_compile_cache", lambda: None)
        assert cli.main(["track", "--out", str(folder)]) == 0
    return folder


def test_hand_drawn_boxes_are_every_tenth_frame():
    assert CLIP.frames == tuple(range(20, 131, 10))
    assert CLIP.boxes.shape == (12, 4)


def test_every_frame_has_a_box(tracks):
    np.testing.assert_array_equal(tracks.frames, range(START, LENGTH))
    assert tracks.valid.all()
    np.testing.assert_array_equal(tracks.boxes[0, 0], BOX)


def test_boxes_agree_with_those_drawn_by_hand(tracks):
    found = [
        overlap(tracks.boxes[frame - START, 0].tolist(), truth.tolist())
        for frame, truth in zip(CLIP.frames[1:], CLIP.boxes[1:], strict=True)
    ]
    assert np.mean(found) >= 0.5, f"IoU by frame {np.round(found, 2).tolist()}"


def test_command_line_writes_the_same_boxes(tracks, folder):
    with open(folder / "track.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == tracks.frames.tolist()
    sides = ("x", "y", "width", "height")
    boxes = [[float(row[side]) for side in sides] for row in rows]
    np.testing.assert_allclose(boxes, tracks.boxes[:, 0], atol=6e-4)

    content = json.loads((folder / "track.json").read_text())
    assert content["complete"] is True
    assert content["start"] == START
    assert [frame["boxes"][0] for frame in content["frames"]] == boxes


def test_command_line_writes_the_film(folder):
    info = video.info(folder / "track.mp4")
    assert (info.width, info.height, info.count) == (640, 360, LENGTH - START)
    with (
        closing(video.frames(folder / "track.mp4")) as film,
        closing(video.frames(CLIP.path, start=START)) as clip,
    ):
        drawn, plain = next(film).image, next(clip).image
    x, y, _, height = (round(side) for side in BOX.tolist())
    middle = y + height // 2
    edge = drawn[middle, x - 1 : x + 2].astype(int) - plain[middle, x - 1 : x + 2]
    assert np.abs(edge).max() > 60  # the box's line
    sky = np.abs(drawn[40:120, 540:].astype(int) - plain[40:120, 540:])
    assert sky.mean() < 4  # and nothing elsewhere
