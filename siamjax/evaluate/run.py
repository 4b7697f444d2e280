"""Run a tracker over annotated clips and score it: frames are streamed, results kept as files.

The tracker starts once, on the first frame's truth, and is never helped again (one-pass
evaluation). Where its answer is not valid, the last valid box counts as its answer. Frames/s is
tracker and decoding together, from the answer for frame 1 to the last one, so that compiling and
`init` are left out; decoding the next frame overlaps the step before it.
"""

import difflib
import importlib.metadata
import json
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Shaped

import siamjax
from siamjax import geometry
from siamjax.data.readers.truth import read_boxes
from siamjax.data.tracks import Track
from siamjax.evaluate import ope, report, store
from siamjax.evaluate.store import Run
from siamjax.track.state import Out
from siamjax.typing import AnyArray, Frame, Variables
from siamjax.weights import npz

OnFrame = Callable[[str, int, int], None]
"""Told (sequence, frames done, frames of the sequence); at once (T, T) for one that is resumed."""


@runtime_checkable
class Tracker(Protocol):
    """What is asked of a tracker here."""

    def init(self, variables: Any, frame: Any, box: Any, hyper: Any = None) -> Any: ...

    def step(
        self, variables: Any, state: Any, frame: Any, hyper: Any = None
    ) -> tuple[Any, Out]: ...


class Result(NamedTuple):
    """One sequence, run and scored."""

    name: str
    scores: ope.Scores
    run: Run | None


def evaluate_boxes(
    track: Track, boxes: Shaped[AnyArray, "P 4"], convention: str = "visible"
) -> ope.Scores:
    """Score boxes for one track; see `ope.score`."""
    try:
        return ope.score(track.boxes, boxes, convention)
    except ValueError as error:
        raise ValueError(f"{track.name}: {error}") from error


def choose(tracks: Sequence[Track], names: Sequence[str]) -> list[Track]:
    """Give the tracks of these names, in the order of the dataset; all without names.

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
    frame = _next(frames, track, 0)
    height, width = frame.shape[:2]
    boxes[0] = geometry.check_box(track.boxes[0], width, height, f"{track.name}: first truth")
    scores[0] = 1
    answered = 0
    pending: deque[Out] = deque()

    def answer() -> None:
        nonlocal answered
        out, answered = pending.popleft(), answered + 1
        boxes[answered] = np.asarray(out.box) if bool(out.valid) else boxes[answered - 1]
        scores[answered] = np.asarray(out.score)
        if on_frame:
            on_frame(track.name, answered + 1, total)

    state = tracker.init(variables, frame, boxes[0].copy(), hyper)
    if on_frame:
        on_frame(track.name, 1, total)
    start = end = time.perf_counter()
    for index in range(1, total):
        state, out = tracker.step(variables, state, _next(frames, track, index), hyper)
        pending.append(out)
        if index == 1:
            answer()
            start = time.perf_counter()
        elif len(pending) > 1:
            answer()
    while pending:
        answer()
        end = time.perf_counter()
    timed = max(total - 2, 0)
    boxes = boxes.astype(np.float64).round(4).astype(np.float32)  # as the files keep them
    return Run(boxes, scores, end - start if timed else 0.0, timed)


def _next(frames: Iterator[Frame], track: Track, index: int) -> Frame:
    frame = next(frames, None)
    if frame is None:
        raise ValueError(f"{track.name}: ends before frame {index} of {len(track.boxes)}")
    return frame


def evaluate(
    tracks: Sequence[Track],
    tracker: Tracker,
    variables: Variables,
    out: str | Path | None = None,
    *,
    hyper: Any = None,
    convention: str = "visible",
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
    _check(tracks, convention)
    folder = None if out is None else Path(out)
    sha256 = store.digest(variables)
    constants = _constants(tracker, hyper)
    results = []
    for track in tracks:
        made_with = store.key(
            {
                "siamjax": siamjax.__version__,
                "variables": sha256,
                "tracker": repr(tracker),
                "hyper": constants,
                "sequence": [track.name, len(track.boxes), track.boxes[0].tolist()],
            }
        )
        run = store.load(folder, track.name, made_with) if folder else None
        if run is None:
            run = run_track(track, tracker, variables, hyper=hyper, on_frame=on_frame)
            if folder:
                store.save(folder, track.name, run, made_with)
        elif on_frame:
            on_frame(track.name, len(track.boxes), len(track.boxes))
        results.append(Result(track.name, evaluate_boxes(track, run.boxes, convention), run))
    header = {
        "model": model,
        "model_sha256": sha256,
        "tracker": repr(tracker),
        "hyper": constants,
        "data": data,
        "format": format,
    }
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
    _check(tracks, convention)
    results = []
    for track in tracks:
        found = read_boxes(Path(boxes) / f"{track.name}.txt")
        results.append(Result(track.name, evaluate_boxes(track, found, convention), None))
    header = {"model": model, "data": data, "format": format}
    return _finish(results, header, convention, None if out is None else Path(out))


def _check(tracks: Sequence[Track], convention: str) -> None:
    ope.convention(convention)
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


def _constants(tracker: Tracker, hyper: Any) -> dict[str, Any] | None:
    """Give the tracking constants by name, as JSON can hold them."""
    chosen = hyper if hyper is not None else getattr(tracker, "hyper", lambda: None)()
    if chosen is None:
        return None
    values = {name: np.asarray(value).tolist() for name, value in chosen._asdict().items()}
    return {name: str(v) if v in (np.inf, -np.inf) else v for name, v in values.items()}


def _numbers(scores: ope.Scores, fps: float | None) -> dict[str, Any]:
    return {
        "success_auc": scores.success_auc,
        "precision_20": scores.precision_20,
        "mean_iou": scores.mean_iou,
        "fps": fps,
        "frames": scores.frames,
    }


def _finish(
    results: Sequence[Result], header: dict[str, Any], convention: str, folder: Path | None
) -> dict[str, Any]:
    """Average, describe, and write `results.json` and `report.html`."""
    total = ope.mean([result.scores for result in results])
    runs = [result.run for result in results if result.run is not None and result.run.timed]
    seconds = sum(run.seconds for run in runs)
    fps = sum(run.timed for run in runs) / seconds if seconds > 0 else None
    rules = ope.convention(convention)
    summary = {
        **header,
        **_numbers(total, fps),
        "sequences": {
            one.name: _numbers(one.scores, one.run.fps if one.run else None) for one in results
        },
        "conventions": {
            "name": convention,
            "frames": rules.text,
            "success": "part of the frames with IoU > t at 21 thresholds 0, 0.05, ..., 1;"
            " success_auc is their mean (20/21 for a perfect run)",
            "precision": "part of the frames with a centre error <= d; precision_20 at 20 pixels;"
            " centres x + (width - 1) / 2",
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
        },
        "hardware": _hardware(),
        "versions": _versions(),
    }
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(summary, indent=1, allow_nan=False)
        npz.write(folder / "results.json", f"{text}\n".encode())
        page = report.render(summary, {one.name: one.scores for one in results})
        npz.write(folder / "report.html", page.encode())
    return summary


def _hardware() -> str:
    device = jax.devices()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    accelerator = "" if device.platform == "cpu" else f", {device.device_kind}"
    return f"{processor}, {cores} cores{accelerator}"


def _versions() -> dict[str, str]:
    packages = ("jax", "flax", "numpy", "opencv-python-headless", "opencv-python", "av")
    versions = {"siamjax": siamjax.__version__, "python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
