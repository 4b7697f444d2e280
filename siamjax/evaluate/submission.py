"""Runs over a split whose truth a server keeps: answered and packed, not scored."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from siamjax.data.tracks import Track
from siamjax.evaluate import page, provenance, store
from siamjax.evaluate.drive import OnFrame, Tracker
from siamjax.evaluate.onepass import follow
from siamjax.evaluate.store import Run, rate
from siamjax.typing import Variables


def withheld(tracks: Sequence[Track]) -> bool:
    """Tell whether no track has more than the truth of its first frame."""
    return all(len(track) > 1 and track.visible.tolist() == [0] for track in tracks)


def frame_seconds(run: Run) -> Float64[np.ndarray, " T"]:
    """Give the tracker's seconds a frame; 0 for the first two, which compile, and where unknown."""
    seconds = np.zeros(len(run.boxes))
    if run.timed and run.steps is not None:
        seconds[-run.timed :] = run.steps[-run.timed :]
    return seconds


def evaluate(
    tracks: Sequence[Track],
    tracker: Tracker,
    variables: Variables,
    out: str | Path,
    pack: Callable[[Mapping[str, Run]], Path],
    *,
    on_frame: OnFrame | None = None,
    **about: Any,
) -> dict[str, Any]:
    """Run a tracker over every track and pack its answers; finished sequences are not run again.

    Args:
        tracks: from a reader.
        tracker: with `init` and `step`.
        variables: the tracker's.
        out: folder, as `run.evaluate` keeps it.
        pack: writes the runs, by the name of their track, and gives the file to send in.
        on_frame: told after every frame.
        about: `model`, `data` and `format`, for the report.

    Returns:
        What `results.json` holds: `submission` (the file, from `out` on), `fps`, `frames`,
        `sequences`, `conventions`, versions.

    Raises:
        ValueError: as `run.evaluate`, of the tracks.
        OSError: the folder cannot be written.
    """
    folder = Path(out)
    made = provenance.maker(tracker, variables)
    runs = follow(tracks, tracker, variables, made, folder, on_frame=on_frame)
    numbers = {
        "submission": pack(runs).relative_to(folder).as_posix(),
        "fps": rate(list(runs.values())),
        "frames": sum(len(run.boxes) for run in runs.values()),
        "sequences": {
            name: {"fps": run.fps, "frames": len(run.boxes)} for name, run in runs.items()
        },
        "conventions": {
            "name": "submission",
            "truth": "of the first frame alone; the benchmark's server scores the answers",
            "fps": "tracker and decoding, from the answer for frame 1 to the last one",
        },
    }
    summary = provenance.described(numbers, made, **about)
    values = [(summary["fps"], 1, "frames/s, with decoding")]
    body = f"{page.tiles(values)}<h2>To send in</h2><p>{summary['submission']}</p>"
    shown = page.page(summary, page.counted(len(runs), "sequence"), body)
    store.write_summary(folder, summary, shown)
    return summary
