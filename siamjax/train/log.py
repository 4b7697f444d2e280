"""The record of a training: metrics.jsonl always, TensorBoard where tensorboardX is installed.

A line is the mean over the steps since the line before. The sums of an unfinished line travel in
the checkpoint, so that a resumed training writes the lines of an uninterrupted one. Validations are
lines of their own.
"""

import importlib.util
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from siamjax import draw

FILE = "metrics.jsonl"
PICTURES = "pictures"


class Window:
    """Sums of metrics since the last line; skipped steps count, their values do not."""

    def __init__(self, state: Mapping[str, Any] | None = None):
        self._state = dict(state or {"steps": 0, "skipped": 0, "row": 0, "sums": {}})
        self._state["sums"] = dict(self._state["sums"])

    def add(self, metrics: Mapping[str, Any]) -> None:
        """Add one step's metrics."""
        skipped = bool(metrics["skipped"] > 0)
        self._state["steps"] += 1
        self._state["skipped"] += skipped
        self._state["row"] = self._state["row"] + 1 if skipped else 0
        if not skipped:
            sums = self._state["sums"]
            for name, value in metrics.items():
                if name != "skipped":
                    sums[name] = sums.get(name, 0.0) + float(value)

    @property
    def skipped_in_row(self) -> int:
        """Steps skipped one after another up to now."""
        return self._state["row"]

    def state(self) -> dict[str, Any]:
        """Give what the constructor takes; JSON holds it exactly."""
        return {**self._state, "sums": dict(self._state["sums"])}

    def take(self) -> dict[str, Any]:
        """Give the means and start anew. A mean without a step, or not finite, is None."""
        state = self._state
        counted = state["steps"] - state["skipped"]
        means = {name: total / counted for name, total in state["sums"].items()} if counted else {}
        line = {name: mean if math.isfinite(mean) else None for name, mean in means.items()}
        line.setdefault("loss", None)
        line["skipped"] = state["skipped"]
        self._state = {"steps": 0, "skipped": 0, "row": state["row"], "sums": {}}
        return line


class Log:
    """Writes lines and pictures; a context manager.

    Args:
        folder: of the training; None writes nothing, as hosts do that are not the first.
        step: the step that the training continues from; later lines are removed.
    """

    def __init__(self, folder: Path | None, step: int):
        self._folder = folder
        self._stream, self._board = None, None
        if folder is not None:
            truncate(folder / FILE, step)
            self._stream = (folder / FILE).open("a", buffering=1)
        if folder is not None and importlib.util.find_spec("tensorboardX") is not None:
            from tensorboardX import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        self._since = time.monotonic()
        self._samples = 0

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._board is not None:
            self._board.close()

    def start_clock(self) -> None:
        """Count samples per second from now, as after compiling."""
        self._since, self._samples = time.monotonic(), 0

    def count(self, samples: int) -> None:
        """Note that `samples` more were trained on."""
        self._samples += samples

    def write(self, step: int, line: Mapping[str, Any]) -> dict[str, Any]:
        """Write a line for `step` and give it with the samples per second added."""
        elapsed = time.monotonic() - self._since
        rate = self._samples / elapsed if elapsed > 0 else 0.0
        self.start_clock()
        return self.note(step, {**line, "samples_per_second": round(rate, 2)})

    def note(self, step: int, line: Mapping[str, Any]) -> dict[str, Any]:
        """Write a line as it is, and give it."""
        full = {"step": step, **line}
        if self._stream is not None:
            self._stream.write(json.dumps(full) + "\n")
        if self._board is not None:
            for name, value in full.items():
                if name != "step" and value is not None:
                    self._board.add_scalar(name, value, step)
        return full

    def picture(self, step: int, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Keep a picture as `pictures/STEP.png`; for TensorBoard too, where Pillow is installed."""
        if self._folder is None:
            return
        data, path = draw.png(picture), self._folder / PICTURES / f"{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(data)
        os.replace(temporary, path)
        if self._board is not None and importlib.util.find_spec("PIL") is not None:
            self._board.add_image(PICTURES, picture, step, dataformats="HWC")


def read(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a log; one that a kill cut short is left out."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def truncate(path: Path, step: int) -> None:
    """Remove the lines after `step`, wholly or not at all."""
    if path.exists():
        temporary = path.with_name(path.name + ".tmp")
        kept = [line for line in read(path) if line["step"] <= step]
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(temporary, path)
