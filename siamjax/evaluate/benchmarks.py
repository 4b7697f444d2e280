"""The benchmarks that can be evaluated: how each is read, scored and written.

Answers are also written as the benchmark's own toolkit or server takes them, to `OUT/results`, by
the tracker's name, so that those of several trackers stand beside each other.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from siamjax.data.readers import (
    davis,
    dtb70,
    folder,
    got10k,
    lasot,
    nfs,
    otb,
    tcolor,
    trackingnet,
    uav123,
    vot,
    votlt,
)
from siamjax.evaluate import formats, ope, run, run_vot, run_votlt, segment, submission
from siamjax.evaluate import vot as supervised
from siamjax.evaluate.store import Run
from siamjax.track import zoo

Runs = Mapping[str, Run]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        read: from its folder and the part of it that `splits` tells, "" for the default.
        kind: of evaluation: one pass over boxes, masks, with restarts, or long-term.
        conventions: that it can be scored by, the default first; none where there is one alone.
        splits: what a split names; "" where there is none.
        write: given a folder, the tracker's name and its runs, writes the benchmark's own files.
        submit: given the same folder and name, packs what was written for the server of a split
            whose truth is not known.
    """

    read: Callable[[Path, str], list[Any]]
    kind: Literal["boxes", "masks", "supervised", "longterm"] = "boxes"
    conventions: tuple[str, ...] = ()
    splits: str = ""
    write: Callable[[Path, str, Runs], None] | None = None
    submit: Callable[[Path, str], Path] | None = None


def _boxes(default: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([default, *ope.CONVENTIONS]))


def _write_one_based(place: Path, tracker: str, runs: Runs) -> None:
    for name, one in runs.items():
        formats.write_otb(place / tracker, name, one.boxes)


def _write_zero_based(place: Path, tracker: str, runs: Runs) -> None:
    for name, one in runs.items():
        formats.write_boxes(place / tracker / f"{name}.txt", one.boxes)


def _write_lasot(place: Path, tracker: str, runs: Runs) -> None:
    for name, one in runs.items():
        formats.write_lasot(place, tracker, name, one.boxes)


def _write_got10k(place: Path, tracker: str, runs: Runs) -> None:
    for name, one in runs.items():
        result = formats.Result(one.boxes, submission.frame_seconds(one))
        formats.write_got10k(place / tracker, name, [result])


def _submit_got10k(place: Path, tracker: str) -> Path:
    path = place / f"{tracker}.zip"
    formats.zip_got10k(place / tracker, path)
    return path


def _write_trackingnet(place: Path, tracker: str, runs: Runs) -> None:
    boxes = {name: one.boxes for name, one in runs.items()}
    formats.write_trackingnet(place / f"{tracker}.zip", boxes)


def _read_lasot(root: Path, split: str) -> list[Any]:
    return lasot.read(root, root / split if split else ())


def _read_nfs(root: Path, split: str) -> list[Any]:
    if split and not split.isdecimal():
        raise ValueError(f"split: expected 30 or 240 frames a second, got {split!r}")
    return nfs.read(root, int(split or 30))


BENCHMARKS = {
    "folder": Benchmark(lambda root, _: folder.read(root), conventions=_boxes("visible")),
    "otb": Benchmark(
        lambda root, _: otb.read(root), conventions=_boxes("pysot"), write=_write_one_based
    ),
    "davis": Benchmark(davis.read_scenes, "masks", splits="a list in ImageSets, as 2017/val"),
    "got10k": Benchmark(
        lambda root, split: got10k.read(root, split or "val"),
        conventions=_boxes("got10k-val"),
        splits="val or test",
        write=_write_got10k,
        submit=_submit_got10k,
    ),
    "lasot": Benchmark(
        _read_lasot,
        conventions=_boxes("pysot-lasot"),
        splits="a file with names of sequences",
        write=_write_lasot,
    ),
    "uav123": Benchmark(
        lambda root, split: uav123.read(root, split or "UAV123"),
        conventions=_boxes("got10k-uav"),
        splits="UAV123 or UAV20L",
        write=_write_one_based,
    ),
    "nfs": Benchmark(
        _read_nfs,
        conventions=_boxes("got10k"),
        splits="frames a second, 30 or 240",
        write=_write_zero_based,
    ),
    "tcolor128": Benchmark(
        lambda root, _: tcolor.read(root), conventions=_boxes("pysot"), write=_write_one_based
    ),
    "dtb70": Benchmark(
        lambda root, _: dtb70.read(root), conventions=_boxes("pysot"), write=_write_one_based
    ),
    "trackingnet": Benchmark(
        lambda root, split: trackingnet.read(root, (split or "TEST",)),
        conventions=_boxes("trackingnet"),
        splits="TEST or TRAIN_0 to TRAIN_11",
        write=_write_trackingnet,
        submit=lambda place, tracker: place / f"{tracker}.zip",
    ),
    "vot": Benchmark(
        lambda root, _: vot.read(root),
        "supervised",
        tuple(supervised.CONVENTIONS),
        splits="the year of the expected overlap, as vot2018, or its lengths, as 100-356",
    ),
    "votlt": Benchmark(lambda root, _: votlt.read(root), "longterm"),
}


