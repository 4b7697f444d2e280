"""What FFmpeg opens: files, webcams and streams, and the upright RGB frames of their video."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import av
import av.container
import av.video
import numpy as np
from av.error import FFmpegError

from siamjax.video.pictures import PICTURE_RATE

TIMEOUT = 10.0
"""Seconds that a connection may take."""


def opened(name: str) -> av.container.InputContainer:
    """Open a file, device or URL by FFmpeg, with one-line errors.

    Raises:
        FileNotFoundError: there is no such file or webcam.
        OSError: it cannot be opened.
        ValueError: it is no video.
    """
    try:
        if name.isdecimal() and not Path(name).exists():
            return _open_webcam(int(name))
        if "://" in name:
            options = {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
            return av.open(name, options=options, timeout=TIMEOUT)
        return av.open(f"file:{name}")
    except FFmpegError as error:
        reason = error.strerror or type(error).__name__
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"{name}: no such video ({reason})") from None
        if isinstance(error, OSError):
            raise OSError(f"{name}: cannot be opened ({reason})") from None
        raise ValueError(f"{name}: not a video that can be read ({reason})") from None


def _open_webcam(number: int) -> av.container.InputContainer:
    if os.name == "nt":
        return av.open(f"video={number}", format="dshow")
    if os.path.exists("/dev"):
        device = f"/dev/video{number}"
        if os.uname().sysname == "Darwin":
            return av.open(str(number), format="avfoundation", options={"framerate": "30"})
        if not os.path.exists(device):
            raise FileNotFoundError(f"{number}: no such webcam ({device} does not exist)")
        return av.open(device, format="v4l2")
    raise ValueError(f"{number}: webcams are not supported on this system")


def video_stream(container: av.container.InputContainer, name: str) -> av.video.stream.VideoStream:
    """Give the first video of a container, to be decoded by several threads.

    Raises:
        ValueError: there is none.
    """
    if not container.streams.video:
        raise ValueError(f"{name}: holds no video")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def rate_of(stream: av.video.stream.VideoStream) -> float:
    """Give the frames per second, those of pictures where nothing is stated."""
    return float(stream.average_rate or stream.guessed_rate or PICTURE_RATE)


def upright(frame: av.VideoFrame) -> np.ndarray:
    """Convert to RGB uint8 and apply the display matrix (quarter turns and mirrors)."""
    image = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    # Source pixel (p, q) is shown at (a p + c q, b p + d q); 16.16 fixed point.
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        mirror_x, mirror_y = a < 0, d < 0
    else:
        image = image.swapaxes(0, 1)
        mirror_x, mirror_y = c < 0, b < 0
    image = image[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
    return np.ascontiguousarray(image)


def raw_frames(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> Iterator[av.VideoFrame | FFmpegError]:
    """Yield decoded frames; at damage, what the decoder still holds, then the error itself."""
    try:
        for packet in container.demux(stream):
            yield from packet.stream.decode(packet)
    except FFmpegError as error:
        with contextlib.suppress(FFmpegError):
            yield from stream.decode(None)
        yield error
