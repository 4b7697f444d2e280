"""A tracker over all objects of a clip at once, from boxes to label maps.

All objects take one mapped step; their masks are merged, every pixel to the most probable object.
A label map is uint8[H, W]: 0 the background, i + 1 object i.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from siamjax import geometry, masks
from siamjax.data import labels
from siamjax.data.labels import Labels
from siamjax.data.media import list_pictures
from siamjax.data.readers.davis import Scene
from siamjax.data.readers.masks import mask_box
from siamjax.data.tracks import Mask, Track
from siamjax.evaluate import store
from siamjax.evaluate.drive import OnFrame, Tracker, drive, next_frame, opened
from siamjax.evaluate.store import Run
from siamjax.track.many import init_many, step_many
from siamjax.track.state import Out
from siamjax.typing import AnyArray, Frame, Variables


class Followed(NamedTuple):
    """A tracker's answers over one scene.

    `runs` has the boxes and scores of each object; `maps` the label map of each frame, i + 1 for
    object i, empty from a tracker that draws no masks.
    """

    runs: tuple[Run, ...]
    maps: list[Labels]


def fill(
    boxes: Float[AnyArray, "N 4"], scores: Float[AnyArray, "N"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width}"]:
    """Draw boxes as a label map: i + 1 in box i, where boxes overlap that of the higher score.

    Pixel p lies in a box where `x <= p + 1/2 < x + width`, so that the box of a mask, which begins
    at its first pixel, covers it.
    """
    drawn = np.zeros((height, width), np.uint8)
    corners = np.floor(np.asarray(geometry.to_corners(np.asarray(boxes))) + 0.5)
    edges = np.clip(np.nan_to_num(corners), 0, [width, height, width, height]).astype(int)
    # The last drawn lies on top; of equal scores the first object.
    for i in sorted(range(len(edges)), key=lambda i: (scores[i], -i)):
        left, top, right, bottom = edges[i]
        drawn[top:bottom, left:right] = i + 1
    return drawn


def _start(
    scene: Scene, tracker: Tracker, variables: Variables, frame: Frame, boxes: np.ndarray
) -> tuple[Callable[[], Any], Callable[[Any, Frame], tuple[Any, tuple[Out, Any]]]]:
    """Give what starts on all objects, and the step to `Out` and the label map."""
    if len(scene.tracks) == 1:
        start = lambda: tracker.init(variables, frame, boxes[0].copy())

        def forward(state, frame):
            state, out = tracker.step(variables, state, frame)
            return state, jax.tree.map(lambda a: a[None], out)

    else:
        start = lambda: init_many(tracker, variables, frame, boxes)
        forward = functools.partial(step_many, tracker, variables)

    def step(state, frame):
        state, out = forward(state, frame)
        drawn = None if out.mask is None else masks.merge(out.mask, out.mask_threshold)
        return state, (out, drawn)

    return start, step


def run_scene(
    scene: Scene, tracker: Tracker, variables: Variables, *, on_frame: OnFrame | None = None
) -> Followed:
    """Follow every object of a scene from the box of its first mask.

    Args:
        scene: the clip, and the tracks of its objects.
        tracker: with `init` and `step`; several objects need one of `siamjax.track.zoo`.
        variables: the tracker's.
        on_frame: told after every frame.

    Returns:
        Boxes, scores and label maps of every frame; those of the first are the boxes given. Where
        an answer is not valid the last valid box stands, and the object has no mask.

    Raises:
        ValueError: a first box cannot be tracked, masks are of another size than frames, or the
            clip ends early.
    """
    with opened(scene.tracks[0].media) as frames:
        return _run(scene, tracker, variables, frames, on_frame)


def _run(
    scene: Scene,
    tracker: Tracker,
    variables: Variables,
    frames: Iterator[Frame],
    on_frame: OnFrame | None,
) -> Followed:
    tracks = scene.tracks
    count, total = len(tracks), len(tracks[0])
    frame = next_frame(frames, scene.name, 0, total)
    height, width = frame.shape[:2]
    for track in tracks:
        drawn = truth(track, 0)
        if drawn.shape != (height, width):
            raise ValueError(
                f"{track.name}: masks of {drawn.shape[1]}x{drawn.shape[0]} pixels for frames of"
                f" {width}x{height}"
            )
    boxes = np.empty((total, count, 4), np.float32)
    scores = np.ones((total, count), np.float32)
    for k, track in enumerate(tracks):
        first = f"{track.name}: first truth"
        boxes[0, k] = geometry.check_box(track.boxes[0], width, height, first)
    maps: list[Labels] = []

    def take(index: int, answer: tuple[Out, Any]) -> None:
        out, drawn = answer
        valid = np.asarray(out.valid)[:, None]
        boxes[index] = np.where(valid, np.asarray(out.box), boxes[index - 1])
        scores[index] = np.asarray(out.score)
        if drawn is not None:
            maps.append(np.asarray(drawn))

    start, step = _start(scene, tracker, variables, frame, boxes[0])
    times = drive(frames, scene.name, total, start, step, take, on_frame)
    if maps:
        maps.insert(0, fill(boxes[0], scores[0], height, width))
    rounded = [store.rounded(boxes[:, k]) for k in range(count)]
    runs = (Run(rounded[k], scores[:, k], *times) for k in range(count))
    return Followed(tuple(runs), maps)


def read_maps(scene: Scene, folder: Path) -> Followed:
    """Read another tracker's label maps over a scene, `SEQ/00000.png` a frame, as DAVIS has them.

    Boxes are those of the masks; there are none where an object is not drawn.

    Args:
        scene: the clip and its objects.
        folder: of the tracker.

    Raises:
        ValueError: naming the file: no map of a frame, maps more than frames, one of another size
            or that cannot be decoded.
    """
    place, total = folder / scene.name, len(scene.tracks[0])
    paths = list_pictures(place) if place.is_dir() else ()
    if len(paths) != total:
        raise ValueError(f"{place}: expected {total} label maps, got {len(paths)}")
    shape = truth(scene.tracks[0], 0).shape
    boxes = np.full((total, len(scene.tracks), 4), np.nan, np.float32)
    maps: list[Labels] = []
    for path, row in zip(paths, boxes, strict=True):
        found = labels.read(path)
        if found.shape != shape:
            sizes = [f"{width}x{height}" for height, width in (shape, found.shape)]
            raise ValueError(f"{path}: expected {sizes[0]} pixels, got {sizes[1]}")
        drawn = np.zeros(shape, np.uint8)
        for k, track in enumerate(scene.tracks):
            number = getattr(track.masks, "number", None)
            inside = found > 0 if number is None else found == number
            drawn[inside] = k + 1
            box = mask_box(inside)
            row[k] = np.nan if box is None else box
        maps.append(drawn)
    scores = np.ones(total, np.float32)
    runs = (Run(boxes[:, k], scores, 0.0, 0) for k in range(len(scene.tracks)))
    return Followed(tuple(runs), maps)


def truth(track: Track, i: int) -> Mask:
    """Give the true mask of frame `i`.

    Raises:
        ValueError: the track has no masks.
    """
    if track.masks is None:
        raise ValueError(f"{track.name}: expected masks to score against, got none")
    return track.masks.mask(i)
