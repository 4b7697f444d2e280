import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.track.lost import cut_at, is_lost, widen


@pytest.mark.parametrize(
    ("was", "score", "expected"),
    [
        (False, 0.9, False),
        (False, 0.5, False),
        (False, 0.3, True),
        (True, 0.3, True),
        (True, 0.5, True),
        (True, 0.75, True),  # found above it, not at it
        (True, 0.9, False),
    ],
)
def test_between_the_two_scores_nothing_changes(was, score, expected):
    found = is_lost(np.array(was), np.array(score, np.float32), 0.4, 0.75)
    assert bool(found) is expected


def test_without_thresholds_nothing_is_lost():
    assert not bool(is_lost(np.array(False), np.array(0, np.float32), 0.0, 0.0))


@pytest.mark.parametrize(
    ("wider", "levels", "home", "seen"),
    [
        (2, 3, 0, [1, 2, 2]),  # one window otherwise
        (1, 3, 1, [2, 2, 2]),  # another for small targets, where this one is at home
        (2, 4, 0, [2, 3, 3]),  # and where it is not
    ],
)
def test_windows_widen_step_by_step_and_return_home(wider, levels, home, seen):
    yes, level = np.array(True), np.array(home, np.int32)
    found = []
    for _ in seen:
        level = widen(yes, level, np.array(home, np.int32), wider, levels)
        found.append(int(level))
    assert found == seen
    assert int(widen(np.array(False), level, np.array(home, np.int32), wider, levels)) == home


def test_the_window_asked_for_is_cut_and_the_others_are_black():
    cut = lambda size: jnp.full((size, size, 3), size, jnp.uint8)
    found = cut_at(np.array(1, np.int32), (4, 6, 8), cut)
    assert [crop.shape for crop in found] == [(4, 4, 3), (6, 6, 3), (8, 8, 3)]
    assert [int(np.asarray(crop).max()) for crop in found] == [0, 6, 0]
    (only,) = cut_at(np.array(0, np.int32), (4,), cut)
    assert (np.asarray(only) == 4).all()
