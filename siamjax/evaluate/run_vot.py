"""VOT's short-term challenge of 2013 to 2019: supervised runs, kept, resumed and analysed.

Answers are kept in VOT's own files alone, and analysed as they are read back from there.
"""

import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from siamjax.data.tracks import Track
from siamjax.evaluate import (
    aggregate,
    expected,
    page,
    provenance,
    resume,
    store,
    supervised,
    vot,
    vot_files,
)
from siamjax.evaluate.drive import Clock, OnFrame, Tracker
from siamjax.evaluate.onepass import check_tracks
from siamjax.evaluate.realtime import RealTime, experiment_of, told_of
from siamjax.typing import Variables

Year = str | tuple[int, int]
"""A key of `expected.INTERVALS`, or first and last length of the expected overlap."""


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
    """Run a tracker over one track with restarts; a finished one is not run again.

    It is finished where its file is complete and was made with the same variables, configuration,
    truth and number of frames (the pictures themselves are not compared).

    Args:
        track: from `siamjax.data.readers.vot`, with boxes or polygons.
        tracker: with `init` and `step`.
        variables: the tracker's.
        made: of tracker and variables.
        folder: of the evaluation.
        place: folder for `EXPERIMENT/SEQ/SEQ_001.txt`.
        real_time: None lets the frames wait.
        clock: seconds.
        on_frame: told after every frame.

    Returns:
        Median seconds of the tracker's calls, decoding left out.

    Raises:
        ValueError: as `supervised.run`.
        OSError: a folder cannot be written.
    """
    experiment = experiment_of(real_time)
    truth, rate = supervised.truth_regions(track).tolist(), real_time.fps if real_time else None
    made_with = made.key("supervised", track.name, len(track), truth, rate)
    path = place / experiment / track.name / f"{track.name}_001.txt"
    files = resume.sealed(folder, f"{track.name}.{experiment}", path, made_with)

    def run() -> dict[str, float]:
        timing = {"real_time": real_time, "clock": clock}
        found = supervised.run(track, tracker, variables, **timing, on_frame=on_frame)
        vot_files.write_supervised(place, track.name, [found.answers], experiment)
        return {"seconds": float(np.nanmedian(found.seconds))}

    return resume.once(track.name, len(track), run, files, on_frame)["seconds"]


def check(tracks: Sequence[Track], *, convention: str = "pysot", year: Year = "vot2018") -> None:
    """Refuse what cannot be run or scored, before anything is.

    Raises:
        ValueError: as `onepass.check_tracks`; truth that is masks; lengths beyond every sequence.
    """
    rules, (low, high) = vot.convention(convention), expected.interval(year)
    check_tracks(tracks)
    for track in tracks:
        if track.masks is not None:
            raise ValueError(
                f"{track.name}: expected boxes or polygons (VOT to 2019), got masks; runs from"
                " anchors take them (--split vot2020 to vot2022)"
            )
    longest = max(len(track) for track in tracks)
    if low + rules.first >= longest:
        raise ValueError(
            f"year: lengths {low} to {high} are beyond the longest sequence, {longest} frames"
        )


