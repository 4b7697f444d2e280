"""From video to boxes: the tracker's pure steps driven over a source of frames.

Frames are RGB uint8[H, W, 3]; boxes (x, y, width, height) in frame pixels, frames counted from 0,
times in seconds. Not pure: reads files, runs a decoding thread, warns about truncated videos.
"""

import csv
from collections.abc import Callable, Generator, Iterable, Iterator
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from siamjax import geometry, masks, rotated, video
from siamjax.crop import check_frame
from siamjax.readahead import read_ahead
from siamjax.track.many import init_many, step_many
from siamjax.track.siammask import SiamMask
from siamjax.track.state import Out
from siamjax.track.zoo import Tracker
from siamjax.typing import AnyArray, Variables


class Tracked(NamedTuple):
    """The result for one frame: N targets in the order of the boxes given."""

    frame: int
    """Number of the frame in its source."""
    time: float
    """Seconds since the first frame of the source."""
    image: UInt8[np.ndarray, "H W 3"]
    boxes: Float[np.ndarray, "N 4"]
    """NaN where not valid."""
    scores: Float[np.ndarray, "N"]
    """As the tracker's family defines them, 0..1; 1 in the first frame, where boxes were given."""
    valid: Bool[np.ndarray, "N"]
    lost: Bool[np.ndarray, "N"]
    """Where the tracker takes the target to be out of its sight; see `Out.lost`."""
    masks: Float[np.ndarray, "N H W"] | None = None
    """Probabilities, see `Out.mask`, in the first frame too; None from trackers without masks."""
    labels: UInt8[np.ndarray, "H W"] | None = None
    """The masks merged into one map: 0 the background, n + 1 target n; see `masks.merge`."""
    rotated_boxes: Float[np.ndarray, "N 4 2"] | None = None
    """Corners of the rectangles around the masks; see `Out.rotated_box`."""


class Tracks(NamedTuple):
    """The results for a clip of T frames, the first of them the one whose boxes were given."""

    frames: Int[np.ndarray, "T"]
    times: Float[np.ndarray, "T"]
    boxes: Float[np.ndarray, "T N 4"]
    scores: Float[np.ndarray, "T N"]
    valid: Bool[np.ndarray, "T N"]


class Clip(NamedTuple):
    """A video with the boxes of its target drawn by hand on some frames."""

    path: Path
    frames: tuple[int, ...]
    """Numbers of the frames with boxes; the first is where tracking starts."""
    boxes: Float[np.ndarray, "K 4"]


