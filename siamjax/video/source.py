"""Where frames come from: a video file, a picture, a picture folder, a webcam or a stream."""

from collections.abc import Generator
from pathlib import Path

from av.error import FFmpegError

from siamjax.video.container import opened, rate_of, upright, video_stream
from siamjax.video.decoding import Newest, file_frames
from siamjax.video.frame import Frame, VideoInfo
from siamjax.video.pictures import (
    PICTURE_RATE,
    PICTURES,
    list_pictures,
    picture_frames,
    read_picture,
)

Source = str | int | Path
_LIVE = ("rtsp://", "rtsps://", "rtmp://", "udp://", "rtp://", "srt://", "tcp://")


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
    return picture_frames(place, start) if isinstance(place, list) else _decoded(place, start)


def info(source: Source) -> VideoInfo:
    """Read size, rate and number of frames; opens the source and decodes its first frame.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no frames can be read from it.
    """
    place = _locate(source)
    if isinstance(place, list):
        height, width = read_picture(place[0]).shape[:2]
        return VideoInfo(width, height, PICTURE_RATE, len(place))
    with opened(place) as container:
        stream = video_stream(container, place)
        try:
            first = next(container.decode(stream))
        except (FFmpegError, StopIteration):
            raise ValueError(f"{place}: no frame of this video can be decoded") from None
        height, width = upright(first).shape[:2]
        return VideoInfo(width, height, rate_of(stream), stream.frames or None)


def is_live(source: Source) -> bool:
    """Tell whether `source` names a webcam or a stream protocol, which has no length."""
    text = str(source)
    return (text.isdecimal() and not Path(text).exists()) or text.startswith(_LIVE)


def _locate(source: Source) -> str | list[Path]:
    """Turn a source into a name for FFmpeg or a list of picture files."""
    text = str(source)
    if "://" in text or is_live(source):
        return text
    path = Path(text)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such video, picture or folder")
    if path.is_dir():
        return list_pictures(path)
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty (0 bytes)")
    return [path] if path.suffix.lower() in PICTURES else text


def _decoded(name: str, start: int) -> Generator[Frame, None, None]:
    with opened(name) as container:
        stream = video_stream(container, name)
        endless = is_live(name) or ("://" in name and not container.duration)
        if not endless:
            yield from file_frames(container, stream, name, start)
            return
        newest = Newest(container, stream, name)
        try:
            yield from (frame for frame in newest if frame.index >= start)
        finally:
            newest.stop()
