"""`siamjax bench`: the speed of each part on this machine, alone or beside another library's."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import tyro
from rich.console import Console
from rich.table import Table

from siamjax import weights
from siamjax.bench import timing
from siamjax.track import zoo

_OTHER = {
    "xcorr": ("torch",),
    "crop": ("opencv",),
    "track": ("torch", "opencv"),
    "train": ("torch",),
    "distances": ("numpy",),
}
_MODELS = {
    "step": ("siamfc-lite",),
    "targets": ("siamfc-lite", "siamrpn-alexnet-dw", "siamrpnpp-mobilenetv2"),
}


@dataclass(frozen=True)
class Command:
    """Measure one part: medians of repeated, interleaved runs, after warming up."""

    part: tyro.conf.Positional[
        Literal["xcorr", "crop", "step", "targets", "track", "train", "distances", "input"]
    ]
    """xcorr: cross-correlations; crop: windows of frames; step: a tracker's compiled step for many
    targets; targets: the same for several trackers; track: whole trackers from frames to boxes;
    train: steps of training; distances: all pairs of 20,000 embeddings in blocks, with the memory
    that takes; input: a recipe's batches by stage, and whether its training steps wait for them."""
    against: Literal["torch", "opencv", "numpy"] | None = None
    """Measure the same in PyTorch (xcorr, track, train), OpenCV (crop, track) or NumPy (distances),
    after checking its numbers."""
    case: tuple[str, ...] = ()
    """For track and train: the trackers, those that have such another side if none is named."""
    model: tuple[str, ...] = ()
    """For step and targets: trackers' names, bundled weights or weights files. For track with one
    case: the file of its weights, in place of random ones."""
    batch: tuple[int, ...] = ()
    """Batch sizes (xcorr, train), scales (crop), numbers of targets (step, targets) or rows of a
    block (distances); the usual ones if none."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """For step and targets: of the network's arithmetic, where the tracker has the choice."""
    recipe: str = "siamfc_lite"
    """For input: name in experiments/, or path of a .py file that defines RECIPE."""
    data: Path | None = None
    """For input: folder of the data, in place of the recipe's own."""
    packed: Path | None = None
    """For input: folder of `siamjax pack`, to read the sources from."""
    threads: int | None = None
    """For input: threads that make batches; those of the recipe by default."""
    seconds: float = 5.0
    """For input: how long each rate is measured, after running as long."""
    steps: bool = True
    """For input: also time training steps, by themselves and on these batches."""
    repeats: int = 20
    """Runs of each side; pairs timed by stage for input."""
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
        known = _OTHER.get(self.part, ())
        if self.against is not None and self.against not in known:
            hint = f"expected {' or '.join(known)}" if known else "it has no other side"
            raise ValueError(f"bench {self.part}: --against {self.against}: {hint}")
        if any(n < 1 for n in self.batch):
            raise ValueError(f"batch: expected numbers of at least 1, got {self.batch}")
        console = Console(stderr=self.json, highlight=False)
        if self.part == "input":
            return self._input(console)
        table = Table(title=f"{self.part} on {timing.device()}")
        for name in ("case", "batch", "pass", "ms (quartiles)", f"{self.against or 'other'} ms"):
            table.add_column(name)
        table.add_column("per target" if self.part in _MODELS else "ratio")
        if self.part == "distances":
            table.add_column("peak MiB (other)")
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

    def _input(self, console: Console) -> dict[str, Any]:
        """Measure a recipe's input."""
        from siamjax.bench import input as inputs
        from siamjax.train import recipe as recipes

        recipe = recipes.load(self.recipe)
        if not isinstance(recipe, recipes.Recipe):
            raise ValueError(f"bench input: {self.recipe} does not train on pairs of crops")
        given: dict[str, Any] = {n: getattr(self, n) for n in ("data", "packed", "threads")}
        recipe = dataclasses.replace(recipe, **{k: v for k, v in given.items() if v is not None})
        threads = timing.threads() if recipe.threads is None else recipe.threads
        rows = list(inputs.stages(recipe.read_sources(), recipe.pairs, self.repeats))
        rows += inputs.pipeline(recipe, self.seconds)
        rows += inputs.steps(recipe, self.seconds) if self.steps else ()
        table = Table(title=f"{recipe.name}, {threads} threads, steps on {timing.device()}")
        for name in ("case", "ms a pair", "pairs/s"):
            table.add_column(name)
        for row in rows:
            table.add_row(row.case, f"{row.ms:.3f}", f"{1e3 / row.ms:,.0f}")
        console.print(table)
        waits = inputs.waits(rows)
        if waits is not None:
            console.print(f"the device waits for its input {waits:.0%} of the time")
        return {
            "bench": self.part,
            "device": timing.device(),
            "recipe": recipe.name,
            "threads": threads,
            "waits": waits,
            "rows": [row.summary() for row in rows],
        }

    def _rows(self) -> Iterator[timing.Row]:
        from siamjax.bench import crop, distances, train, xcorr

        compared = self.against is not None
        if self.part == "xcorr":
            return xcorr.rows(compared, self.batch or xcorr.BATCHES, self.repeats)
        if self.part == "crop":
            return crop.rows(compared, self.batch or crop.BATCHES, self.repeats)
        if self.part == "distances":
            return distances.rows(compared, self.batch or distances.BLOCKS, self.repeats)
        if self.part == "track":
            return self._track()
        if self.part == "train":
            return train.rows(self.case, compared, self.batch or train.BATCHES, self.repeats)
        return self._targets()

    def _track(self) -> Iterator[timing.Row]:
        from siamjax.bench import track

        cases = self.case or tuple(
            name for name, case in track.CASES.items() if self.against in (None, case.against)
        )
        if self.model and len(cases) * len(self.model) != 1:
            raise ValueError(f"model: expected one for one --case, got {len(self.model)}")
        model = self.model[0] if self.model else None
        return track.rows(cases, self.against, self.repeats, model)

    def _targets(self) -> Iterator[timing.Row]:
        from siamjax.bench import targets

        for name in self.model or _MODELS[self.part]:
            tracker, variables = _model(name)
            if self.dtype != "float32":
                tracker = _with_dtype(tracker, self.dtype)
            yield from targets.rows(
                tracker, variables, self.batch or targets.TARGETS, self.repeats, name=name
            )


