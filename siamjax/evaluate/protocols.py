"""A benchmark, evaluated by its own protocol: one tracker run over it, or stored answers scored.

Benchmarks of one kind of evaluation share a protocol: one pass (boxes, masks, long-term), restarts
after failures (VOT to 2019) or runs from anchors (VOT from 2020).
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siamjax.data.readers.vot import AnchoredTrack
from siamjax.evaluate import (
    benchmarks,
    expected,
    multistart,
    onepass,
    ope,
    provenance,
    run,
    run_anchors,
    run_vot,
    run_votlt,
    scenes,
    segment,
    submission,
)
from siamjax.evaluate.drive import Clock, OnFrame, Tracker
from siamjax.evaluate.realtime import RealTime
from siamjax.evaluate.store import Run
from siamjax.typing import Variables

_VOT = {"supervised": run_vot, "anchored": run_anchors}
ANCHORED_YEARS = ("vot2020", "vot2021", "vot2022")


@dataclass(frozen=True)
class Plan:
    """What is evaluated, and how.

    Attributes:
        format: of the dataset, a key of `benchmarks.BENCHMARKS`.
        root: its folder.
        split: see `benchmarks.Benchmark.splits`; the default where "".
        convention: the benchmark's own where "".
        real_time: frames do not wait; for VOT's short-term challenge alone.
    """

    format: str
    root: Path
    split: str = ""
    convention: str = ""
    real_time: RealTime | None = None

    def __post_init__(self):
        if self.real_time and benchmarks.find(self.format).kind != "supervised":
            raise ValueError(f"real_time: not taken with --format {self.format}")

    def clips(self) -> list[Any]:
        """Read the benchmark: tracks, scenes for masks.

        Raises:
            ValueError: as `benchmarks.read`.
        """
        return benchmarks.read(self.format, self.root, self.split, self.convention)[0]

    def kind(self, clips: Sequence[Any]) -> str:
        """Give the kind of evaluation: that of the benchmark, or "anchored" or "submission".

        VOT is run from anchors where the split is a year that does so, and without a year where
        truth is masks or every sequence has anchors.
        """
        kind = benchmarks.find(self.format).kind
        if kind == "boxes" and benchmarks.find(self.format).submit and submission.withheld(clips):
            return "submission"
        if kind != "supervised" or self.split in expected.INTERVALS:
            return kind
        from_anchors = self.split in ANCHORED_YEARS or all(
            isinstance(one, AnchoredTrack) or one.masks is not None for one in clips
        )
        return "anchored" if from_anchors else kind

    def scored_by(self) -> str:
        """Give the name of the convention, "" where there is one alone."""
        return self.convention or "".join(benchmarks.find(self.format).conventions[:1])

    def chosen(self, clips: Sequence[Any]) -> dict[str, Any]:
        """Give what the protocols with restarts or anchors are told beside the clips."""
        lengths = re.fullmatch(r"(\d+)-(\d+)", self.split)
        given = (int(lengths[1]), int(lengths[2])) if lengths else None
        if self.kind(clips) == "anchored":
            return {"lengths": given or (multistart.LOW, multistart.HIGH)}
        return {"year": given or self.split or "vot2018", "convention": self.scored_by()}


def follow(
    plan: Plan,
    clip: Any,
    kind: str,
    tracker: Tracker,
    variables: Variables,
    made: provenance.Maker,
    out: Path,
    name: str,
    on_frame: OnFrame | None = None,
) -> None:
    """Run a tracker over one clip and keep its answers, unless they are kept already.

    Args:
        plan: of the evaluation.
        clip: from `plan.clips`.
        kind: from `plan.kind` of all clips.
        tracker: with `init` and `step`.
        variables: the tracker's.
        made: of both.
        out: folder of the evaluation.
        name: of the tracker, for its result files.
        on_frame: told after every frame.

    Raises:
        ValueError: as the protocol of the kind.
        OSError: the folder cannot be written.
    """
    parts = (tracker, variables, made, out)
    if kind in _VOT:
        timing = {"real_time": plan.real_time, "on_frame": on_frame}
        _VOT[kind].follow(clip, *parts, out / "results" / name, **timing)
    elif kind == "masks":
        segment.follow(clip, *parts, on_frame=on_frame)
    else:
        onepass.follow([clip], *parts, on_frame=on_frame)


def evaluate(
    plan: Plan,
    clips: Sequence[Any],
    tracker: Tracker,
    variables: Variables,
    out: Path,
    *,
    model: str = "",
    clock: Clock = time.perf_counter,
    on_frame: OnFrame | None = None,
) -> dict[str, Any]:
    """Run a tracker over a benchmark, score it, and write its answers in both formats.

    Args:
        plan: of the evaluation.
        clips: from `plan.clips`, or some of them.
        tracker: with `init` and `step`.
        variables: the tracker's.
        out: folder for the results; those of the benchmark's own format go to `OUT/results`.
        model: the tracker's name.
        clock: seconds, for real time.
        on_frame: told after every frame.

    Returns:
        What `results.json` holds, with `submission` where the truth is kept by a server.

    Raises:
        ValueError: what the kind of evaluation raises.
        OSError: the folder cannot be written.
    """
    benchmark, kind, place = benchmarks.find(plan.format), plan.kind(clips), out / "results"
    name = benchmarks.tracker_name(model)
    about: dict[str, Any] = {"model": model, "format": plan.format, "data": plan.root.name}
    parts = (clips, tracker, variables, out)
    if kind in _VOT:
        module, rules = _VOT[kind], plan.chosen(clips)
        module.check(clips, **rules)
        made = provenance.maker(tracker, variables)
        given = (tracker, variables, made, out, place / name)
        timing = {"real_time": plan.real_time, "clock": clock, "on_frame": on_frame}
        seconds = {clip.name: module.follow(clip, *given, **timing) for clip in clips}
        told = {**rules, "real_time": plan.real_time, "made": made, "seconds": seconds}
        return module.score(clips, place / name, out, **told, **about)
    about |= {"on_frame": on_frame}
    if kind == "masks":
        return segment.evaluate(*parts, **about)
    if kind == "longterm":
        return run_votlt.evaluate(*parts, place / name, **about)
    write, submit = benchmark.files.write, benchmark.submit
    export = (lambda runs: write(place, name, runs)) if write else None
    if kind == "submission" and export and submit:

        def pack(runs: Mapping[str, Run]) -> Path:
            export(runs)
            return submit(place, name)

        return submission.evaluate(*parts, pack, **about)
    return run.evaluate(*parts, convention=plan.scored_by(), export=export, **about)


def score(plan: Plan, clips: Sequence[Any], place: Path, out: Path) -> dict[str, Any]:
    """Score another tracker's answers, stored in the benchmark's own format.

    Args:
        plan: of the evaluation.
        clips: from `plan.clips`, or some of them.
        place: the tracker's folder of result files: `NAME.txt` (1-based for OTB, LaSOT, UAV123,
            TColor128 and DTB70), `NAME/NAME_001.txt` for GOT-10k, a zip or folder for TrackingNet,
            `baseline`, `realtime` or `longterm` for VOT, label maps for DAVIS.
        out: folder for `results.json` and the report.

    Returns:
        What `results.json` holds.

    Raises:
        ValueError: naming the file and the line that is missing or damaged; a split whose truth is
            not known; what the kind of evaluation raises.
        OSError: the folder cannot be written.
    """
    if not place.exists():
        raise ValueError(f"boxes: {place}: no such file or folder")
    kind = plan.kind(clips)
    name = benchmarks.tracker_name(str(place))
    about: dict[str, Any] = {"model": name, "format": plan.format, "data": plan.root.name}
    if kind == "submission":
        raise ValueError(f"boxes: the truth of {plan.root} is not known, so nothing can be scored")
    if kind in _VOT:
        told = {**plan.chosen(clips), "real_time": plan.real_time}
        return _VOT[kind].score(clips, place, out, **told, **about)
    if kind == "longterm":
        return run_votlt.score(clips, place, out, **about)
    if kind == "masks":
        found = {scene.name: scenes.read_maps(scene, place) for scene in clips}
        return segment.score_all(clips, found, out, **about)
    convention = plan.scored_by()
    shorter = ope.convention(convention).truncate
    read = benchmarks.find(plan.format).files.read
    boxes = {track.name: read(place, track, shorter) for track in clips}
    return run.score(clips, boxes, out, convention=convention, **about)
