"""`siamjax report`: put finished evaluations of several trackers beside each other."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro


@dataclass(frozen=True)
class Command:
    """Rank trackers, with confidence intervals, and make a page, plots and tables of them.

    Writes to --out: report.html (one file that opens anywhere: ranking, curves, attributes, every
    sequence, a player), the plots as SVG and PNG, ranking.tex, sequences.csv and attributes.csv.
    """

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders that `siamjax evaluate` wrote, of the same sequences by the same convention."""
    out: Path = Path("siamjax-out/report")
    """Folder for the page and the rest."""
    names: tuple[str, ...] = ()
    """Names of the trackers, one for each folder; those of their models by default."""
    attributes: bool = False
    """Print the numbers by attribute too."""
    frames: int = 0
    """Pictures of each sequence for the player, evenly spaced, as small files in OUT/frames (1000
    for every frame of shorter clips); without, boxes are drawn on an empty ground."""
    data: Path | None = None
    """Folder of the dataset, for --frames."""
    format: str = "folder"
    """Its layout, as `siamjax evaluate` has it."""
    split: str = ""
    """The part of it that was evaluated, as `siamjax evaluate` has it."""
    json: bool = False
    """Print the ranking as one JSON object on the last line."""

    def run(self) -> dict[str, Any]:
        """Write the report and give the ranking."""
        from siamjax.evaluate import compare_report

        if self.out.suffix == ".html":
            raise ValueError(f"out: expected a folder (for report.html and plots), got {self.out}")
        pictures = self._pictures() if self.frames else None
        told = compare_report.write(self.folders, self.out, self.names, pictures)
        if not self.json:
            _print(told, self.out)
            if self.attributes:
                print_attributes(told["attributes"])
        return told

    def _pictures(self) -> dict[str, dict[int, str]]:
        from siamjax.evaluate import benchmarks, compare, compare_report

        if self.data is None:
            raise ValueError(f"data: expected the folder of the dataset for --frames {self.frames}")
        names = list(compare.load(self.folders, self.names)[0].trajectories)
        tracks, _ = benchmarks.read(self.format, self.data, self.split)
        chosen = compare_report.frames_of({one.name: one for one in tracks}, names)
        return compare_report.save_frames(chosen, self.out, self.frames)


def _table(head: str, titles: list[str], rows: dict[str, list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column(head)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for name, cells in rows.items():
        table.add_row(name, *cells)
    Console(file=sys.stdout).print(table, markup=False)


def _print(told: dict[str, Any], out: Path) -> None:
    from siamjax.evaluate.compare import MEASURES, POOLED

    ranking = told["ranking"]
    shown = [one for one in (POOLED, *MEASURES) if one.key in ranking[0]][:2]
    rows = {}
    for one in ranking:
        bounds = one["intervals"][shown[0].key]
        cells = [f"{one[measure.key]:.3f}" for measure in shown]
        cells.insert(1, f"{bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else "-")
        rows[one["name"]] = [*cells, "-" if one["fps"] is None else f"{one['fps']:.1f}"]
    titles = [one.key for one in shown]
    _table("tracker", [titles[0], "interval", *titles[1:], "frames/s"], rows)
    for text in told["verdicts"]:
        print(text)
    print(f"report: {out / 'report.html'}")


def print_attributes(tables: dict[str, dict[str, Any]]) -> None:
    """Print the headline number of each attribute.

    Args:
        tables: `attributes` of `results.json`, by the name of the tracker.
    """
    first = next(iter(tables.values()))
    if not first:
        print("attributes: none of these sequences has any")
        return
    some = next(iter(first.values()))
    counted = "sequences" if "sequences" in some else "frames"
    key = next(key for key in some if key != counted)
    rows = {}
    for name, found in first.items():
        count = found[counted]
        values = [one.get(name, {}).get(key) for one in tables.values()]
        shown = ["-" if value is None else f"{value:.3f}" for value in values]
        rows[name] = [str(count if isinstance(count, int) else len(count)), *shown]
    _table(f"attribute ({key})", [counted, *tables], rows)
