"""Result files in the formats of the benchmarks' own toolkits and servers, written and read.

In memory boxes are 0-based; files of OTB and LaSOT are 1-based, the others as in memory. A `nan` in
a file is a frame without an answer, which scores as a miss. A file with fewer lines than the
sequence has frames is refused, save where a toolkit cuts the sequence instead (`shorter`).
"""

import io
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from siamjax import geometry
from siamjax.data.readers import truth
from siamjax.typing import AnyArray
from siamjax.weights import npz

_DATE = (1980, 1, 1, 0, 0, 0)  # the same results make the same zip


class Result(NamedTuple):
    """One run over one sequence: boxes, and where told seconds and confidences a frame."""

    boxes: Float64[np.ndarray, "T 4"]
    seconds: Float64[np.ndarray, " T"] | None = None
    confidence: Float64[np.ndarray, " T"] | None = None


def text_of(values: Float[AnyArray, "T values"], decimals: int) -> str:
    """Write numbers as text, separated by commas, a line a row."""
    rows = np.asarray(values, np.float64).tolist()
    return "".join(",".join(f"{value:.{decimals}f}" for value in row) + "\n" for row in rows)


def write_text(path: Path, text: str) -> None:
    """Write a file, wholly or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    npz.write(path, text.encode())


def _columns(path: Path) -> Float64[np.ndarray, "T columns"]:
    rows = truth.read_rows(path, "seconds", range(1, 1000))
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(f"{path}, line {number}: expected {len(rows[0])}, got {len(row)}")
    return np.asarray(rows)


def write_boxes(
    path: str | Path, boxes: Float[AnyArray, "T 4"], *, origin: int = 0, decimals: int = 3
) -> None:
    """Write boxes `x,y,width,height` a line.

    Args:
        path: file; its folder is made.
        boxes: [T, 4], 0-based pixels.
        origin: coordinate of the first pixel in the file, 0 or 1.
        decimals: digits after the point.

    Raises:
        OSError: it cannot be written.
    """
    boxes = np.asarray(boxes, np.float64)
    shown = np.asarray(geometry.to_one_based(boxes)) if origin else boxes
    write_text(Path(path), text_of(shown, decimals))


def check_lines(path: Path, lines: int, frames: int, *, shorter: bool = False) -> None:
    """Refuse a file whose lines are not as many as the frames.

    Raises:
        ValueError: naming the file and the first line that is missing or too many.
    """
    if lines < frames and not shorter:
        raise ValueError(f"{path}, line {lines + 1}: missing, expected {frames} lines")
    if lines > frames:
        raise ValueError(f"{path}, line {frames + 1}: expected {frames} lines, got {lines}")


def read_boxes(
    path: str | Path, frames: int, *, origin: int = 0, shorter: bool = False
) -> Float64[np.ndarray, "T 4"]:
    """Read boxes `x y width height`, separated by commas, semicolons, tabs or spaces.

    Args:
        path: file.
        frames: of the sequence.
        origin: coordinate of the first pixel in the file, 0 or 1.
        shorter: take a file with fewer lines, for conventions that cut the sequence ("got10k").

    Returns:
        [frames, 4], or fewer rows, 0-based.

    Raises:
        ValueError: naming the file and the line: not four numbers, an infinite one, a side below 0,
            too few or too many lines.
    """
    path = Path(path)
    rows = np.asarray(truth.read_rows(path, "four numbers", (4,)))
    for number, row in enumerate(rows.tolist(), 1):
        if any(map(math.isinf, row)) or min(row[2:]) < 0:
            raise ValueError(f"{path}, line {number}: not a box, {row}")
    check_lines(path, len(rows), frames, shorter=shorter)
    return np.asarray(geometry.from_one_based(rows)) if origin else rows


def write_otb(folder: str | Path, name: str, boxes: Float[AnyArray, "T 4"]) -> None:
    """Write `NAME.txt`, 1-based: OTB, DTB70, UAV123, TColor128, and LaSOT's toolkit."""
    write_boxes(Path(folder) / f"{name}.txt", boxes, origin=1)


def read_otb(
    folder: str | Path, name: str, frames: int, *, shorter: bool = False
) -> Float64[np.ndarray, "T 4"]:
    """Read `NAME.txt`, 1-based; see `read_boxes`."""
    return read_boxes(Path(folder) / f"{name}.txt", frames, origin=1, shorter=shorter)


