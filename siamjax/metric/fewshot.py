"""Few-shot recognition: classes known by a few examples each, N ways and K shots."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped


class Episode(NamedTuple):
    """One task, as rows of a data set.

    Attributes:
        support: ways * shots examples, class by class.
        query: ways * queries others of the same classes, class by class.
    """

    support: Int[np.ndarray, "S"]
    query: Int[np.ndarray, "Q"]


class Accuracy(NamedTuple):
    """Accuracy over episodes.

    Attributes:
        mean: over all episodes.
        interval: half the width of its 95 % confidence interval, 1.96 standard errors.
        episodes: how many.
    """

    mean: float
    interval: float
    episodes: int


def episodes(
    labels: Shaped[np.ndarray, "N"],
    ways: int,
    shots: int = 1,
    queries: int = 1,
    count: int = 1000,
    seed: int = 0,
) -> Iterator[Episode]:
    """Draw tasks: `ways` classes of a data set, `shots` and `queries` different examples of each.

    Args:
        labels: classes of the data set's rows.
        ways: classes of a task.
        shots: known examples of a class.
        queries: examples of a class to be recognised.
        count: number of tasks; task i depends on `seed` and i alone.
        seed: of the draw.

    Raises:
        ValueError: a number under 1, or fewer than `ways` classes have enough examples.

    Source: Vinyals et al., "Matching Networks for One Shot Learning", 2016, section 4.
    """
    given = {"ways": ways, "shots": shots, "queries": queries, "count": count}
    for name, value in given.items():
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    labels = np.asarray(labels)
    classes, sizes = np.unique(labels, return_counts=True)
    rows = [np.flatnonzero(labels == c) for c in classes[sizes >= shots + queries]]
    if len(rows) < ways:
        raise ValueError(
            f"ways: {len(rows)} of {len(classes)} classes have {shots + queries} examples,"
            f" got {ways}"
        )
    return (_episode(rows, ways, shots, queries, (seed, index)) for index in range(count))


def classify(
    distances: Float[np.ndarray, "Q S"],
    support_labels: Shaped[np.ndarray, "S"],
    rule: Literal["mean", "nearest"] = "mean",
) -> Shaped[np.ndarray, "Q"]:
    """Give each query the class of its least distance.

    Args:
        distances: of queries to the support.
        support_labels: classes of the support.
        rule: "mean" over a class's shots, or the "nearest" of them. Of equal classes the first in
            sorted order wins.

    Raises:
        ValueError: `rule` is unknown, a distance is NaN, or the labels are of another number.
    """
    if rule not in ("mean", "nearest"):
        raise ValueError(f"rule: expected 'mean' or 'nearest', got {rule!r}")
    distances, support_labels = np.asarray(distances, np.float64), np.asarray(support_labels)
    if np.isnan(distances).any():
        raise ValueError(f"distances: {int(np.isnan(distances).sum())} are NaN")
    if len(support_labels) != distances.shape[1]:
        raise ValueError(
            f"support_labels: expected {distances.shape[1]}, got {len(support_labels)}"
        )
    classes = np.unique(support_labels)
    of_class = [distances[:, support_labels == c] for c in classes]
    of_class = [d.mean(axis=1) if rule == "mean" else d.min(axis=1) for d in of_class]
    return classes[np.argmin(np.stack(of_class, axis=1), axis=1)]


def accuracy(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    labels: Shaped[np.ndarray, "N"],
    tasks: Iterator[Episode] | list[Episode],
    rule: Literal["mean", "nearest"] = "mean",
) -> Accuracy:
    """Recognise the queries of every task and count.

    Args:
        measure: `(query, support) -> distances [Q, S]`, both as rows of the data set.
        labels: classes of the data set's rows.
        tasks: at least one.
        rule: as for `classify`.

    Raises:
        ValueError: there is no task, or as `classify`.
    """
    labels = np.asarray(labels)
    right = []
    for task in tasks:
        distances = np.asarray(measure(task.query, task.support))
        found = classify(distances, labels[task.support], rule)
        right.append((found == labels[task.query]).mean())
    if not right:
        raise ValueError("tasks: expected at least one, got none")
    error = np.std(right, ddof=1) / np.sqrt(len(right)) if len(right) > 1 else 0.0
    return Accuracy(float(np.mean(right)), float(1.96 * error), len(right))


def _episode(
    rows: list[np.ndarray], ways: int, shots: int, queries: int, seed: tuple[int, int]
) -> Episode:
    random = np.random.default_rng(seed)
    chosen = random.choice(len(rows), ways, replace=False)
    drawn = [random.choice(rows[c], shots + queries, replace=False) for c in chosen]
    support, query = zip(*((d[:shots], d[shots:]) for d in drawn), strict=True)
    return Episode(np.concatenate(support), np.concatenate(query))
