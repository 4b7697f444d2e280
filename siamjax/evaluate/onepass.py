"""One pass of a tracker over annotated clips: frames are streamed, finished clips kept as files.

The tracker starts once, on the first frame's truth, and is never helped again. Where its answer is
not valid, the last valid box counts as its answer.
"""

import difflib
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from siamjax import geometry
from siamjax.data.readers.davis import Scene
from siamjax.data.tracks import Track
from siamjax.evaluate import ope, provenance, resume, store
from siamjax.evaluate.drive import OnFrame, Tracker, drive, next_frame, opened
from siamjax.evaluate.store import Run
from siamjax.track.state import Out
from siamjax.typing import Variables

Clip = TypeVar("Clip", Track, Scene)


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
    boxes, scores = np.empty((total, 4), np.float32), np.ones(total, np.float32)

    def take(index: int, out: Out) -> None:
        boxes[index] = np.asarray(out.box) if bool(out.valid) else boxes[index - 1]
        scores[index] = np.asarray(out.score)

    step = lambda state, frame: tracker.step(variables, state, frame, hyper)
    with opened(track.media) as frames:
        frame = next_frame(frames, track.name, 0, total)
        height, width = frame.shape[:2]
        boxes[0] = geometry.check_box(track.boxes[0], width, height, f"{track.name}: first truth")
        start = lambda: tracker.init(variables, frame, boxes[0].copy(), hyper)
        times = drive(frames, track.name, total, start, step, take, on_frame)
    return Run(store.rounded(boxes), scores, *times)


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
        told = {"hyper": hyper, "on_frame": on_frame}
        run = functools.partial(run_track, track, tracker, variables, **told)
        files = folder and resume.Files(
            functools.partial(store.load, folder, track.name, made_with),
            functools.partial(store.save, folder, track.name, made_with=made_with),
        )
        runs[track.name] = resume.once(track.name, len(track.boxes), run, files, on_frame)
    return runs


def check_tracks(tracks: Sequence[Track]) -> None:
    """Refuse tracks that cannot be run one after another into one folder.

    Raises:
        ValueError: none, two of one name, a name that is no file name, no truth to start from.
    """
    check_names([track.name for track in tracks], "tracks")
    for track in tracks:
        if not len(track.boxes) or not ope.present(track.boxes[:1])[0]:
            raise ValueError(f"{track.name}: the first frame has no truth to start from")


def check_names(names: Sequence[str], what: str) -> None:
    """Refuse names of sequences that cannot stand beside each other as files.

    Raises:
        ValueError: none, two that are equal, one that is no file name.
    """
    if not names:
        raise ValueError(f"{what}: expected at least one sequence, got none")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what}: two sequences have the name {name!r}")
        if Path(name).name != name:
            raise ValueError(f"{what}: the name {name!r} cannot be a file's name")
