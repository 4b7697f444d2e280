from pathlib import Path

import numpy as np
import pytest

from siamjax.evaluate import ope

GOLDEN = Path(__file__).parents[1] / "golden" / "eval_otb.npz"
SHARED = Path(__file__).parents[3] / "shared" / "golden" / "eval"


def _score(truth, pred, name):
    """Score 1-based golden boxes; the golden PySOT and jwlim curves are over the shorter length."""
    if name != "got10k":
        length = min(len(truth), len(pred))
        truth, pred = truth[:length], pred[:length]
    return ope.score(truth, pred, name, origin=1)


@pytest.mark.parametrize("name", ["pysot", "got10k", "jwlim"])
@pytest.mark.parametrize("sequence", ["biker", "clifBar", "crowds", "deer", "redTeam"])
def test_curves_equal_the_toolkits(sequence, name):
    with np.load(GOLDEN) as golden:
        scores = _score(golden[f"{sequence}/truth"], golden[f"{sequence}/pred"], name)
        np.testing.assert_allclose(scores.success, golden[f"{sequence}/{name}_success"], atol=1e-6)
        np.testing.assert_allclose(
            scores.precision, golden[f"{sequence}/{name}_precision"], atol=1e-6
        )


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/golden/eval")
@pytest.mark.parametrize("name", ["pysot", "got10k", "jwlim"])
def test_struck_on_fifty_sequences(name):
    truths, struck = np.load(SHARED / "otb100_gt.npz"), np.load(SHARED / "otb_struck_tb50.npz")
    key = "jwlim_formula" if name == "jwlim" else name
    index = {str(sequence): k for k, sequence in enumerate(truths["names"])}
    scores = []
    for i, sequence in enumerate(struck["names"]):
        j = index[str(sequence)]
        truth = truths["rects"][truths["offsets"][j] : truths["offsets"][j + 1]]
        pred = struck["pred"][struck["offsets"][i] : struck["offsets"][i + 1]]
        scores.append(_score(truth, pred, name))
        np.testing.assert_allclose(scores[-1].success, struck[f"{key}_success"][i], atol=1e-6)
        np.testing.assert_allclose(scores[-1].precision, struck[f"{key}_precision"][i], atol=1e-6)
    total = ope.mean(scores)
    assert abs(total.success_auc - struck[f"{key}_success"].mean()) < 1e-6
    assert abs(total.precision_20 - struck[f"{key}_precision"][:, 20].mean()) < 1e-6
    if name == "jwlim":
        # The numbers published with the results, where the truth was not edited since.
        assert abs(total.success_auc - struck["jwlim_stored_success"].mean()) < 1e-6
        exact = struck["jwlim_exact"]
        stored = struck["jwlim_stored_per_seq"][exact, 0]
        found = np.array([one.mean_iou for one in scores])[exact]
        np.testing.assert_allclose(found, stored, atol=1e-9)


TRUTH = np.tile(np.array([[10.0, 20.0, 30.0, 40.0]]), (4, 1))


@pytest.mark.parametrize("name", list(ope.CONVENTIONS))
def test_perfect_run(name):
    scores = ope.score(TRUTH, TRUTH, name)
    assert scores.success_auc == pytest.approx(20 / 21)
    assert scores.precision_20 == 1
    assert scores.mean_iou == 1
    assert scores.frames == 4


def test_known_overlaps_and_distances():
    boxes = TRUTH + np.array([[0, 0, 0, 0], [15, 0, 0, 0], [0, 21, 0, 0], [100, 0, 0, 0]])
    scores = ope.score(TRUTH, boxes)
    # 15 of 30 columns shared: 1/3. 19 of 40 rows shared: 19/61.
    np.testing.assert_allclose(scores.overlap, [1, 1 / 3, 19 / 61, 0])
    assert scores.mean_iou == pytest.approx((1 + 1 / 3 + 19 / 61) / 4)
    assert scores.success[0] == 0.75  # more than 0: the last frame is no success
    assert scores.success[6] == 0.75  # > 0.30
    assert scores.success[7] == 0.25  # > 0.35
    assert scores.success[20] == 0  # nothing is more than 1
    found = scores.precision[[0, 14, 15, 20, 21, 50]]
    np.testing.assert_allclose(found, [0.25, 0.25, 0.5, 0.5, 0.75, 0.75])


