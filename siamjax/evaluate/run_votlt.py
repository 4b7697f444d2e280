"""VOT's long-term challenge: one pass, in which the tracker also says how sure it is.

Answers are analysed as they are read back from VOT's own files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from siamjax.data.tracks import Track
from siamjax.evaluate import formats, longterm, page, provenance, raster, store
from siamjax.evaluate.drive import OnFrame, Tracker
from siamjax.evaluate.run import follow, rate
from siamjax.typing import Variables


def evaluate(
    tracks: Sequence[Track],
    tracker: Tracker,
    variables: Variables,
    out: str | Path,
    place: Path,
    *,
    format: str = "",
    model: str = "",
    data: str = "",
    on_frame: OnFrame | None = None,
) -> dict[str, Any]:
    """Run a tracker over every track, score precision, recall and F, and keep the results.

    Finished sequences are not run again, as `run.evaluate` has it.

    Args:
        tracks: from `siamjax.data.readers.votlt`.
        tracker: with `init` and `step`; its scores are the confidences.
        variables: the tracker's.
        out: folder, as `run.evaluate` keeps it.
        place: folder for `longterm/SEQ/SEQ_001.txt` and its confidences.
        format: of the dataset, for the report.
        model: name for the report.
        data: name of the dataset for the report.
        on_frame: told after every frame.

    Returns:
        What `results.json` holds: `f`, `precision`, `recall`, `fps`, `frames`, `sequences`,
        conventions, curves over the thresholds, versions.

    Raises:
        ValueError: as `longterm.analyse`, and `run.evaluate` of the tracks.
        OSError: a folder cannot be written.
    """
    folder, made = Path(out), provenance.maker(tracker, variables)
    runs = follow(tracks, tracker, variables, made, folder, on_frame=on_frame)
    answers = []
    for track in tracks:
        run = runs[track.name]
        formats.write_votlt(place, track.name, run.boxes, run.scores.round(4))
        found = formats.read_votlt(place, track.name, len(track))
        confidence = np.full(len(track), np.nan) if found.confidence is None else found.confidence
        answers.append(longterm.Run(track.name, track.boxes, found.boxes, confidence, track.size()))
    scores = longterm.analyse(answers)
    sequences = {}
    for name, (precision, recall, f) in scores.sequences.items():
        numbers = {"f": f, "precision": precision, "recall": recall}
        sequences[name] = {**numbers, "fps": runs[name].fps, "frames": len(runs[name].boxes)}
    summary = {
        "model": model,
        "data": data,
        "format": format,
        **made.header(),
        "f": scores.f,
        "precision": scores.precision,
        "recall": scores.recall,
        "threshold": scores.threshold if np.isfinite(scores.threshold) else None,
        "fps": rate(list(runs.values())),
        "frames": sum(len(run.boxes) for run in runs.values()),
        "sequences": sequences,
        "conventions": {
            "name": "longterm",
            "precision": "mean overlap of the frames whose confidence reaches the threshold",
            "recall": "their overlap over the frames that show the target",
            "f": "harmonic mean of both, at the threshold where it is greatest (null: no bound)",
            "mean": "of precision and recall over sequences, each with the same weight",
            "overlap": "counted in pixels; the first frame is no answer",
            "fps": "tracker and decoding, from the answer for frame 1 to the last one",
        },
        "curves": {
            "precision": scores.precisions.tolist(),
            "recall": scores.recalls.tolist(),
            "f": scores.fs.tolist(),
        },
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
    }
    store.write_summary(folder, summary, _render(summary, answers, scores))
    return summary


def _render(
    summary: dict[str, Any], answers: Sequence[longterm.Run], scores: longterm.Scores
) -> str:
    headline = page.tiles(
        [
            (scores.f, 3, "F"),
            (scores.precision, 3, "precision"),
            (scores.recall, 3, "recall"),
            (summary["fps"], 1, "frames/s, with decoding"),
        ]
    )
    both = {"precision": scores.precisions, "recall": scores.recalls}
    places = np.arange(float(len(scores.fs))).tolist()
    curves = page.plot(places, scores.fs, both, "threshold, the strictest first")
    overlaps = {one.name: raster.overlap(one.regions, one.truth, one.size) for one in answers}
    rows = []
    for name in sorted(summary["sequences"], key=lambda name: -summary["sequences"][name]["f"]):
        numbers = summary["sequences"][name]
        columns = (("precision", 3), ("recall", 3), ("frames", 0), ("fps", 1))
        others = [(numbers[field], digits) for field, digits in columns]
        rows.append(page.row(name, numbers["f"], others, overlaps[name]))
    table = page.table(("sequence", "F", "precision", "recall", "frames", "frames/s"), rows)
    body = f"""{headline}{page.plots({"F, with precision and recall": curves})}
<h2>Sequences</h2>{page.KEY}{table}"""
    return page.page(summary, page.counted(len(rows), "sequence"), body)
