"""The files of one evaluation, and when a finished sequence need not be run again.

`boxes/NAME.txt` holds `x,y,width,height` a frame (pixels, 0-based, 4 decimals), `scores/NAME.txt`
a score a frame, `timing/NAME.json` the seconds and the seal: what the run was made with and the
SHA-256 of both files. The seal is written last, so a sequence with a matching one is complete.
Label maps are `masks/NAME/00000.png` a frame, indexed, and sealed in `timing/NAME.masks.json`.
Files that a benchmark's own format keeps are sealed in `timing/NAME.seal.json`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float32, Float64

from siamjax.data import labels
from siamjax.data.labels import Labels
from siamjax.data.readers.truth import read_boxes
from siamjax.typing import Variables
from siamjax.weights import npz


class Run(NamedTuple):
    """A tracker's boxes over one clip.

    `seconds` is the time from the answer for frame 1 to the answer for the last frame, decoding
    included, and `timed` the number of frames answered in it (0 for clips of one or two frames).
    `steps` are the seconds of the tracker alone, frame by frame; None from earlier versions.
    """

    boxes: Float32[np.ndarray, "T 4"]
    scores: Float32[np.ndarray, " T"]
    seconds: float
    timed: int
    steps: Float64[np.ndarray, " T"] | None = None

    @property
    def fps(self) -> float | None:
        """Frames a second, steady state; None where nothing was timed."""
        return rate([self])

    @property
    def fps_tracker(self) -> float | None:
        """Frames a second of the tracker alone, steady state; None where nothing was timed."""
        return rate_alone([self])


def rate(runs: Sequence[Run]) -> float | None:
    """Give the frames a second of runs together, decoding included; None if none was timed."""
    seconds = sum(run.seconds for run in runs if run.timed)
    return sum(run.timed for run in runs) / seconds if seconds > 0 else None


def rate_alone(runs: Sequence[Run]) -> float | None:
    """Give the frames a second of runs together, the tracker's steps alone; None if none was."""
    known = [(run.timed, run.steps) for run in runs if run.timed and run.steps is not None]
    seconds = sum(float(steps[-timed:].sum()) for timed, steps in known)
    return sum(timed for timed, _ in known) / seconds if seconds > 0 else None


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


def rounded(boxes: Float32[np.ndarray, "T 4"]) -> Float32[np.ndarray, "T 4"]:
    """Round boxes to what the files keep of them."""
    return boxes.astype(np.float64).round(4).astype(np.float32)


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
        "steps": None if run.steps is None else run.steps.tolist(),
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
        told = timing.get("steps")
        steps = None if told is None else np.asarray(told, np.float64)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not sealed:
        return None
    values = np.array(scores.decode().split(), np.float32)
    return Run(read_boxes(boxes_path), values, seconds, timed, steps)


def _masks_paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / "masks" / name, folder / "timing" / f"{name}.masks.json"


def save_maps(folder: Path, name: str, maps: Sequence[Labels], made_with: str) -> None:
    """Write the label maps of a finished clip, the seal last.

    Args:
        folder: of the evaluation.
        name: of the clip.
        maps: one a frame; none at all from a tracker without masks, which is sealed too.
        made_with: from `key`.

    Raises:
        OSError: the folder cannot be written.
    """
    place, seal = _masks_paths(folder, name)
    seal.unlink(missing_ok=True)
    for old in place.glob("*.png"):
        old.unlink()
    pictures = [labels.encode(one) for one in maps]
    for i, data in enumerate(pictures):
        place.mkdir(parents=True, exist_ok=True)
        npz.write(place / f"{i:05d}.png", data)
    sealed = {"made_with": made_with, "frames": len(maps), "sha256": _seal(*pictures)}
    seal.parent.mkdir(parents=True, exist_ok=True)
    npz.write(seal, json.dumps(sealed).encode())


def load_maps(folder: Path, name: str, made_with: str) -> list[Labels] | None:
    """Read the label maps of a finished clip.

    Returns:
        None where they are missing, incomplete, changed since, or made with something else.
    """
    place, seal = _masks_paths(folder, name)
    try:
        sealed = json.loads(seal.read_bytes())
        pictures = [(place / f"{i:05d}.png").read_bytes() for i in range(sealed["frames"])]
        matches = (sealed["made_with"], sealed["sha256"]) == (made_with, _seal(*pictures))
        return [labels.decode(data) for data in pictures] if matches else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _seal_path(folder: Path, name: str) -> Path:
    return folder / "timing" / f"{name}.seal.json"


def seal(folder: Path, name: str, path: Path, made_with: str, told: Mapping[str, Any]) -> None:
    """Seal the file of a finished sequence that another format keeps.

    Args:
        folder: of the evaluation.
        name: of the sequence.
        path: of its file, which is complete.
        made_with: from `key`.
        told: what else to keep, JSON-ready.

    Raises:
        OSError: the folder cannot be written.
    """
    sealed = {"made_with": made_with, "sha256": _seal(path.read_bytes()), "told": dict(told)}
    place = _seal_path(folder, name)
    place.parent.mkdir(parents=True, exist_ok=True)
    npz.write(place, json.dumps(sealed).encode())


def sealed(folder: Path, name: str, path: Path, made_with: str) -> dict[str, Any] | None:
    """Give what was told when the file of a sequence was sealed.

    Returns:
        None where file or seal are missing, changed since, or made with something else.
    """
    try:
        found = json.loads(_seal_path(folder, name).read_bytes())
        matches = (found["made_with"], found["sha256"]) == (made_with, _seal(path.read_bytes()))
        return dict(found["told"]) if matches else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_summary(folder: Path, summary: Mapping[str, Any], page: str) -> None:
    """Write `results.json` and `report.html`; each wholly or not at all.

    Raises:
        OSError: the folder cannot be written.
        ValueError: the summary holds what JSON does not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(summary, indent=1, allow_nan=False)
    npz.write(folder / "results.json", f"{text}\n".encode())
    npz.write(folder / "report.html", page.encode())
