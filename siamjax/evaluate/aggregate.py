"""Numbers of single sequences put together: by attribute, and with how sure one can be of a mean.

Sequences are drawn again with replacement (the bootstrap): what varies between the draws is what
another choice of sequences would have changed.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from siamjax.data.tracks import Track
from siamjax.typing import AnyArray

DRAWS = 2000
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


def by_attribute(
    values: Mapping[str, float], having: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Average a number over the sequences that have each attribute.

    Args:
        values: of each sequence, by name.
        having: names of the sequences of each attribute; those without a value do not count.

    Returns:
        By attribute; without those that no sequence with a value has.
    """
    chosen = {
        tag: [values[name] for name in names if name in values] for tag, names in having.items()
    }
    return {tag: float(np.mean(found)) for tag, found in chosen.items() if found}


def confidence_interval(
    values: Float[AnyArray, " n"], level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Give the mean of sequences with its bootstrap confidence interval.

    Args:
        values: a number of each sequence.
        level: 0..1, the part of the draws within the bounds.
        draws: of as many sequences as there are, with replacement.
        seed: of the draws; the same gives the same.

    Raises:
        ValueError: no value, one that is not finite, a level outside 0..1, no draw.

    Source: Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 13 (percentiles).
    """
    values = _checked(values, level, draws)
    means = _drawn_means(values, draws, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def difference(
    values: Float[AnyArray, " n"],
    others: Float[AnyArray, " n"],
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
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
    means = _drawn_means(gains, draws, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(gains.mean()), float(low), float(high), float((means > 0).mean()))


def _checked(values: Float[AnyArray, " n"], level: float, draws: int) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"values: expected finite numbers, at least one, got {values.tolist()}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected more than 0 and less than 1, got {level}")
    if draws < 1:
        raise ValueError(f"draws: expected at least 1, got {draws}")
    return values


def _drawn_means(values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, draws, _CHUNK):
        chosen = rng.integers(0, len(values), (min(_CHUNK, draws - start), len(values)))
        parts.append(values[chosen].mean(axis=1))
    return np.concatenate(parts)
