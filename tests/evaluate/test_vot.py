from pathlib import Path

import numpy as np
import pytest

from siamjax.evaluate import expected, vot

GOLDEN = Path(__file__).parents[1] / "golden" / "eval_vot.npz"
BOX = np.array([10.0, 10, 20, 20])


def _unit(golden):
    return [
        vot.Recording(
            f"video-{k}",
            golden[f"unit{k}/truth"],
            (1280, 720),
            (vot.Answers(golden[f"unit{k}/code"], golden[f"unit{k}/rect"]),),
        )
        for k in (1, 2)
    ]


def test_siamcar_on_vot2018(shared):
    with (
        np.load(shared / "golden/eval/vot2018_gt.npz") as truths,
        np.load(shared / "golden/eval/vot2018_siamcar.npz") as siamcar,
    ):
        regions, offsets, code, rect = (
            truths["region"],
            truths["offsets"],
            siamcar["code"],
            siamcar["rect"],
        )
        recordings = [
            vot.Recording(
                str(name),
                regions[start:end, :values],
                (int(size[0]), int(size[1])),
                (vot.Answers(code[start:end], rect[start:end]),),
            )
            for name, start, end, values, size in zip(
                truths["names"],
                offsets[:-1],
                offsets[1:],
                truths["coords_per_region"],
                truths["wh"],
                strict=True,
            )
        ]
        scores = vot.analyse(recordings, "vot2018")
        assert scores.accuracy == pytest.approx(float(siamcar["accuracy"]), abs=1e-6)
        assert scores.robustness == pytest.approx(float(siamcar["robustness"]), abs=1e-9)
        assert scores.lost == siamcar["lost"]
        assert scores.frames == len(code)
        for year in ("vot2016", "vot2018", "vot2019"):
            assert expected.average(scores.curve, year) == pytest.approx(
                float(siamcar[f"eao_{year}"]), abs=1e-6
            )
        curve = siamcar["expected_overlap_curve"]
        np.testing.assert_allclose(scores.curve[: len(curve)], curve, atol=1e-6)
        around = scores.eao_interval
        assert around is not None
        assert around.mean == pytest.approx(scores.eao, abs=1e-12)
        assert 0.2 < around.low < scores.eao < around.high < 0.6
        accuracies, failures = np.array(list(scores.sequences.values())).T
        np.testing.assert_allclose(accuracies, siamcar["seq_accuracy"], atol=1e-6)
        np.testing.assert_array_equal(failures, siamcar["seq_failures"])


@pytest.mark.parametrize(("name", "failures"), [("leaves", 2), ("graduate", 2)])
def test_sequences_with_a_late_failure(name, failures):
    with np.load(GOLDEN) as golden:
        run = vot.Answers(golden[f"{name}/code"], golden[f"{name}/rect"])
        truth, overlap = golden[f"{name}/truth"], golden[f"{name}/overlap"]
        size = (int(golden[f"{name}/size"][0]), int(golden[f"{name}/size"][1]))
        found = np.where(vot.burnt_in(run.codes), vot.overlaps(truth, run, size), np.nan)
        np.testing.assert_allclose(found, overlap, atol=1e-6)
        scores = vot.analyse([vot.Recording(name, truth, size, (run,))], (1, 50))
        assert scores.sequences[name] == (
            pytest.approx(float(golden[f"{name}/accuracy"]), abs=1e-6),
            failures,
        )


def test_equals_pysot_on_a_unit_fixture():
    with np.load(GOLDEN) as golden:
        accuracy, lost, first, second = golden["unit/expected"]
        scores = vot.analyse(_unit(golden), (1, 3))
    assert scores.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert scores.lost == lost
    assert scores.robustness == pytest.approx(3 / 50 * 100)
    assert scores.reliability == pytest.approx(np.exp(-30 * 3 / 50))
    assert scores.eao == pytest.approx(first, abs=1e-6)
    assert expected.average(scores.curve, (2, 3)) == pytest.approx(second, abs=1e-6)


CODES = np.array([1, -1, -1, 2, 0, 0, 0, 0, 1, -1, -1, -1])


def _recording(tags=None, runs=1, codes=CODES):
    """Give overlaps of 1 in every frame with a region."""
    boxes = np.tile(BOX, (len(codes), 1))
    return vot.Recording("one", boxes, (50, 50), (vot.Answers(codes, boxes),) * runs, tags or {})


def test_fragments_of_both_conventions():
    overlap = np.where(CODES == -1, 0.5, np.nan)
    everywhere = np.ones(12, bool)
    failures = np.array([3])
    pysot = expected.fragments(overlap, failures, everywhere)
    assert [(one.overlaps.tolist(), one.failed) for one in pysot] == [
        ([0, 0.5, 0.5, 0, 0, 0, 0, 0, 0], True),
        ([0, 0.5, 0.5, 0.5], False),
    ]
    toolkit = expected.fragments(overlap, failures, everywhere, through_skip=False)
    assert [(one.overlaps.tolist(), one.failed) for one in toolkit] == [
        ([0, 0.5, 0.5], True),
        ([0, 0.5, 0.5, 0.5], False),
    ]
    assert [one.weight for one in (*pysot, *toolkit)] == [1, 1, 1, 1]


