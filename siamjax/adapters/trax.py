"""A tracker behind the TraX protocol, by which VOT's toolkit drives it.

The server tells what it takes (`hello`), is given an image and regions to start from, answers every
image with a region for each object, and quits when told. It takes the order of messages of all
versions: to 3 `initialize` holds an image and one region, from 4 on one region each, and the image
follows in a `frame`. An answer has the form of the region that its object was started on: masks
need a tracker that draws them, polygons are its rotated boxes; where it draws none they are boxes.
Source: as `trax_messages`; starts as `siamjax.evaluate` has them.
"""

from collections.abc import Mapping
from io import BufferedIOBase
from typing import Any

import numpy as np

from siamjax import geometry, polygons
from siamjax.adapters import trax_messages
from siamjax.adapters.trax_messages import Message
from siamjax.data.readers.vot import run_lengths
from siamjax.evaluate import anchored, drive, supervised
from siamjax.evaluate.regions import Drawn, Region
from siamjax.track.state import Out
from siamjax.typing import Frame, Variables

VERSIONS = (1, 2, 3, 4)


def start_box(region: Region, frame: Frame) -> np.ndarray:
    """Give the box that a tracker is started on: that of a mask's bounds, or of a polygon's area.

    Raises:
        ValueError: a code, or a region that cannot be tracked.
    """
    if isinstance(region, int):
        raise ValueError(f"region: expected one to start from, got the code {region}")
    height, width = frame.shape[:2]
    if isinstance(region, Drawn):
        left, top, *sides = run_lengths(region.inside)[:4]
        box = np.asarray([left + region.left, top + region.top, *sides], np.float32)
    else:
        box = polygons.equal_area_boxes(region[None])[0].astype(np.float32)
    return geometry.check_box(box, width, height, "region")


def region_of(out: Out, given: Region) -> Region:
    """Read a tracker's region in the form of the one that was given, where it has that form."""
    if isinstance(given, Drawn):
        return anchored.region_of(out)
    if not isinstance(given, int) and len(given) > 4:
        return supervised.region_of(out)
    return np.asarray(out.box, np.float64)


class Session:
    """The objects that are followed, in the order in which they were given.

    A region that was given waits for the image that it was drawn in.
    """

    def __init__(self, tracker: drive.Tracker, variables: Variables):
        """Follow none yet."""
        self._tracker, self._variables = tracker, variables
        self._waiting: list[Region] = []
        self._states: list[Any] = []
        self._given: list[Region] = []
        self._last: list[Region] = []

    def reset(self) -> None:
        """Forget all objects."""
        self._waiting, self._states, self._given, self._last = [], [], [], []

    def add(self, text: str) -> None:
        """Take an object's region, which the next image shows."""
        self._waiting.append(trax_messages.read_region(text))

    def answer(self, frame: Frame) -> list[tuple[Region, float]]:
        """Follow all objects into a frame: region and score of each, 1 where one was just given.

        Raises:
            ValueError: no object, or a region that cannot be tracked.
        """
        if not self._states and not self._waiting:
            raise ValueError("frame: expected an object to follow before it")
        scores = []
        for k, state in enumerate(self._states):
            self._states[k], out = self._tracker.step(self._variables, state, frame)
            if bool(out.valid):
                self._last[k] = region_of(out, self._given[k])
            scores.append(float(out.score))
        for region in self._waiting:
            box = start_box(region, frame)
            self._states.append(self._tracker.init(self._variables, frame, box))
            self._given.append(region)
            self._last.append(region)
            scores.append(1.0)
        self._waiting = []
        return list(zip(self._last, scores, strict=True))


def serve(
    reader: BufferedIOBase,
    writer: BufferedIOBase,
    tracker: drive.Tracker,
    variables: Variables,
    *,
    name: str = "siamjax",
    version: int = 4,
) -> int:
    """Answer a client until it quits.

    Args:
        reader: the client's messages.
        writer: for the answers; nothing else may write to it.
        tracker: with `init` and `step`.
        variables: the tracker's.
        name: of the tracker.
        version: of the protocol, told to the client; 4 takes several objects.

    Returns:
        Frames that were answered.

    Raises:
        ValueError: another version; a message out of its order or that cannot be read, an image or
            a region that cannot be used: the client is told the reason first.
        OSError: an image cannot be had, likewise.
    """
    if version not in VERSIONS:
        raise ValueError(f"version: expected 1 to 4, got {version}")

    def tell(kind: str, properties: Mapping[str, str], *arguments: str) -> None:
        writer.write(trax_messages.shown(kind, arguments, properties).encode())
        writer.flush()

    able = {"version": str(version), "name": name, "image": "path;url;memory;buffer;"}
    able |= {"region": "rectangle;polygon;mask;", "channels": "color;"}
    able |= {"multiobject": "1"} if version > 3 else {}
    tell("hello", {f"trax.{key}": value for key, value in able.items()})
    session, answered = Session(tracker, variables), 0
    try:
        for line in reader:
            message = trax_messages.parse(line.decode(errors="replace"))
            if message is None:
                continue
            if message.kind == "quit":
                break
            image = _take(session, message)
            if image is None:
                continue
            for region, score in session.answer(trax_messages.read_image(image)):
                tell("state", {"confidence": f"{score:.6f}"}, trax_messages.shown_region(region))
            answered += 1
    except (ValueError, OSError) as error:
        tell("quit", {"trax.reason": str(error)})
        raise
    return answered


def _take(session: Session, message: Message) -> str | None:
    """Give the image that a message asks to answer; None where one has yet to come."""
    kind, arguments = message.kind, message.arguments
    if kind == "frame" and len(arguments) == 1:
        return arguments[0]
    if kind == "initialize" and len(arguments) == 2:
        session.reset()
        session.add(arguments[1])
        return arguments[0]
    if kind == "initialize" and len(arguments) < 2:
        session.add(arguments[0]) if arguments else session.reset()
        return None
    raise ValueError(f"{kind}: not expected here with {len(arguments)} arguments")
