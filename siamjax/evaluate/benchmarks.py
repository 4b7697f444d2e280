"""The benchmarks that can be evaluated: how each is read, by what it is scored, its result files.

Answers are written as the benchmark's own toolkit or server takes them, by the tracker's name, so
that those of several trackers stand beside each other; those of other trackers are read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

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
from siamjax.data.tracks import Track
from siamjax.evaluate import formats, ope, submission
from siamjax.evaluate import vot as supervised
from siamjax.evaluate.store import Run
from siamjax.track import zoo

Runs = Mapping[str, Run]


def _zero_based(place: Path, track: Track, shorter: bool) -> list[formats.Result]:
    path = place / f"{track.name}.txt"
    return [formats.Result(formats.read_boxes(path, len(track), shorter=shorter))]


def _one_based(place: Path, track: Track, shorter: bool) -> list[formats.Result]:
    return [formats.Result(formats.read_otb(place, track.name, len(track), shorter=shorter))]


def _got10k_results(place: Path, track: Track, shorter: bool) -> list[formats.Result]:
    return formats.read_got10k(place, track.name, len(track))


def _trackingnet_results(place: Path, track: Track, shorter: bool) -> list[formats.Result]:
    if place.is_dir():
        return _zero_based(place, track, shorter)
    return [formats.Result(formats.read_trackingnet(place, {track.name: len(track)})[track.name])]


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


class Files(NamedTuple):
    """The result files of a benchmark's own toolkit or server.

    Attributes:
        read: the runs over a track out of a tracker's folder (or zip); may leave the last frames
            out where the third argument says so.
        write: given a folder, the tracker's name and its runs, writes them there.
    """

    read: Callable[[Path, Track, bool], list[formats.Result]]
    write: Callable[[Path, str, Runs], None] | None = None


PLAIN = Files(_zero_based)
ONE_BASED = Files(_one_based, _write_one_based)


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        read: from its folder and the part of it that `splits` tells, "" for the default.
        kind: of evaluation: one pass over boxes, masks, with restarts, or long-term.
        conventions: that it can be scored by, the default first; none where there is one alone.
        splits: what a split names; "" where there is none.
        files: with the boxes of trackers; other kinds of evaluation have their own.
        submit: given the same folder and name, packs what was written for the server of a split
            whose truth is not known.
    """

    read: Callable[[Path, str], list[Any]]
    kind: Literal["boxes", "masks", "supervised", "longterm"] = "boxes"
    conventions: tuple[str, ...] = ()
    splits: str = ""
    files: Files = PLAIN
    submit: Callable[[Path, str], Path] | None = None


def _boxes(default: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([default, *ope.CONVENTIONS]))


BENCHMARKS = {
    "folder": Benchmark(lambda root, _: folder.read(root), conventions=_boxes("visible")),
    "otb": Benchmark(
        lambda root, _: otb.read(root),
        conventions=_boxes("pysot"),
        files=ONE_BASED,
    ),
    "davis": Benchmark(davis.read_scenes, "masks", splits="a list in ImageSets, as 2017/val"),
    "got10k": Benchmark(
        lambda root, split: got10k.read(root, split or "val"),
        conventions=_boxes("got10k-val"),
        splits="val or test",
        files=Files(_got10k_results, _write_got10k),
        submit=_submit_got10k,
    ),
    "lasot": Benchmark(
        _read_lasot,
        conventions=_boxes("pysot-lasot"),
        splits="a file with names of sequences",
        files=Files(_one_based, _write_lasot),
    ),
    "uav123": Benchmark(
        lambda root, split: uav123.read(root, split or "UAV123"),
        conventions=_boxes("got10k-uav"),
        splits="UAV123 or UAV20L",
        files=ONE_BASED,
    ),
    "nfs": Benchmark(
        _read_nfs,
        conventions=_boxes("got10k"),
        splits="frames a second, 30 or 240",
        files=Files(_zero_based, _write_zero_based),
    ),
    "tcolor128": Benchmark(
        lambda root, _: tcolor.read(root),
        conventions=_boxes("pysot"),
        files=ONE_BASED,
    ),
    "dtb70": Benchmark(
        lambda root, _: dtb70.read(root),
        conventions=_boxes("pysot"),
        files=ONE_BASED,
    ),
    "trackingnet": Benchmark(
        lambda root, split: trackingnet.read(root, (split or "TEST",)),
        conventions=_boxes("trackingnet"),
        splits="TEST or TRAIN_0 to TRAIN_11",
        files=Files(_trackingnet_results, _write_trackingnet),
        submit=lambda place, tracker: place / f"{tracker}.zip",
    ),
    "vot": Benchmark(
        lambda root, _: vot.read(root),
        "supervised",
        tuple(supervised.CONVENTIONS),
        splits="the year, as vot2018, or lengths of the expected overlap, as 100-356",
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
    """Give the name under which results are kept: the file's or folder's, without a suffix."""
    name = Path(model).name
    for suffix in (".npz", ".zip", "_tracking_result"):
        name = name.removesuffix(suffix)
    return name or "tracker"