def test_centre_is_of_pixels():
    # One pixel wide at 10 and three pixels wide at 9 have the same centre pixel.
    truth, box = np.array([[10.0, 10, 1, 1]]), np.array([[9.0, 9, 3, 3]])
    assert ope.center_error(truth, box) == 0
    assert ope.center_error(truth, np.array([[10.0, 10, 3, 3]])) == pytest.approx(np.sqrt(2))


def test_frames_without_truth():
    truth = TRUTH.copy()
    truth[2] = np.nan
    scores = ope.score(truth, TRUTH, "visible")
    assert (scores.frames, scores.precision_20, scores.success[0]) == (3, 1, 1)
    assert np.isnan(scores.overlap[2])
    truth[2] = [0, 0, 0, 0]
    empty = {name: ope.score(truth, TRUTH, name) for name in ope.CONVENTIONS}
    assert {name: one.frames for name, one in empty.items()} == {
        "visible": 3,
        "pysot": 4,
        "got10k": 4,
        "jwlim": 4,
    }
    assert {name: one.success[0] for name, one in empty.items()} == {
        "visible": 1,
        "pysot": 0.75,
        "got10k": 0.75,
        "jwlim": 0.75,
    }
    # The centre of the empty 0-based box is 0.5 in 1-based pixels: PySOT measures its distance.
    assert {name: one.precision[0] for name, one in empty.items()} == {
        "visible": 1,
        "pysot": 0.75,
        "got10k": 0.75,
        "jwlim": 1,
    }
    assert {one.mean_iou for one in empty.values()} == {1}


def test_origin_decides_what_is_absent():
    # A target at the very left of the picture: x = 0 in 0-based boxes, 1 in 1-based ones.
    truth = np.array([[5.0, 5, 8, 8], [0, 5, 8, 8]])
    boxes = truth + np.array([[0.0, 0, 0, 0], [30, 0, 0, 0]])
    assert ope.score(truth, boxes, "jwlim").precision_20 == 0.5
    assert ope.score(truth, boxes, "jwlim", origin=1).precision_20 == 1
    # PySOT asks for the centre: of the pixels, -1 + (2.5 - 1) / 2 < 0.
    truth[1] = [-1, 5, 2.5, 8]
    assert ope.score(truth, boxes, "pysot").precision_20 == 0.5
    assert ope.score(truth, boxes, "pysot", origin=1).precision_20 == 1


def test_first_frame():
    boxes = TRUTH.copy()
    boxes[0] += 100
    assert ope.score(TRUTH, boxes, "pysot").precision_20 == 0.75
    assert ope.score(TRUTH, boxes, "visible").precision_20 == 0.75
    assert ope.score(TRUTH, boxes, "got10k").precision_20 == 1
    assert ope.score(TRUTH, boxes, "jwlim").precision_20 == 1
    assert boxes[0, 0] == 110  # the caller's array is left alone


def test_box_that_is_not_a_number_is_a_miss():
    boxes = TRUTH.copy()
    boxes[1] = np.nan
    for name in ope.CONVENTIONS:
        scores = ope.score(TRUTH, boxes, name)
        assert (scores.success[0], scores.precision[50], scores.mean_iou) == (0.75, 0.75, 0.75)


def test_mean_gives_each_sequence_the_same_weight():
    long = ope.score(np.tile(TRUTH, (10, 1)), np.tile(TRUTH, (10, 1)))
    lost = ope.score(TRUTH, TRUTH + 1000)
    total = ope.mean([long, lost])
    assert total.success_auc == pytest.approx(10 / 21)
    assert (total.precision_20, total.mean_iou, total.frames) == (0.5, 0.5, 44)


def test_refusals():
    with pytest.raises(ValueError, match="convention: 'vot' is not one of visible, pysot"):
        ope.score(TRUTH, TRUTH, "vot")
    with pytest.raises(ValueError, match=r"boxes: expected 4, one for each frame .* got 3"):
        ope.score(TRUTH, TRUTH[:3])
    with pytest.raises(ValueError, match="truth: none of the 4 frames has a box"):
        ope.score(TRUTH * np.nan, TRUTH)
    with pytest.raises(ValueError, match="origin: expected 0 or 1, got 2"):
        ope.score(TRUTH, TRUTH, origin=2)
    with pytest.raises(ValueError, match="scores: expected at least one"):
        ope.mean([])
