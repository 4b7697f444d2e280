import inspect

import numpy as np
import pytest

from siamjax.data.tracks import Track
from siamjax.evaluate import aggregate


class Clip:
    name = "clip"

    def __len__(self):
        return 3

    def frame(self, i):
        return np.zeros((4, 4, 3), np.uint8)

    def __iter__(self):
        return (self.frame(i) for i in range(3))


def _track(name, **tags):
    frames = {tag: np.array(values, bool) for tag, values in tags.items()}
    return Track(name, Clip(), np.ones((3, 4), np.float32), tags=frames)


def test_attributes():
    tracks = [
        _track("a", occlusion=[0, 1, 0], blur=[0, 0, 0]),
        _track("b", blur=[1, 1, 1], occlusion=[1, 0, 0]),
        _track("c"),
    ]
    having = aggregate.attributes(tracks)
    assert having == {"blur": ["b"], "occlusion": ["a", "b"]}


def test_interval_is_that_of_the_mean():
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    found = aggregate.confidence_interval(values)
    # Normal theory: mean -+ 1.96 * sd / sqrt(n).
    half = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    narrow = aggregate.confidence_interval(values, level=0.5)
    assert narrow.high - narrow.low == pytest.approx(2 * 0.6745 / 1.96 * half, rel=0.1)


def test_same_seed_same_interval():
    values = np.linspace(0, 1, 20)
    assert aggregate.confidence_interval(values) == aggregate.confidence_interval(values)
    assert aggregate.confidence_interval(values) != aggregate.confidence_interval(values, seed=1)
    assert aggregate.confidence_interval(np.array([0.5])) == (0.5, 0.5, 0.5)


def test_difference_is_paired():
    hardness = np.linspace(0, 1, 50)
    steady = np.resize([0.02, 0.04], 50)
    found = aggregate.difference(hardness + steady, hardness)
    # The sequences differ by far more than the trackers do.
    assert found.mean == pytest.approx(0.03)
    assert 0.025 < found.low < 0.03 < found.high < 0.035
    assert found.above == 1
    other = aggregate.difference(hardness, np.roll(hardness, 1))
    assert other.low < 0 < other.high
    assert 0.2 < other.above < 0.9


def test_refusals():
    interval = aggregate.confidence_interval
    with pytest.raises(ValueError, match=r"values: expected finite numbers, .* got \[\]"):
        interval(np.zeros(0))
    with pytest.raises(ValueError, match=r"got \[nan, 1.0\]"):
        interval(np.array([np.nan, 1.0]))
    with pytest.raises(ValueError, match="level: expected more than 0 and less than 1, got"):
        interval(np.ones(2), level=95.0)
    with pytest.raises(ValueError, match="draws: expected at least 1, got 0"):
        interval(np.ones(2), draws=0)
    with pytest.raises(ValueError, match="others: expected 2 sequences, got 3"):
        inspect.unwrap(aggregate.difference)(np.ones(2), np.ones(3))


def test_interval_of_a_ratio():
    # Two lengths; the second is known of the last two sequences alone.
    over = np.array([[0.2, 0.0], [0.9, 0.3], [1.2, 0.9]])
    under = np.array([[1.0, 0.0], [1.0, 1.0], [2.0, 1.0]])
    found = aggregate.mean_ratio_interval(over, under)
    assert found is not None
    assert found.mean == pytest.approx((2.3 / 4 + 1.2 / 2) / 2)
    # Of 27 draws one holds the first alone, (0.2 + 0) / 2, one the last, (0.6 + 0.9) / 2; 1 in 27
    # is more than the 1 in 40 that lies beyond each bound.
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.75))
    assert aggregate.mean_ratio_interval(over[:1], under[:1]) is None
    assert aggregate.told(None) is None
    assert aggregate.told(found) == [found.low, found.high]


def test_weighted_means():
    values, weights = np.array([0.2, 0.6]), np.array([10, 30])
    found = aggregate.confidence_interval(values, weights=weights)
    assert found == (pytest.approx(0.5), pytest.approx(0.2), pytest.approx(0.6))
    drawn = aggregate.difference(values, np.array([0.6, 0.6]), weights=weights)
    assert drawn[:3] == (pytest.approx(-0.1), pytest.approx(-0.4), 0)
    interval = inspect.unwrap(aggregate.confidence_interval)
    for bad in (np.array([1, 0]), np.array([1.0]), np.array([1, np.nan])):
        with pytest.raises(ValueError, match="weights: expected 2 numbers above zero"):
            interval(values, weights=bad)
