"""Long-term tracking: precision, recall and F where a tracker also says how sure it is.

A frame's box is an answer where its confidence reaches a threshold. Precision is the mean overlap
of the answers, recall their overlap over the frames that show the target; the threshold of greatest
F decides. Source: Lukezic et al., Now you see me: evaluating performance in long-term visual
tracking, 2018; thresholds and ends follow the code of PySOT, overlaps are counted in pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from siamjax.evaluate import aggregate, raster
from siamjax.evaluate.aggregate import Interval
from siamjax.typing import AnyArray

RESOLUTION = 100


class Run(NamedTuple):
    """One run over one sequence.

    `truth` and `regions` are boxes or polygons, NaN where the target is absent and where there is
    no answer; `confidence` is NaN where there is none (it counts as 0); `size` the frames'.
    """

    name: str
    truth: Float[np.ndarray, "T values"]
    regions: Float[np.ndarray, "T values_found"]
    confidence: Float[np.ndarray, " T"]
    size: tuple[int, int]


class Scores(NamedTuple):
    """What long-term runs over a dataset are worth, at the threshold of greatest F.

    The curves run over `thresholds`, from the strictest on, and are means over sequences;
    `sequences` has (precision, recall, F) by name, each at the dataset's threshold. `f_interval` is
    the bootstrap's over sequences, the threshold chosen anew in every draw; None for a lone one.
    """

    precision: float
    recall: float
    f: float
    threshold: float
    thresholds: Float64[np.ndarray, " K"]
    precisions: Float64[np.ndarray, " K"]
    recalls: Float64[np.ndarray, " K"]
    fs: Float64[np.ndarray, " K"]
    sequences: dict[str, tuple[float, float, float]]
    f_interval: Interval | None = None


def choose_thresholds(
    confidence: Float[AnyArray, " N"], resolution: int = RESOLUTION
) -> Float64[np.ndarray, " K"]:
    """Choose confidences to cut at: evenly by rank, between infinity and minus infinity.

    Args:
        confidence: of every frame of every run; NaN is left out.
        resolution: number of thresholds. Fewer confidences than that are all taken.

    Raises:
        ValueError: a resolution under 3.
    """
    if resolution < 3:
        raise ValueError(f"resolution: expected at least 3, got {resolution}")
    confidence = np.asarray(confidence, np.float64)
    ranked = np.sort(confidence[~np.isnan(confidence)])
    inner = resolution - 2
    if len(ranked) > inner:
        step = len(ranked) // inner
        places = np.linspace(step - 1, len(ranked) - step, inner)
        ranked = ranked[np.floor(places + 0.5).astype(np.int64)]
    return np.concatenate([[np.inf], ranked[::-1], [-np.inf]])


def precision_recall(
    overlap: Float[np.ndarray, " T"],
    confidence: Float[np.ndarray, " T"],
    visible: int,
    thresholds: Float[np.ndarray, " K"],
) -> tuple[Float64[np.ndarray, " K"], Float64[np.ndarray, " K"]]:
    """Give precision and recall of one run at every threshold.

    Args:
        overlap: of every frame; NaN counts 0.
        confidence: of every frame; NaN counts 0.
        visible: number of frames that show the target.
        thresholds: a frame is an answer where its confidence is at least this; at minus infinity
            where it is above 0. Without any answer precision is 1 and recall 0.

    Raises:
        ValueError: no frame shows the target.
    """
    if visible < 1:
        raise ValueError("visible: expected at least one frame that shows the target, got 0")
    overlap, confidence = np.nan_to_num(overlap), np.nan_to_num(confidence)
    answers = confidence[None, :] >= thresholds[:, None]
    answers[np.isneginf(thresholds)] = confidence > 0
    number = answers.sum(axis=1)
    total = np.where(answers, overlap[None, :], 0).sum(axis=1)
    return np.where(number > 0, total / np.maximum(number, 1), 1), total / visible


def harmonic(
    precision: Float64[np.ndarray, "*n"], recall: Float64[np.ndarray, "*n"]
) -> Float64[np.ndarray, "*n"]:
    """Give F, the harmonic mean of precision and recall; 0 where both are."""
    total = precision + recall
    return np.asarray(2 * precision * recall / np.where(total > 0, total, 1))


def analyse(runs: Sequence[Run], resolution: int = RESOLUTION) -> Scores:
    """Score long-term runs over a dataset.

    Args:
        runs: one for each sequence.
        resolution: number of thresholds.

    Raises:
        ValueError: no run, lengths that differ, a sequence that never shows its target.
    """
    if not runs:
        raise ValueError("runs: expected at least one sequence, got none")
    for one in runs:
        if not len(one.truth) == len(one.regions) == len(one.confidence):
            raise ValueError(
                f"{one.name}: expected {len(one.truth)} answers, one for each frame, got"
                f" {len(one.regions)} regions and {len(one.confidence)} confidences"
            )
        if not np.isfinite(one.truth).all(axis=1).any():
            raise ValueError(f"{one.name}: no frame shows the target")
    thresholds = choose_thresholds(np.concatenate([one.confidence for one in runs]), resolution)
    curves = np.array(
        [
            precision_recall(
                raster.overlap(one.regions, one.truth, one.size),
                one.confidence,
                int(np.isfinite(one.truth).all(axis=1).sum()),
                thresholds,
            )
            for one in runs
        ]
    )
    precisions, recalls = curves.mean(axis=0)
    fs = harmonic(precisions, recalls)
    best = int(np.argmax(fs))
    each = harmonic(curves[:, 0, best], curves[:, 1, best])

    def greatest(times: Float64[np.ndarray, "draws n"]) -> Float64[np.ndarray, " draws"]:
        drawn = (times @ curves[:, k] / len(runs) for k in range(2))
        return harmonic(*drawn).max(axis=1)

    return Scores(
        precision=float(precisions[best]),
        recall=float(recalls[best]),
        f=float(fs[best]),
        threshold=float(thresholds[best]),
        thresholds=thresholds,
        precisions=precisions,
        recalls=recalls,
        fs=fs,
        sequences={
            one.name: (float(curve[0, best]), float(curve[1, best]), float(f))
            for one, curve, f in zip(runs, curves, each, strict=True)
        },
        f_interval=aggregate.interval_of(greatest, len(runs)),
    )
