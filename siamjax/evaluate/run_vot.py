"""VOT's short-term challenge of 2013 to 2019: supervised runs, kept, resumed and analysed.

Answers are kept in VOT's own files alone, and analysed as they are read back from there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from siamjax.data.tracks import Track
from siamjax.evaluate import expected, formats, page, provenance, store, supervised, vot
from siamjax.evaluate.drive import OnFrame, Tracker
from siamjax.evaluate.run import check_tracks
from siamjax.typing import Variables


class Finished(NamedTuple):
    """A sequence's run, and the median seconds of the tracker's calls, decoding left out."""

    recording: vot.Recording
    seconds: float


def _follow(
    track: Track,
    tracker: Tracker,
    variables: Variables,
    folder: Path,
    place: Path,
    made_with: str,
    on_frame: OnFrame | None,
) -> Finished:
    """Run one sequence, or read it where it is finished."""
    path = place / "baseline" / track.name / f"{track.name}_001.txt"
    told = store.sealed(folder, track.name, path, made_with)
    if told is None:
        found = supervised.run(track, tracker, variables, on_frame=on_frame)
        formats.write_vot(place, track.name, [found.answers])
        told = {"seconds": float(np.nanmedian(found.seconds))}
        store.seal(folder, track.name, path, made_with, told)
    elif on_frame:
        on_frame(track.name, len(track), len(track))
    answers = formats.read_vot(place, track.name, len(track))[:1]
    truth = supervised.truth_regions(track)
    recording = vot.Recording(track.name, truth, track.size(), answers, track.tags)
    return Finished(recording, told["seconds"])


def evaluate(
    tracks: Sequence[Track],
    tracker: Tracker,
    variables: Variables,
    out: str | Path,
    place: Path,
    *,
    convention: str = "pysot",
    year: str | tuple[int, int] = "vot2018",
    format: str = "",
    model: str = "",
    data: str = "",
    on_frame: OnFrame | None = None,
) -> dict[str, Any]:
    """Run a tracker over every track with restarts, and score accuracy, robustness and EAO.

    A sequence whose file is complete and was made with the same variables, configuration, truth and
    number of frames is not run again (the pictures themselves are not compared).

    Args:
        tracks: from `siamjax.data.readers.vot`.
        tracker: with `init` and `step`.
        variables: the tracker's.
        out: folder for `results.json`, `report.html` and `timing/`.
        place: folder for `baseline/SEQ/SEQ_001.txt`.
        convention: a key of `vot.CONVENTIONS`.
        year: a key of `expected.INTERVALS`, or first and last length of the expected overlap.
        format: of the dataset, for the report.
        model: name for the report.
        data: name of the dataset for the report.
        on_frame: told after every frame.

    Returns:
        What `results.json` holds: `eao`, `accuracy`, `robustness`, `lost`, `reliability`, `fps`,
        `frames`, `sequences`, conventions, the curve of the expected overlap, versions.

    Raises:
        ValueError: as `vot.analyse` and `run.check_tracks`; truth that is masks; every sequence
            shorter than the expected overlap is averaged over.
        OSError: a folder cannot be written.
    """
    rules, (low, high) = vot.convention(convention), expected.interval(year)
    check_tracks(tracks)
    for track in tracks:
        if track.masks is not None:
            raise ValueError(
                f"{track.name}: expected boxes or polygons (VOT to 2019), got masks; runs from"
                " anchors are in siamjax.evaluate.multistart"
            )
    longest = max(len(track) for track in tracks)
    if low + rules.first >= longest:
        raise ValueError(
            f"year: lengths {low} to {high} are beyond the longest sequence, {longest} frames"
        )
    folder, made = Path(out), provenance.maker(tracker, variables)
    finished = []
    for track in tracks:
        truth = supervised.truth_regions(track).tolist()
        made_with = made.key("supervised", track.name, len(track), truth)
        parts = (track, tracker, variables, folder, place, made_with, on_frame)
        finished.append(_follow(*parts))
    recordings = [one.recording for one in finished]
    scores = vot.analyse(recordings, year, convention)
    frames = [len(one.recording.truth) for one in finished]
    seconds = sum(count * one.seconds for count, one in zip(frames, finished, strict=True))
    sequences = {}
    for one, count in zip(finished, frames, strict=True):
        accuracy, lost = scores.sequences[one.recording.name]
        sequences[one.recording.name] = {
            "accuracy": None if np.isnan(accuracy) else accuracy,
            "lost": lost,
            "frames": count,
            "fps": _rate(1, one.seconds),
        }
    summary = {
        "model": model,
        "data": data,
        "format": format,
        **made.header(),
        "eao": scores.eao,
        "accuracy": scores.accuracy,
        "robustness": scores.robustness,
        "lost": scores.lost,
        "reliability": scores.reliability,
        "fps": _rate(scores.frames, seconds),
        "frames": scores.frames,
        "sequences": sequences,
        "conventions": {
            "name": convention,
            "run": f"started again {expected.SKIP} frames after a failure, an overlap of zero",
            "accuracy": f"mean overlap over frames at least {vot.BURN_IN} after a start; null"
            " where there is none",
            "robustness": "failures (lost) per 100 frames",
            "reliability": "exp(-30 lost / frames), the chance to follow 30 frames",
            "eao": f"mean of the expected overlap over lengths from {low} to {high} frames",
            "overlap": f"counted in pixels; {rules.text}",
            "fps": "tracker alone, from the median time of a call",
        },
        "curves": {"expected_overlap": scores.curve.tolist()},
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
    }
    store.write_summary(folder, summary, _render(summary, recordings, scores))
    return summary


def _rate(frames: int, seconds: float) -> float | None:
    return frames / seconds if seconds > 0 else None


def _shown(one: vot.Recording) -> Float64[np.ndarray, " T"]:
    """Give overlaps over time: 0 at failures, NaN at starts and skipped frames."""
    overlap = vot.overlaps(one.truth, one.runs[0], one.size)
    return np.where(one.runs[0].codes == vot.FAILED, 0, overlap)


def _render(
    summary: dict[str, Any], recordings: Sequence[vot.Recording], scores: vot.Scores
) -> str:
    headline = page.tiles(
        [
            (scores.eao, 3, "expected average overlap (EAO)"),
            (scores.accuracy, 3, "accuracy"),
            (scores.robustness, 3, "failures per 100 frames"),
            (scores.lost, 0, "failures"),
            (summary["fps"], 1, "frames/s, tracker alone"),
        ]
    )
    lengths = np.arange(float(len(scores.curve))).tolist()
    curve = page.plot(lengths, scores.curve, {}, "length, frames")
    by_name = {one.name: one for one in recordings}
    accuracies = {name: one["accuracy"] or 0.0 for name, one in summary["sequences"].items()}
    rows = []
    for name in sorted(accuracies, key=lambda name: -accuracies[name]):
        numbers = summary["sequences"][name]
        others = [(numbers["lost"], 0), (numbers["frames"], 0), (numbers["fps"], 1)]
        rows.append(page.row(name, accuracies[name], others, _shown(by_name[name])))
    table = page.table(("sequence", "accuracy", "failures", "frames", "frames/s"), rows)
    body = f"""{headline}{page.plots({"Expected overlap": curve})}
<h2>Sequences</h2>{page.KEY}{table}"""
    return page.page(summary, page.counted(len(rows), "sequence"), body)