def find(name: str) -> Benchmark:
    """Look a benchmark up by the name of its format.

    Raises:
        ValueError: there is none of that name; the message suggests the closest.
    """
    if name not in BENCHMARKS:
        raise zoo.unknown("format", name, list(BENCHMARKS))
    return BENCHMARKS[name]


def read(name: str, root: Path, split: str = "", convention: str = "") -> tuple[list[Any], str]:
    """Read a benchmark, and choose by what it is scored.

    Args:
        name: of the format.
        root: its folder.
        split: see `Benchmark.splits`; the default where "".
        convention: the benchmark's own where "".

    Returns:
        Tracks (scenes for masks), and the name of the convention, "" where there is one alone.

    Raises:
        ValueError: a split or a convention that the benchmark does not take, and as its reader.
    """
    benchmark = find(name)
    if split and not benchmark.splits:
        raise ValueError(f"split: not taken with --format {name}, got {split!r}")
    if convention and not benchmark.conventions:
        raise ValueError(f"convention: not taken with --format {name}, got {convention}")
    if convention and convention not in benchmark.conventions:
        raise zoo.unknown("convention", convention, list(benchmark.conventions))
    return benchmark.read(root, split), convention or "".join(benchmark.conventions[:1])


def tracker_name(model: str) -> str:
    """Give the name under which results of a model are kept: its file's, without the suffix."""
    return Path(model).name.removesuffix(".npz") or "tracker"


def _year(split: str) -> str | tuple[int, int]:
    lengths = re.fullmatch(r"(\d+)-(\d+)", split)
    return (int(lengths[1]), int(lengths[2])) if lengths else split or "vot2018"


def evaluate(
    name: str,
    clips: Sequence[Any],
    tracker: Any,
    variables: Any,
    out: Path,
    *,
    convention: str = "",
    split: str = "",
    model: str = "",
    **about: Any,
) -> dict[str, Any]:
    """Run a tracker over a benchmark, score it, and write its answers in both formats.

    Args:
        name: of the format.
        clips: from `read`.
        tracker: with `init` and `step`.
        variables: the tracker's.
        out: folder for the results.
        convention: from `read`.
        split: as given to `read`.
        model: the tracker's name.
        about: `data` and `on_frame`, as `run.evaluate` has them.

    Returns:
        What `results.json` holds, with `submission` where the truth is kept by a server.

    Raises:
        ValueError: what the kind of evaluation raises.
        OSError: the folder cannot be written.
    """
    benchmark, place, shown = find(name), Path(out) / "results", tracker_name(model)
    about |= {"model": model, "format": name}
    if benchmark.kind == "masks":
        return segment.evaluate(clips, tracker, variables, out, **about)
    if benchmark.kind == "supervised":
        chosen = {"convention": convention, "year": _year(split)}
        return run_vot.evaluate(clips, tracker, variables, out, place / shown, **chosen, **about)
    if benchmark.kind == "longterm":
        return run_votlt.evaluate(clips, tracker, variables, out, place / shown, **about)
    write, submit = benchmark.write, benchmark.submit
    export = (lambda runs: write(place, shown, runs)) if write else None
    if export and submit and submission.withheld(clips):

        def pack(runs: Runs) -> Path:
            export(runs)
            return submit(place, shown)

        return submission.evaluate(clips, tracker, variables, out, pack, **about)
    return run.evaluate(
        clips, tracker, variables, out, convention=convention, export=export, **about
    )
