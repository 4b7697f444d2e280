import numpy as np
import pytest
from draw.canvas import DIAMOND, box, changed, frame, near

from siamjax import draw
from siamjax.draw import targets


def test_box_is_drawn_on_a_copy_along_its_edges():
    image = frame()
    out = draw.boxes(image, box(100, 60, 80, 50), labels=[""])
    assert (image == 100).all()
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    touched = changed(image, out)
    for y, x in [(60, 140), (110, 140), (85, 100), (85, 180)]:  # middles of the four sides
        assert near(out[y, x], draw.color(0))
    assert not touched[65:105, 105:175].any()  # inside
    assert not touched[:56].any()
    assert not touched[:, :96].any()


def test_corners_are_round():
    out = draw.boxes(frame(), box(100, 60, 80, 50), labels=[""])
    assert not near(out[60, 100], draw.color(0))


def test_colors_differ_between_targets_and_can_be_given():
    boxes = np.array([[20, 60, 40, 40], [100, 60, 40, 40]], np.float32)
    out = draw.boxes(frame(), boxes, labels=["", ""])
    assert near(out[80, 20], draw.color(0))
    assert near(out[80, 100], draw.color(1))
    out = draw.boxes(frame(), boxes, labels=["", ""], colors=[(1, 2, 3), (4, 5, 6)])
    assert near(out[80, 100], (4, 5, 6))
    assert draw.color(8) == draw.color(0)


def test_lost_target_is_grey_and_dashed():
    found = draw.boxes(frame(), box(100, 60, 80, 50), valid=np.array([True]), labels=[""])
    lost = draw.boxes(frame(), box(100, 60, 80, 50), valid=np.array([False]), labels=[""])
    grey = near(lost, draw.LOST)
    assert grey.any()
    assert not near(lost, draw.color(0)).any()
    side = slice(68, 102)
    assert near(found[side, 100], draw.color(0)).all()
    assert 0.25 < grey[side, 100].mean() < 0.8


def test_label_stands_above_the_box_or_inside_at_the_top_of_the_frame():
    image = frame()
    scores = np.array([0.5], np.float32)
    above = changed(image, draw.boxes(image, box(100, 60, 80, 50), scores=scores))
    assert above[44:56, 105:120].all()
    inside = changed(image, draw.boxes(image, box(100, 2, 80, 50), scores=scores))
    assert inside[8:14, 105:120].all()


def test_label_stays_in_the_frame_at_its_right_edge():
    image = frame()
    out = changed(image, draw.boxes(image, box(300, 60, 60, 50), scores=np.ones(1, np.float32)))
    assert out[50, 280:318].sum() > 25


@pytest.mark.parametrize(
    ("target", "count", "score", "found", "text"),
    [
        (0, 1, 0.987, True, "0.99"),
        (1, 3, 0.5, True, "1  0.50"),
        (2, 3, 0.5, False, "2  lost"),
        (0, 1, 0.5, False, "lost"),
        (0, 1, None, True, "0"),
        (0, 1, float("nan"), True, ""),
    ],
)
def test_label_texts(target, count, score, found, text):
    assert targets._label(target, count, score, found) == text


@pytest.mark.parametrize(
    "values",
    [
        (np.nan, 1, 2, 3),
        (10, 10, np.inf, 5),
        (10, 10, -5, 5),
        (1e9, 1e9, 50, 50),
        (-500, -500, 20, 20),
    ],
)
def test_boxes_that_cannot_be_seen_draw_no_outline(values):
    out = draw.boxes(frame(), box(*values), labels=[""])
    assert (out == 100).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (7, 200)])
def test_tiny_frames(height, width):
    scores = np.ones(1, np.float32)
    for valid in (True, False):
        out = draw.boxes(frame(height, width), box(0, 0, 1, 1), scores=scores,
                         valid=np.array([valid]))  # fmt: skip
        assert out.shape == (height, width, 3)
    draw.boxes(frame(height, width), box(-1e7, -1e7, 3e7, 3e7), scores=scores)


def test_rotated_boxes_stand_in_for_upright_ones():
    image = frame()
    out = draw.boxes(image, box(90, 40, 100, 90), labels=[""], rotated=DIAMOND)
    for y, x in [(62, 165), (108, 165), (107, 115), (62, 115)]:  # middles of the four sides
        assert near(out[y - 1 : y + 2, x], draw.color(0), 60).any()
    assert not near(out[85, 90:190], draw.color(0)).all()
    assert not changed(image, out)[45:60, 90:115].any()  # the upright box's corner
    scored = draw.boxes(image, box(90, 40, 100, 90), scores=np.ones(1, "f"), rotated=DIAMOND)
    assert changed(image, scored)[26:36, 142:160].all()  # a plate over the topmost corner


def test_a_lost_target_and_one_without_a_rotated_box_are_upright():
    upright = draw.boxes(frame(), box(90, 40, 100, 90), labels=[""])
    for rotated, valid in ((np.full((1, 4, 2), np.nan, np.float32), True), (DIAMOND, False)):
        out = draw.boxes(
            frame(), box(90, 40, 100, 90), labels=[""], rotated=rotated, valid=np.array([valid])
        )
        shade = draw.color(0) if valid else draw.LOST
        assert near(out[40, 100:180], shade).mean() > 0.25
        if valid:
            np.testing.assert_array_equal(out, upright)
