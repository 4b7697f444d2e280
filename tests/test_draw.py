import inspect
import itertools

import numpy as np
import pytest

from siamjax import draw


def frame(height=180, width=320, value=100):
    return np.full((height, width, 3), value, np.uint8)


def changed(before, after):
    return (before != after).any(axis=2)


def near(pixels, color, tolerance=30):
    return (np.abs(pixels.astype(int) - np.array(color)) <= tolerance).all(axis=-1)


def box(*values):
    return np.array([values], np.float32)


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


def simulate(rgb, kind):
    """What a colour-blind viewer sees, in linear light (Viénot, Brettel & Mollon 1999)."""
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714],
                       [0.0299566, 0.184309, 1.46709]])  # fmt: skip
    seen = np.eye(3)
    seen[kind] = {0: [0, 2.02344, -2.52581], 1: [0.494207, 0, 1.24827]}[kind]
    linear = (np.asarray(rgb) / 255) ** 2.2
    return np.clip(np.linalg.inv(to_lms) @ seen @ to_lms @ linear, 0, 1) ** (1 / 2.2) * 255


@pytest.mark.parametrize("kind", [0, 1], ids=["protanopia", "deuteranopia"])
def test_the_palette_is_told_apart_by_colour_blind_viewers(kind):
    seen = [simulate(color, kind) for color in draw.PALETTE]
    for n, one in enumerate(seen):
        for other in seen[n + 1 :]:
            assert np.linalg.norm(one - other) > 35
    for one, other in itertools.combinations(seen[:4], 2):  # the first few, most used
        assert np.linalg.norm(one - other) > 60


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
    assert draw._label(target, count, score, found) == text


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


def test_line_width_follows_the_frame():
    sizes = [(90, 160), (360, 640), (720, 1280), (1080, 1920)]
    assert [draw.line_width(*size) for size in sizes] == [1, 2, 3, 5]


def test_trail_fades_towards_its_past():
    x = np.linspace(40, 280, 25)
    centers = np.stack([x, np.full(25, 90)], axis=1)
    out = draw.trail(frame(), centers.astype(np.float32), (255, 255, 255))
    old, middle, new = (int(out[90, at, 0]) for at in (50, 155, 275))
    assert 100 < old < middle < new <= 255
    assert (out[:80] == 100).all()


def test_trail_is_interrupted_by_nan():
    centers = np.array([[40, 90], [100, 90], [np.nan] * 2, [200, 90], [280, 90]], np.float32)
    out = changed(frame(), draw.trail(frame(), centers))
    assert out[90, 60]
    assert not out[:, 110:190].any()
    assert out[90, 240]


def test_heatmap_peak_lies_where_the_response_is():
    response = np.zeros((5, 9), np.float32)
    response[3, 2] = 4.0
    image = frame(value=0)
    out = draw.heatmap(image, response, np.array([100, 20, 90, 50], np.float32)).astype(int)
    inner = out[25:65, 105:185].sum(axis=2)  # without the border line
    y, x = np.unravel_index(inner.argmax(), inner.shape)
    # cell (3, 2) of 10 x 10 pixels each: centre at x = 100 + 25, y = 20 + 35
    assert abs(x + 105 - 124.5) <= 1.5
    assert abs(y + 25 - 54.5) <= 1.5
    assert (out[:18] == 0).all()
    assert (out[:, :98] == 0).all()


def test_heatmap_of_a_flat_response_leaves_the_picture():
    out = draw.heatmap(frame(), np.ones((4, 4), np.float32), np.array([50, 50, 60, 60], np.float32))
    assert (out[55:105, 55:105] == 100).all()


@pytest.mark.parametrize("window", [(0, 0, 0, 5), (np.nan, 0, 5, 5)])
def test_heatmap_refuses_a_window(window):
    with pytest.raises(ValueError, match="window: expected finite"):
        draw.heatmap(frame(), np.ones((4, 4), np.float32), np.array(window, np.float32))


def square_map(number=1):
    labels = np.zeros((180, 320), np.uint8)
    labels[60:110, 100:180] = number
    return labels


