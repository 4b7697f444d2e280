"""Numbers of single sequences put together: by attribute, and with how sure one can be of a mean.

Sequences are drawn again with replacement (the bootstrap): what varies between the draws is what
another choice of sequences would have changed.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Shaped

from siamjax.data.tracks import Track
from siamjax.typing import AnyArray

DRAWS = 2000
LEVEL = 0.95
TEXT = (
    f"bootstrap over sequences: {100 * LEVEL:.0f} % of {DRAWS} draws with replacement lie between"
    " the bounds; null for a lone sequence"
)
"""What intervals in results are."""

_CHUNK = 250  # draws at a time, for memory


class Interval(NamedTuple):
    """A mean, and the bounds between which it lies in `level` of the draws."""

    mean: float
    low: float
    high: float


class Difference(NamedTuple):
    """A mean difference with its interval, and the part of the draws in which it is above zero."""

    mean: float
    low: float
    high: float
    above: float


def attributes(tracks: Sequence[Track]) -> dict[str, list[str]]:
    """Give the names of the sequences that have each attribute in at least one frame."""
    found: dict[str, list[str]] = {}
    for track in tracks:
        for tag, frames in track.tags.items():
            if np.asarray(frames).any():
                found.setdefault(tag, []).append(track.name)
    return dict(sorted(found.items()))


def confidence_interval(
    values: Float[AnyArray, " n"],
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
    weights: Shaped[AnyArray, " n"] | None = None,
) -> Interval:
    """Give the mean of sequences with its bootstrap confidence interval.

    Args:
        values: a number of each sequence.
        level: 0..1, the part of the draws within the bounds.
        draws: of as many sequences as there are, with replacement.
        seed: of the draws; the same gives the same.
        weights: of the sequences in every mean, as the frames of each where frames are pooled;
            equal by default.

    Raises:
        ValueError: no value, one that is not finite, a level outside 0..1, no draw, weights that
            are not above zero or of another number.

    Source: Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 13 (percentiles).
    """
    values = _checked(values, level, draws)
    weights = _checked_weights(weights, len(values))
    means = _drawn_means(values, weights, draws, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.average(values, weights=weights)), float(low), float(high))


def told(found: Interval | None) -> list[float] | None:
    """Give the bounds of an interval as `results.json` holds them."""
    return [found.low, found.high] if found else None


def interval_of(
    statistic: Callable[[Float64[np.ndarray, "draws n"]], Float64[np.ndarray, " draws"]],
    count: int,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval | None:
    """Give a number of a dataset that is no mean over sequences with its interval.

    Args:
        statistic: given how often each of the n sequences is drawn, the number for each draw.
        count: n.
        level: as `confidence_interval`.
        draws: as `confidence_interval`.
        seed: as `confidence_interval`.

    Returns:
        None for a lone sequence, of which every draw is the same. `mean` is the number itself.

    Source: as `confidence_interval`.
    """
    if count < 2:
        return None
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    found = statistic(times.astype(np.float64))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(np.ones((1, count)))[0]), float(low), float(high))


def mean_ratio_interval(
    numerators: Float64[np.ndarray, "n k"], denominators: Float64[np.ndarray, "n k"]
) -> Interval | None:
    """Give the mean over k of sum_n(numerators) / sum_n(denominators) with its interval.

    As the expected overlap over k lengths is; a k whose denominators are all zero counts 0.
    """

    def statistic(times: Float64[np.ndarray, "draws n"]) -> Float64[np.ndarray, " draws"]:
        over, under = times @ numerators, times @ denominators
        return (over / np.where(under > 0, under, 1)).mean(axis=1)

    return interval_of(statistic, len(numerators))


def difference(
    values: Float[AnyArray, " n"],
    others: Float[AnyArray, " n"],
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
    weights: Shaped[AnyArray, " n"] | None = None,
) -> Difference:
    """Give the mean of `values - others`, of two trackers on the same sequences.

    Sequences are drawn in pairs, so that what makes one hard for both does not count. Where the
    interval holds 0, the difference is not taken for a result.

    Raises:
        ValueError: as `confidence_interval`, or other numbers of sequences.
    """
    values, others = np.asarray(values, np.float64), np.asarray(others, np.float64)
    if values.shape != others.shape:
        raise ValueError(f"others: expected {len(values)} sequences, got {len(others)}")
    gains = _checked(values - others, level, draws)
    weights = _checked_weights(weights, len(gains))
    means = _drawn_means(gains, weights, draws, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    mean, above = float(np.average(gains, weights=weights)), float((means > 0).mean())
    return Difference(mean, float(low), float(high), above)


def _checked(values: Float[AnyArray, " n"], level: float, draws: int) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"values: expected finite numbers, at least one, got {values.tolist()}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected more than 0 and less than 1, got {level}")
    if draws < 1:
        raise ValueError(f"draws: expected at least 1, got {draws}")
    return values


def _checked_weights(weights: Shaped[AnyArray, " n"] | None, count: int) -> np.ndarray:
    weights = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if len(weights) != count or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"weights: expected {count} numbers above zero, got {weights.tolist()}")
    return weights


def _drawn_means(
    values: np.ndarray, weights: np.ndarray, draws: int, seed: int
) -> Float64[np.ndarray, " draws"]:
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, draws, _CHUNK):
        chosen = rng.integers(0, len(values), (min(_CHUNK, draws - start), len(values)))
        parts.append((values * weights)[chosen].sum(axis=1) / weights[chosen].sum(axis=1))
    return np.concatenate(parts)
