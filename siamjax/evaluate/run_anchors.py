"""VOT's short-term challenge of 2020 and later: runs from anchors, kept, resumed and analysed.

Answers are kept in VOT's own files alone, and analysed as they are read back from there.
"""

import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from siamjax.data.readers.vot import AnchoredTrack
from siamjax.data.tracks import Track
from siamjax.evaluate import (
    aggregate,
    anchored,
    multistart,
    page,
    provenance,
    regions,
    resume,
    store,
    vot_files,
)
from siamjax.evaluate.drive import Clock, OnFrame, Tracker
from siamjax.evaluate.onepass import check_names
from siamjax.evaluate.realtime import RealTime, experiment_of, told_of
from siamjax.evaluate.supervised import known, truth_regions
from siamjax.typing import Variables


def starts(track: Track) -> list[tuple[int, bool]]:
    """Give the anchors of a track: (frame number, whether backward).

    Raises:
        ValueError: it has none.
    """
    if not isinstance(track, AnchoredTrack):
        raise ValueError(f"{track.name}: expected anchors to start from, in anchor.value")
    return multistart.directions(track.anchors)


def follow(
    track: Track,
    tracker: Tracker,
    variables: Variables,
    made: provenance.Maker,
    folder: Path,
    place: Path,
    *,
    real_time: RealTime | None = None,
    clock: Clock = time.perf_counter,
    on_frame: OnFrame | None = None,
) -> float:
    """Run a tracker from every anchor of a track; finished runs are not run again.

    Arguments are those of `run_vot.follow`, which also says what is finished; the track has
    anchors, and `place` gets `EXPERIMENT/SEQ/SEQ_00000000.txt`, one a run.

    Returns:
        Median seconds of the tracker's calls, decoding left out.

    Raises:
        ValueError: the track has no anchors, or as `anchored.run`.
        OSError: a folder cannot be written.
    """
    experiment = experiment_of(real_time)
    rate = real_time.fps if real_time else None

    def run(part: Track) -> dict[str, float]:
        timing = {"real_time": real_time, "clock": clock}
        found = anchored.run(part, tracker, variables, **timing, on_frame=on_frame)
        vot_files.write_anchored(place, part.name, *found, experiment)
        return {"seconds": float(np.nanmedian(found.seconds))}

    medians = []
    for at, backward in starts(track):
        part = multistart.from_anchor(track, at, backward=backward)
        made_with = made.key("anchored", part.name, len(part), part.boxes[0].tolist(), rate)
        path = place / experiment / track.name / f"{part.name}.txt"
        files = resume.sealed(folder, f"{part.name}.{experiment}", path, made_with)
        again = functools.partial(run, part)
        medians.append(resume.once(part.name, len(part), again, files, on_frame)["seconds"])
    return float(np.median(medians))


def read(track: Track, place: Path, experiment: str = "baseline") -> multistart.Runs:
    """Read the answers of every run over a track, and compare them with the truth.

    Raises:
        ValueError: as `starts` and `vot_files.read_anchored`.
    """
    overlaps, truths = [], []
    size, there = track.size(), known(truth_regions(track))
    truth = [anchored.truth_of(track, i) for i in range(len(track))]
    for at, backward in starts(track):
        order = multistart.order_of(len(track), at, backward)
        name = multistart.name_of(track.name, at)
        found = vot_files.read_anchored(place, name, len(order), experiment)
        pairs = zip(found, order, strict=True)
        overlaps.append(np.asarray([regions.overlap(one, truth[i], size) for one, i in pairs]))
        truths.append(there[order])
    return multistart.Runs(track.name, len(track), overlaps, truths)


def check(
    tracks: Sequence[Track], *, lengths: tuple[int, int] = (multistart.LOW, multistart.HIGH)
) -> None:
    """Refuse what cannot be run or scored, before anything is.

    Raises:
        ValueError: no tracks, names that are not unique or no file names, a track without anchors,
            lengths that no run reaches.
    """
    check_names([track.name for track in tracks], "tracks")
    each = ((len(track), start) for track in tracks for start in starts(track))
    longest = max(len(multistart.order_of(frames, *start)) for frames, start in each)
    if lengths[0] >= longest:
        raise ValueError(
            f"lengths: {lengths[0]} to {lengths[1]} are beyond the longest run, {longest} frames"
        )


