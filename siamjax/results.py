"""The files of one tracking run: track.mp4 with what was found drawn, track.csv, track.json, masks.

Boxes are (x, y, width, height) in frame pixels, frames counted from 0, times in seconds. Masks are
one indexed PNG a frame, `masks/00000.png` for frame 0, as DAVIS keeps them: 0 the background,
n + 1 target n.
"""

import contextlib
import json
import math
import os
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from siamjax import __version__, draw, video
from siamjax.data import labels
from siamjax.follow import Tracked

COLUMNS = "frame,target,x,y,width,height,score"


class Outputs:
    """The files of one run; whatever ends the run, they hold what was tracked until then.

    While it runs the files are called `track.csv.partial` and `track.mp4.partial`; masks are there
    as they come. Those of an older run in the same folder are removed.

    Args:
        folder: for track.csv, track.json, track.mp4 and masks; made where it is missing.
        targets: number of boxes.
        about: further content of track.json (source, model); may grow until the end.
        rate: frames per second of track.mp4; None writes none.
        began: `time.perf_counter()` when the command began, for the seconds to the first box.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        targets: int,
        about: Mapping[str, Any],
        rate: float | None,
        began: float,
    ) -> None:
        self.complete = False
        self.count = 0
        self.about = dict(about)
        self.folder, self._targets, self._began = folder, targets, began
        self._frames: list[dict[str, Any]] = []
        self._first: float | None = None
        self._last = began
        self._film: _Film | None = None
        self._maps = _Maps(folder / "masks")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._csv = _Table(folder / "track.csv")
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(f"out: cannot write to {folder}: {reason}") from None
        if rate is not None:
            self._film = _Film(folder / "track.mp4", rate)

    def __enter__(self) -> "Outputs":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self.count == 0:  # nothing was tracked: older results stay
            self._discard()
            return
        failures = []
        endings = [self._csv.close, self._write_json]
        if self._film is not None:
            endings.append(self._film.close)
        for end in endings:  # each on its own: a full disk must not take the others along
            try:
                end()
            except OSError as failure:
                failures.append(failure)
        if failures and error is None:
            raise failures[0]

    def _discard(self) -> None:
        self._csv.discard()
        if self._film is not None:
            self._film.close()  # without a frame there is no file
        with contextlib.suppress(OSError):  # not empty: it was there before
            self.folder.rmdir()

    def write(self, result: Tracked) -> None:
        """Add one frame's result to every file."""
        now = time.perf_counter()
        self.count += 1
        if self.count == 2:  # the first frame's box was given, not found; all is compiled now
            self._first = now
        self._last = now
        found = {
            "frame": result.frame,
            "time": round(result.time, 6),
            "boxes": [_numbers(box) for box in result.boxes],
            "scores": _numbers(result.scores),
            "valid": result.valid.tolist(),
            "lost": result.lost.tolist(),
        }
        if result.rotated_boxes is not None:
            turned = result.rotated_boxes
            found["rotated_boxes"] = [[_numbers(corner) for corner in box] for box in turned]
        self._frames.append(found)
        self._csv.write(found)
        if self.count == 1:
            self._maps.clear()
        if result.labels is not None:
            self._maps.write(result.frame, result.labels)
        if self._film is not None:
            self._film.write(result)

    def speed(self) -> float | None:
        """Give frames per second since the first box was found."""
        if self._first is None or self.count <= 2:
            return None
        return (self.count - 2) / max(self._last - self._first, 1e-9)

    def summary(self) -> dict[str, Any]:
        """Give what a script wants to know about the run."""
        folder, speed = self.folder, self.speed()
        first = None if self._first is None else self._first - self._began
        files = {"csv": str(folder / "track.csv"), "json": str(folder / "track.json")}
        if self._film is not None:
            files["video"] = str(folder / "track.mp4")
        if self._maps.count:
            files["masks"] = str(folder / "masks")
        return {
            **files,
            "frames": self.count,
            "targets": self._targets,
            "complete": self.complete,
            "timing": {
                "frames_per_second": None if speed is None else round(speed, 2),
                "seconds_to_first_box": None if first is None else round(first, 3),
            },
        }

    def _write_json(self) -> None:
        content = {
            "siamjax": __version__,
            **self.about,
            "complete": self.complete,
            "timing": self.summary()["timing"],
            "frames": self._frames,
        }
        path = self.folder / "track.json"
        partial = path.with_name(path.name + ".partial")
        try:
            partial.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
            os.replace(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)  # half a JSON file is of no use
            raise


def _numbers(values: np.ndarray) -> list[float | None]:
    """Turn numbers into JSON's, a thousandth of a pixel fine; None where not finite."""
    return [round(value, 3) if math.isfinite(value) else None for value in values.tolist()]


class _Table:
    """track.csv, every line on the disk as it comes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        stream = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._file = os.fdopen(stream, "w", encoding="utf-8", buffering=1)
        self._file.write(COLUMNS + "\n")

    def write(self, found: dict[str, Any]) -> None:
        """Write one line a target; the box of a target that is not found has empty fields."""
        lines = []
        for target, (box, score) in enumerate(zip(found["boxes"], found["scores"], strict=True)):
            cells = ["" if cell is None else f"{cell:.10g}" for cell in (*box, score)]
            lines.append(",".join([str(found["frame"]), str(target), *cells]) + "\n")
        self._file.write("".join(lines))

    def discard(self) -> None:
        """Leave no trace."""
        self._file.close()
        self._partial.unlink()

    def close(self) -> None:
        """Give the file its name, also when its last lines could not be written."""
        try:
            self._file.close()
        finally:
            os.replace(self._partial, self._path)


class _Maps:
    """masks/00000.png and on, each of them whole or not there."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._folder = folder

    def clear(self) -> None:
        """Remove the maps of an older run, and the folder if nothing else is in it."""
        for path in self._folder.glob("*.png*"):
            if path.name.split(".")[0].isdecimal():
                path.unlink()
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def write(self, frame: int, found: np.ndarray) -> None:
        """Write the map of a frame.

        Raises:
            OSError: it cannot be written; those before it stay.
        """
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{frame:05d}.png"
        partial = path.with_name(path.name + ".partial")
        try:
            partial.write_bytes(labels.encode(found))
            os.replace(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        self.count += 1


class _Film:
    """track.mp4, drawn and encoded by a thread of its own."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._waiting: queue.Queue[Tracked | None] = queue.Queue(4)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="draw-and-encode", daemon=True)
        self._thread.start()

    def write(self, result: Tracked) -> None:
        """Queue a frame; waits only while four others wait.

        Raises:
            OSError: the file cannot be written.
        """
        if self._failure is not None:
            raise self._failure
        self._waiting.put(result)

    def close(self) -> None:
        """Encode what waits and finish the file."""
        self._waiting.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        overlay = draw.Overlay()
        try:
            with video.VideoWriter(self._path, self._rate) as writer:
                while (result := self._waiting.get()) is not None:
                    r = result
                    picture = overlay(
                        r.image, r.boxes, r.scores, r.valid, r.labels, r.rotated_boxes
                    )
                    writer.write(picture)
        except Exception as error:
            self._failure = error
            while self._waiting.get() is not None:  # let the other side go on to its end
                pass
