"""Tables of an evaluation's numbers on the terminal."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_COLUMNS = {
    "boxes": {
        "success AUC": "success_auc",
        "precision 20 px": "precision_20",
        "normalised AUC": "normalised_auc",
        "mean IoU": "mean_iou",
    },
    "masks": {"J&F": "j_and_f", "J": "j_mean", "F": "f_mean", "success AUC": "success_auc"},
    "supervised": {"EAO": "eao", "accuracy": "accuracy", "failures": "lost"},
    "anchored": {"EAO": "eao", "accuracy": "accuracy", "robustness": "robustness"},
    "longterm": {"F": "f", "precision": "precision", "recall": "recall"},
    "submission": {},
}


def print_sequences(summary: Mapping[str, Any], kind: str, out: Path) -> None:
    """Print what one tracker reached on every sequence and on all of them.

    Args:
        summary: what `results.json` holds.
        kind: of the evaluation, from `Plan.kind`.
        out: its folder, to be named.
    """
    if kind == "masks":
        _print_objects(summary, out)
        return
    columns = {**_COLUMNS[kind], "frames": "frames", "frames/s": "fps"}
    if "ao" in summary:
        columns = {"AO": "ao", "SR 0.5": "sr_50", "SR 0.75": "sr_75", **columns}
    named = [*summary["sequences"].items(), ("all sequences", summary)]
    rows = {name: [one.get(key) for key in columns.values()] for name, one in named}
    if "submission" in summary:
        print(f"to send in: {out / summary['submission']}")
    _table("sequence", tuple(columns), rows, out)


def print_trackers(summaries: Mapping[str, Mapping[str, Any]], kind: str, out: Path) -> None:
    """Print trackers beside each other, the best last.

    Args:
        summaries: by the name of the tracker.
        kind: of the evaluation, from `Plan.kind`.
        out: its folder, to be named.
    """
    columns = {**_COLUMNS[kind], "frames": "frames", "frames/s": "fps"}
    rows = {}
    for name, one in summaries.items():
        drawn = (one["masks"] or one["filled_boxes"]) if kind == "masks" else {}
        rows[name] = [{**drawn, **one}.get(key) for key in columns.values()]
    best = sorted(rows, key=lambda name: rows[name][0] or 0.0)
    _table("tracker", tuple(columns), {name: rows[name] for name in best}, out)


def _print_objects(summary: Mapping[str, Any], out: Path) -> None:
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


def _table(what: str, titles: Sequence[str], rows: Mapping[str, list[Any]], out: Path) -> None:
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
