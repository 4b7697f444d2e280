from pathlib import Path

import numpy as np
import pytest

from siamjax.evaluate import longterm

GOLDEN = Path(__file__).parents[1] / "golden" / "eval_votlt.npz"


def test_equals_pysot():
    with np.load(GOLDEN) as golden:
        runs = []
        for k in range(int(golden["n"])):
            truth, regions = golden[f"gt_{k}"].copy(), golden[f"pred_{k}"].copy()
            truth[golden[f"absent_{k}"]] = np.nan
            regions[0] = np.nan
            size = (int(golden[f"wh_{k}"][0]), int(golden[f"wh_{k}"][1]))
            runs.append(longterm.Run(str(k), truth, regions, golden[f"conf_{k}"], size))
        scores = longterm.analyse(runs)
        np.testing.assert_array_equal(scores.thresholds, golden["thresholds"])
        np.testing.assert_allclose(scores.precisions, golden["mean_precision"], atol=1e-6)
        np.testing.assert_allclose(scores.recalls, golden["mean_recall"], atol=1e-6)
        np.testing.assert_allclose(scores.fs, golden["mean_f1"], atol=1e-6)
        found = (scores.precision, scores.recall, scores.f)
        np.testing.assert_allclose(found, golden["best"], atol=1e-6)
        around = scores.f_interval
        assert around is not None
        assert around.mean == pytest.approx(scores.f, abs=1e-12)
        assert around.low < scores.f < around.high
        best = int(golden["best_index"])
        assert scores.threshold == golden["thresholds"][best]
        each = np.array(list(scores.sequences.values()))
        expected = [golden[name][:, best] for name in ("precision", "recall", "f1")]
        np.testing.assert_allclose(each.T, expected, atol=1e-6)


def test_by_hand():
    thresholds = np.array([np.inf, 0.9, 0.5, 0.0, -np.inf])
    precision, recall = longterm.precision_recall(
        np.array([1.0, 0.5, np.nan, 0.25]), np.array([0.9, 0.5, 0.5, 0.0]), 4, thresholds
    )
    np.testing.assert_allclose(precision, [1, 1, 0.5, 1.75 / 4, 0.5])
    np.testing.assert_allclose(recall, [0, 0.25, 0.375, 1.75 / 4, 0.375])
    np.testing.assert_allclose(
        longterm.harmonic(np.array([0.5, 0.0]), np.array([0.25, 0.0])), [1 / 3, 0]
    )


def test_few_confidences_are_all_thresholds():
    found = longterm.choose_thresholds(np.array([0.25, np.nan, 0.75, 0.5]))
    assert found.tolist() == [np.inf, 0.75, 0.5, 0.25, -np.inf]
    many = longterm.choose_thresholds(np.arange(1000.0), 12)
    assert many.tolist() == [np.inf, 900, 811, 722, 633, 544, 455, 366, 277, 188, 99, -np.inf]


BOX = np.tile(np.array([[10.0, 10, 10, 10]]), (3, 1))


def _run(**changes):
    parts = {"truth": BOX, "regions": BOX, "confidence": np.array([0.5, 0.75, 1.0])}
    return longterm.Run("one", size=(50, 50), **{**parts, **changes})


def test_refusals():
    with pytest.raises(ValueError, match="runs: expected at least one sequence"):
        longterm.analyse([])
    with pytest.raises(ValueError, match=r"one: expected 3 answers, .* got 2 regions and 3"):
        longterm.analyse([_run(regions=BOX[:2])])
    with pytest.raises(ValueError, match="one: no frame shows the target"):
        longterm.analyse([_run(truth=BOX * np.nan)])
    with pytest.raises(ValueError, match="resolution: expected at least 3, got 2"):
        longterm.analyse([_run()], 2)
    with pytest.raises(ValueError, match="visible: expected at least one frame"):
        longterm.precision_recall(np.ones(2), np.ones(2), 0, np.ones(1))
