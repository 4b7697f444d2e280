"""Retrieval by hand and against loops."""

import numpy as np
import pytest

from siamjax.metric import retrieval

rng = np.random.default_rng(5)

DISTANCES = np.array([[0.1, 0.2, 0.3, 0.4], [0.3, 0.2, 0.4, 0.1], [0.5, 0.5, 0.5, 0.5]])
QUERIES, BANK = np.array([0, 1, 2]), np.array([1, 0, 0, 1])


def test_by_hand():
    hits = retrieval.ranked(DISTANCES, QUERIES, BANK)
    np.testing.assert_array_equal(hits, [[0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    assert [retrieval.recall(hits, k) for k in (1, 2, 9)] == [0.5, 1.0, 1.0]
    wanted = ((1 / 2 + 2 / 3) / 2 + (1 + 2 / 3) / 2) / 2
    assert retrieval.mean_average_precision(hits) == pytest.approx(wanted, abs=1e-12)
    assert retrieval.chance(hits, 1) == 0.5
    assert retrieval.chance(hits, 2) == pytest.approx(1 - 1 / 6)
    assert retrieval.chance(hits, 4) == 1.0


def test_partners_by_row():
    """Without labels row i belongs to row i, and equal distances keep the bank's order."""
    distances = np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    found = retrieval.both_ways(distances, ks=(1, 2))
    assert found["a_to_b"]["recall@1"] == pytest.approx(1 / 3)
    assert found["a_to_b"]["recall@2"] == pytest.approx(1 / 3)
    assert found["a_to_b"]["map"] == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    assert found["a_to_b"]["chance@1"] == pytest.approx(1 / 3)
    assert found["b_to_a"]["recall@1"] == pytest.approx(1 / 3)  # ranks 2, 3 and 1
    assert found["b_to_a"]["recall@2"] == pytest.approx(2 / 3)
    assert found["b_to_a"]["map"] == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)


def test_collapsed_embeddings_give_chance():
    distances = np.zeros((20, 20))
    found = retrieval.report(distances, ks=(1, 10))
    assert found == {
        "queries": 20, "recall@1": 0.05, "chance@1": pytest.approx(0.05), "recall@10": 0.5,
        "chance@10": pytest.approx(0.5), "map": pytest.approx(np.mean(1 / np.arange(1, 21))),
    }  # fmt: skip


def test_exclude_self():
    x = rng.normal(size=(9, 2))
    labels = np.arange(9) // 3
    distances = np.linalg.norm(x[:, None] - x[None], axis=2)
    hits = retrieval.ranked(distances, labels, exclude_self=True)
    for i in range(9):
        order = [j for j in np.argsort(distances[i]) if j != i]
        np.testing.assert_array_equal(hits[i], labels[order] == labels[i])
    with pytest.raises(ValueError, match=r"exclude_self: .*3 x 4"):
        retrieval.ranked(DISTANCES, QUERIES, BANK, exclude_self=True)


def test_errors():
    with pytest.raises(ValueError, match="distances: 2 are NaN"):
        retrieval.ranked(np.array([[np.nan, np.nan]]))
    with pytest.raises(ValueError, match="bank_labels: expected 4, got 3"):
        retrieval.ranked(DISTANCES, QUERIES)
    with pytest.raises(ValueError, match="nothing is relevant to any of 1 queries"):
        retrieval.report(np.ones((1, 2)), np.array([0]), np.array([1, 2]))
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        retrieval.recall(np.ones((1, 2), bool), 0)
