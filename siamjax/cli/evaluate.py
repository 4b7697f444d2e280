"""`siamjax evaluate`: run a tracker over an annotated dataset and score it."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

FORMATS = ("folder", "otb")


@dataclass(frozen=True)
class Command:
    """Run and score a tracker on a dataset in its own layout.

    Writes results.json, report.html and the boxes of every sequence to --out. Sequences that are
    finished are not run again, unless the model or its settings changed.
    """

    data: Annotated[Path, tyro.conf.Positional]
    """Folder of the dataset, or of one sequence."""
    format: str = "folder"
    """Layout: folder (SEQ/video.mp4 or pictures, with groundtruth.txt, 0-based) or otb."""
    model: str = "default"
    """Weights file (.npz) or the name of bundled weights."""
    out: Path = Path("siamjax-out/evaluate")
    """Folder for the results."""
    sequences: tuple[str, ...] = ()
    """Names of the sequences to run; all without it."""
    convention: str = ""
    """Frames that count: visible, pysot, got10k or jwlim. By default visible for folder (frames
    without truth are left out), pysot for otb."""
    boxes: Path | None = None
    """Score these stored boxes (a folder of NAME.txt) in place of running a model."""
    json: bool = False
    """Print the results as one JSON object on the last line."""

    def run(self) -> dict[str, Any]:
        """Evaluate and give what results.json holds."""
        from siamjax.evaluate import ope, run
        from siamjax.track import zoo

        if self.format not in FORMATS:
            raise zoo.unknown("format", self.format, list(FORMATS))
        convention = self.convention or {"folder": "visible", "otb": "pysot"}[self.format]
        if convention not in ope.CONVENTIONS:
            raise zoo.unknown("convention", convention, list(ope.CONVENTIONS))
        tracks = run.choose(_read(self.data, self.format), self.sequences)
        about = {"convention": convention, "format": self.format, "data": self.data.name}
        if self.boxes is not None:
            summary = run.score(tracks, self.boxes, self.out, model=self.boxes.name, **about)
        else:
            summary = self._track(tracks, about)
        if not self.json:
            _print(summary, self.out)
        return summary

    def _track(self, tracks: list[Any], about: dict[str, str]) -> dict[str, Any]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        from siamjax import weights
        from siamjax.evaluate import run

        tracker, variables = weights.load(self.model)
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            frames = progress.add_task("frames", total=sum(len(track.boxes) for track in tracks))
            finished = 0

            def on_frame(name: str, done: int, total: int) -> None:
                nonlocal finished
                progress.update(frames, completed=finished + done, description=name)
                finished += total if done == total else 0

            return run.evaluate(
                tracks,
                tracker,
                variables,
                self.out,
                model=self.model,
                on_frame=on_frame,
                **about,
            )


def _read(data: Path, format: str) -> list[Any]:
    from siamjax.data.readers import folder, otb

    return {"folder": folder.read, "otb": otb.read}[format](data)


def _print(summary: dict[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("sequence")
    for title in ("success AUC", "precision 20 px", "mean IoU", "frames", "frames/s"):
        table.add_column(title, justify="right")
    rows = [*summary["sequences"].items(), ("mean over sequences", summary)]
    for name, numbers in rows:
        fps = "-" if numbers["fps"] is None else f"{numbers['fps']:.1f}"
        measures = (numbers[key] for key in ("success_auc", "precision_20", "mean_iou"))
        style = "bold" if numbers is summary else None
        cells = [f"{value:.3f}" for value in measures]
        table.add_row(name, *cells, str(numbers["frames"]), fps, style=style)
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(f"report: {out / 'report.html'}", highlight=False, soft_wrap=True)
