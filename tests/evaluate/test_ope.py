import inspect
import itertools
from pathlib import Path

import numpy as np
import pytest

from siamjax.evaluate import conventions, ope

GOLDEN = Path(__file__).parents[1] / "golden" / "eval_otb.npz"
SHARED = Path(__file__).parents[3] / "shared" / "golden" / "eval"


def _score(truth, pred, name):
    """Score 1-based golden boxes; the golden PySOT and jwlim curves are over the shorter length."""
    if name != "got10k":
        length = min(len(truth), len(pred))
        truth, pred = truth[:length], pred[:length]
    return ope.score(truth, pred, name, origin=1)


TOOLKITS = ("pysot", "got10k", "jwlim")


@pytest.mark.parametrize("name", TOOLKITS)
@pytest.mark.parametrize("sequence", ["biker", "clifBar", "crowds", "deer", "redTeam"])
def test_curves_equal_the_toolkits(sequence, name):
    with np.load(GOLDEN) as golden:
        scores = _score(golden[f"{sequence}/truth"], golden[f"{sequence}/pred"], name)
        np.testing.assert_allclose(scores.success, golden[f"{sequence}/{name}_success"], atol=1e-6)
        np.testing.assert_allclose(
            scores.precision, golden[f"{sequence}/{name}_precision"], atol=1e-6
        )


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/golden/eval")
@pytest.mark.parametrize("name", TOOLKITS)
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
        if name == "pysot":
            normalised = struck["pysot_norm_precision"][i]
            np.testing.assert_allclose(scores[-1].normalised, normalised, atol=1e-6)
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
    scores = ope.score(TRUTH, TRUTH, name, size=(100, 100))
    # The last threshold, overlap 1, is never exceeded; the trapezoidal rule gives it half.
    expected = {"got10k-val": 100 / 101, "trackingnet": 0.975}.get(name, 20 / 21)
    assert scores.success_auc == pytest.approx(expected)
    assert (scores.precision_20, scores.normalised_20, scores.normalised_auc) == (1, 1, 1)
    assert scores.mean_iou == 1
    assert scores.frames == (3 if name == "got10k-val" else 4)


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
    empty = {name: ope.score(truth, TRUTH, name) for name in ("visible", *TOOLKITS)}
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
        scores = ope.score(TRUTH, boxes, name, size=(100, 100))
        part = 2 / 3 if name == "got10k-val" else 0.75
        found = (scores.success[0], scores.precision[50], scores.normalised[-1], scores.mean_iou)
        assert found == (part, part, part, part)


def test_mean_gives_each_sequence_the_same_weight():
    long = ope.score(np.tile(TRUTH, (10, 1)), np.tile(TRUTH, (10, 1)))
    lost = ope.score(TRUTH, TRUTH + 1000)
    total = ope.mean([long, lost])
    assert total.success_auc == pytest.approx(10 / 21)
    assert (total.precision_20, total.mean_iou, total.frames) == (0.5, 0.5, 44)


GOT10K_LASOT = Path(__file__).parents[1] / "golden" / "eval_got10k_lasot.npz"


def _sequences(golden, name):
    """Score the six golden sequences; "cover" and "lasot_visible" say where the target is seen."""
    key = {"got10k-val": "cover", "pysot-lasot": "lasot_visible"}.get(name)
    offsets = golden["offsets"]
    return [
        ope.score(
            golden["gt"][start:end],
            golden["pred"][start:end],
            name,
            visible=golden[key][start:end] > 0 if key else None,
            size=(int(golden["wh"][k, 0]), int(golden["wh"][k, 1])),
        )
        for k, (start, end) in enumerate(itertools.pairwise(offsets))
    ]


