import inspect
from dataclasses import dataclass

import jax
import numpy as np
import pytest

from siamjax.track.family import Family
from siamjax.track.state import Out


@dataclass(frozen=True)
class Still(Family[np.ndarray, None]):
    """Answers with the box that it was started on."""

    exemplar: int = 8
    instance: int = 16

    @property
    def net(self):
        raise AssertionError("nothing is embedded")

    def respond(self, variables, template, x):
        return {}

    def hyper(self):
        return None

    def _begin(self, variables, frame, box, hyper):
        return box

    def _advance(self, variables, state, frame, hyper):
        return state, Out(state, np.float32(1), np.bool_(True), np.bool_(False))


FRAME, BOX = np.zeros((6, 8, 3), np.uint8), np.array([1, 2, 3, 2], np.float32)


def test_a_family_starts_and_steps():
    tracker = Still()
    state = tracker.init({}, FRAME, BOX)
    _, out = tracker.step({}, state, FRAME)
    np.testing.assert_array_equal(out.box, BOX)
    assert tracker.template_crop == 8


def test_a_family_without_a_loss_says_so():
    with pytest.raises(NotImplementedError, match="Still has no loss"):
        Still().loss({}, {}, {}, jax.random.key(0))


def test_frames_and_boxes_are_looked_at_before_the_family_sees_them():
    init, step = inspect.unwrap(Family.init), inspect.unwrap(Family.step)
    for wrong in (FRAME[0], FRAME.astype(np.float32)):
        with pytest.raises(ValueError, match="frame: expected uint8"):
            init(Still(), {}, wrong, BOX)
        with pytest.raises(ValueError, match="frame: expected uint8"):
            step(Still(), {}, BOX, wrong)
    with pytest.raises(ValueError, match=r"box: expected 4 numbers, got shape \(3,\)"):
        init(Still(), {}, FRAME, BOX[:3])