def score(
    tracks: Sequence[Track],
    place: Path,
    out: str | Path | None = None,
    *,
    made: provenance.Maker | None = None,
    seconds: Mapping[str, float] | None = None,
    lengths: tuple[int, int] = (multistart.LOW, multistart.HIGH),
    real_time: RealTime | None = None,
    **about: Any,
) -> dict[str, Any]:
    """Score stored answers of runs from anchors.

    Args:
        tracks: as `follow`.
        place: folder of `EXPERIMENT/SEQ/SEQ_00000000.txt` (or `.bin`).
        out: folder for `results.json` and `report.html`; None keeps nothing.
        made: of the tracker, where it is known.
        seconds: median of the tracker's calls, by the name of the track.
        lengths: first and last length of the expected overlap.
        real_time: what the answers were made under, for the experiment's name.
        about: `model`, `data` and `format`, for the report.

    Returns:
        What `results.json` holds: `eao`, `accuracy`, `robustness`, `fps`, `frames`, `sequences`,
        conventions, the curve of the expected overlap, versions.

    Raises:
        ValueError: as `check`, `read` and `multistart.analyse`.
        OSError: the folder cannot be written.
    """
    check(tracks, lengths=lengths)
    experiment = experiment_of(real_time)
    runs = [read(track, place, experiment) for track in tracks]
    scores = multistart.analyse(runs, *lengths)
    seconds = seconds or {}
    frames = {one.name: sum(map(len, one.overlaps)) for one in runs}
    spent = sum(frames[name] * each for name, each in seconds.items())
    sequences = {
        one.name: {
            "accuracy": scores.sequences[one.name][0],
            "robustness": scores.sequences[one.name][1],
            "runs": len(one.overlaps),
            "frames": frames[one.name],
            "fps": 1 / seconds[one.name] if seconds.get(one.name) else None,
        }
        for one in runs
    }
    numbers = {
        "eao": scores.eao,
        "accuracy": scores.accuracy,
        "robustness": scores.robustness,
        "fps": sum(frames.values()) / spent if spent else None,
        "frames": sum(frames.values()),
        "intervals": {"eao": aggregate.told(scores.eao_interval)},
        "sequences": sequences,
        "conventions": {
            "name": "multistart",
            "run": f"from every anchor to the farther end of the clip; {told_of(real_time)}",
            "failure": f"the first of {multistart.PATIENCE} frames in a row with an overlap of"
            f" {multistart.THRESHOLD} at most",
            "accuracy": "mean overlap up to failures, over all frames up to them",
            "robustness": "part of the frames up to failures, sequences weighted by their length",
            "eao": f"mean of the expected overlap over lengths from {lengths[0]} to {lengths[1]}",
            "overlap": "counted in pixels, of masks where the truth or the answer is one",
            "intervals": aggregate.TEXT,
            "fps": "tracker alone, from the median time of a call",
        },
        "curves": {"expected_overlap": scores.curve.tolist()},
    }
    summary = provenance.described(numbers, made, **about)
    if out is not None:
        store.write_summary(Path(out), summary, _render(summary, runs, scores))
    return summary


def _render(
    summary: dict[str, Any], runs: Sequence[multistart.Runs], scores: multistart.Scores
) -> str:
    around = page.around(summary["intervals"]["eao"])
    headline = page.tiles(
        [
            (scores.eao, 3, f"expected average overlap (EAO){around}"),
            (scores.accuracy, 3, "accuracy"),
            (scores.robustness, 3, "robustness, part of the frames followed"),
            (summary["fps"], 1, "frames/s, tracker alone"),
        ]
    )
    lengths = np.arange(float(len(scores.curve))).tolist()
    curve = page.plot(lengths, scores.curve, {}, "length, frames")
    rows = []
    for one in sorted(runs, key=lambda one: -scores.sequences[one.name][1]):
        numbers = summary["sequences"][one.name]
        columns = (("robustness", 3), ("runs", 0), ("frames", 0), ("fps", 1))
        others = [(numbers[field], digits) for field, digits in columns]
        shown = np.concatenate([values[1:] for values in one.overlaps])
        rows.append(page.row(one.name, numbers["accuracy"], others, shown))
    heads = ("sequence", "accuracy", "robustness", "runs", "frames", "frames/s")
    body = f"""{headline}{page.plots({"Expected overlap": curve})}
<h2>Sequences</h2>{page.KEY}{page.table(heads, rows)}"""
    return page.page(summary, page.counted(len(rows), "sequence"), body)
