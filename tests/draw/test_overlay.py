import numpy as np
from draw.canvas import DIAMOND, box, changed, frame, near, square_map

from siamjax import draw


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