def write_lasot(folder: str | Path, tracker: str, name: str, boxes: Float[AnyArray, "T 4"]) -> None:
    """Write `TRACKER_tracking_result/NAME.txt`, 1-based."""
    write_otb(Path(folder) / f"{tracker}_tracking_result", name, boxes)


def read_lasot(
    folder: str | Path, tracker: str, name: str, frames: int
) -> Float64[np.ndarray, "T 4"]:
    """Read `TRACKER_tracking_result/NAME.txt`, 1-based; see `read_boxes`."""
    return read_otb(Path(folder) / f"{tracker}_tracking_result", name, frames)


def write_got10k(folder: str | Path, name: str, runs: Sequence[Result]) -> None:
    """Write `NAME/NAME_001.txt` and so on, and `NAME/NAME_time.txt` with a column a run.

    Raises:
        ValueError: a run without seconds.
    """
    place = Path(folder) / name
    for number, run in enumerate(runs, 1):
        if run.seconds is None:
            raise ValueError(f"runs: {name} has no seconds in run {number}")
        write_boxes(place / f"{name}_{number:03d}.txt", run.boxes)
    seconds = np.stack([run.seconds for run in runs if run.seconds is not None], axis=1)
    write_text(place / f"{name}_time.txt", text_of(seconds, 8))


def repetitions(place: Path, name: str) -> list[Path]:
    """Find the files `NAME_001.txt` and so on, one a run.

    Raises:
        ValueError: there is none.
    """
    found = sorted(p for p in place.glob(f"{name}_*.txt") if re.fullmatch(r".*_\d+", p.stem))
    if not found:
        raise ValueError(f"{place / f'{name}_001.txt'}: no such file")
    return found


def read_got10k(folder: str | Path, name: str, frames: int) -> list[Result]:
    """Read every run over a sequence; seconds are None where the file of times is absent.

    Raises:
        ValueError: as `read_boxes`, no run, or other times than runs and frames.
    """
    place = Path(folder) / name
    boxes = [read_boxes(path, frames) for path in repetitions(place, name)]
    path = place / f"{name}_time.txt"
    if not path.is_file():
        return [Result(one) for one in boxes]
    seconds = _columns(path)
    check_lines(path, len(seconds), frames)
    if seconds.shape[1] != len(boxes):
        raise ValueError(f"{path}: expected {len(boxes)} columns, got {seconds.shape[1]}")
    return [Result(one, seconds[:, k]) for k, one in enumerate(boxes)]


def _zip(path: Path, files: Mapping[str, bytes]) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _DATE), files[name], zipfile.ZIP_DEFLATED)
    path.parent.mkdir(parents=True, exist_ok=True)
    npz.write(path, data.getvalue())


def zip_got10k(folder: str | Path, path: str | Path) -> None:
    """Pack what `write_got10k` wrote as the server of the test split wants it: SEQ folders on top.

    Raises:
        ValueError: the folder holds no result.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*/*.txt"))
    if not files:
        raise ValueError(f"{folder}: expected SEQ/SEQ_001.txt, found none")
    _zip(Path(path), {p.relative_to(folder).as_posix(): p.read_bytes() for p in files})


def write_trackingnet(path: str | Path, boxes: Mapping[str, Float[np.ndarray, "_ 4"]]) -> None:
    """Write the zip that TrackingNet's server wants: `SEQ.txt` on top."""
    _zip(Path(path), {f"{name}.txt": text_of(one, 3).encode() for name, one in boxes.items()})


def read_trackingnet(
    path: str | Path, frames: Mapping[str, int]
) -> dict[str, Float64[np.ndarray, "_ 4"]]:
    """Read the sequences of a zip.

    Args:
        path: of the zip.
        frames: of each sequence that is asked for.

    Raises:
        ValueError: naming the file: no zip, a sequence missing, and as `read_boxes`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            held = {name: archive.read(name) for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a zip that can be read ({error})") from error
    found = {}
    for name, count in frames.items():
        inside = Path(path) / f"{name}.txt"
        if f"{name}.txt" not in held:
            raise ValueError(f"{inside}: no such file")
        text = held[f"{name}.txt"].decode(errors="replace")
        rows = truth.parse_rows(inside, text, "four numbers", (4,))
        check_lines(inside, len(rows), count)
        found[name] = np.asarray(rows)
    return found