def _model(name: str) -> tuple[zoo.Tracker, Any]:
    """Give a tracker of the zoo with random weights, unless it comes with its own, or a file's."""
    if name not in zoo.names() or name in weights.bundled():
        return weights.load(name)
    tracker = zoo.tracker(name)
    return tracker, tracker.init_variables(jax.random.key(0))


def _with_dtype(tracker: zoo.Tracker, dtype: str) -> zoo.Tracker:
    settings: dict[str, Any] = {"dtype": dtype}
    if "dtype" not in {field.name for field in dataclasses.fields(tracker)}:
        raise ValueError(f"dtype: {type(tracker).__name__} computes in float32 alone")
    return dataclasses.replace(tracker, **settings)


def _cells(row: timing.Row) -> list[str]:
    def time(ms: float | None, spread: tuple[float, float] | None) -> str:
        if ms is None or spread is None:
            return "-"
        return f"{ms:.3f} ({spread[0]:.3f} to {spread[1]:.3f})"

    number = getattr(row, "relative", row.ratio)
    ratio = "-" if number is None else f"{number:.2f}"
    ours, other = time(row.ms, row.spread), time(row.other_ms, row.other_spread)
    cells = [row.case, str(row.batch), row.kind, ours, other, ratio]
    if not hasattr(row, "peak"):
        return cells
    peaks = (getattr(row, name) for name in ("peak", "other_peak"))
    mib = ["-" if peak is None else f"{peak:.0f}" for peak in peaks]
    return [*cells, f"{mib[0]} ({mib[1]})"]