def test_expected_curve_by_hand():
    pieces = [
        expected.Fragment(np.array([0, 1.0, 1, 0]), True, 1.0),
        expected.Fragment(np.array([0, 0.5, 0.5]), False, 0.5),
    ]
    curve = expected.mean_curve(pieces, 5)
    # The second is known for two frames; the first is zero from its failure on.
    np.testing.assert_allclose(curve, [1, 1.25 / 1.5, 1.25 / 1.5, 2 / 3, 0.5])
    assert expected.average(curve, (2, 3)) == pytest.approx(1.25 / 1.5)
    assert expected.average(curve, (2, 3), first=0) == pytest.approx((1.25 / 1.5 + 2 / 3) / 2)


def test_failure_too_late_to_start_again():
    codes = np.array([1, -1, -1, -1, -1, -1, 2, 0])
    overlap = np.where(codes == -1, 1, np.nan)
    pieces = expected.fragments(overlap, np.array([6]), np.ones(8, bool))
    assert [(len(one.overlaps), one.failed) for one in pieces] == [(8, False)]
    # A start that would be the frame after the last makes a fragment beyond the end.
    codes = np.array([1, -1, 2, 0, 0, 0, 0])
    pieces = expected.fragments(np.where(codes == -1, 1, np.nan), np.array([2]), np.ones(7, bool))
    assert [(len(one.overlaps), one.failed, one.weight) for one in pieces] == [(7, True, 7 / 8)]


def test_burn_in_counts_from_every_start():
    codes = np.array([1, *[-1] * 10, 2, 0, 0, 0, 0, 1, *[-1] * 10])
    assert np.flatnonzero(vot.burnt_in(codes)).tolist() == [10, 11, 12, 13, 14, 15, 26]
    assert np.flatnonzero(vot.burnt_in(codes, 1)).tolist() == [*range(1, 16), *range(17, 27)]


def test_attributes_choose_frames():
    codes = np.array([1, *[-1] * 20])
    truth = np.tile(BOX, (21, 1))
    boxes = truth.copy()
    boxes[15:, 0] += 5
    tags = {"occlusion": np.arange(21) >= 15, "motion": np.zeros(21, bool)}
    one = vot.Recording("one", truth, (100, 100), (vot.Answers(codes, boxes),), tags)
    # 21 of 26 columns at worst, counted in whole pixels.
    assert vot.analyse([one], (1, 20), tag="occlusion").accuracy == pytest.approx(16 / 26)
    assert vot.analyse([one], (1, 20)).accuracy == pytest.approx((5 + 6 * 16 / 26) / 11)
    with pytest.raises(ValueError, match="tag: no sequence has 'size'"):
        vot.analyse([one], tag="size")
    with pytest.raises(ValueError, match="no frame has an overlap that counts"):
        vot.analyse([one], (1, 20), tag="motion")
    assert vot.by_attribute([one]) == {"occlusion": (pytest.approx(16 / 26), 0, 6)}


def test_attributes_of_frames_are_those_of_a_tag():
    rng = np.random.default_rng(0)
    recordings = []
    for name in ("one", "two"):
        codes = np.array([1, *[-1] * 12, 2, 0, 0, 0, 0, 1, *[-1] * 21])
        truth = np.tile(BOX, (len(codes), 1))
        runs = tuple(
            vot.Answers(codes, truth + rng.integers(0, 3, (len(codes), 4))) for _ in range(2)
        )
        tags = {"blur": rng.random(len(codes)) < 0.5, "lost": codes == 2}
        recordings.append(vot.Recording(name, truth, (60, 60), runs, tags))
    found = vot.by_attribute(recordings)
    expected = vot.analyse(recordings, (1, 20), tag="blur")
    assert found["blur"] == pytest.approx((expected.accuracy, expected.lost, expected.frames))
    assert np.isnan(found["lost"].accuracy)
    assert found["lost"][1:] == (2, 2)


def test_repetitions_are_averaged():
    good = np.array([1, *[-1] * 15])
    bad = np.array([1, *[-1] * 11, 2, 0, 0, 0])
    truth = np.tile(BOX, (16, 1))
    runs = (vot.Answers(good, truth), vot.Answers(bad, truth + np.array([[0.0, 30, 0, 0]])))
    scores = vot.analyse([vot.Recording("one", truth, (100, 100), runs)], (1, 10))
    assert scores.lost == 0.5
    # Frames 10 and 11 average 1 and 0; later ones are known from the first run alone.
    assert scores.accuracy == pytest.approx((0.5 * 2 + 4) / 6)


def test_refusals():
    with pytest.raises(ValueError, match="year: 'vot2020' is not one of vot2015, vot2016"):
        vot.analyse([_recording()], "vot2020")
    with pytest.raises(
        ValueError, match=r"year: expected lengths 1 <= first <= last, got \(3, 2\)"
    ):
        expected.interval((3, 2))
    with pytest.raises(ValueError, match=r"year: lengths 100 to 356 are beyond the longest .* 30"):
        vot.analyse([_recording(codes=np.array([1, *[-1] * 29]))], "vot2018")
    with pytest.raises(ValueError, match="convention: 'got10k' is not one of pysot, toolkit"):
        vot.analyse([_recording()], convention_name="got10k")
    with pytest.raises(ValueError, match="recordings: expected at least one sequence"):
        vot.analyse([])
    with pytest.raises(ValueError, match=r"recordings: expected as many runs each, got \[1, 2\]"):
        vot.analyse([_recording(), _recording(runs=2)])
    with pytest.raises(ValueError, match="one: no run to score"):
        _recording(runs=0)
    answers = vot.Answers(np.array([1, -1]), np.tile(BOX, (2, 1)))
    with pytest.raises(ValueError, match=r"one: expected 3 answers, .* got 2 codes and 2 regions"):
        vot.Recording("one", np.tile(BOX, (3, 1)), (50, 50), (answers,))
