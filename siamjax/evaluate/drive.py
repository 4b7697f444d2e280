"""A tracker driven through the frames of one clip, and what is asked of a tracker for it.

A thread decodes ahead of the tracker. Frames/s with decoding is counted from the answer for frame 1
to the last one, so that compiling and `init` are left out; a step's own seconds run from its frame
being at hand to its answer being there.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float64

from siamjax.readahead import read_ahead
from siamjax.track.state import Out
from siamjax.typing import Frame

OnFrame = Callable[[str, int, int], None]
"""Told (sequence, frames done, frames of the sequence); at once (T, T) for one that is resumed."""

Clock = Callable[[], float]
"""Seconds that pass, as `time.perf_counter` tells them."""


@runtime_checkable
class Tracker(Protocol):
    """What is asked of a tracker here."""

    def init(self, variables: Any, frame: Any, box: Any, hyper: Any = None) -> Any: ...

    def step(
        self, variables: Any, state: Any, frame: Any, hyper: Any = None
    ) -> tuple[Any, Out]: ...


class Times(NamedTuple):
    """How long a run took.

    `seconds` is from the answer for frame 1 to the last one, decoding included, `timed` the number
    of frames answered in it (0 for clips of one or two frames). `steps` are the seconds of the
    tracker alone, frame by frame; the first two hold what starting and compiling took.
    """

    seconds: float
    timed: int
    steps: Float64[np.ndarray, " T"]


@contextlib.contextmanager
def opened(media: Iterable[Frame]) -> Generator[Iterator[Frame], None, None]:
    """Give a clip's frames in order, decoded ahead in a thread that ends with the block."""
    with contextlib.closing(read_ahead(iter(media))) as frames:
        yield frames


def drive(
    frames: Iterator[Frame],
    name: str,
    total: int,
    start: Callable[[], Any],
    step: Callable[[Any, Frame], tuple[Any, Any]],
    take: Callable[[int, Any], None],
    on_frame: OnFrame | None = None,
    clock: Clock = time.perf_counter,
) -> Times:
    """Start on a clip's first frame and step through the others.

    Args:
        frames: those after the first.
        name: of the clip.
        total: frames of the clip, the first included.
        start: gives the state of the first frame.
        step: from a state and a frame to the next state and an answer.
        take: told each frame's number and answer, in order.
        on_frame: told after every frame.
        clock: for the times.

    Raises:
        ValueError: the clip ends early.
    """
    steps = np.zeros(total)
    began = clock()
    state = jax.block_until_ready(start())
    steps[0] = clock() - began
    if on_frame:
        on_frame(name, 1, total)
    first = end = clock()
    for index in range(1, total):
        frame = next_frame(frames, name, index, total)
        began = clock()
        state, out = jax.block_until_ready(step(state, frame))
        end = clock()
        steps[index] = end - began
        first = end if index == 1 else first
        take(index, out)
        if on_frame:
            on_frame(name, index + 1, total)
    timed = max(total - 2, 0)
    return Times(end - first if timed else 0.0, timed, steps.round(9))


def next_frame(frames: Iterator[Frame], name: str, index: int, total: int) -> Frame:
    """Take frame `index` of a clip of `total`.

    Raises:
        ValueError: the clip has ended.
    """
    frame = next(frames, None)
    if frame is None:
        raise ValueError(f"{name}: ends before frame {index} of {total}")
    return frame
