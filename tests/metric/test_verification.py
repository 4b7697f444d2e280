"""Verification against scikit-learn's numbers, and by hand."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamjax.metric import verification

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "metric.npz")
CASES = ("plain", "ties", "separable", "inverted", "all_equal")
exact = lambda got, wanted: np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_golden(case):
    get = lambda name: GOLDEN[f"roc_{case}/{name}"]
    scores, similar = get("score"), get("label") == 1
    curve = verification.roc(scores, similar)
    exact(curve.fpr, get("fpr"))
    exact(curve.tpr, get("tpr"))
    exact(curve.thresholds[1:], get("thresholds")[1:])
    assert curve.thresholds[0] == np.inf
    exact(verification.auc(curve), get("auc"))
    rate = verification.eer(curve)
    exact(rate.nearest, get("eer_nearest_point"))
    exact(rate.interpolated, get("eer_linear_interp"))
    found = [verification.rates(scores, similar, t) for t in get("sweep_t")]
    for name, column in zip(("acc", "far", "frr"), zip(*found, strict=True), strict=True):
        exact(column, get(f"sweep_{name}"))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_chance_to_order_a_pair_of_pairs(items):
    scores = np.array([score for score, _ in items], np.float64)
    similar = np.array([kind for _, kind in items])
    if similar.all() or not similar.any():
        return
    gap = scores[similar][:, None] - scores[~similar][None]
    curve = verification.roc(scores, similar)
    exact(verification.auc(curve), ((gap > 0) + 0.5 * (gap == 0)).mean())
    rate = verification.eer(curve)
    assert 0 <= rate.interpolated <= 1
    threshold = verification.rates(scores, similar, rate.threshold)
    exact((threshold.far + threshold.frr) / 2, rate.nearest)


SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1])
SIMILAR = np.array([1, 1, 0, 1, 1, 0, 0, 0]) == 1


def test_tar_at_far():
    curve = verification.roc(SCORES, SIMILAR)
    values = [verification.tar_at_far(curve, far) for far in (0.0, 0.2, 0.25, 1.0)]
    assert values == [0.5, 0.5, 1.0, 1.0]
    with pytest.raises(ValueError, match=r"far: expected 0 to 1, got 1.5"):
        verification.tar_at_far(curve, 1.5)


def test_folds():
    fold_of = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    found = verification.kfold(SCORES, SIMILAR, fold_of=fold_of)
    # Fold 0 is judged by 0.8 y, 0.6 y, 0.3 n, 0.1 n: half-way 0.45, which refuses 0.4 wrongly and
    # accepts 0.7 wrongly. Fold 1 by 0.9 y, 0.7 n, 0.4 y, 0.2 n: 3 of 4 right from 0.3 or 0.8 on.
    exact(found.accuracies, [0.5, 0.75])
    exact(found.thresholds, [0.45, 0.8])
    exact([found.accuracy, found.std], [0.625, 0.125])
    alike = [verification.kfold(SCORES, SIMILAR, folds=4, seed=1) for _ in range(2)]
    np.testing.assert_array_equal(alike[0].accuracies, alike[1].accuracies)
    perfect = verification.kfold(np.where(SIMILAR, 2.0, 1.0), SIMILAR, folds=4)
    assert (perfect.accuracy, perfect.std) == (1.0, 0.0)
    np.testing.assert_array_equal(perfect.thresholds, [1.5] * 4)


@pytest.mark.parametrize("kind", [True, False])
def test_folds_where_all_are_accepted_or_refused(kind):
    """Where one kind is rare, the best threshold lies beyond all scores."""
    scores = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    similar = np.array([kind] * 5 + [not kind])
    found = verification.kfold(scores, similar, fold_of=np.array([0, 0, 0, 1, 1, 1]))
    exact(found.accuracies, [1.0, 2 / 3])


def test_report():
    found = verification.report(SCORES, SIMILAR, fars=(0.25, 0.001), folds=4)
    assert found["pairs"] == 8
    assert found["similar"] == 4
    assert found["auc"] == 0.875
    assert found["eer"] == found["eer_interpolated"] == 0.25
    assert found["tar_at_far"] == {"0.25": 1.0, "0.001": 0.5}
    assert set(found) == {
        "pairs", "similar", "auc", "eer", "eer_interpolated", "tar_at_far", "accuracy",
        "accuracy_std",
    }  # fmt: skip


def test_errors():
    roc = inspect.unwrap(verification.roc)
    with pytest.raises(ValueError, match="scores: 1 of 2 are NaN"):
        roc(np.array([np.nan, 1.0]), np.array([True, False]))
    with pytest.raises(ValueError, match="no pair of 2 is different"):
        roc(np.ones(2), np.ones(2, bool))
    with pytest.raises(ValueError, match="no pair of 2 is similar"):
        roc(np.ones(2), np.zeros(2, bool))
    for folds in (1, 9):
        with pytest.raises(ValueError, match=f"folds: expected 2 to the 8 pairs, got {folds}"):
            verification.kfold(SCORES, SIMILAR, folds)
