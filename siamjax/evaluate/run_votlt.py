"""VOT's long-term challenge: one pass, in which the tracker also says how sure it is.

Answers are analysed as they are read back from VOT's own files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from siamjax.data.tracks import Track
from siamjax.evaluate import aggregate, longterm, page, provenance, raster, store, vot_files
from siamjax.evaluate.drive import OnFrame, Tracker
from siamjax.evaluate.onepass import follow
from siamjax.evaluate.store import Run
from siamjax.typing import Variables


def evaluate(
    tracks: Sequence[Track],
    tracker: Tracker,
    variables: Variables,
    out: str | Path,
    place: Path,
    *,
    on_frame: OnFrame | None = None,
    **about: Any,
) -> dict[str, Any]:
    """Run a tracker over every track, score precision, recall and F, and keep the results.

    Finished sequences are not run again, as `run.evaluate` has it.

    Args:
        tracks: from `siamjax.data.readers.votlt`.
        tracker: with `init` and `step`; its scores are the confidences.
        variables: the tracker's.
        out: folder, as `run.evaluate` keeps it.
        place: folder for `longterm/SEQ/SEQ_001.txt` and its confidences.
        on_frame: told after every frame.
        about: `model`, `data` and `format`, for the report.

    Returns:
        As `score`.

    Raises:
        ValueError: as `longterm.analyse`, and `run.evaluate` of the tracks.
        OSError: a folder cannot be written.
    """
    made = provenance.maker(tracker, variables)
    runs = follow(tracks, tracker, variables, made, Path(out), on_frame=on_frame)
    for name, run in runs.items():
        vot_files.write_longterm(place, name, run.boxes, run.scores.round(4))
    return score(tracks, place, out, made=made, runs=runs, **about)


def score(
    tracks: Sequence[Track],
    place: Path,
    out: str | Path | None = None,
    *,
    made: provenance.Maker | None = None,
    runs: Mapping[str, Run] | None = None,
    **about: Any,
) -> dict[str, Any]:
    """Score stored answers of long-term runs.

    Args:
        tracks: as `evaluate`.
        place: folder of `longterm/SEQ/SEQ_001.txt` and its confidences.
        out: folder for `results.json` and `report.html`; None keeps nothing.
        made: of the tracker, where it is known.
        runs: by the name of the track, for their times.
        about: as `evaluate`.

    Returns:
        What `results.json` holds: `f`, `precision`, `recall`, `fps`, `frames`, `sequences`,
        conventions, curves over the thresholds, versions.

    Raises:
        ValueError: as `vot_files.read_longterm` and `longterm.analyse`.
        OSError: the folder cannot be written.
    """
    timed, answers = runs or {}, []
    for track in tracks:
        found = vot_files.read_longterm(place, track.name, len(track))
        confidence = np.full(len(track), np.nan) if found.confidence is None else found.confidence
        answers.append(longterm.Run(track.name, track.boxes, found.boxes, confidence, track.size()))
    scores = longterm.analyse(answers)
    sequences = {}
    for one in answers:
        precision, recall, f = scores.sequences[one.name]
        numbers = {"f": f, "precision": precision, "recall": recall}
        fps = timed[one.name].fps if one.name in timed else None
        sequences[one.name] = {**numbers, "fps": fps, "frames": len(one.truth)}
    numbers = {
        "f": scores.f,
        "precision": scores.precision,
        "recall": scores.recall,
        "threshold": scores.threshold if np.isfinite(scores.threshold) else None,
        "fps": store.rate(list(timed.values())),
        "fps_tracker": store.rate_alone(list(timed.values())),
        "frames": sum(len(one.truth) for one in answers),
        "intervals": {"f": aggregate.told(scores.f_interval)},
        "sequences": sequences,
        "conventions": {
            "name": "longterm",
            "precision": "mean overlap of the frames whose confidence reaches the threshold",
            "recall": "their overlap over the frames that show the target",
            "f": "harmonic mean of both, at the threshold where it is greatest (null: no bound)",
            "mean": "of precision and recall over sequences, each with the same weight",
            "overlap": "counted in pixels; the first frame is no answer",
            "intervals": aggregate.TEXT,
            "fps": "tracker and decoding, from the answer for frame 1 to the last one",
            "fps_tracker": "the same frames, the tracker's steps alone",
        },
        "curves": {
            "precision": scores.precisions.tolist(),
            "recall": scores.recalls.tolist(),
            "f": scores.fs.tolist(),
        },
    }
    summary = provenance.described(numbers, made, **about)
    if out is not None:
        store.write_summary(Path(out), summary, _render(summary, answers, scores))
    return summary


def _render(
    summary: dict[str, Any], answers: Sequence[longterm.Run], scores: longterm.Scores
) -> str:
    headline = page.tiles(
        [
            (scores.f, 3, f"F{page.around(summary['intervals']['f'])}"),
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
