"""Run a tracker over annotated clips and score it: frames are streamed, results kept as files.

The tracker starts once, on the first frame's truth, and is never helped again (one-pass
evaluation). Where its answer is not valid, the last valid box counts as its answer.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Shaped

from siamjax import geometry
from siamjax.data.readers.davis import Scene
from siamjax.data.readers.truth import read_boxes
from siamjax.data.tracks import Track
from siamjax.evaluate import ope, provenance, report, store
from siamjax.evaluate.drive import OnFrame, Tracker, drive, next_frame
from siamjax.evaluate.store import Run
from siamjax.track.state import Out
from siamjax.typing import AnyArray, Variables

Clip = TypeVar("Clip", Track, Scene)


class Result(NamedTuple):
    """One sequence, run and scored."""

    name: str
    scores: ope.Scores
    run: Run | None


def evaluate_boxes(
    track: Track, boxes: Shaped[AnyArray, "P 4"], convention: str = "visible"
) -> ope.Scores:
    """Score boxes for one track, in the frames that show its target; see `ope.score`."""
    size = track.size() if ope.convention(convention).to_frame else None
    try:
        return ope.score(track.boxes, boxes, convention, visible=track.shown, size=size)
    except ValueError as error:
        raise ValueError(f"{track.name}: {error}") from error


def choose(tracks: Sequence[Clip], names: Sequence[str]) -> list[Clip]:
    """Give the tracks (or scenes) of these names, in the order of the dataset; all without names.

    Raises:
        ValueError: a name that no track has; the message suggests the closest.
    """
    known = [track.name for track in tracks]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "known are "
            some = "" if close else ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
            raise ValueError(f"unknown sequence {name!r}: {hint}{some}")
    return [track for track in tracks if not names or track.name in names]


def run_track(
    track: Track,
    tracker: Tracker,
    variables: Variables,
    *,
    hyper: Any = None,
    on_frame: OnFrame | None = None,
) -> Run:
    """Follow one target from the truth of its first frame through its clip.

    Args:
        track: the clip and its truth.
        tracker: with `init` and `step`.
        variables: the tracker's.
        hyper: tracking constants; the tracker's preset by default.
        on_frame: told after every frame.

    Returns:
        One box and score a frame; frame 0 is the box given, with score 1.

    Raises:
        ValueError: the first frame's truth cannot be tracked, or the clip ends early.
    """
    total = len(track.boxes)
    boxes, scores = np.empty((total, 4), np.float32), np.empty(total, np.float32)
    frames = iter(track.media)
    frame = next_frame(frames, track.name, 0, total)
    height, width = frame.shape[:2]
    boxes[0] = geometry.check_box(track.boxes[0], width, height, f"{track.name}: first truth")
    scores[0] = 1

    def take(index: int, out: Out) -> None:
        boxes[index] = np.asarray(out.box) if bool(out.valid) else boxes[index - 1]
        scores[index] = np.asarray(out.score)

    state = tracker.init(variables, frame, boxes[0].copy(), hyper)
    step = lambda state, frame: tracker.step(variables, state, frame, hyper)
    seconds, timed = drive(frames, track.name, total, state, step, take, on_frame)
    return Run(store.rounded(boxes), scores, seconds, timed)


def follow(
    tracks: Sequence[Track],
    tracker: Tracker,
    variables: Variables,
    made: provenance.Maker,
    folder: Path | None = None,
    *,
    hyper: Any = None,
    on_frame: OnFrame | None = None,
) -> dict[str, Run]:
    """Follow every track's target; finished sequences are read from the folder.

    Args:
        tracks: from a reader.
        tracker: with `init` and `step`.
        variables: the tracker's.
        made: of tracker, variables and constants.
        folder: of the evaluation; None keeps nothing.
        hyper: tracking constants; the tracker's preset by default.
        on_frame: told after every frame.

    Returns:
        Runs by the name of their track, in order.

    Raises:
        ValueError: as `evaluate`, of the tracks.
        OSError: the folder cannot be written.
    """
    check_tracks(tracks)
    runs = {}
    for track in tracks:
        made_with = made.key(track.name, len(track.boxes), track.boxes[0].tolist())
        run = store.load(folder, track.name, made_with) if folder else None
        if run is None:
            run = run_track(track, tracker, variables, hyper=hyper, on_frame=on_frame)
            if folder:
                store.save(folder, track.name, run, made_with)
        elif on_frame:
            on_frame(track.name, len(track.boxes), len(track.boxes))
        runs[track.name] = run
    return runs


def evaluate(
    tracks: Sequence[Track],
    tracker: Tracker,
    variables: Variables,
    out: str | Path | None = None,
    *,
    hyper: Any = None,
    convention: str = "visible",
    export: Callable[[Mapping[str, Run]], None] | None = None,
    format: str = "",
    model: str = "",
    data: str = "",
    on_frame: OnFrame | None = None,
) -> dict[str, Any]:
    """Run a tracker over every track, score it, and keep the results in a folder.

    A sequence whose files are complete and were made with the same variables, configuration,
    constants, first box and number of frames is not run again (the pictures themselves are not
    compared).

    Args:
        tracks: from a reader.
        tracker: with `init` and `step`.
        variables: the tracker's.
        out: folder for `results.json`, `report.html`, `boxes/`, `scores/` and `timing/`; None
            keeps nothing, as a search over `hyper` wants it.
        hyper: tracking constants; the tracker's preset by default.
        convention: a key of `ope.CONVENTIONS`.
        export: told the runs by the name of their track, to write them in another format.
        format: of the dataset, for the report.
        model: name for the report.
        data: name of the dataset for the report.
        on_frame: told after every frame.

    Returns:
        What `results.json` holds: `success_auc`, `precision_20`, `mean_iou`, `fps` over the
        dataset and in `sequences` for each, curves, conventions, versions.

    Raises:
        ValueError: no tracks, two of one name, a name that is no file name, an unknown convention,
            a first frame without truth, a clip that ends early.
        OSError: the folder cannot be written.
    """
    ope.convention(convention)
    folder = None if out is None else Path(out)
    made = provenance.maker(tracker, variables, hyper)
    runs = follow(tracks, tracker, variables, made, folder, hyper=hyper, on_frame=on_frame)
    if export:
        export(runs)
    results = [
        Result(track.name, evaluate_boxes(track, run.boxes, convention), run)
        for track, run in zip(tracks, runs.values(), strict=True)
    ]
    header = {"model": model, "data": data, "format": format, **made.header()}
    return _finish(results, header, convention, folder)


def score(
    tracks: Sequence[Track],
    boxes: str | Path,
    out: str | Path | None = None,
    *,
    convention: str = "visible",
    format: str = "",
    model: str = "",
    data: str = "",
) -> dict[str, Any]:
    """Score stored boxes, `NAME.txt` with `x y width height` a frame, without a tracker.

    Args:
        tracks: from a reader.
        boxes: folder of the text files; 0-based pixels, separated by commas, tabs or spaces.
        out: folder for `results.json` and `report.html`; None keeps nothing.
        convention: a key of `ope.CONVENTIONS`.
        format: of the dataset, for the report.
        model: whose boxes they are, for the report.
        data: name of the dataset for the report.

    Returns:
        As `evaluate`; `fps` is None.

    Raises:
        ValueError: as `evaluate`, and a file that is missing or has another number of lines.
    """
    ope.convention(convention)
    check_tracks(tracks)
    results = []
    for track in tracks:
        found = read_boxes(Path(boxes) / f"{track.name}.txt")
        results.append(Result(track.name, evaluate_boxes(track, found, convention), None))
    header = {"model": model, "data": data, "format": format}
    return _finish(results, header, convention, None if out is None else Path(out))


def check_tracks(tracks: Sequence[Track]) -> None:
    """Refuse tracks that cannot be run one after another into one folder.

    Raises:
        ValueError: none, two of one name, a name that is no file name, no truth to start from.
    """
    if not tracks:
        raise ValueError("tracks: expected at least one sequence, got none")
    seen: set[str] = set()
    for track in tracks:
        if track.name in seen:
            raise ValueError(f"tracks: two sequences have the name {track.name!r}")
        if Path(track.name).name != track.name:
            raise ValueError(f"tracks: the name {track.name!r} cannot be a file's name")
        if not len(track.boxes) or not ope.present(track.boxes[:1])[0]:
            raise ValueError(f"{track.name}: the first frame has no truth to start from")
        seen.add(track.name)


def _numbers(scores: ope.Scores, fps: float | None) -> dict[str, Any]:
    return {
        "success_auc": scores.success_auc,
        "precision_20": scores.precision_20,
        "normalised_20": scores.normalised_20,
        "normalised_auc": scores.normalised_auc,
        "mean_iou": scores.mean_iou,
        "fps": fps,
        "frames": scores.frames,
    }


def _pooled(results: Sequence[Result]) -> dict[str, float]:
    pooled = ope.pooled([result.scores for result in results])
    return {"ao": pooled.ao, "sr_50": pooled.sr_50, "sr_75": pooled.sr_75}


def rate(runs: Sequence[Run]) -> float | None:
    """Give the frames a second of runs together; None where nothing was timed."""
    seconds = sum(run.seconds for run in runs if run.timed)
    return sum(run.timed for run in runs) / seconds if seconds > 0 else None


def _finish(
    results: Sequence[Result], header: dict[str, Any], convention: str, folder: Path | None
) -> dict[str, Any]:
    """Average, describe, and write `results.json` and `report.html`."""
    total = ope.mean([result.scores for result in results])
    rules = ope.convention(convention)
    steps = len(rules.overlaps) - 1
    area = f"their mean ({steps}/{steps + 1} for a perfect run)"
    summary = {
        **header,
        **_numbers(total, rate([result.run for result in results if result.run])),
        **(_pooled(results) if convention == "got10k-val" else {}),
        "sequences": {
            one.name: _numbers(one.scores, one.run.fps if one.run else None) for one in results
        },
        "conventions": {
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
            "boxes": "x,y,width,height in pixels, 0-based; the last valid box where the tracker's"
            " answer is not valid",
            "fps": "tracker and decoding, from the answer for frame 1 to the last one",
        },
        "curves": {
            "overlaps": list(rules.overlaps),
            "success": total.success.tolist(),
            "pixels": ope.PIXELS.tolist(),
            "precision": total.precision.tolist(),
            "distances": list(rules.distances),
            "normalised": total.normalised.tolist(),
        },
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
    }
    if folder is not None:
        page = report.render(summary, {one.name: one.scores for one in results})
        store.write_summary(folder, summary, page)
    return summary
