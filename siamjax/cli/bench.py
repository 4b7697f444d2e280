"""`siamjax bench`: the speed of each part on this machine, alone or beside PyTorch or OpenCV."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import jax
import tyro
from rich.console import Console
from rich.table import Table

from siamjax import weights
from siamjax.bench import timing
from siamjax.track import zoo

_OTHER = {"xcorr": "torch", "crop": "opencv", "track": "torch"}


@dataclass(frozen=True)
class Command:
    """Measure one part: medians of repeated, interleaved runs, after warming up."""

    part: tyro.conf.Positional[Literal["xcorr", "crop", "step", "track"]]
    """xcorr: cross-correlations; crop: windows of frames; step: a tracker's compiled step for many
    targets; track: SiamFC AlexNetV1 from frames to boxes."""
    against: Literal["torch", "opencv"] | None = None
    """Measure the same in PyTorch (xcorr, track) or OpenCV (crop), after checking its numbers."""
    model: str = "siamfc-lite"
    """For step: a tracker's name, bundled weights or a weights file."""
    batch: tuple[int, ...] = ()
    """Batch sizes (xcorr), scales (crop) or numbers of targets (step); the usual ones if none."""
    repeats: int = 20
    """Runs of each side."""
    json: bool = False
    """Print one JSON object on the last line of standard output."""

    def run(self) -> dict[str, Any]:
        """Measure.

        Returns:
            `bench`, `device`, `precision`, `against`, and `rows`; `torch_ms` is the time of the
            side named by `against`.

        Raises:
            ValueError: no such comparison, PyTorch is missing, or the two sides disagree.
        """
        if self.against is not None and _OTHER.get(self.part) != self.against:
            known = _OTHER.get(self.part)
            hint = f"expected {known}" if known else "it has no other side"
            raise ValueError(f"bench {self.part}: --against {self.against}: {hint}")
        if any(n < 1 for n in self.batch):
            raise ValueError(f"batch: expected numbers of at least 1, got {self.batch}")
        console = Console(stderr=self.json, highlight=False)
        table = Table(title=f"{self.part} on {timing.device()}")
        for name in ("case", "batch", "pass", "ms (quartiles)", f"{self.against or 'other'} ms"):
            table.add_column(name)
        table.add_column("ratio")
        rows = []
        try:
            for row in self._rows():
                rows.append(row)
                table.add_row(*_cells(row))
        except ModuleNotFoundError as error:
            raise ValueError(f"{error}: pip install 'siamjax[bench]'") from error
        console.print(table)
        return {
            "bench": self.part,
            "device": timing.device(),
            "precision": timing.precision(),
            "against": self.against,
            "rows": [row.summary() for row in rows],
        }

    def _rows(self) -> Iterator[timing.Row]:
        from siamjax.bench import crop, step, track, xcorr

        compared = self.against is not None
        if self.part == "xcorr":
            return xcorr.rows(compared, self.batch or xcorr.BATCHES, self.repeats)
        if self.part == "crop":
            return crop.rows(compared, self.batch or crop.BATCHES, self.repeats)
        if self.part == "track":
            return track.rows(compared, self.repeats)
        if self.model in zoo.names() and self.model not in weights.bundled():
            tracker = zoo.tracker(self.model)
            variables = tracker.init_variables(jax.random.key(0))
        else:
            tracker, variables = weights.load(self.model)
        return step.rows(tracker, variables, self.batch or step.TARGETS, self.repeats)


def _cells(row: timing.Row) -> list[str]:
    def time(ms: float | None, spread: tuple[float, float] | None) -> str:
        if ms is None or spread is None:
            return "-"
        return f"{ms:.3f} ({spread[0]:.3f} to {spread[1]:.3f})"

    ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
    ours, other = time(row.ms, row.spread), time(row.other_ms, row.other_spread)
    return [row.case, str(row.batch), row.kind, ours, other, ratio]
