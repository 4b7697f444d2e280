"""Omniglot: 1,623 handwritten characters of 50 alphabets by 20 people each, and its one-shot runs.

Layout: `images_background/ALPHABET/characterNN/*.png` and `images_evaluation/...` as published, or
one file `omniglot_full_packbits.npz` (bits of 105 x 105 drawings and names, by split);
`all_runs.zip`, or the folders `runNN` out of it. Drawings are dark ink on white.
Source: Lake, Salakhutdinov, Tenenbaum, "Human-level concept learning through probabilistic program
induction", Science 2015; the published repository's `one-shot-classification/demo.py`.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from siamjax.data.examples import Examples, decode, fit, read_fit

SIDE = 105
PACKED = "omniglot_full_packbits.npz"


def read(
    root: str | Path, split: Literal["background", "evaluation"], size: int = SIDE
) -> Examples:
    """Read all drawings of a split; the classes are characters, their groups alphabets.

    Args:
        root: folder of the data.
        split: `"background"`, 30 alphabets to learn from, or `"evaluation"`, the 20 others.
        size: side of the drawings, pixels.

    Raises:
        FileNotFoundError: the folder holds neither layout.
        ValueError: no such split, or a drawing is damaged.
    """
    if split not in ("background", "evaluation"):
        raise ValueError(f"split: expected 'background' or 'evaluation', got {split!r}")
    root = Path(root)
    packed, folder = root / PACKED, root / f"images_{split}"
    if packed.is_file():
        with np.load(packed) as archive:
            bits, names = archive[f"images_{split}"], archive[f"images_{split}_names"]
        drawings = [
            fit(np.where(drawing, 0, 255).astype(np.uint8), size, 1)
            for character in np.unpackbits(bits, axis=-1)[..., :SIDE]
            for drawing in character
        ]
        labels = np.repeat(np.arange(len(names)), bits.shape[1])
        names = [str(name) for name in names]
    elif folder.is_dir():
        characters = sorted(path for path in folder.glob("*/*") if path.is_dir())
        files = [sorted(path.glob("*.png")) for path in characters]
        drawings = [read_fit(path, size, 1) for paths in files for path in paths]
        labels = np.repeat(np.arange(len(characters)), [len(paths) for paths in files])
        names = [f"{path.parent.name}/{path.name}" for path in characters]
    else:
        raise FileNotFoundError(f"{root}: expected {PACKED} or images_{split}/ALPHABET/CHARACTER")
    if not drawings:
        raise FileNotFoundError(f"{folder}: no drawings")
    return Examples(
        np.stack(drawings), labels, tuple(names), tuple(name.split("/")[0] for name in names)
    )


class Run(NamedTuple):
    """One run of the one-shot benchmark: 20 characters of one alphabet, drawn by two people.

    Attributes:
        support: one drawing of each character.
        query: one more of each, by another hand, in another order.
        answer: for each query, the number of its character in `support`.
    """

    support: UInt8[np.ndarray, "ways size size 1"]
    query: UInt8[np.ndarray, "ways size size 1"]
    answer: Int[np.ndarray, " ways"]


def runs(root: str | Path, size: int = SIDE) -> list[Run]:
    """Read the official runs of 20-way one-shot recognition.

    Args:
        root: folder with `all_runs.zip`, or with the folders `run01`, `run02` ... out of it.
        size: side of the drawings, pixels.

    Raises:
        FileNotFoundError: there are no runs.
        ValueError: a drawing is damaged, or a run's list of answers names other files.
    """
    root = Path(root)
    packed = root / "all_runs.zip"
    if packed.is_file():
        with zipfile.ZipFile(packed) as archive:
            lists = [name for name in archive.namelist() if name.endswith("class_labels.txt")]
            found = [_run(archive.read, name, packed, size) for name in sorted(lists)]
    else:
        lists = sorted(root.glob("**/run[0-9][0-9]/class_labels.txt"))
        load = lambda name: (root / name).read_bytes()
        found = [_run(load, path.relative_to(root).as_posix(), root, size) for path in lists]
    if not found:
        raise FileNotFoundError(f"{root}: expected all_runs.zip or runNN/class_labels.txt")
    return found


def _run(load: Callable[[str], bytes], name: str, root: Path, size: int) -> Run:
    """Read one run: lines of a test drawing and the training drawing of the same character."""
    above = name.removesuffix("class_labels.txt").removesuffix("/")
    above = above[: above.rfind("/") + 1]
    lines = [line.split() for line in load(name).decode().splitlines() if line.strip()]
    if any(len(line) != 2 for line in lines):
        raise ValueError(f"{root}/{name}: expected lines of two files")
    tests, trains = zip(*lines, strict=True)
    support = sorted(set(trains))
    picture = lambda file: fit(decode(load(above + file), root / file), size, 1)
    return Run(
        np.stack([picture(file) for file in support]),
        np.stack([picture(file) for file in tests]),
        np.asarray([support.index(file) for file in trains]),
    )
