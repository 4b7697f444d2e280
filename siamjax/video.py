"""Frames in and video out: files, picture folders, webcams, network streams; H.264 for browsers.

Frames are `uint8[H, W, 3]` RGB, upright (rotation of phone videos applied), counted from 0, with
their time in seconds. The only place of PyAV; pictures are read by OpenCV.
"""

import contextlib
import os
import re
import threading
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.video
import cv2
import numpy as np
from av.error import FFmpegError
from jaxtyping import UInt8

PICTURES = frozenset(
    [".bmp", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
PICTURE_RATE = 25.0
_LIVE = ("rtsp://", "rtsps://", "rtmp://", "udp://", "rtp://", "srt://", "tcp://")
_TIMEOUT = 10.0

Source = str | int | Path


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One frame; unpacks as `index, time, image`."""

    index: int
    """Number of the frame in its source, from 0."""
    time: float
    """Seconds since the first frame of the source."""
    image: UInt8[np.ndarray, "H W 3"]
    """RGB, upright."""

    def __iter__(self) -> Iterator[Any]:
        return iter((self.index, self.time, self.image))


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Size in pixels (upright), frames per second, number of frames (None when not stated)."""

    width: int
    height: int
    rate: float
    count: int | None


def frames(source: Source, *, start: int = 0) -> Generator[Frame, None, None]:
    """Yield the frames of a video file, a picture, a picture folder, a webcam or a stream.

    Frames that change size in mid-clip are yielded as they are. A truncated or damaged file
    yields what decodes and ends with a `UserWarning` that says how many frames were read. Webcams
    and endless streams are read by a thread that keeps the newest frame, so that slow work on a
    frame does not fall behind; gaps of `index` show the frames passed over.

    Args:
        source: path of a video or picture, path of a folder of pictures (read in natural order:
            `2.png` before `10.png`, 25 per second), webcam number (`0` or `"0"`), or a URL.
        start: number of the first frame to yield; the frames before it are decoded, not yielded.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no frames can be read from it, or `start` is negative or beyond the last frame.
    """
    if start < 0:
        raise ValueError(f"start: expected a frame number >= 0, got {start}")
    place = _locate(source)
    return _pictures(place, start) if isinstance(place, list) else _decoded(place, start)


def info(source: Source) -> VideoInfo:
    """Read size, rate and number of frames; opens the source and decodes its first frame.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no frames can be read from it.
    """
    place = _locate(source)
    if isinstance(place, list):
        height, width = _read_picture(place[0]).shape[:2]
        return VideoInfo(width, height, PICTURE_RATE, len(place))
    with _open(place) as container:
        stream = _video_stream(container, place)
        try:
            first = next(container.decode(stream))
        except (FFmpegError, StopIteration):
            raise ValueError(f"{place}: no frame of this video can be decoded") from None
        height, width = _upright(first).shape[:2]
        return VideoInfo(width, height, _rate(stream), stream.frames or None)


def is_live(source: Source) -> bool:
    """Tell whether `source` names a webcam or a stream protocol, which has no length."""
    text = str(source)
    return (text.isdecimal() and not Path(text).exists()) or text.startswith(_LIVE)


class VideoWriter:
    """Write RGB frames to an H.264 mp4 that browsers play: yuv420p, BT.709, index in front.

    While it runs, `<path>.partial` is a fragmented mp4, whose finished part is readable whatever
    happens; `close`, which also runs when the `with` block ends by an exception, turns it into
    `path`. If the disk is too full for that, the fragmented form, which plays as well, becomes
    `path`. Without a frame no file is written. An odd width or height repeats its last column or
    row; a frame of another size than the first is scaled into it with black margins.

    Args:
        path: of the file; its folder must exist. Usually ends in `.mp4`.
        rate: frames per second, > 0.
        quality: x264's constant rate factor, 0 (lossless) to 51; 20 looks like the original.

    Raises:
        ValueError: `rate` is not a positive number, or a frame is not uint8[H, W, 3].
        OSError: the file cannot be written.
    """

    def __init__(self, path: str | Path, rate: float | int, *, quality: int = 20) -> None:
        if not 0 < rate < float("inf"):
            raise ValueError(f"rate: expected frames per second > 0, got {rate}")
        self.path = Path(path)
        self.count = 0
        self._partial = self.path.with_name(self.path.name + ".partial")
        self._rate = max(Fraction(rate).limit_denominator(1001), Fraction(1, 1001))
        self._quality = quality
        self._size = (0, 0)
        self._container: av.container.OutputContainer | None = None
        self._stream: av.video.stream.VideoStream | None = None

    def write(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        """Append one RGB frame."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"image: expected uint8[H, W, 3], got {image.dtype}{image.shape}")
        if self._container is None or self._stream is None:
            self._container, self._stream = self._begin(*image.shape[:2])
        image = _letterbox(image, self._size)
        odd = [(0, side % 2) for side in image.shape[:2]]
        if any(after for _, after in odd):
            image = np.pad(image, [*odd, (0, 0)], mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = self.count, 1 / self._rate
        self._container.mux(self._stream.encode(frame))
        self.count += 1

    def _begin(
        self, height: int, width: int
    ) -> tuple[av.container.OutputContainer, av.video.stream.VideoStream]:
        # Fragments of one second: what is on the disk is playable up to the last of them.
        flags = {"movflags": "empty_moov+default_base_moof", "frag_duration": "1000000"}
        container = av.open(f"file:{self._partial}", "w", format="mp4", options=flags)
        stream = container.add_stream("libx264", rate=self._rate)
        stream.options = {"preset": "veryfast", "crf": str(self._quality)}
        stream.pix_fmt = "yuv420p"
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.codec_context.time_base = 1 / self._rate
        stream.codec_context.colorspace = 1  # ITU-R BT.709, limited range, stated in the file
        stream.codec_context.color_primaries = 1
        stream.codec_context.color_trc = 1
        stream.codec_context.color_range = 1
        self._size = (width, height)
        return container, stream

    def close(self) -> None:
        """Finish the file and give it its name; a second call does nothing."""
        container, stream = self._container, self._stream
        self._container = self._stream = None
        if container is None or stream is None:
            return
        failure: OSError | None = None
        try:
            container.mux(stream.encode())
        except OSError as error:
            failure = error
        try:
            container.close()
        except OSError as error:
            failure = failure or error
        indexed = self.path.with_name(self.path.name + ".indexed")
        try:
            if failure is None:
                _index_in_front(self._partial, indexed)
                os.replace(indexed, self._partial)
        except OSError:
            pass  # no room for a second copy: the fragmented form stays
        finally:
            indexed.unlink(missing_ok=True)
            os.replace(self._partial, self.path)
        if failure is not None:
            raise OSError(failure.errno, failure.strerror, str(self.path)) from None

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self.close()
        except OSError:
            if error is None:  # otherwise the error on its way is the cause
                raise


def _locate(source: Source) -> str | list[Path]:
    """Turn a source into a name for FFmpeg or a list of picture files."""
    text = str(source)
    if "://" in text or is_live(source):
        return text
    path = Path(text)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such video, picture or folder")
    if path.is_dir():
        pictures = [entry for entry in path.iterdir() if entry.suffix.lower() in PICTURES]
        pictures = [entry for entry in pictures if not entry.name.startswith(".")]
        if not pictures:
            raise ValueError(f"{path}: no pictures in this folder (looked for jpg, png, bmp, ...)")
        return sorted(pictures, key=_natural)
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty (0 bytes)")
    return [path] if path.suffix.lower() in PICTURES else text


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort `2.png` before `10.png`; letters without regard to case."""
    parts = re.findall(r"\d+|\D+", path.stem)
    key = [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts]
    return key, path.name


def _read_picture(path: Path) -> np.ndarray:
    """Read a grey, RGB, RGBA, 8- or 16-bit picture as upright RGB uint8 (opacity is dropped)."""
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise ValueError(f"{path}: not a picture that can be read")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _pictures(paths: list[Path], start: int) -> Generator[Frame, None, None]:
    if start >= len(paths):
        raise ValueError(_beyond(start, len(paths), str(paths[0].parent)))
    for index in range(start, len(paths)):
        yield Frame(index, index / PICTURE_RATE, _read_picture(paths[index]))


def _beyond(start: int, count: int, name: str) -> str:
    return f"start: frame {start} lies beyond the end of {name}, which has {count} frames"


def _open(name: str) -> av.container.InputContainer:
    """Open a file, device or URL by FFmpeg, with one-line errors."""
    try:
        if name.isdecimal() and not Path(name).exists():
            return _open_webcam(int(name))
        if "://" in name:
            options = {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
            return av.open(name, options=options, timeout=_TIMEOUT)
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


def _video_stream(container: av.container.InputContainer, name: str) -> av.video.stream.VideoStream:
    if not container.streams.video:
        raise ValueError(f"{name}: holds no video")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def _rate(stream: av.video.stream.VideoStream) -> float:
    return float(stream.average_rate or stream.guessed_rate or PICTURE_RATE)


def _upright(frame: av.VideoFrame) -> np.ndarray:
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


def _decoded(name: str, start: int) -> Generator[Frame, None, None]:
    with _open(name) as container:
        stream = _video_stream(container, name)
        endless = is_live(name) or ("://" in name and not container.duration)
        if not endless:
            yield from _file_frames(container, stream, name, start)
            return
        newest = _Newest(container, stream, name)
        try:
            yield from (frame for frame in newest if frame.index >= start)
        finally:
            newest.stop()


def _raw_frames(
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


def _file_frames(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    name: str,
    start: int,
) -> Iterator[Frame]:
    rate, origin, count, time = _rate(stream), None, 0, 0.0
    damage = None
    for raw in _raw_frames(container, stream):
        if isinstance(raw, FFmpegError):
            damage = raw.strerror or type(raw).__name__
            break
        stamp = count / rate if raw.pts is None else raw.time
        origin = stamp if origin is None else origin
        time = stamp - origin
        if count >= start:
            yield Frame(count, time, _upright(raw))
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
        raise ValueError(_beyond(start, count, name))


def _ends_early(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    count: int,
    end: float,
) -> bool:
    """Tell whether frames are missing: fewer than stated and, edit lists apart, not shown."""
    slack = max(2 / _rate(stream), 0.25)  # seconds: the last frame may be shown for longer
    if stream.frames:
        if count >= stream.frames:
            return False
        if stream.duration is None or stream.time_base is None:
            return True
        return end + slack < float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:
        return end + slack < container.duration / av.time_base
    return False


class _Newest:
    """The newest frame of an endless source, decoded by a thread of its own."""

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.video.stream.VideoStream,
        name: str,
    ) -> None:
        self._container, self._stream, self._name = container, stream, name
        self._rate = _rate(stream)
        self._changed = threading.Condition()
        self._slot: tuple[int, float, av.VideoFrame] | None = None
        self._ended = self._stopping = False
        self._thread = threading.Thread(target=self._read, name="newest-frame", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        origin = None
        for index, raw in enumerate(_raw_frames(self._container, self._stream)):
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
            yield Frame(index, time, _upright(raw))
        if empty:
            raise ValueError(f"{self._name}: the stream ended before its first frame")

    def stop(self) -> None:
        """Let the thread end; it leaves a blocking read after the timeout of the connection."""
        self._stopping = True
        self._thread.join(_TIMEOUT)


def _letterbox(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale `image` into (width, height), keeping its shape, with black margins."""
    width, height = size
    h, w = image.shape[:2]
    if (w, h) == size:
        return image
    scale = min(width / w, height / h)
    inner = max(1, round(w * scale)), max(1, round(h * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(
        image, inner, interpolation=method
    )
    return canvas


def _index_in_front(source: Path, target: Path) -> None:
    """Copy the encoded frames of a fragmented mp4 into a plain one with its index in front."""
    with (
        av.open(f"file:{source}") as before,
        av.open(f"file:{target}", "w", format="mp4", options={"movflags": "faststart"}) as after,
    ):
        stream = before.streams.video[0]
        copy = after.add_stream_from_template(stream)
        for packet in before.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                after.mux(packet)
