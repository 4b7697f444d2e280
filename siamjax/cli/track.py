"""`siamjax track`: follow one or several targets through a video and write what was found."""

import contextlib
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import tyro

if TYPE_CHECKING:
    from rich.console import Console

    from siamjax import draw, results, video

BoxValues = tuple[float, float, float, float]


@dataclass(frozen=True)
class Command:
    """Track one or several targets through a video.

    Writes track.mp4 (what was found drawn), track.csv and track.json; with a model that draws masks
    also masks/00000.png and on, indexed by target. Without arguments it follows the rabbit of the
    bundled clip. Ctrl-C ends it; what was tracked until then is kept.
    """

    video: Annotated[str | None, tyro.conf.Positional] = None
    """Video file, picture folder, webcam number or URL; the bundled clip by default."""
    box: tyro.conf.UseAppendAction[tuple[BoxValues, ...]] = ()
    """X Y W H of a target in pixels of the start frame (left, top, width, height); repeat the
    option for more targets."""
    start: int | None = None
    """Number of the frame in which the boxes were drawn, counted from 0."""
    model: str = "default"
    """Weights file (.npz) or the name of bundled weights."""
    out: Path | None = None
    """Folder for the results; siamjax-out/NAME-OF-THE-VIDEO by default."""
    limit: int | None = None
    """Most frames to track, the start frame included."""
    show: bool = False
    """Show the frames in a window (needs a screen and opencv-python); without --box, draw the
    boxes there by mouse."""
    no_video: bool = False
    """Write no track.mp4."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""

    def run(self) -> dict[str, Any]:
        """Track, and give the summary: paths, frames, frames per second, seconds to first box.

        Raises:
            ValueError: a box, the start frame, the model or the source cannot be used.
            OSError: the source cannot be opened or the results cannot be written.
        """
        began = time.perf_counter()
        from rich.console import Console

        from siamjax import results

        console = Console(stderr=True, quiet=self.json, highlight=False)
        job = _plan(self)
        window = _window() if self.show else None
        with contextlib.ExitStack() as stack:
            if window is not None:
                stack.callback(window.close)
            boxes = _boxes(self, job, window)
            outputs = stack.enter_context(
                results.Outputs(
                    job.folder,
                    targets=len(boxes),
                    about=_about(self, job),
                    rate=None if self.no_video else job.info.rate,
                    began=began,
                )
            )
            stack.enter_context(_plain_warnings(console))
            try:
                _track(self, job, boxes, outputs, console, window)
                outputs.complete = True
            except KeyboardInterrupt:
                console.print(f"interrupted; {outputs.count} frames are kept in {job.folder}")
                raise
        summary = outputs.summary()
        if not self.json:
            _report(summary, job.folder)
        return summary


@dataclass(frozen=True)
class _Job:
    """What to track and where to write, once defaults are filled in."""

    source: str
    name: str
    start: int
    boxes: list[list[float]]
    folder: Path
    info: "video.VideoInfo"


def _plan(command: Command) -> _Job:
    from siamjax import follow, video

    boxes = [list(box) for box in command.box]
    start = command.start
    if command.video is None:
        clip = follow.bundled_clip()
        source = str(clip.path)
        if not boxes:
            if start is not None and start != clip.frames[0]:
                raise ValueError(
                    f"start: the bundled clip's own box is of frame {clip.frames[0]}, got {start}; "
                    "give --box as well"
                )
            start, boxes = clip.frames[0], [clip.boxes[0].tolist()]
    else:
        source = command.video
        if not boxes and not command.show:
            video.info(source)  # a missing or unreadable source is the error to report first
            raise ValueError("box: expected --box X Y W H, in pixels of the start frame, got none")
    if start is not None and start < 0:
        raise ValueError(f"start: expected a frame number >= 0, got {start}")
    name = _name(source)
    return _Job(
        source=source,
        name=name,
        start=start or 0,
        boxes=boxes,
        folder=command.out if command.out is not None else Path("siamjax-out") / name,
        info=video.info(source),
    )


def _about(command: Command, job: _Job) -> dict[str, Any]:
    """Give what track.json says of the run besides its results."""
    return {
        "video": {"source": job.source, **asdict(job.info)},
        "model": {"source": command.model},
        "start": job.start,
    }


def _name(source: str) -> str:
    """Name the results of a source: a file without its ending, a folder, a camera, a host."""
    if "://" in source:
        parts = urlsplit(source)
        return Path(parts.path).stem or parts.hostname or "stream"
    if source.isdecimal() and not Path(source).exists():
        return f"webcam-{source}"
    path = Path(source).resolve()
    return path.name if path.is_dir() else path.stem


def _window() -> "draw.Window":
    from siamjax import draw

    return draw.Window()


def _boxes(command: Command, job: _Job, window: "draw.Window | None") -> list[list[float]]:
    if job.boxes or window is None:
        return job.boxes
    from siamjax import video

    with contextlib.closing(video.frames(job.source, start=job.start)) as frames:
        boxes = window.ask_boxes(next(frames).image)
    if not boxes:
        raise ValueError("box: expected at least one box drawn in the window, got none")
    return boxes


def _track(
    command: Command,
    job: _Job,
    boxes: list[list[float]],
    outputs: "results.Outputs",
    console: "Console",
    window: "draw.Window | None",
) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from siamjax import draw, follow, weights
    from siamjax.track import zoo

    tracker, variables = weights.load(command.model)
    family, config = zoo.describe(tracker)
    outputs.about["model"] |= {"family": family, "config": config}
    overlay = draw.Overlay()
    total = None if job.info.count is None else max(job.info.count - job.start, 0)
    if command.limit is not None:
        total = command.limit if total is None else min(total, command.limit)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
    )
    results = follow.follow(
        job.source, boxes, tracker=tracker, variables=variables, start=job.start,
        limit=command.limit,
    )  # fmt: skip
    with Progress(*columns, console=console) as bar, contextlib.closing(results):
        task = bar.add_task("compiling for this machine ...", total=total, speed="")
        for result in results:
            outputs.write(result)
            if window is not None and not window.show(
                overlay(
                    result.image, result.boxes, result.scores, result.valid,
                    result.labels, result.rotated_boxes,
                )
            ):  # fmt: skip
                break
            if outputs.count >= 2:
                speed = outputs.speed()
                shown = "" if speed is None else f"{speed:.1f} frames/s"
                bar.update(task, description="tracking", completed=outputs.count, speed=shown)


@contextlib.contextmanager
def _plain_warnings(console: "Console") -> Iterator[None]:
    """Show warnings (a truncated video) as a line in place of Python's form."""
    from rich.markup import escape

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        console.print(f"[yellow]warning:[/] {escape(str(message))}", soft_wrap=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def _report(summary: dict[str, Any], folder: Path) -> None:
    timing = summary["timing"]
    speed, first = timing["frames_per_second"], timing["seconds_to_first_box"]
    parts = [f"{summary['frames']} frames"]
    if speed is not None:
        parts.append(f"{speed:.1f} frames/s")
    if first is not None:
        parts.append(f"first box after {first:.1f} s")
    print(", ".join(parts))
    keys = ("video", "csv", "json", "masks")
    names = [Path(summary[key]).name for key in keys if key in summary]
    print(f"{folder}: {', '.join(names)}")
