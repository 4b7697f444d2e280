"""Retrieval: how early a query finds what belongs to it, from distances to a bank."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Shaped

Labels = Shaped[np.ndarray, "_"] | None


def ranked(
    distances: Shaped[np.ndarray, "Q N"],
    query_labels: Labels = None,
    bank_labels: Labels = None,
    *,
    exclude_self: bool = False,
) -> Bool[np.ndarray, "Q M"]:
    """Tell for each query which of its neighbours, from near to far, are relevant.

    Args:
        distances: of every query to every row of the bank; equal ones keep the bank's order.
        query_labels: of the queries; what has the same label is relevant. None: row i of the bank
            belongs to query i.
        bank_labels: of the bank; None: as of the queries.
        exclude_self: queries are the bank, and no query finds itself; M = N - 1, else N.

    Raises:
        ValueError: NaN, labels of another number, or not as many queries as rows where those are
            matched.
    """
    distances = np.asarray(distances, np.float64)
    if np.isnan(distances).any():
        raise ValueError(f"distances: {int(np.isnan(distances).sum())} are NaN")
    queries, rows = distances.shape
    wanted = np.asarray(np.arange(queries) if query_labels is None else query_labels)
    there = np.asarray(wanted if bank_labels is None else bank_labels)
    for name, labels, count in (("query_labels", wanted, queries), ("bank_labels", there, rows)):
        if len(labels) != count:
            raise ValueError(f"{name}: expected {count}, got {len(labels)}")
    relevant = wanted[:, None] == there[None]
    if exclude_self:
        if queries != rows:
            raise ValueError(
                f"exclude_self: expected a square of distances, got {queries} x {rows}"
            )
        other = ~np.eye(rows, dtype=bool)
        distances, relevant = (a[other].reshape(rows, rows - 1) for a in (distances, relevant))
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(relevant, order, axis=1)


def recall(hits: Bool[np.ndarray, "Q M"], k: int) -> float:
    """Give the share of queries with a relevant row among their `k` nearest.

    Queries to which nothing is relevant count for nothing.

    Raises:
        ValueError: `k` is under 1, or nothing is relevant to any query.

    Source: Jegou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", 2011,
    section 5.1; with several relevant rows as in Oh Song et al., "Deep Metric Learning via Lifted
    Structured Feature Embedding", 2016, section 6.
    """
    if k < 1:
        raise ValueError(f"k: expected at least 1, got {k}")
    return float(_answerable(hits)[:, :k].any(axis=1).mean())


def mean_average_precision(hits: Bool[np.ndarray, "Q M"]) -> float:
    """Give the mean over queries of the mean precision at the rank of each relevant row.

    Queries to which nothing is relevant count for nothing.

    Raises:
        ValueError: nothing is relevant to any query.

    Source: Manning, Raghavan and Schuetze, "Introduction to Information Retrieval", 2008, equation
    8.8.
    """
    hits = _answerable(hits)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return float(((precision * hits).sum(axis=1) / hits.sum(axis=1)).mean())


def chance(hits: Bool[np.ndarray, "Q M"], k: int) -> float:
    """Give the `recall` that is expected of a random order."""
    hits = _answerable(hits)
    rows = hits.shape[1]
    missed = {
        count: math.comb(rows - count, min(k, rows)) / math.comb(rows, min(k, rows))
        for count in set(hits.sum(axis=1).tolist())
    }
    return 1 - float(np.mean([missed[count] for count in hits.sum(axis=1).tolist()]))


def report(
    distances: Shaped[np.ndarray, "Q N"],
    query_labels: Labels = None,
    bank_labels: Labels = None,
    *,
    ks: Sequence[int] = (1, 5, 10),
    exclude_self: bool = False,
) -> dict[str, float | int]:
    """Give `queries`, `recall@k`, `chance@k` and `map` of one direction as one JSON-able dict.

    Args and errors are those of `ranked` and `recall`.
    """
    hits = ranked(distances, query_labels, bank_labels, exclude_self=exclude_self)
    found: dict[str, float | int] = {"queries": len(_answerable(hits))}
    for k in ks:
        found |= {f"recall@{k}": recall(hits, k), f"chance@{k}": chance(hits, k)}
    return found | {"map": mean_average_precision(hits)}


def both_ways(
    distances: Shaped[np.ndarray, "A B"],
    a_labels: Labels = None,
    b_labels: Labels = None,
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, dict[str, float | int]]:
    """Give `report` from side a to side b, as texts to pictures, and back.

    Returns:
        `a_to_b` and `b_to_a`.
    """
    b_labels = a_labels if b_labels is None else b_labels
    distances = np.asarray(distances)
    return {
        "a_to_b": report(distances, a_labels, b_labels, ks=ks),
        "b_to_a": report(distances.T, b_labels, a_labels, ks=ks),
    }


def _answerable(hits: Bool[np.ndarray, "Q M"]) -> Bool[np.ndarray, "R M"]:
    """Keep the queries to which something is relevant."""
    some = hits.any(axis=1)
    if not some.any():
        raise ValueError(f"labels: nothing is relevant to any of {len(hits)} queries")
    return hits[some]
