"""Ground-truth text files: one box, region or label a line; lists of names, folders of pictures."""

import re
from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int

from siamjax.data.media import PictureFolder, list_pictures


def read_text(path: Path) -> str:
    """Read a text file, with or without a byte order mark.

    Raises:
        ValueError: naming the file: cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error.reason})") from error


def _split(path: Path, text: str) -> list[str]:
    lines = text.rstrip().splitlines()
    if not lines:
        raise ValueError(f"{path}: holds no annotation")
    return lines


def _lines(path: Path) -> list[str]:
    return _split(path, read_text(path))


def read_rows(path: Path, expected: str, counts: Container[int]) -> list[list[float]]:
    """Read numbers separated by commas, semicolons, tabs or spaces, line by line.

    Args:
        path: text file.
        expected: what a line holds, for the message.
        counts: how many numbers a line may hold.

    Raises:
        ValueError: naming the file and the line: something else, or nothing at all.
    """
    return parse_rows(path, read_text(path), expected, counts)


def parse_rows(path: Path, text: str, expected: str, counts: Container[int]) -> list[list[float]]:
    """Read numbers from a text that is not a file of its own, as `read_rows`.

    Args:
        path: what errors name.
        text: the lines.
        expected: as `read_rows`.
        counts: as `read_rows`.
    """
    rows = []
    for number, line in enumerate(_split(path, text), 1):
        try:
            row = [float(word) for word in re.split(r"[,;\s]+", line.strip()) if word]
        except ValueError:
            row = None
        if row is None or len(row) not in counts:
            raise ValueError(f"{path}, line {number}: expected {expected}, got {line!r}")
        rows.append(row)
    return rows


def read_boxes(path: Path) -> Float32[np.ndarray, "T 4"]:
    """Read boxes `x y width height`, separated by commas, tabs or spaces.

    Args:
        path: text file; `nan` marks an absent target.

    Returns:
        float32[T, 4], numbers as written.

    Raises:
        ValueError: naming the file and the line: not four numbers, or nothing at all.
    """
    return np.asarray(read_rows(path, "four numbers", (4,)), np.float32)


def read_regions(path: Path) -> Float32[np.ndarray, "T values"]:
    """Read boxes (four numbers a line) or polygons of four corners (eight numbers), not both.

    A lone `nan` stands for a region that is not there.

    Raises:
        ValueError: naming the file and the line that holds something else.
    """
    rows = read_rows(path, "four or eight numbers", (1, 4, 8))
    values = max(map(len, rows))
    for number, row in enumerate(rows, 1):
        if len(row) == 1 and np.isnan(row[0]):
            row *= values
        if len(row) != values:
            raise ValueError(f"{path}, line {number}: expected {values} numbers, got {len(row)}")
    return np.asarray(rows, np.float32)


def read_flags(path: Path, frames: int) -> Bool[np.ndarray, " T"]:
    """Read a flag a frame, 0 or 1, on lines of their own or on one line; missing ones are 0.

    Raises:
        ValueError: naming the file: other numbers, or more of them than frames.
    """
    rows = read_rows(path, "zeros and ones", range(1, frames + 1))
    values = np.asarray([value for row in rows for value in row])
    if len(values) > frames or not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"{path}: expected {frames} zeros and ones at most, got {len(values)} numbers"
        )
    return np.concatenate([values, np.zeros(frames - len(values))]) > 0


def read_attributes(
    places: Sequence[Path], stem: str, names: Sequence[str], frames: int
) -> dict[str, Bool[np.ndarray, " T"]]:
    """Read which attributes a sequence has: a 0 or 1 for each name, in the file `STEM.txt`.

    Args:
        places: folders to look in; the first with such a file (letters' case left aside) is taken.
        stem: of the file.
        names: of the attributes, in the order of the flags.
        frames: of the sequence; it has an attribute in all of them or in none.

    Returns:
        By name; nothing where there is no file.

    Raises:
        ValueError: naming the file: other numbers, or another number of them.
    """
    inside = [path for place in places if place.is_dir() for path in sorted(place.glob("*.txt"))]
    path = next((one for one in inside if one.stem.casefold() == stem.casefold()), None)
    if path is None:
        return {}
    rows = read_rows(path, "zeros and ones", range(1, len(names) + 1))
    flags = [value for row in rows for value in row]
    if len(flags) != len(names) or not set(flags) <= {0, 1}:
        raise ValueError(f"{path}: expected {len(names)} zeros and ones, got {len(flags)} numbers")
    return {name: np.full(frames, bool(flag)) for name, flag in zip(names, flags, strict=True)}


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


def listed(path: Path) -> list[str]:
    """Read names, one a line.

    Raises:
        ValueError: naming the file: missing, or without a name.
    """
    return [line.strip() for line in _lines(path) if line.strip()]


def pictures(places: Sequence[Path]) -> PictureFolder:
    """Give the pictures of the first of these folders that holds any.

    Raises:
        ValueError: naming the first: none of them does.
    """
    for place in places:
        found = list_pictures(place) if place.is_dir() else ()
        if found:
            return PictureFolder(found)
    raise ValueError(f"{places[0]}: expected pictures, found none")


def between(media: PictureFolder, first: int, last: int) -> PictureFolder:
    """Keep the pictures whose names hold a number from `first` to `last`."""
    numbers = [int(re.sub(r"\D", "", path.stem) or -1) for path in media.paths]
    chosen = zip(media.paths, numbers, strict=True)
    return PictureFolder(tuple(path for path, number in chosen if first <= number <= last))


def first_only(boxes: Float32[np.ndarray, "B 4"], frames: int) -> Float32[np.ndarray, "T 4"]:
    """Fill up a lone first box, all that test splits tell, with NaN to the number of frames."""
    if len(boxes) != 1:
        return boxes
    return np.concatenate([boxes, np.full((frames - 1, 4), np.nan, np.float32)])
