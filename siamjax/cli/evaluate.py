"""`siamjax evaluate`: run a tracker over an annotated dataset and score it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro


@dataclass(frozen=True)
class Command:
    """Run and score a tracker on a dataset in its own layout.

    Writes results.json, report.html and the boxes of every sequence to --out, and what the
    benchmark's own toolkit or server takes to --out/results; for davis also the masks. Sequences
    that are finished are not run again, unless the model or its settings changed. Where a server
    keeps the truth (test of got10k and trackingnet), a zip to send in is written in place of
    scores.
    """

    data: Annotated[Path, tyro.conf.Positional]
    """Folder of the dataset, or of one sequence."""
    format: str = "folder"
    """Layout: folder (SEQ/video.mp4 or pictures, with groundtruth.txt, 0-based), otb, got10k,
    lasot, uav123, nfs, tcolor128, dtb70, trackingnet, vot (2013 to 2019, with restarts), votlt, or
    davis (the official tree, or SEQ/masks/00000.png beside frames as in folder)."""
    model: str = "default"
    """Weights file (.npz) or the name of bundled weights."""
    out: Path = Path("siamjax-out/evaluate")
    """Folder for the results."""
    sequences: tuple[str, ...] = ()
    """Names of the sequences to run; all without it."""
    convention: str = ""
    """How frames are counted: visible, pysot, pysot-lasot, got10k, got10k-uav, got10k-val, jwlim or
    trackingnet; for vot pysot or toolkit. By default the benchmark's own; visible for folder."""
    split: str = ""
    """Part of the benchmark: a list of davis in ImageSets (by default 2017/val, else 2016/val with
    all objects as one), val or test of got10k, a file of names for lasot, UAV20L for uav123, 240
    (frames/s) for nfs, TRAIN_0 for trackingnet, the year (vot2018) for vot."""
    boxes: Path | None = None
    """Score these stored boxes (a folder of NAME.txt, 0-based) in place of running a model."""
    json: bool = False
    """Print the results as one JSON object on the last line."""

    def run(self) -> dict[str, Any]:
        """Evaluate and give what results.json holds."""
        from siamjax.evaluate import benchmarks, run

        kind = benchmarks.find(self.format).kind
        if self.boxes is not None and kind != "boxes":
            raise ValueError(f"boxes: not taken with --format {self.format}, got {self.boxes}")
        clips, convention = benchmarks.read(self.format, self.data, self.split, self.convention)
        clips = run.choose(clips, self.sequences)
        if self.boxes is not None:
            about = {"convention": convention, "format": self.format, "data": self.data.name}
            summary = run.score(clips, self.boxes, self.out, model=self.boxes.name, **about)
        else:
            summary = self._track(clips, convention)
        if not self.json and kind == "masks":
            _print_masks(summary, self.out)
        elif not self.json:
            _print(summary, "submission" if "submission" in summary else kind, self.out)
        return summary

    def _track(self, clips: list[Any], convention: str) -> dict[str, Any]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        from siamjax import weights
        from siamjax.evaluate import benchmarks

        tracker, variables = weights.load(self.model)
        frames = sum(len(getattr(clip, "tracks", (clip,))[0]) for clip in clips)
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("frames", total=frames)
            finished = 0

            def on_frame(name: str, done: int, total: int) -> None:
                nonlocal finished
                progress.update(task, completed=finished + done, description=name)
                finished += total if done == total else 0

            return benchmarks.evaluate(
                self.format,
                clips,
                tracker,
                variables,
                self.out,
                convention=convention,
                split=self.split,
                model=self.model,
                data=self.data.name,
                on_frame=on_frame,
            )


_COLUMNS = {
    "boxes": {
        "success AUC": "success_auc",
        "precision 20 px": "precision_20",
        "normalised AUC": "normalised_auc",
        "mean IoU": "mean_iou",
    },
    "supervised": {"EAO": "eao", "accuracy": "accuracy", "failures": "lost"},
    "longterm": {"F": "f", "precision": "precision", "recall": "recall"},
    "submission": {},
}


def _print(summary: dict[str, Any], kind: str, out: Path) -> None:
    columns = {**_COLUMNS[kind], "frames": "frames", "frames/s": "fps"}
    if "ao" in summary:
        columns = {"AO": "ao", "SR 0.5": "sr_50", "SR 0.75": "sr_75", **columns}
    named = [*summary["sequences"].items(), ("all sequences", summary)]
    rows = {name: [one.get(key) for key in columns.values()] for name, one in named}
    if "submission" in summary:
        print(f"to send in: {out / summary['submission']}")
    _table("sequence", tuple(columns), rows, out)


def _print_masks(summary: dict[str, Any], out: Path) -> None:
    titles = ("J&F", "J", "F", "boxes filled", "success AUC", "frames", "frames/s")
    objects = {
        name: {**one, "frames": sequence["frames"], "fps": sequence["fps"]}
        for sequence in summary["sequences"].values()
        for name, one in sequence["objects"].items()
    }
    rows = {}
    for name, one in [*objects.items(), ("mean over objects", summary)]:
        filled = one["filled_boxes"]
        shown = [(one["masks"] or filled)[key] for key in ("j_and_f", "j_mean", "f_mean")]
        others = [one[key] for key in ("success_auc", "frames", "fps")]
        rows[name] = [*shown, filled["j_and_f"], *others]
    if not summary["masks"]:
        print("the tracker draws no masks: J and F are those of its boxes, filled")
    _table("object", titles, rows, out)


def _table(what: str, titles: Sequence[str], rows: dict[str, list[Any]], out: Path) -> None:
    """Print rows of numbers, the last one bold; the last column is frames/s."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column(what)
    for title in titles:
        table.add_column(title, justify="right")
    for i, (name, values) in enumerate(rows.items(), 1):
        cells = [
            "-" if v is None else str(v) if isinstance(v, int) else f"{v:.3f}" for v in values[:-1]
        ]
        fps = "-" if values[-1] is None else f"{values[-1]:.1f}"
        table.add_row(name, *cells, fps, style="bold" if i == len(rows) else None)
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(f"report: {out / 'report.html'}", highlight=False, soft_wrap=True)
