"""What a one-pass evaluation amounts to: `results.json`, `trajectories.npz` and `report.html`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from siamjax.data.tracks import Track
from siamjax.evaluate import (
    aggregate,
    attributes,
    compare,
    ope,
    provenance,
    report,
    store,
    trajectories,
)
from siamjax.evaluate.store import Run
from siamjax.evaluate.trajectories import Trajectory


class Result(NamedTuple):
    """One sequence, run (or read: then `run` is None) and scored."""

    track: Track
    boxes: Shaped[np.ndarray, "P 4"]
    scores: ope.Scores
    run: Run | None


def finish(
    results: Sequence[Result], header: Mapping[str, Any], convention: str, folder: Path | None
) -> dict[str, Any]:
    """Average, describe, and write the files of an evaluation.

    Args:
        results: of every sequence.
        header: what was run on what, the first entries of the summary.
        convention: a key of `ope.CONVENTIONS`, that of the scores.
        folder: for the files; None writes none.

    Returns:
        What `results.json` holds; see `run.evaluate`.

    Raises:
        ValueError: no results.
        OSError: the folder cannot be written.
    """
    total = ope.mean([one.scores for one in results])
    sizes = {one.track.name: _size(one.track) for one in results}
    sequences = {
        one.track.name: {
            **_numbers(one.scores, [one.run] if one.run else []),
            "size": list(sizes[one.track.name]),
        }
        for one in results
    }
    summary: dict[str, Any] = {
        **header,
        **_numbers(total, [one.run for one in results if one.run]),
        **(_pooled(results) if convention == "got10k-val" else {}),
        "sequences": sequences,
    }
    measures = compare.measures(summary)
    intervals = {one.key: compare.interval(sequences, one) for one in measures}
    having = attributes.having([one.track for one in results], sizes)
    summary |= {
        "intervals": {key: aggregate.told(one) for key, one in intervals.items()},
        "attributes": attributes.summarise(sequences, having, measures),
        "conventions": _conventions(convention),
        "curves": {
            "overlaps": list(ope.convention(convention).overlaps),
            "success": total.success.tolist(),
            "pixels": ope.PIXELS.tolist(),
            "precision": total.precision.tolist(),
            "distances": list(ope.convention(convention).distances),
            "normalised": total.normalised.tolist(),
        },
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
    }
    if folder is not None:
        found = {one.track.name: _trajectory(one, sizes[one.track.name]) for one in results}
        entry = compare.Entry(compare.model_name(summary), summary, found)
        trajectories.write(folder, list(found.values()))
        store.write_summary(folder, summary, report.render([entry]))
    return summary


def _size(track: Track) -> tuple[int, int]:
    """Give (width, height) of the frames; a clip is not decoded further than its first one."""
    if track.frame_size is not None:
        return track.frame_size
    height, width = next(iter(track.media)).shape[:2]
    return width, height


def _trajectory(result: Result, size: tuple[int, int]) -> Trajectory:
    """Bring boxes and overlaps to the frames of the truth: NaN where there are none."""
    count = len(result.track)
    boxes, overlap = np.full((count, 4), np.nan, np.float32), np.full(count, np.nan)
    boxes[: len(result.boxes)] = result.boxes[:count]
    overlap[: len(result.scores.overlap)] = result.scores.overlap[:count]
    return Trajectory(result.track.name, size, result.track.boxes, boxes, overlap)


def _numbers(scores: ope.Scores, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "success_auc": scores.success_auc,
        "precision_20": scores.precision_20,
        "normalised_20": scores.normalised_20,
        "normalised_auc": scores.normalised_auc,
        "mean_iou": scores.mean_iou,
        "fps": store.rate(runs),
        "fps_tracker": store.rate_alone(runs),
        "frames": scores.frames,
    }


def _pooled(results: Sequence[Result]) -> dict[str, float]:
    pooled = ope.pooled([one.scores for one in results])
    return {"ao": pooled.ao, "sr_50": pooled.sr_50, "sr_75": pooled.sr_75}


def _conventions(convention: str) -> dict[str, str]:
    rules = ope.convention(convention)
    steps = len(rules.overlaps) - 1
    area = f"their mean ({steps}/{steps + 1} for a perfect run)"
    return {
        "name": convention,
        "frames": rules.text,
        "success": f"part of the frames with IoU > t at {steps + 1} thresholds 0,"
        f" {1 / steps:g}, ..., 1; success_auc is"
        f" {'the area under them, by trapezoids' if rules.trapezoid else area}",
        "precision": "part of the frames with a centre error <= d; precision_20 at 20 pixels;"
        " centres x + (width - 1) / 2",
        "normalised": "part of the frames with a centre error, in widths and heights of the"
        f" truth, <= d at {len(rules.distances)} distances to 0.5; normalised_20 at 0.2,"
        " normalised_auc as success_auc",
        "mean_iou": "mean over the frames that have a truth",
        "mean": "over sequences, each with the same weight",
        "intervals": aggregate.TEXT,
        "attributes": "mean over the sequences that have an attribute in at least one frame",
        "boxes": "x,y,width,height in pixels, 0-based; the last valid box where the tracker's"
        " answer is not valid",
        "fps": "tracker and decoding, from the answer for frame 1 to the last one",
        "fps_tracker": "the same frames, the tracker's steps alone",
    }