def bundled_clip() -> Clip:
    """Give the clip that comes with the package: the head of a rabbit leaving its burrow.

    Big Buck Bunny, (c) Blender Foundation, www.bigbuckbunny.org, CC BY 3.0.
    """
    folder = Path(str(resources.files("siamjax"))) / "assets"
    with open(folder / "bigbuckbunny.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    sides = ("x", "y", "width", "height")
    boxes = np.array([[float(row[side]) for side in sides] for row in rows], np.float32)
    return Clip(folder / "bigbuckbunny.mp4", tuple(int(row["frame"]) for row in rows), boxes)


def track_video(
    source: video.Source | Iterable[video.Frame | AnyArray],
    boxes: Any,
    *,
    tracker: Tracker | None = None,
    variables: Variables | None = None,
    start: int = 0,
    on_frame: Callable[[Tracked], None] | None = None,
    limit: int | None = None,
) -> Tracks:
    """Track one or several targets through a video.

    Args:
        source: anything that `video.frames` reads, or frames themselves (`uint8[H, W, 3]` RGB).
        boxes: [4] or [N, 4], (x, y, width, height) in pixels of frame `start`.
        tracker: the configuration; with `variables`, its weights. Default: `sj.load("default")`.
        variables: the weights of `tracker`.
        start: number of the frame in which the boxes were drawn.
        on_frame: called with every result, the first frame's included.
        limit: most frames to take, the first included.

    Returns:
        Frame numbers, times in seconds, boxes, scores and validity, frame by frame.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the source gives no frames, a frame is not `uint8[H, W, 3]`, a box cannot be
            tracked (see `geometry.check_box`), or `start` or `limit` is out of range.
    """
    results = follow(source, boxes, tracker=tracker, variables=variables, start=start, limit=limit)
    kept = []
    for result in results:
        if on_frame is not None:
            on_frame(result)
        kept.append(result._replace(image=result.image[:0, :0], masks=None, labels=None))
    return Tracks(
        np.array([result.frame for result in kept], np.int64),
        np.array([result.time for result in kept], np.float64),
        np.stack([result.boxes for result in kept]),
        np.stack([result.scores for result in kept]),
        np.stack([result.valid for result in kept]),
    )


def follow(
    source: video.Source | Iterable[video.Frame | AnyArray],
    boxes: Any,
    *,
    tracker: Tracker | None = None,
    variables: Variables | None = None,
    start: int = 0,
    limit: int | None = None,
) -> Generator[Tracked, None, None]:
    """Yield the result of each frame as it comes; arguments and errors of `track_video`.

    A thread decodes ahead, and the next frame is given to the device before a result is yielded,
    so that decoding, tracking and what the caller does with the result overlap. Live sources
    (webcams, streams) are not read ahead: a result comes before the next frame is asked for.
    """
    if start < 0:
        raise ValueError(f"start: expected a frame number >= 0, got {start}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1 frame, got {limit}")
    if (tracker is None) != (variables is None):
        missing = "tracker" if tracker is None else "variables"
        raise ValueError(f"{missing}: expected with the other of tracker and variables, got None")
    frames, live = _frames(source, start)
    try:
        yield from _steps(islice(frames, limit), boxes, tracker, variables, ahead=not live)
    finally:
        frames.close()


def _steps(
    frames: Iterator[video.Frame],
    boxes: Any,
    tracker: Tracker | None,
    variables: Variables | None,
    ahead: bool,
) -> Iterator[Tracked]:
    first = next(frames, None)
    if first is None:
        raise ValueError("source: expected at least one frame, got none")
    given = _check_boxes(boxes, first.image)
    if tracker is None or variables is None:
        model, weights = _default()
    else:
        model, weights = tracker, variables
    ones = np.ones(len(given), np.float32)
    start = Tracked(first.index, first.time, first.image, given, ones, ones > 0, ones == 0)
    drawn = isinstance(model, SiamMask)
    if not drawn:
        yield start

    # One target takes the plain path, several the mapped one.
    single = len(given) == 1
    state: Any
    if single:
        state = model.init(weights, first.image, given[0])
    else:
        state = init_many(model, weights, first.image, given)

    def step(state: Any, image: np.ndarray) -> tuple[Any, "_Found"]:
        if single:
            state, out = model.step(weights, state, image)
        else:
            state, out = step_many(model, weights, state, image)
        return state, _found(out)

    if drawn:  # the first frame's masks come of a step whose state nobody follows
        _, found = step(state, first.image)
        fields = ("masks", "labels", "rotated_boxes")
        result = _result(first, found._replace(box=given))
        yield start._replace(**{name: getattr(result, name) for name in fields})
    waiting: tuple[video.Frame, _Found] | None = None
    for frame in frames:
        state, out = step(state, frame.image)
        if waiting is not None:
            yield _result(*waiting)
        waiting = (frame, out)
        if not ahead:
            yield _result(*waiting)
            waiting = None
    if waiting is not None:
        yield _result(*waiting)


def _default() -> tuple[Tracker, Variables]:
    from siamjax.weights.store import load

    return load("default")


class _Found(NamedTuple):
    """What a step leaves on the device for a result."""

    box: Any
    score: Any
    valid: Any
    lost: Any
    mask: Any
    threshold: Any
    labels: Any


def _found(out: Out) -> _Found:
    """Merge the masks at once: the device has the next frame's step to do after this."""
    mask, threshold = out.mask, out.mask_threshold
    labels = None
    if mask is not None and threshold is not None:
        mask, threshold = mask.reshape(-1, *mask.shape[-2:]), threshold.reshape(-1)
        labels = masks.merge(mask, threshold)
    return _Found(out.box, out.score, out.valid, out.lost, mask, threshold, labels)


def _result(frame: video.Frame, found: _Found) -> Tracked:
    found = jax.device_get(found)
    boxes = np.asarray(found.box, np.float32).reshape(-1, 4)
    flat = (np.asarray(a).reshape(-1) for a in (found.score, found.valid, found.lost))
    scores, valid, lost = flat
    result = Tracked(
        frame.index, frame.time, frame.image, boxes, scores.astype(np.float32), valid, lost
    )
    if found.mask is None:
        return result
    turned = rotated.boxes(found.mask, found.threshold, boxes)
    return result._replace(masks=found.mask, labels=found.labels, rotated_boxes=turned)


def _check_boxes(boxes: Any, image: np.ndarray) -> np.ndarray:
    """Turn [4] or [N, 4] numbers into float32[N, 4] boxes that can be tracked in `image`."""
    given = list(boxes) if np.ndim(boxes) != 0 else []
    if given and all(np.ndim(side) == 0 for side in given):
        given = [given]
    if not given:
        raise ValueError(f"boxes: expected at least one box x, y, width, height, got {boxes!r}")
    height, width = image.shape[:2]
    names = ["boxes"] if len(given) == 1 else [f"boxes[{n}]" for n in range(len(given))]
    checked = [
        geometry.check_box(np.asarray(box), width, height, name)
        for box, name in zip(given, names, strict=True)
    ]
    return np.stack(checked)


def _frames(
    source: video.Source | Iterable[video.Frame | AnyArray], start: int
) -> tuple[Generator[video.Frame, None, None], bool]:
    """Give the frames from `start` on, and whether the source is live."""
    if isinstance(source, str | int | Path):
        live = video.is_live(source) or "://" in str(source)
        frames = video.frames(source, start=start)
        return (frames if live else read_ahead(frames)), live
    return _from_arrays(source, start), False


def _from_arrays(
    source: Iterable[video.Frame | AnyArray], start: int
) -> Generator[video.Frame, None, None]:
    """Number the user's frames and check each; times are 25 frames per second."""
    for index, item in enumerate(source):
        frame = item
        if not isinstance(frame, video.Frame):
            if not hasattr(frame, "dtype"):
                raise ValueError(f"frame {index}: expected an array, got {type(frame).__name__}")
            check_frame(frame, f"frame {index}")
            frame = video.Frame(index, index / video.PICTURE_RATE, np.asarray(frame))
        check_frame(frame.image, f"frame {frame.index}")
        if index >= start:
            yield frame
