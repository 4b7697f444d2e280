import numpy as np
import pytest

from siamjax.data.tracks import Track
from siamjax.evaluate import multistart


class Clip:
    name = "clip"

    def __len__(self):
        return 6

    def frame(self, i):
        return np.full((4, 4, 3), i, np.uint8)

    def __iter__(self):
        return (self.frame(i) for i in range(6))


def _runs(*overlaps, name="one", length=40):
    values = [np.asarray(one, np.float64) for one in overlaps]
    return multistart.Runs(name, length, values, [np.ones(len(one), bool) for one in values])


def test_parts_of_a_clip():
    boxes = np.arange(24, dtype=np.float32).reshape(6, 4)
    track = Track("ants", Clip(), boxes, tags={"occlusion": np.arange(6) > 3})
    forward = multistart.from_anchor(track, 4, backward=False)
    backward = multistart.from_anchor(track, 3, backward=True)
    assert (forward.name, backward.name) == ("ants_00000004", "ants_00000003")
    assert [int(frame[0, 0, 0]) for frame in forward.media] == [4, 5]
    assert [int(frame[0, 0, 0]) for frame in backward.media] == [3, 2, 1, 0]
    assert backward.boxes[:, 0].tolist() == [12, 8, 4, 0]
    assert forward.tags["occlusion"].tolist() == [True, True]
    with pytest.raises(IndexError, match="frame 2 of 2"):
        forward.media.frame(2)
    with pytest.raises(ValueError, match="anchor: ants has 6 frames, got 6"):
        multistart.from_anchor(track, 6, backward=False)


def test_anchors_of_a_file():
    assert multistart.directions(np.array([1.0, 0, -1, 1])) == [(0, False), (3, False), (2, True)]


def test_failure_is_ten_low_frames_in_a_row():
    overlap = np.full(40, 0.5)
    overlap[5:14] = 0.1
    everywhere = np.ones(40, bool)
    assert multistart.progress(overlap, everywhere) == 40  # nine of them
    overlap[14] = 0.1
    assert multistart.progress(overlap, everywhere) == 5
    absent = everywhere.copy()
    absent[9] = False
    assert multistart.progress(overlap, absent) == 40
    overlap[4:15] = 0.11
    assert multistart.progress(overlap, everywhere) == 40


def test_accuracy_and_robustness():
    good = np.full(20, 0.6)
    lost = np.concatenate([np.full(10, 0.8), np.zeros(20)])
    scores = multistart.analyse([_runs(good, lost)], 2, 8)
    # The anchor's own frame counts as overlap 0: 19 of 0.6 and 9 of 0.8 over 20 + 10 frames.
    assert scores.sequences["one"] == (pytest.approx((11.4 + 7.2) / 30), 30 / 50)
    assert scores.accuracy == pytest.approx(18.6 / 30)
    assert scores.robustness == pytest.approx(0.6)
    np.testing.assert_allclose(scores.curve[1:], 0.7)
    assert scores.eao == pytest.approx(0.7)
    assert scores.eao_interval is None


def test_weights_of_sequences():
    one = _runs(np.full(20, 0.5), length=20)
    other = _runs(np.concatenate([np.full(10, 1.0), np.zeros(30)]), name="two", length=60)
    scores = multistart.analyse([one, other], 1, 5)
    assert scores.accuracy == pytest.approx((9.5 + 9) / (20 + 10))
    assert scores.robustness == pytest.approx((1 * 20 + 0.25 * 60) / 80)
    # Two sequences: one draw in four holds the first alone, one the second.
    bounds = (pytest.approx(0.75), pytest.approx(0.5), pytest.approx(1.0))
    assert (scores.eao, scores.eao_interval) == (bounds[0], bounds)


def test_expected_curve_equals_the_toolkits_loops():
    rng = np.random.default_rng(0)
    runs = [rng.uniform(0.2, 1, n) for n in (12, 30, 18)]
    runs[1][7:] = 0
    high = 40
    summed, active = np.zeros(high), np.zeros(high)
    for values in runs:
        values = values.copy()
        values[0] = 0
        failed = (values[1:] == 0).any()
        for j in range(1, high):
            if j < len(values):
                summed[j] += values[1 : j + 1].mean()
            elif failed:
                summed[j] += values[1:].sum() / (j - 1)
            active[j] += j < len(values) or failed
    expected = summed / np.maximum(active, 1)
    scores = multistart.analyse([_runs(*runs)], 5, high)
    np.testing.assert_allclose(scores.curve, expected, atol=1e-12)
    assert scores.eao == pytest.approx(expected[5:].mean())


def test_refusals():
    with pytest.raises(ValueError, match="sequences: expected at least one"):
        multistart.analyse([])
    with pytest.raises(ValueError, match="one: no run to score"):
        multistart.analyse([_runs()])
    with pytest.raises(ValueError, match="low, high: expected 1 <= low < high, got 5 and 5"):
        multistart.analyse([_runs(np.ones(9))], 5, 5)
    with pytest.raises(ValueError, match="low: no run lasts 115 frames"):
        multistart.analyse([_runs(np.ones(9))])
