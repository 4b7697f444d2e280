"""All pairs of distances and the nearest of a bank, in blocks, beside NumPy doing the same.

Both sides compute the Euclidean distances of every row of one array to every row of another, block
by block of rows from one matrix product each: once written into one float32 matrix, which is then
the result, and once handed on to a consumer that keeps the nearest ones of each row alone, so that
no matrix exists. NumPy's side works in place as far as it can.
"""

import dataclasses
import functools
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from siamjax.bench.timing import Row, agree, compare
from siamjax.metric.distances import all_pairs, nearest

SIZE, WIDTH, NEAREST = 20_000, 128, 10
"""Rows of both arrays, their width, and how many of the nearest are kept."""

KINDS = ("one matrix", f"nearest {NEAREST}")
BLOCKS = (256, 1024)
TOLERANCE = 1e-4

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class PeakRow(Row):
    """A row whose `batch` is the rows of a block, with the memory that the work takes."""

    peak: float | None = None
    """Most memory, MiB, of a fresh process that does it once, all that it imports included; None
    where the system does not say, or on an accelerator."""
    other_peak: float | None = None

    def summary(self) -> dict[str, Any]:
        """Give the JSON form, with `peak_mib` and `other_peak_mib`."""
        peaks = {"peak_mib": self.peak, "other_peak_mib": self.other_peak}
        return super().summary() | peaks


def rows(
    against_numpy: bool,
    blocks: Sequence[int] = BLOCKS,
    repeats: int = 20,
    size: int = SIZE,
    width: int = WIDTH,
) -> Iterator[PeakRow]:
    """Measure both kinds of result for every size of block.

    Raises:
        ValueError: NumPy gives other distances.
    """
    step = max(1, size // 64)
    for block in blocks:
        for kind in KINDS:
            case = f"{size} x {size} x {width}, {kind}"
            ours = _work("siamjax", kind, block, size, width)
            other = _work("numpy", kind, block, size, width) if against_numpy else None
            if other is not None:
                some = lambda found: np.array(found[0][::step])
                agree(case, [some(ours())], [some(other())], TOLERANCE)
            row = compare(case, block, "forward", ours, other, repeats)
            times = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
            peak, other_peak = (
                None if side is None else _peak(name, kind, block, size, width)
                for name, side in (("siamjax", ours), ("numpy", other))
            )
            yield PeakRow(**times, peak=peak, other_peak=other_peak)


def _work(side: str, kind: str, block: int, size: int, width: int) -> Callable[[], Any]:
    """Give what a side computes: a tuple, distances first."""
    random = np.random.default_rng(0)
    a, b = (random.normal(size=(size, width)).astype(np.float32) for _ in range(2))
    if side == "numpy":
        return functools.partial(_matrix if kind == KINDS[0] else _nearest, a, b, block)
    placed = jnp.asarray(a), jnp.asarray(b)
    if kind == KINDS[0]:
        return lambda: (jax.block_until_ready(all_pairs(*placed, block=block)),)
    return lambda: jax.block_until_ready(nearest(*placed, NEAREST, block=block))


def _matrix(a: np.ndarray, b: np.ndarray, block: int) -> tuple[np.ndarray]:
    """Give all distances, each block finished in its place in the result."""
    out = np.empty((len(a), len(b)), np.float32)
    a_squared, b_squared = np.square(a).sum(axis=1), np.square(b).sum(axis=1)
    for start in range(0, len(a), block):
        rows = slice(start, start + block)
        tile = out[rows]
        np.matmul(-2 * a[rows], b.T, out=tile)
        tile += a_squared[rows, None]
        tile += b_squared
        np.maximum(tile, 0, out=tile)
        np.sqrt(tile, out=tile)
    return (out,)


def _nearest(a: np.ndarray, b: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the least distances of each row, and where they are."""
    least = np.empty((len(a), NEAREST), np.float32)
    found = np.empty((len(a), NEAREST), np.int64)
    a_squared, b_squared = np.square(a).sum(axis=1), np.square(b).sum(axis=1)
    for start in range(0, len(a), block):
        rows = slice(start, start + block)
        tile = np.matmul(-2 * a[rows], b.T)
        tile += b_squared
        some = np.argpartition(tile, NEAREST - 1, axis=1)[:, :NEAREST]
        values = np.take_along_axis(tile, some, axis=1)
        order = np.argsort(values, axis=1)
        values = np.take_along_axis(values, order, axis=1) + a_squared[rows, None]
        least[rows] = np.sqrt(np.maximum(values, 0))
        found[rows] = np.take_along_axis(some, order, axis=1)
    return least, found


def _peak(*work: Any) -> float | None:
    """Do some work once in a process of its own, and give the most memory that this held, MiB."""
    if jax.default_backend() != "cpu" or not _STATUS.exists():
        return None
    command = [sys.executable, "-m", __name__, *map(str, work)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = dict(line.split(":", 1) for line in run.stdout.splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) / 1024 if "VmHWM" in lines else None


if __name__ == "__main__":
    _work(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))()
    print(_STATUS.read_text())
