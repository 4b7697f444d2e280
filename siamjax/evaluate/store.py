"""The files of one evaluation, and when a finished sequence need not be run again.

`boxes/NAME.txt` holds `x,y,width,height` a frame (pixels, 0-based, 4 decimals), `scores/NAME.txt`
a score a frame, `timing/NAME.json` the seconds and the seal: what the run was made with and the
SHA-256 of both files. The seal is written last, so a sequence with a matching one is complete.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float32

from siamjax.data.readers.truth import read_boxes
from siamjax.typing import Variables
from siamjax.weights import npz


class Run(NamedTuple):
    """A tracker's boxes over one clip.

    `seconds` is the time from the answer for frame 1 to the answer for the last frame, decoding
    included, and `timed` the number of frames answered in it (0 for clips of one or two frames).
    """

    boxes: Float32[np.ndarray, "T 4"]
    scores: Float32[np.ndarray, " T"]
    seconds: float
    timed: int

    @property
    def fps(self) -> float | None:
        """Frames a second, steady state; None where nothing was timed."""
        return self.timed / self.seconds if self.timed and self.seconds > 0 else None


def digest(variables: Variables) -> str:
    """Hash every array of the variables with its name, dtype and shape: SHA-256, hexadecimal."""
    leaves = jax.tree_util.tree_flatten_with_path(variables)[0]
    return npz.digest({jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves})


def key(made_with: Mapping[str, Any]) -> str:
    """Hash a JSON-able description of everything that the boxes depend on."""
    text = json.dumps(made_with, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _paths(folder: Path, name: str) -> tuple[Path, Path, Path]:
    return (
        folder / "boxes" / f"{name}.txt",
        folder / "scores" / f"{name}.txt",
        folder / "timing" / f"{name}.json",
    )


def _seal(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def save(folder: Path, name: str, run: Run, made_with: str) -> None:
    """Write a finished sequence; each file wholly or not at all, the seal last.

    Args:
        folder: of the evaluation.
        name: of the sequence.
        run: what the tracker answered.
        made_with: from `key`.

    Raises:
        OSError: the folder cannot be written.
    """
    rows = (",".join(f"{value:.4f}" for value in row) for row in run.boxes.tolist())
    boxes = "".join(f"{row}\n" for row in rows).encode()
    scores = "".join(f"{value:.4f}\n" for value in run.scores.tolist()).encode()
    timing = {
        "made_with": made_with,
        "seconds": run.seconds,
        "timed": run.timed,
        "sha256": _seal(boxes, scores),
    }
    contents = (boxes, scores, json.dumps(timing).encode())
    for path, data in zip(_paths(folder, name), contents, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        npz.write(path, data)


def load(folder: Path, name: str, made_with: str) -> Run | None:
    """Read a finished sequence.

    Returns:
        None where it is missing, incomplete, changed since, or made with something else.
    """
    boxes_path, scores_path, timing_path = _paths(folder, name)
    try:
        boxes, scores = boxes_path.read_bytes(), scores_path.read_bytes()
        timing = json.loads(timing_path.read_bytes())
        sealed = (timing["made_with"], timing["sha256"]) == (made_with, _seal(boxes, scores))
        seconds, timed = float(timing["seconds"]), int(timing["timed"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not sealed:
        return None
    values = np.array(scores.decode().split(), np.float32)
    return Run(read_boxes(boxes_path), values, seconds, timed)
