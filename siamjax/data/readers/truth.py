"""Ground-truth text files: one box or one label a line."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error.reason})") from error
    lines = text.rstrip().splitlines()
    if not lines:
        raise ValueError(f"{path}: holds no annotation")
    return lines


def read_boxes(path: Path) -> Float32[np.ndarray, "T 4"]:
    """Read boxes `x y width height`, separated by commas, tabs or spaces.

    Args:
        path: text file; `nan` marks an absent target.

    Returns:
        float32[T, 4], numbers as written.

    Raises:
        ValueError: naming the file and the line: not four numbers, or nothing at all.
    """
    rows = []
    for number, line in enumerate(_lines(path), 1):
        try:
            row = [float(word) for word in re.split(r"[,;\s]+", line.strip()) if word]
        except ValueError:
            row = []
        if len(row) != 4:
            raise ValueError(f"{path}, line {number}: expected four numbers, got {line!r}")
        rows.append(row)
    return np.asarray(rows, np.float32)


def read_labels(path: Path) -> Int[np.ndarray, " T"]:
    """Read one integer a line.

    Raises:
        ValueError: naming the file and the line that holds no integer.
    """
    values = []
    for number, line in enumerate(_lines(path), 1):
        try:
            values.append(int(line))
        except ValueError:
            raise ValueError(f"{path}, line {number}: expected an integer, got {line!r}") from None
    return np.asarray(values, np.int64)


def folders(root: Path) -> list[Path]:
    """Give the folders inside `root` by name, hidden ones left out.

    Raises:
        ValueError: `root` is missing or not a folder.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
