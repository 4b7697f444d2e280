"""N-way K-shot tasks: how they are drawn, and how queries are recognised."""

import inspect

import numpy as np
import pytest

from siamjax.metric import fewshot

LABELS = np.repeat(np.arange(6), [5, 5, 5, 5, 2, 5])


def test_episodes():
    tasks = list(fewshot.episodes(LABELS, ways=3, shots=2, queries=3, count=40, seed=1))
    assert len(tasks) == 40
    seen = set()
    for support, query in tasks:
        classes = LABELS[support].reshape(3, 2)
        assert (classes == classes[:, :1]).all()
        assert len(set(classes[:, 0])) == 3
        np.testing.assert_array_equal(LABELS[query].reshape(3, 3)[:, 0], classes[:, 0])
        assert len({*support.tolist(), *query.tolist()}) == 15
        seen |= set(classes[:, 0].tolist())
    assert seen == {0, 1, 2, 3, 5}  # class 4 has too few examples
    again = list(fewshot.episodes(LABELS, 3, 2, 3, count=2, seed=1))
    np.testing.assert_array_equal(again[1].query, tasks[1].query)
    other = next(fewshot.episodes(LABELS, 3, 2, 3, count=1, seed=2))
    assert not np.array_equal(other.query, tasks[0].query)
    with pytest.raises(ValueError, match="ways: 5 of 6 classes have 5 examples, got 6"):
        fewshot.episodes(LABELS, 6, 2, 3)
    with pytest.raises(ValueError, match="shots: expected at least 1, got 0"):
        fewshot.episodes(LABELS, 2, 0)


def test_classify():
    distances = np.array([[0.1, 0.9, 0.3, 0.4], [0.2, 0.2, 0.2, 0.2]])
    labels = np.array([7, 7, 3, 3])
    np.testing.assert_array_equal(fewshot.classify(distances, labels), [3, 3])
    np.testing.assert_array_equal(fewshot.classify(distances, labels, "nearest"), [7, 3])
    with pytest.raises(ValueError, match="support_labels: expected 4, got 3"):
        inspect.unwrap(fewshot.classify)(distances, labels[:3])
    with pytest.raises(ValueError, match="distances: 1 are NaN"):
        fewshot.classify(np.array([[np.nan, 1.0]]), labels[:2])


def test_accuracy():
    values = LABELS + np.where(np.arange(len(LABELS)) % 5 == 0, 1.0, 0.0)  # one in five is off
    tasks = list(fewshot.episodes(LABELS, 2, 1, 1, count=300, seed=3))
    measure = lambda query, support: np.abs(values[query][:, None] - values[support][None])
    found = fewshot.accuracy(measure, LABELS, tasks)
    right = []
    for support, query in tasks:
        apart = np.abs(values[query][:, None] - values[support][None])
        # Of equal distances the smaller class wins.
        order = np.argsort(LABELS[support])
        chosen = LABELS[support][order][np.argmin(apart[:, order], axis=1)]
        right.append((chosen == LABELS[query]).mean())
    assert 0.5 < found.mean < 1
    assert found.mean == pytest.approx(np.mean(right), abs=1e-12)
    assert found.interval == pytest.approx(1.96 * np.std(right, ddof=1) / 300**0.5)
    assert found.episodes == 300
    with pytest.raises(ValueError, match="tasks: expected at least one"):
        fewshot.accuracy(measure, LABELS, [])
