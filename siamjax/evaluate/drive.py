"""A tracker driven through the frames of one clip, and what is asked of a tracker for it.

Frames/s is tracker and decoding together, from the answer for frame 1 to the last one, so that
compiling and `init` are left out; decoding the next frame overlaps the step before it.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

from siamjax.track.state import Out
from siamjax.typing import Frame

OnFrame = Callable[[str, int, int], None]
"""Told (sequence, frames done, frames of the sequence); at once (T, T) for one that is resumed."""


@runtime_checkable
class Tracker(Protocol):
    """What is asked of a tracker here."""

    def init(self, variables: Any, frame: Any, box: Any, hyper: Any = None) -> Any: ...

    def step(
        self, variables: Any, state: Any, frame: Any, hyper: Any = None
    ) -> tuple[Any, Out]: ...


def drive(
    frames: Iterator[Frame],
    name: str,
    total: int,
    state: Any,
    step: Callable[[Any, Frame], tuple[Any, Any]],
    take: Callable[[int, Any], None],
    on_frame: OnFrame | None = None,
) -> tuple[float, int]:
    """Step through a clip after its first frame; one answer is in flight while frames decode.

    Args:
        frames: those after the first.
        name: of the clip.
        total: frames of the clip, the first included.
        state: that the first frame gave.
        step: from a state and a frame to the next state and an answer.
        take: told each frame's number and answer, in order.
        on_frame: told after every frame.

    Returns:
        Seconds from the answer for frame 1 to the last one, and how many answers came in them.

    Raises:
        ValueError: the clip ends early.
    """
    answered = 0
    pending: deque[Any] = deque()

    def answer() -> None:
        nonlocal answered
        answered += 1
        take(answered, pending.popleft())
        if on_frame:
            on_frame(name, answered + 1, total)

    if on_frame:
        on_frame(name, 1, total)
    start = end = time.perf_counter()
    for index in range(1, total):
        state, out = step(state, next_frame(frames, name, index, total))
        pending.append(out)
        if index == 1:
            answer()
            start = time.perf_counter()
        elif len(pending) > 1:
            answer()
    while pending:
        answer()
        end = time.perf_counter()
    timed = max(total - 2, 0)
    return end - start if timed else 0.0, timed


def next_frame(frames: Iterator[Frame], name: str, index: int, total: int) -> Frame:
    """Take frame `index` of a clip of `total`.

    Raises:
        ValueError: the clip has ended.
    """
    frame = next(frames, None)
    if frame is None:
        raise ValueError(f"{name}: ends before frame {index} of {total}")
    return frame
