"""Pictures of pairs: what is where in them."""

import functools

import jax
import numpy as np
import pytest

from siamjax.data.augment import Augment, augment_batch
from siamjax.track.anchorfree import AnchorFree
from siamjax.track.siamfc import SiamFC
from siamjax.track.siamrpn import SiamRPN
from siamjax.train.pictures import FOUND, TRUTH, Painter, panels

TRACKERS = {
    "siamfc": SiamFC("alexnet-v1", width=1 / 24, instance=191),
    "siamrpn": SiamRPN(backbone="alexnet", width=1 / 48, hidden=4, instance=191),
    "anchorfree": AnchorFree(hidden=4, depth=1, instance=191, width=0.25),
}


def shown(picture, color):
    """Pixels of about a colour: lines are drawn smoothly."""
    return np.abs(picture.astype(int) - color).max(-1) < 40


def check(picture, side, crop, proposed):
    """Two rows of panels: the first pair shows one target, the second two."""
    assert picture.shape == (2 * side, crop + 3 * side, 3)
    template, search = picture[:crop, :crop], picture[:side, crop : crop + side]
    assert (picture[crop:side, :crop] == 0).all()  # below the smaller template
    for panel, reach in ((template, 41), (search, 51)):
        rows, columns = np.nonzero(shown(panel, TRUTH))
        assert abs(rows.mean() - (len(panel) - 1) / 2) < 2
        assert np.ptp(columns) == pytest.approx(reach, abs=4)
    other = picture[side:, crop : crop + side]
    assert not shown(other, TRUTH).any()  # another target: no truth
    assert (picture[side:, crop + side : crop + 2 * side] == 128).all()
    labels = picture[:side, crop + side : crop + 2 * side].astype(int)
    middle = labels[side // 2 - 3 : side // 2 + 4, side // 2 - 3 : side // 2 + 4]
    assert middle.mean() > labels[:10, :10].mean() + 30  # the target's cells are bright
    assert shown(search, FOUND).any() == proposed


def test_panels():
    labels = np.zeros((5, 5), np.float32)
    labels[2, 2] = 1
    one = {
        "template": np.full((101, 101, 3), 90.0, np.float32),
        "template_box": np.array([30.0, 30.0, 41.0, 41.0], np.float32),
        "search": np.full((151, 151, 3), 90.0, np.float32),
        "search_box": np.array([50.0, 50.0, 51.0, 51.0], np.float32),
        "positive": np.True_,
        "best": np.array([10.0, 20.0, 30.0, 40.0], np.float32),
        "window": np.array([55.5, 55.5, 40.0, 40.0], np.float32),
        "labels": labels,
        "response": labels,
    }
    picture = np.concatenate([panels(one), panels(one | {"positive": np.False_})])
    check(picture, 151, 101, True)
    np.testing.assert_array_equal(picture[:151, -151:], picture[:151, 101 + 151 : 101 + 302])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TRACKERS])
def test_pairs_of_a_batch(name):
    tracker = TRACKERS[name]
    side = tracker.instance
    augment = functools.partial(
        augment_batch,
        template_config=Augment(),
        search_config=Augment(),
        template_size=tracker.template_crop,
        search_size=side,
    )
    batch = {
        "template": np.full((3, 135, 135, 3), 90, np.uint8),
        "template_box": np.tile(np.array([47.0, 47.0, 41.0, 41.0], np.float32), (3, 1)),
        "search": np.full((3, 211, 211, 3), 90, np.uint8),
        "search_box": np.tile(np.array([80.0, 80.0, 51.0, 51.0], np.float32), (3, 1)),
        "positive": np.array([True, False, True]),
        "index": np.arange(3, dtype=np.uint32),
    }
    variables = tracker.init_variables(jax.random.key(0))
    picture = Painter(tracker, augment, pairs=2)(variables, batch, jax.random.key(1))
    check(picture, side, tracker.template_crop, name != "siamfc")
