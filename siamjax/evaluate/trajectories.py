"""Where target and tracker were in every frame: kept by an evaluation for the reports on it.

`trajectories.npz` holds all sequences of one evaluation, one after another, so that a folder of
results can be reported on, beside those of other trackers, without the dataset.
"""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

from siamjax.weights import npz

FILE = "trajectories.npz"
_NAMES = ("names", "frames", "sizes", "truth", "boxes", "overlap")


class Trajectory(NamedTuple):
    """One sequence: boxes (x, y, width, height) in pixels, 0-based; NaN where there is none.

    `overlap` is that of the scores: NaN in frames that are not counted or show no target.
    """

    name: str
    size: tuple[int, int]
    """(width, height) of the frames."""
    truth: Float32[np.ndarray, "T 4"]
    boxes: Float32[np.ndarray, "T 4"]
    overlap: Float64[np.ndarray, " T"]


def write(folder: Path, trajectories: Sequence[Trajectory]) -> None:
    """Write the file of an evaluation, wholly or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    parts = {
        "names": np.array([one.name for one in trajectories], np.str_),
        "frames": np.array([len(one.truth) for one in trajectories], np.int64),
        "sizes": np.array([one.size for one in trajectories], np.int64),
        "truth": np.concatenate([one.truth for one in trajectories]),
        "boxes": np.concatenate([one.boxes for one in trajectories]),
        "overlap": np.concatenate([one.overlap for one in trajectories]).astype(np.float32),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **parts)
    folder.mkdir(parents=True, exist_ok=True)
    npz.write(folder / FILE, buffer.getvalue())


def read(folder: Path) -> list[Trajectory]:
    """Read the file of an evaluation.

    Raises:
        ValueError: naming it: missing (written by evaluations of boxes alone), or damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; expected a folder of `siamjax evaluate` with boxes (run it"
            " again on a folder of an older version: finished sequences are not run twice)"
        )
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            names, frames, sizes, truth, boxes, overlap = (file[name] for name in _NAMES)
        ends = np.cumsum(frames)[:-1]
        rows = zip(
            names.tolist(),
            sizes.tolist(),
            *(np.split(values, ends) for values in (truth, boxes, overlap.astype(np.float64))),
            strict=True,
        )
        return [Trajectory(name, (w, h), *arrays) for name, (w, h), *arrays in rows]
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
