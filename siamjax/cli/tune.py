"""`siamjax tune`: choose a tracker's constants on training clips."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

_SHOWN = 10


@dataclass(frozen=True)
class Command:
    """Rank settings of a tracker's constants by mean success AUC over annotated clips.

    Every setting tracks every clip anew, all settings in one mapped step. The first setting is the
    model's own, the others are drawn uniformly in their ranges. The best is then run by itself.
    """

    data: Path
    """Folder of sequence folders, as `evaluate --format folder` reads it: training clips, never
    those of a benchmark."""
    model: str = "default"
    """Weights file (.npz) or the name of bundled weights."""
    clips: tuple[str, ...] = ()
    """Names of the clips to use; all without it."""
    settings: int = 64
    """How many to try, the model's own included."""
    range: Annotated[tuple[tuple[str, float, float], ...], tyro.conf.UseAppendAction] = ()
    """Constant, lowest and highest value, as `--range lr 0.2 0.5`; repeat for more. The usual
    ranges of the model's family without it."""
    seed: int = 0
    """Of the drawing: same seed, same settings."""
    compare: int = 0
    """Also time so many settings run one by one, and say what all of them would take."""
    out: Path | None = None
    """JSON file for all of it."""
    json: bool = False
    """Print the result as one JSON object on the last line."""

    def run(self) -> dict[str, Any]:
        """Search.

        Returns:
            `settings` with their `success_auc`, best first; `best`; `preset_auc`; `alone_auc`, the
            best setting's score when run by itself; `seconds` for all settings and `wall_seconds`,
            compiling included; with `compare`, `single_seconds` of one setting run by itself (mean
            of `compared` settings) and `single_seconds_all`, that times the number of settings.

        Raises:
            ValueError: no such model, clip or constant, or a range that is none.
            OSError: the clips cannot be read or `out` not written.
        """
        from rich.console import Console

        from siamjax import tune, weights
        from siamjax.data.readers import folder
        from siamjax.evaluate.onepass import choose
        from siamjax.weights import npz

        if not 0 <= self.compare <= self.settings:
            raise ValueError(f"compare: expected 0 to {self.settings}, got {self.compare}")
        tracker, variables = weights.load(self.model)
        tracks = choose(folder.read(self.data), self.clips)
        within = {name: (low, high) for name, low, high in self.range} or tune.ranges(tracker)
        settings = tune.draw(tracker, within, self.settings, self.seed)
        console = Console(stderr=True, highlight=False)
        compared = np.linspace(0, self.settings - 1, self.compare).astype(int)
        time_alone = lambda indices: [
            tune.alone(tracker, variables, tracks, type(settings)(*(c[i] for c in settings)))[1]
            for i in indices
        ]
        # Half of the single runs before the search and half after, as machines' loads change.
        times = time_alone(compared[::2])
        start = time.perf_counter()
        found = _search(tracker, variables, tracks, settings, console)
        wall = time.perf_counter() - start
        times += time_alone(compared[1::2])
        tried = [
            {"success_auc": float(auc)} | {name: values[name] for name in within}
            for auc, values in zip(found.success_auc, found.settings, strict=True)
        ]
        score, _ = tune.alone(tracker, variables, tracks, found.hyper(tracker))
        summary: dict[str, Any] = {
            "model": self.model,
            "data": self.data.name,
            "clips": [track.name for track in tracks],
            "seed": self.seed,
            "ranges": {name: list(pair) for name, pair in within.items()},
            "best": tried[0],
            "preset_auc": found.preset_auc,
            "alone_auc": score,
            "seconds": found.seconds,
            "wall_seconds": wall,
        }
        if times:
            summary["compared"] = len(times)
            summary["single_seconds"] = float(np.mean(times))
            summary["single_seconds_all"] = summary["single_seconds"] * self.settings
        summary["settings"] = tried
        _show(summary, Console(stderr=self.json, highlight=False))
        if self.out is not None:
            npz.write(self.out, f"{json.dumps(summary, indent=1)}\n".encode())
        return summary


def _search(tracker: Any, variables: Any, tracks: Any, settings: Any, console: Any) -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from siamjax import tune

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        total = sum(len(track.boxes) for track in tracks)
        bar = progress.add_task("frames", total=total)
        finished = 0

        def on_frame(name: str, done: int, frames: int) -> None:
            nonlocal finished
            progress.update(bar, completed=finished + done, description=name)
            finished += frames if done == frames else 0

        def on_clip(name: str, auc: np.ndarray) -> None:
            numbers = f"preset {auc[0]:.3f}, best {auc.max():.3f}, median {np.median(auc):.3f}"
            progress.console.print(f"{name}: {numbers}")

        return tune.search(tracker, variables, tracks, settings, on_clip=on_clip, on_frame=on_frame)


def _show(summary: dict[str, Any], console: Any) -> None:
    from rich.table import Table

    names = list(summary["ranges"])
    table = Table(box=None, header_style="bold")
    for name in ("success AUC", *names):
        table.add_column(name, justify="right")
    for setting in summary["settings"][:_SHOWN]:
        cells = [f"{setting[name]:.3f}" for name in names]
        table.add_row(f"{setting['success_auc']:.4f}", *cells)
    console.print(table)
    count = len(summary["settings"])
    console.print(
        f"best {summary['best']['success_auc']:.4f}, run alone {summary['alone_auc']:.4f}, "
        f"preset {summary['preset_auc']:.4f}"
    )
    console.print(
        f"{count} settings: {summary['seconds']:.1f} s, {summary['wall_seconds']:.1f} s with "
        "compiling"
    )
    if "single_seconds" in summary:
        console.print(
            f"{count} single runs: {summary['single_seconds_all']:.1f} s, as {count} times the "
            f"mean of {summary['compared']} measured ({summary['single_seconds']:.2f} s)"
        )
