"""One-pass evaluation: a tracker run over annotated clips (`onepass`), or stored boxes, scored."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from siamjax.data.readers.truth import read_boxes
from siamjax.data.tracks import Track
from siamjax.evaluate import formats, ope, provenance
from siamjax.evaluate.drive import OnFrame, Tracker
from siamjax.evaluate.onepass import check_tracks, follow
from siamjax.evaluate.store import Run
from siamjax.evaluate.summary import Result, finish
from siamjax.typing import AnyArray, Variables


def evaluate_boxes(
    track: Track, boxes: Shaped[AnyArray, "P 4"], convention: str = "visible"
) -> ope.Scores:
    """Score boxes for one track, in the frames that show its target; see `ope.score`."""
    size = track.size() if ope.convention(convention).to_frame else None
    try:
        return ope.score(track.boxes, boxes, convention, visible=track.shown, size=size)
    except ValueError as error:
        raise ValueError(f"{track.name}: {error}") from error


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
        out: folder for `results.json`, `report.html`, `trajectories.npz`, `boxes/`, `scores/` and
            `timing/`; None keeps nothing, as a search over `hyper` wants it.
        hyper: tracking constants; the tracker's preset by default.
        convention: a key of `ope.CONVENTIONS`.
        export: told the runs by the name of their track, to write them in another format.
        format: of the dataset, for the report.
        model: name for the report.
        data: name of the dataset for the report.
        on_frame: told after every frame.

    Returns:
        What `results.json` holds: `success_auc`, `precision_20`, `mean_iou`, `fps` over the
        dataset and in `sequences` for each, `intervals` of confidence, means by `attributes`,
        curves, conventions, versions.

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
        Result(track, run.boxes, evaluate_boxes(track, run.boxes, convention), run)
        for track, run in zip(tracks, runs.values(), strict=True)
    ]
    header = {"model": model, "data": data, "format": format, **made.header()}
    return finish(results, header, convention, folder)


def score(
    tracks: Sequence[Track],
    boxes: str | Path | Mapping[str, Sequence[formats.Result]],
    out: str | Path | None = None,
    *,
    convention: str = "visible",
    format: str = "",
    model: str = "",
    data: str = "",
) -> dict[str, Any]:
    """Score stored boxes without a tracker.

    Args:
        tracks: from a reader.
        boxes: by the name of the track, the runs over it, whose scores are averaged; or a folder of
            `NAME.txt` with `x y width height` a frame, 0-based, separated by commas, tabs or
            spaces.
        out: folder for `results.json` and `report.html`; None keeps nothing.
        convention: a key of `ope.CONVENTIONS`.
        format: of the dataset, for the report.
        model: whose boxes they are, for the report.
        data: name of the dataset for the report.

    Returns:
        As `evaluate`; `fps` is None, `fps_tracker` of the times that are stored beside the boxes.

    Raises:
        ValueError: as `evaluate`, and a file that is missing or has another number of lines.
    """
    ope.convention(convention)
    check_tracks(tracks)
    results = []
    for track in tracks:
        if isinstance(boxes, Mapping):
            found = boxes[track.name]
        else:
            path = Path(boxes) / f"{track.name}.txt"
            found = [formats.Result(np.asarray(read_boxes(path), np.float64))]
        scores = [evaluate_boxes(track, one.boxes, convention) for one in found]
        results.append(Result(track, found[0].boxes, _averaged(scores), _timed(found[0])))
    header = {"model": model, "data": data, "format": format}
    return finish(results, header, convention, None if out is None else Path(out))


def _averaged(scores: Sequence[ope.Scores]) -> ope.Scores:
    """Average the scores of runs over one sequence, frame by frame too."""
    if len(scores) == 1:
        return scores[0]
    overlap = np.mean([one.overlap for one in scores], axis=0)
    return ope.mean(scores)._replace(frames=scores[0].frames, overlap=overlap)


def _timed(found: formats.Result) -> Run | None:
    """Take the times of stored boxes for those of the tracker alone; first frames of 0 not."""
    if found.seconds is None:
        return None
    untimed = np.flatnonzero(~(found.seconds > 0))
    timed = len(found.seconds) - (int(untimed[-1]) + 1 if len(untimed) else 0)
    boxes = np.asarray(found.boxes, np.float32)
    return Run(boxes, np.ones(len(boxes), np.float32), 0.0, timed, found.seconds)
