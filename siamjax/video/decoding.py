"""Frames decoded by FFmpeg: those of a file in order, or the newest of an endless source.

A file that is cut short or damaged gives what decodes, and a word about it at the end.
"""

import threading
import warnings
from collections.abc import Iterator

import av
import av.container
import av.video
from av.error import FFmpegError

from siamjax.video.container import TIMEOUT, rate_of, raw_frames, upright
from siamjax.video.frame import Frame, beyond


def file_frames(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    name: str,
    start: int,
) -> Iterator[Frame]:
    """Yield the frames of a file from number `start` on.

    Raises:
        ValueError: nothing can be decoded, or `start` lies beyond the last frame.
    """
    rate, origin, count, time = rate_of(stream), None, 0, 0.0
    damage = None
    for raw in raw_frames(container, stream):
        if isinstance(raw, FFmpegError):
            damage = raw.strerror or type(raw).__name__
            break
        stamp = count / rate if raw.pts is None else raw.time
        origin = stamp if origin is None else origin
        time = stamp - origin
        if count >= start:
            yield Frame(count, time, upright(raw))
        count += 1
    if count == 0:
        raise ValueError(f"{name}: no frame of this video can be decoded")
    if damage is None and _ends_early(container, stream, count, time + 1 / rate):
        damage = "it ends before the length that it states"
    if damage is not None:
        of = f" of {stream.frames}" if stream.frames else ""
        warnings.warn(
            f"{name}: truncated or damaged ({damage}); {count}{of} frames were read",
            UserWarning,
            stacklevel=2,
        )
    if start >= count:
        raise ValueError(beyond(start, count, name))


def _ends_early(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    count: int,
    end: float,
) -> bool:
    """Tell whether frames are missing: fewer than stated and, edit lists apart, not shown."""
    slack = max(2 / rate_of(stream), 0.25)  # seconds: the last frame may be shown for longer
    if stream.frames:
        if count >= stream.frames:
            return False
        if stream.duration is None or stream.time_base is None:
            return True
        return end + slack < float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:
        return end + slack < container.duration / av.time_base
    return False


class Newest:
    """The newest frame of an endless source, decoded by a thread of its own."""

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.video.stream.VideoStream,
        name: str,
    ) -> None:
        self._container, self._stream, self._name = container, stream, name
        self._rate = rate_of(stream)
        self._changed = threading.Condition()
        self._slot: tuple[int, float, av.VideoFrame] | None = None
        self._ended = self._stopping = False
        self._thread = threading.Thread(target=self._read, name="newest-frame", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        origin = None
        for index, raw in enumerate(raw_frames(self._container, self._stream)):
            if self._stopping or isinstance(raw, FFmpegError):
                break
            stamp = index / self._rate if raw.pts is None else raw.time
            origin = stamp if origin is None else origin
            with self._changed:
                self._slot = (index, stamp - origin, raw)
                self._changed.notify()
        with self._changed:
            self._ended = True
            self._changed.notify()

    def __iter__(self) -> Iterator[Frame]:
        empty = True
        while True:
            with self._changed:
                while self._slot is None and not self._ended:
                    self._changed.wait()
                slot, self._slot = self._slot, None
            if slot is None:
                break
            empty = False
            index, time, raw = slot
            yield Frame(index, time, upright(raw))
        if empty:
            raise ValueError(f"{self._name}: the stream ended before its first frame")

    def stop(self) -> None:
        """Let the thread end; it leaves a blocking read after the timeout of the connection."""
        self._stopping = True
        self._thread.join(TIMEOUT)
