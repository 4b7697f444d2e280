import inspect

import numpy as np
import pytest
from draw.canvas import changed, frame, near, square_map

from siamjax import draw


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
