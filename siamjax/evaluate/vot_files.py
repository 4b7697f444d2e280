"""Result files of a VOT workspace, written and read: supervised, from anchors and long-term runs.

They lie in a tracker's folder, `EXPERIMENT/SEQUENCE/SEQUENCE_001.txt`. A line is a region or a
code: 1 a start, 2 a failure, 0 no answer. Files that are short or damaged are refused.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64

from siamjax import polygons
from siamjax.data.readers import truth
from siamjax.evaluate import formats, regions, vot
from siamjax.evaluate.regions import Region
from siamjax.typing import AnyArray


def write_supervised(
    folder: str | Path, name: str, runs: Sequence[vot.Answers], experiment: str = "baseline"
) -> None:
    """Write `EXPERIMENT/NAME/NAME_001.txt` and so on: a region or a code (1, 2, 0) a line."""
    for number, run in enumerate(runs, 1):
        lines = formats.text_of(run.regions, 4).splitlines()
        shown = [
            line if code == vot.REGION else str(int(code))
            for code, line in zip(run.codes, lines, strict=True)
        ]
        path = Path(folder) / experiment / name / f"{name}_{number:03d}.txt"
        formats.write_text(path, "\n".join(shown) + "\n")


def read_supervised(
    folder: str | Path, name: str, frames: int, experiment: str = "baseline"
) -> tuple[vot.Answers, ...]:
    """Read every supervised run over a sequence.

    Raises:
        ValueError: naming the file and the line: neither a region nor a code 0, 1 or 2, a first
            frame that is no start, too few or too many lines; or no run.
    """
    paths = formats.repetitions(Path(folder) / experiment / name, name)
    return tuple(_read_answers(path, frames) for path in paths)


def _read_answers(path: Path, frames: int) -> vot.Answers:
    rows = truth.read_rows(path, "a code, four numbers or eight", (1, 4, 8))
    for number, row in enumerate(rows, 1):
        if len(row) == 1 and row[0] not in (vot.SKIPPED, vot.STARTED, vot.FAILED):
            raise ValueError(f"{path}, line {number}: expected a code 0, 1 or 2, got {row[0]}")
        if len(row) > 1 and not all(map(math.isfinite, row)):
            raise ValueError(f"{path}, line {number}: not a region, {row}")
    formats.check_lines(path, len(rows), frames)
    if rows[0] not in ([vot.STARTED], [vot.SKIPPED]):
        raise ValueError(f"{path}, line 1: expected the code of a start, 1, got {rows[0]}")
    codes = np.asarray([int(row[0]) if len(row) == 1 else vot.REGION for row in rows])
    values = max([len(row) for row in rows if len(row) > 1], default=4)
    regions = np.full((len(rows), values), np.nan)
    for index, row in enumerate(rows):
        if len(row) == values:
            regions[index] = row
        elif len(row) > 1:  # a box among polygons
            regions[index] = polygons.corners(np.asarray([row])).reshape(-1)
    return vot.Answers(codes, regions)


def write_anchored(
    folder: str | Path,
    name: str,
    found: Sequence[Region],
    seconds: Float64[np.ndarray, " T"] | None = None,
    experiment: str = "baseline",
) -> None:
    """Write `EXPERIMENT/NAME/NAME_ANCHOR.txt` of one run from an anchor, and its times.

    Args:
        folder: of the tracker.
        name: of the sequence with the number of the anchor's frame, `NAME_00000000`.
        found: regions in the order of the run, whose first is the code 1.
        seconds: a frame, for `NAME_ANCHOR_time.value`; NaN is written as 0.
        experiment: "baseline" or "realtime".
    """
    place = Path(folder) / experiment / name.rpartition("_")[0]
    lines = "".join(f"{regions.shown(one)}\n" for one in found)
    formats.write_text(place / f"{name}.txt", lines)
    if seconds is not None:
        times = formats.text_of(np.nan_to_num(seconds)[:, None], 6)
        formats.write_text(place / f"{name}_time.value", times)


def read_anchored(
    folder: str | Path, name: str, frames: int, experiment: str = "baseline"
) -> list[Region]:
    """Read a run from an anchor; the toolkit's binary file where there is no text.

    Args:
        folder: of the tracker.
        name: as `write_anchored` has it.
        frames: from the anchor to the end of the run.
        experiment: as `write_anchored`.

    Raises:
        ValueError: naming the file and the line: no region, a first that is not the code 1, another
            code later on, too few or too many.
    """
    path = Path(folder) / experiment / name.rpartition("_")[0] / f"{name}.txt"
    packed = path.with_suffix(".bin")
    if not path.is_file() and packed.is_file():
        path, found = packed, regions.unpack(packed, packed.read_bytes())
    else:
        found = []
        for number, line in enumerate(truth.listed(path), 1):
            try:
                found.append(regions.parse(line))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
    formats.check_lines(path, len(found), frames)
    codes = [one if isinstance(one, int) else vot.REGION for one in found]
    if codes[0] != vot.STARTED:
        raise ValueError(f"{path}, line 1: expected the code of a start, 1")
    for number, code in enumerate(codes[1:], 2):
        if code not in (vot.REGION, vot.SKIPPED):
            raise ValueError(f"{path}, line {number}: expected a region, got the code {code}")
    return found


def write_longterm(
    folder: str | Path,
    name: str,
    boxes: Float[AnyArray, "T 4"],
    confidence: Float[AnyArray, " T"],
) -> None:
    """Write `longterm/NAME/NAME_001.txt`, whose first line is the code 1, and its confidences.

    `NAME_001_confidence.value` holds one a line, none on the first.
    """
    place = Path(folder) / "longterm" / name
    lines = formats.text_of(np.asarray(boxes)[1:], 4)
    formats.write_text(place / f"{name}_001.txt", f"1\n{lines}")
    values = "".join(f"{value:.6f}\n" for value in np.asarray(confidence, np.float64)[1:].tolist())
    formats.write_text(place / f"{name}_001_confidence.value", f"\n{values}")


def read_longterm(folder: str | Path, name: str, frames: int) -> formats.Result:
    """Read a long-term run; box and confidence of the first frame are NaN.

    Raises:
        ValueError: naming the file and the line: no box, no confidence, too few or too many lines.
    """
    place = Path(folder) / "longterm" / name
    path = place / f"{name}_001.txt"
    rows = truth.read_rows(path, "four numbers, or the code 1 first", (1, 4))
    for number, row in enumerate(rows, 1):
        if len(row) == 1 and (number > 1 or row[0] != vot.STARTED) and not math.isnan(row[0]):
            raise ValueError(f"{path}, line {number}: expected four numbers, got {row[0]}")
    formats.check_lines(path, len(rows), frames)
    boxes = np.asarray([row if len(row) == 4 else [np.nan] * 4 for row in rows])
    boxes[0] = np.nan
    path = place / f"{name}_001_confidence.value"
    values = truth.read_rows(path, "a confidence", (0, 1))
    for number, row in enumerate(values[1:], 2):
        if not row:
            raise ValueError(f"{path}, line {number}: expected a confidence, got none")
    formats.check_lines(path, len(values), frames)
    confidence = np.asarray([np.nan, *(row[0] for row in values[1:])])
    return formats.Result(boxes, None, confidence)