def score(
    tracks: Sequence[Track],
    place: Path,
    out: str | Path | None = None,
    *,
    made: provenance.Maker | None = None,
    seconds: Mapping[str, float] | None = None,
    convention: str = "pysot",
    year: Year = "vot2018",
    real_time: RealTime | None = None,
    **about: Any,
) -> dict[str, Any]:
    """Score stored answers of supervised runs.

    Args:
        tracks: as `follow`.
        place: folder of `EXPERIMENT/SEQ/SEQ_001.txt`; several runs over a sequence are averaged.
        out: folder for `results.json` and `report.html`; None keeps nothing.
        made: of the tracker, where it is known; its first run alone is scored then.
        seconds: median of the tracker's calls, by the name of the track.
        convention: a key of `vot.CONVENTIONS`.
        year: a key of `expected.INTERVALS`, or first and last length of the expected overlap.
        real_time: what the answers were made under, for the experiment's name.
        about: `model`, `data` and `format`, for the report.

    Returns:
        What `results.json` holds: `eao`, `accuracy`, `robustness`, `lost`, `reliability`, `fps`,
        `frames`, `sequences`, conventions, the curve of the expected overlap, versions.

    Raises:
        ValueError: as `check`, `vot_files.read_supervised` and `vot.analyse`.
        OSError: the folder cannot be written.
    """
    check(tracks, convention=convention, year=year)
    rules, (low, high) = vot.convention(convention), expected.interval(year)
    recordings = []
    for track in tracks:
        experiment = experiment_of(real_time)
        answers = vot_files.read_supervised(place, track.name, len(track), experiment)
        answers = answers if made is None else answers[:1]
        truth = supervised.truth_regions(track)
        recordings.append(vot.Recording(track.name, truth, track.size(), answers, track.tags))
    scores = vot.analyse(recordings, year, convention)
    frames = {one.name: len(one.truth) for one in recordings}
    spent = {name: frames[name] * each for name, each in (seconds or {}).items()}
    sequences = {}
    for name, count in frames.items():
        accuracy, lost = scores.sequences[name]
        sequences[name] = {
            "accuracy": None if np.isnan(accuracy) else accuracy,
            "lost": lost,
            "frames": count,
            "fps": count / spent[name] if spent.get(name) else None,
        }
    total = sum(spent.values())
    numbers = {
        "eao": scores.eao,
        "accuracy": scores.accuracy,
        "robustness": scores.robustness,
        "lost": scores.lost,
        "reliability": scores.reliability,
        "fps": scores.frames / total if total else None,
        "frames": scores.frames,
        "intervals": {"eao": aggregate.told(scores.eao_interval)},
        "sequences": sequences,
        "attributes": {
            tag: {**one._asdict(), "accuracy": None if np.isnan(one.accuracy) else one.accuracy}
            for tag, one in vot.by_attribute(recordings, convention).items()
        },
        "conventions": {
            "name": convention,
            "run": f"started again {expected.SKIP} frames after a failure, an overlap of zero;"
            f" {told_of(real_time)}",
            "accuracy": f"mean overlap over frames at least {vot.BURN_IN} after a start; null"
            " where there is none",
            "robustness": "failures (lost) per 100 frames",
            "reliability": "exp(-30 lost / frames), the chance to follow 30 frames",
            "eao": f"mean of the expected overlap over lengths from {low} to {high} frames",
            "attributes": "over the frames that have one alone: accuracy, and failures (lost)",
            "overlap": f"counted in pixels; {rules.text}",
            "intervals": aggregate.TEXT,
            "fps": "tracker alone, from the median time of a call",
        },
        "curves": {"expected_overlap": scores.curve.tolist()},
    }
    summary = provenance.described(numbers, made, **about)
    if out is not None:
        store.write_summary(Path(out), summary, _render(summary, recordings, scores))
    return summary


def _shown(one: vot.Recording) -> Float64[np.ndarray, " T"]:
    """Give overlaps over time: 0 at failures, NaN at starts and skipped frames."""
    overlap = vot.overlaps(one.truth, one.runs[0], one.size)
    return np.where(one.runs[0].codes == vot.FAILED, 0, overlap)


def _render(
    summary: dict[str, Any], recordings: Sequence[vot.Recording], scores: vot.Scores
) -> str:
    around = page.around(summary["intervals"]["eao"])
    headline = page.tiles(
        [
            (scores.eao, 3, f"expected average overlap (EAO){around}"),
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
    shown = [
        [
            escape(tag),
            "-" if one["accuracy"] is None else f"{one['accuracy']:.3f}",
            f"{one['lost']:g}",
            str(one["frames"]),
        ]
        for tag, one in summary["attributes"].items()
    ]
    heads = ("attribute", "accuracy", "failures", "frames")
    attributes = f"<h2>Attributes</h2>{page.plain('attributes', heads, shown)}" if shown else ""
    body = f"""{headline}{page.plots({"Expected overlap": curve})}{attributes}
<h2>Sequences</h2>{page.KEY}{table}"""
    return page.page(summary, page.counted(len(rows), "sequence"), body)