def test_masks_are_tinted_inside_and_outlined():
    image = frame()
    out = draw.masks(image, square_map(2), opacity=0.5)
    assert (image == 100).all()
    tint = np.rint((100 + np.array(draw.color(1))) / 2)
    assert (np.abs(out[70:100, 110:170] - tint) <= 1).all()
    assert near(out[85, 100], draw.color(1))  # the left side's middle
    assert near(out[60, 140], draw.color(1))
    assert not changed(image, out)[:56].any()
    assert not changed(image, out)[:, 184:].any()
    given = draw.masks(image, square_map(2), opacity=1.0, colors=[(1, 2, 3), (4, 5, 6)])
    assert (given[70:100, 110:170] == (4, 5, 6)).all()


def test_holes_of_masks_are_outlined_and_clear():
    labels = square_map()
    labels[75:95, 120:160] = 0
    out = draw.masks(frame(), labels)
    assert (out[82:88, 128:152] == 100).all()
    assert near(out[85, 119], draw.color(0))


def test_outlines_are_smooth():
    y, x = np.mgrid[:180, :320]
    labels = (np.abs(x - 160) / 3 + np.abs(y - 90) < 40).astype(np.uint8)  # slopes of one in three
    out = draw.masks(frame(value=0), labels, opacity=0.0)
    bright = out.max(axis=2)
    ways = [int(bright[:90, column].argmax()) for column in range(80, 130)]
    assert np.all(np.diff(ways) <= 0)
    heights = (bright[:90, 80:130] * np.arange(90)[:, None]).sum(0) / bright[:90, 80:130].sum(0)
    fitted = np.polyval(np.polyfit(np.arange(50), heights, 1), np.arange(50))
    assert np.abs(heights - fitted).max() < 0.35  # steps of a pixel would leave half a pixel


def test_no_mask_leaves_the_picture():
    assert (draw.masks(frame(), square_map(0)) == 100).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": np.zeros((4, 5), np.uint8)}, r"labels: expected the frame's \[180, 320\]"),
        ({"labels": square_map(), "opacity": 1.5}, "opacity: expected 0..1, got 1.5"),
    ],
)
def test_masks_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(draw.masks)(frame(), **options)


DIAMOND = np.float32([[[140, 40], [190, 85], [140, 130], [90, 85]]])


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


def test_overlay_draws_masks_under_rotated_boxes():
    one, yes = np.ones(1, np.float32), np.array([True])
    out = draw.Overlay()(frame(), box(90, 40, 100, 90), one, yes, square_map(), DIAMOND)
    plain = draw.masks(frame(), square_map())
    np.testing.assert_array_equal(out[90:100, 130:150], plain[90:100, 130:150])
    assert near(out[62, 164:167], draw.color(0), 60).any()


def test_overlay_remembers_a_lost_box_and_draws_the_trail():
    overlay = draw.Overlay()
    one, yes = np.ones(1, np.float32), np.array([True])
    for step in range(5):
        overlay(frame(), box(50 + 10 * step, 60, 60, 60), one, yes)
    out = overlay(frame(), box(*[np.nan] * 4), one, ~yes)
    grey = near(out, draw.LOST)
    assert grey[70:115, 90].any()  # the last box's left side
    assert tuple(out[90, 117].tolist()) != (100, 100, 100)  # the trail's newest end


def test_overlay_before_anything_was_found():
    nothing = draw.Overlay()(frame(), box(*[np.nan] * 4), np.ones(1, np.float32), np.zeros(1, bool))
    assert (nothing == 100).all()


def test_window_without_a_screen_names_the_remedy(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ValueError, match="show: there is no screen"):
        draw.Window()


def test_window_without_a_gui_build_names_the_remedy(monkeypatch):
    def fail(*_):
        raise draw.cv2.error("The function is not implemented")

    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(draw.cv2, "namedWindow", fail)
    with pytest.raises(ValueError, match="pip install opencv-python"):
        draw.Window()
