"""Video out: an H.264 file that browsers play and that survives whatever ends its writing."""

import os
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.video
import cv2
import numpy as np
from jaxtyping import UInt8


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
