from fractions import Fraction

import av
import numpy as np


def gradient(index, width=64, height=48):
    """A frame whose green tells its number and whose top left quarter is white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = 8 * index
    image[: height // 2, : width // 2] = 255
    return image


def encode(path, images, *, rate=25, times=None, rotation=None, mirror=False, format=None, **opts):
    with av.open(str(path), "w", format=format, options=opts) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1", "g": "10"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate) if times is None else Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=mirror)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            seconds = index / rate if times is None else times[index]
            frame.pts, frame.time_base = round(1000 * seconds), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def green(frame):
    return float(frame.image[-8:, -8:, 1].mean())
