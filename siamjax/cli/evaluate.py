"""`siamjax evaluate`: run trackers over an annotated dataset and score them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from siamjax.evaluate.drive import OnFrame
    from siamjax.evaluate.protocols import Plan


@dataclass(frozen=True)
class Command:
    """Run and score a tracker on a dataset in its own layout.

    Writes results.json, report.html and the boxes of every sequence to --out, and what the
    benchmark's own toolkit or server takes to --out/results; for davis also the masks. Sequences
    that are finished are not run again, unless the model or its settings changed. Where a server
    keeps the truth (test of got10k and trackingnet), a zip to send in is written in place of
    scores. Several trackers (--model, --boxes) are ranked; each has its own folder in --out.
    """

    data: Annotated[Path, tyro.conf.Positional]
    """Folder of the dataset, or of one sequence."""
    format: str = "folder"
    """Layout: folder (SEQ/video.mp4 or pictures, with groundtruth.txt, 0-based), otb, got10k,
    lasot, uav123, nfs, tcolor128, dtb70, trackingnet, vot (to 2019 with restarts, from 2020 from
    anchors), votlt, or davis (the official tree, or SEQ/masks/00000.png beside frames as in
    folder)."""
    model: tuple[str, ...] = ()
    """Weights file (.npz) or the name of bundled weights; several are compared. "default" without
    it, none beside --boxes."""
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
    (frames/s) for nfs, TRAIN_0 for trackingnet, the year (vot2018, vot2022) for vot."""
    boxes: tuple[Path, ...] = ()
    """Score these stored results of other trackers, a folder each in the benchmark's own format
    (for folder NAME.txt, 0-based), named after it."""
    real_time: float = 0.0
    """For vot: frames that arrive in a second (VOT takes 25), whether the tracker is done or not;
    0 lets them wait."""
    processes: int = 1
    """Run so many sequences at a time, each in a process with its part of the cores."""
    shard: str = ""
    """Run one of several parts, as 2/3, on one of several machines, and score nothing. Then call
    again without it, after copying what they wrote into one folder, to score all."""
    attributes: bool = False
    """Print the numbers by attribute too: those that the dataset names, for folder derived ones."""
    json: bool = False
    """Print the results as one JSON object on the last line."""

    def run(self) -> dict[str, Any]:
        """Evaluate and give what results.json holds; for several trackers by their names."""
        from siamjax.evaluate import benchmarks, onepass, parallel, protocols
        from siamjax.evaluate.realtime import RealTime

        pace = RealTime(self.real_time) if self.real_time else None
        plan = protocols.Plan(self.format, self.data, self.split, self.convention, pace)
        models = self.model or (() if self.boxes else ("default",))
        names = [benchmarks.tracker_name(str(one)) for one in (*models, *self.boxes)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"model, boxes: two trackers have the name {name!r}")
        if pace and self.processes > 1:
            raise ValueError(f"processes: expected 1 with --real-time, got {self.processes}")
        clips = onepass.choose(plan.clips(), self.sequences)
        if self.shard:
            clips = parallel.share(clips, self.shard)
        lone = len(names) == 1
        folders = [self.out if lone else self.out / name for name in names]
        summaries = {}
        for name, folder, tracker in zip(names, folders, (*models, *self.boxes), strict=True):
            if isinstance(tracker, str):
                summaries[name] = self._track(plan, clips, tracker, folder)
            elif not self.shard:
                summaries[name] = protocols.score(plan, clips, tracker, folder)
        if self.shard:
            return self._told(clips)
        kind = plan.kind(clips)
        if lone:
            if not self.json:
                from siamjax.cli.tables import print_sequences

                print_sequences(summaries[names[0]], kind, self.out)
                self._attributes(summaries)
            return summaries[names[0]]
        return self._compare(summaries, kind)

    def _track(self, plan: Plan, clips: list[Any], model: str, out: Path) -> dict[str, Any]:
        """Run one model, and score it unless only a part of the clips is run."""
        from siamjax import weights
        from siamjax.evaluate import benchmarks, parallel, protocols, provenance

        frames = sum(map(parallel.frames_of, clips))
        with _progress(frames) as on_frame:
            if self.processes != 1:
                parallel.follow(plan, clips, model, out, self.processes, on_frame)
            tracker, variables = weights.load(model)
            parts = (tracker, variables)
            if not self.shard:
                told = None if self.processes != 1 else on_frame
                return protocols.evaluate(plan, clips, *parts, out, model=model, on_frame=told)
            if self.processes == 1:
                made, name = provenance.maker(*parts), benchmarks.tracker_name(model)
                kind = plan.kind(clips)
                for clip in clips:
                    protocols.follow(plan, clip, kind, *parts, made, out, name, on_frame)
            return {}

    def _attributes(self, summaries: dict[str, Any]) -> None:
        """Print the numbers by attribute, where they are asked for and the evaluation has them."""
        from siamjax.cli.report import print_attributes

        if self.attributes:
            print_attributes({name: one.get("attributes", {}) for name, one in summaries.items()})

    def _told(self, clips: list[Any]) -> dict[str, Any]:
        names = [clip.name for clip in clips]
        if not self.json:
            print(f"shard {self.shard}: {len(names)} sequences are in {self.out}; not scored")
        return {"shard": self.shard, "sequences": names}

    def _compare(self, summaries: dict[str, Any], kind: str) -> dict[str, Any]:
        """Rank several trackers; a page that shows them beside each other is made of boxes."""
        from siamjax.evaluate import compare_report
        from siamjax.weights import npz

        about = {"format": self.format, "data": self.data.name}
        summary: dict[str, Any] = {**about, "trackers": summaries}
        if kind == "boxes":
            folders = [self.out / name for name in summaries]
            summary |= compare_report.write(folders, self.out, tuple(summaries))
        text = json.dumps(summary, indent=1, allow_nan=False)
        npz.write(self.out / "results.json", f"{text}\n".encode())
        if not self.json:
            from siamjax.cli.tables import print_trackers

            print_trackers(summaries, kind, self.out)
            for text in summary.get("verdicts", ()):
                print(text)
            self._attributes(summaries)
        return summary


@contextlib.contextmanager
def _progress(frames: int) -> Iterator[OnFrame]:
    """Show how many frames are done on standard error; several clips may be under way at a time."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("frames", total=frames)
        done: dict[str, int] = {}

        def on_frame(name: str, count: int, total: int) -> None:
            done[name] = count
            progress.update(task, completed=sum(done.values()), description=name)

        yield on_frame