def test_equals_the_got10k_toolkit():
    with np.load(GOT10K_LASOT) as golden:
        scores = _sequences(golden, "got10k-val")
        np.testing.assert_allclose(
            [one.mean_iou for one in scores], golden["got_seq_ao"], atol=1e-6
        )
        total = ope.pooled(scores)
        assert total.ao == pytest.approx(float(golden["got_ao"]), abs=1e-6)
        assert total.sr_50 == pytest.approx(float(golden["got_sr50"]), abs=1e-6)
        assert total.sr_75 == pytest.approx(float(golden["got_sr75"]), abs=1e-6)
        np.testing.assert_allclose(total.success, golden["got_succ_curve101"], atol=1e-6)
        assert total.frames == len(golden["got_ious"])
        for one, sr_50, sr_75 in zip(
            scores, golden["got_seq_sr50"], golden["got_seq_sr75"], strict=True
        ):
            alone = ope.pooled([one])
            assert (alone.sr_50, alone.sr_75) == (pytest.approx(sr_50), pytest.approx(sr_75))


@pytest.mark.parametrize(
    ("name", "key"), [("got10k-uav", "got10k_lasot"), ("pysot-lasot", "pysot_lasot")]
)
def test_lasot_as_two_toolkits_score_it(name, key):
    with np.load(GOT10K_LASOT) as golden:
        scores = _sequences(golden, name)
        for measure, curve in (
            ("success", [one.success for one in scores]),
            ("precision", [one.precision for one in scores]),
            ("norm_precision", [one.normalised for one in scores]),
        ):
            np.testing.assert_allclose(curve, golden[f"{key}_{measure}"], atol=1e-6)
        norm = golden[f"{key}_norm_precision"]
        total = ope.mean(scores)
        assert total.normalised_20 == pytest.approx(norm[:, 20].mean())
        assert total.normalised_auc == pytest.approx(norm.mean())


def test_boxes_are_moved_into_the_frame():
    boxes = np.array([[-5.0, 2, 10, 4], [18, 8, 10, 4], [30, 0, 5, 5]])
    found = conventions.cut_to_frame(boxes, (20, 10))
    np.testing.assert_array_equal(found, [[0, 2, 10, 4], [18, 8, 2, 2], [20, 0, 0, 5]])


def test_normalised_error_is_in_sides_of_the_truth():
    truth = np.array([[0.0, 0, 20, 10], [0, 0, 0.5, 10]])
    boxes = np.array([[6.0, 4, 20, 10], [3, 0, 0.5, 10]])
    np.testing.assert_allclose(ope.normalised_error(truth, boxes), [0.5, 6])
    np.testing.assert_allclose(ope.normalised_error(truth, boxes, 1.0), [0.5, 3])


def test_targets_out_of_sight():
    visible = np.array([True, True, False, True])
    boxes = TRUTH + np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [100, 0, 0, 0]])
    found = {
        name: ope.score(TRUTH, boxes, name, visible=visible, size=(200, 200))
        for name in ("visible", "pysot", "pysot-lasot", "got10k-val")
    }
    assert {k: (one.frames, one.success[0], one.precision[20]) for k, one in found.items()} == {
        "visible": (3, 2 / 3, 2 / 3),
        "pysot": (4, 0.75, 0.75),
        "pysot-lasot": (4, 0.5, 0.5),
        "got10k-val": (2, 0.5, 0.5),
    }  # fmt: skip


def test_trackingnet_rounds_boxes():
    truth = np.array([[10.4, 10, 10, 10]])
    boxes = np.array([[9.6, 10, 10.4, 10]])
    assert ope.score(truth, boxes, "trackingnet").mean_iou == 1


def test_pooled_frames_count_by_length():
    good = ope.score(np.tile(TRUTH, (4, 1)), np.tile(TRUTH, (4, 1)))
    bad = ope.score(TRUTH, TRUTH + np.array([[15.0, 0, 0, 0]]))
    total = ope.pooled([good, bad])
    assert total.ao == pytest.approx((16 + 4 / 3) / 20)
    assert (total.sr_50, total.sr_75, total.frames) == (0.8, 0.8, 20)
    with pytest.raises(ValueError, match="scores: expected one convention, got pysot, visible"):
        ope.pooled([good, ope.score(TRUTH, TRUTH, "pysot")])


def test_refusals():
    with pytest.raises(ValueError, match="size: 'got10k-val' cuts boxes to the frame"):
        ope.score(TRUTH, TRUTH, "got10k-val")
    with pytest.raises(ValueError, match="visible: expected 4, one for each frame, got 2"):
        inspect.unwrap(ope.score)(TRUTH, TRUTH, visible=np.ones(2, bool))
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
