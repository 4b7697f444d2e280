"""Verification: are two inputs of one kind? ROC, AUC, EER, rates, accuracy by folds.

A score is large for a similar pair; of a distance d, take -d. A pair is accepted where its score is
at least the threshold. Float64 throughout.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

Scores = Shaped[np.ndarray, "N"]
Similar = Bool[np.ndarray, "N"]


class Roc(NamedTuple):
    """The ROC curve, a point for each threshold from strict to lax.

    Attributes:
        fpr: accepted share of the different pairs, FAR.
        tpr: accepted share of the similar pairs, TAR.
        thresholds: infinite first, where nothing is accepted; then every score that occurs.
    """

    fpr: Float[np.ndarray, "T"]
    tpr: Float[np.ndarray, "T"]
    thresholds: Float[np.ndarray, "T"]


class Eer(NamedTuple):
    """The equal error rate, where FAR and 1 - TAR meet.

    Attributes:
        nearest: mean of both at the point of the curve where they differ least.
        interpolated: where they are equal on the lines between points.
        threshold: that of the nearest point.
    """

    nearest: float
    interpolated: float
    threshold: float


class Rates(NamedTuple):
    """What one threshold gives: shares of all pairs, of the different, of the similar."""

    accuracy: float
    far: float
    frr: float


class Folds(NamedTuple):
    """Accuracy at thresholds that were chosen on other pairs.

    Attributes:
        accuracy: mean over the folds.
        std: standard deviation over them.
        accuracies: of each fold.
        thresholds: of each fold, chosen on all others.
    """

    accuracy: float
    std: float
    accuracies: Float[np.ndarray, "F"]
    thresholds: Float[np.ndarray, "F"]


def roc(scores: Scores, similar: Similar) -> Roc:
    """Give the ROC curve with a point for every score that occurs.

    Raises:
        ValueError: a score is NaN, or one of the two kinds of pairs is missing.

    Source: Fawcett, "An introduction to ROC analysis", 2006, algorithm 1; numbers as of
    scikit-learn's `roc_curve(drop_intermediate=False)`.
    """
    scores, similar = _checked(scores, similar)
    order = np.argsort(-scores, kind="stable")
    scores, similar = scores[order], similar[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    accepted = np.cumsum(similar)[last]
    return Roc(
        np.append(0.0, (last + 1 - accepted) / (~similar).sum()),
        np.append(0.0, accepted / similar.sum()),
        np.append(np.inf, scores[last]),
    )


def auc(curve: Roc) -> float:
    """Give the area under the curve, by trapezoids: ties count half."""
    return float(np.trapezoid(curve.tpr, curve.fpr))


def eer(curve: Roc) -> Eer:
    """Give the equal error rate, at the nearest point and between points."""
    frr = 1 - curve.tpr
    gap = curve.fpr - frr
    nearest = int(np.argmin(np.abs(gap)))
    # The gap grows from -1 to 1; the first point at or above 0 ends the line that crosses it.
    end = int(np.argmax(gap >= 0))
    share = -gap[end - 1] / (gap[end] - gap[end - 1])
    crossing = curve.fpr[end - 1] + share * (curve.fpr[end] - curve.fpr[end - 1])
    mean = (curve.fpr[nearest] + frr[nearest]) / 2
    return Eer(float(mean), float(crossing), float(curve.thresholds[nearest]))


def tar_at_far(curve: Roc, far: float) -> float:
    """Give the best TAR among the thresholds whose FAR is at most `far`.

    Raises:
        ValueError: `far` is outside 0..1.
    """
    if not 0 <= far <= 1:
        raise ValueError(f"far: expected 0 to 1, got {far}")
    return float(curve.tpr[curve.fpr <= far].max())


def rates(scores: Scores, similar: Similar, threshold: float) -> Rates:
    """Give accuracy and both error rates at one threshold.

    Raises:
        ValueError: as `roc`.
    """
    scores, similar = _checked(scores, similar)
    accepted = scores >= threshold
    return Rates(
        float((accepted == similar).mean()),
        float(accepted[~similar].mean()),
        float((~accepted[similar]).mean()),
    )


def kfold(
    scores: Scores,
    similar: Similar,
    folds: int = 10,
    seed: int = 0,
    fold_of: Int[np.ndarray, "N"] | None = None,
) -> Folds:
    """Give the accuracy on each fold at the threshold that is best on all other folds.

    Args:
        scores: of the pairs.
        similar: which are.
        folds: number of folds, into which similar and different pairs are dealt evenly.
        seed: of the dealing.
        fold_of: fold of each pair, in place of `folds` and `seed`.

    Raises:
        ValueError: fewer than 2 folds, a fold without pairs, or as `roc`.

    Source: Huang et al., "Labeled Faces in the Wild", 2007, section 4 (10 folds). A threshold lies
    half-way between two scores; of equally good ones the middle one is taken.
    """
    scores, similar = _checked(scores, similar)
    if fold_of is None:
        if not 2 <= folds <= len(scores):
            raise ValueError(f"folds: expected 2 to the {len(scores)} pairs, got {folds}")
        random = np.random.default_rng(seed)
        order = random.permutation(len(scores))
        order = order[np.argsort(similar[order], kind="stable")]
        fold_of = np.empty(len(scores), np.int64)
        fold_of[order] = np.arange(len(scores)) % folds
    numbers = np.unique(fold_of)
    if len(numbers) < 2:
        raise ValueError(f"folds: expected 2 at least, got {len(numbers)}")
    accuracies, thresholds = [], []
    for number in numbers:
        test = fold_of == number
        threshold = _best_threshold(scores[~test], similar[~test])
        thresholds.append(threshold)
        accuracies.append(((scores[test] >= threshold) == similar[test]).mean())
    return Folds(
        float(np.mean(accuracies)),
        float(np.std(accuracies)),
        np.array(accuracies),
        np.array(thresholds),
    )


def report(
    scores: Scores,
    similar: Similar,
    *,
    fars: Sequence[float] = (0.1, 0.01, 0.001),
    folds: int = 10,
    seed: int = 0,
) -> dict[str, Any]:
    """Give all of it as one JSON-able dict.

    Returns:
        `pairs`, `similar` (counts), `auc`, `eer`, `eer_interpolated`, `tar_at_far` by FAR, and
        `accuracy` with `accuracy_std` over the folds.

    Raises:
        ValueError: as `roc`, `tar_at_far` and `kfold`.
    """
    curve = roc(scores, similar)
    rate = eer(curve)
    found = kfold(scores, similar, folds, seed)
    return {
        "pairs": len(scores),
        "similar": int(np.sum(similar)),
        "auc": auc(curve),
        "eer": rate.nearest,
        "eer_interpolated": rate.interpolated,
        "tar_at_far": {f"{far:g}": tar_at_far(curve, far) for far in fars},
        "accuracy": found.accuracy,
        "accuracy_std": found.std,
    }


def _checked(scores: Scores, similar: Similar) -> tuple[np.ndarray, np.ndarray]:
    scores, similar = np.asarray(scores, np.float64), np.asarray(similar, bool)
    if np.isnan(scores).any():
        raise ValueError(f"scores: {int(np.isnan(scores).sum())} of {len(scores)} are NaN")
    if similar.all() or not similar.any():
        kind = "different" if similar.any() else "similar"
        raise ValueError(f"similar: no pair of {len(similar)} is {kind}")
    return scores, similar


def _best_threshold(scores: np.ndarray, similar: np.ndarray) -> float:
    """Give the threshold of the highest accuracy."""
    values, group = np.unique(scores, return_inverse=True)
    gain = np.bincount(group, np.where(similar, -1, 1), len(values))
    # Right answers when the first i values are refused, from those when none is.
    right = similar.sum() + np.append(0, np.cumsum(gain))
    best = np.flatnonzero(right == right.max())
    index = int(best[len(best) // 2])
    if index == 0:
        return float(values[0])
    if index == len(values):
        return float(np.nextafter(values[-1], np.inf))
    return float((values[index - 1] + values[index]) / 2)
