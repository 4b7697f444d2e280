"""Square windows cut out of frames and resized, on the device.

`crop` reproduces the reference trackers' crops bit for bit, in integers. `sample` is the float
form for training augmentation: differentiable geometry, no rounding, not equal to the reference.
Source: the window arithmetic of PySOT's `get_subwindow` and siamfc-pytorch's `crop_and_resize`,
the fixed-point bilinear resize of OpenCV's `cv2.resize` (INTER_LINEAR, uint8).
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Num, UInt8

from siamjax.layout import stored
from siamjax.typing import AnyArray, Array

Window = Literal["pysot", "siamfc"]


def mean_color(frame: UInt8[AnyArray, "H W 3"]) -> Float[Array, "3"]:
    """Average a frame's colours: the fill of windows that leave it.

    Sums rows in integers (exact up to 65,793 pixels of 255 a row chunk), then in float32 pairs,
    so that large frames lose nothing that a rounded or truncated fill could see.
    """
    rows = jnp.sum(jnp.asarray(frame).astype(jnp.int32), axis=1)  # [H, 3], exact
    low, high = rows & 0xFFF, rows >> 12
    total = jnp.sum(high, axis=0).astype(jnp.float32) * 4096.0 + jnp.sum(low, axis=0)
    return total / (frame.shape[0] * frame.shape[1])


class _Axis(NamedTuple):
    """Where and how much to read along one axis, per output pixel."""

    low: Int[Array, " size"]
    high: Int[Array, " size"]
    low_weight: Int[Array, " size"]
    high_weight: Int[Array, " size"]


def _taps(side: Int[Array, ""], size: int) -> _Axis:
    """Give OpenCV's two source pixels and 11-bit weights for each of `size` output pixels.

    The position is (2 i + 1) side / (2 size) - 1/2. OpenCV rounds it to float32 before it takes
    the fraction, which costs low bits where the position is large; the same is done here in
    integers, since no float32 arithmetic of ours would round in the same place.
    """
    i = jnp.arange(size, dtype=jnp.int32)
    numerator = (2 * i + 1) * side - size
    whole = numerator // (2 * size)
    rest = numerator - whole * (2 * size)
    # The fraction to 23 bits by long division, in two stages that stay within int32.
    high, rest = jnp.divmod(rest << 12, 2 * size)
    low, rest = jnp.divmod(rest << 11, 2 * size)
    bits = (high << 11) | low
    # float32 keeps 23 bits after the leading one of `whole`: drop as many as `whole` takes up.
    dropped = 31 - jax.lax.clz(jnp.maximum(whole, 1))
    kept = 23 - dropped
    fraction = _shift_half_even(bits, dropped, rest > 0)
    carry = fraction >> kept
    whole, fraction = whole + carry, fraction - (carry << kept)
    # Outside, both taps clip to the same border pixel, so their weights need no special case.
    return _Axis(
        jnp.clip(whole, 0, side - 1),
        jnp.clip(whole + 1, 0, side - 1),
        _shift_half_even((1 << kept) - fraction, kept - 11),
        _shift_half_even(fraction, kept - 11),
    )


def _shift_half_even(value, bits, sticky: Array | bool = False):
    """Divide by 2**bits and round half to even; `sticky` says that `value` was cut off above."""
    quotient = value >> bits
    rest = value - (quotient << bits)
    half = (1 << bits) >> 1
    odd = (quotient & 1) == 1
    up = (bits > 0) & ((rest > half) | ((rest == half) & (odd | sticky)))
    return quotient + up.astype(jnp.int32)


def _window(
    center: Float[AnyArray, "2"], side: Float[AnyArray, ""], window: Window
) -> tuple[Int[Array, "2"], Int[Array, ""]]:
    """Give the window's first pixel (x, y) and whole side, as the reference tracker rounds them."""
    whole = jnp.round(side)
    if window == "pysot":
        start = jnp.floor(center - (whole + 1.0) / 2.0 + 0.5)
    else:
        start = jnp.round(center - (whole - 1.0) / 2.0)
    limit = 1 << 20  # keeps a NaN or absurd state from overflowing; such a step is not valid
    whole = jnp.clip(jnp.nan_to_num(whole, nan=1.0), 1, 8192)
    start = jnp.clip(jnp.nan_to_num(start), -limit, limit)
    return start.astype(jnp.int32), whole.astype(jnp.int32)


def check_frame(frame: AnyArray, name: str = "frame") -> None:
    """Refuse anything but `uint8[H, W, 3]`; works on shapes alone, so also while tracing.

    Raises:
        ValueError: names the shape and dtype found.
    """
    shape, dtype = tuple(frame.shape), frame.dtype
    if len(shape) != 3 or shape[2] != 3 or dtype != jnp.uint8 or 0 in shape:
        raise ValueError(
            f"{name}: expected uint8[height, width, 3] (RGB), got {dtype}{list(shape)}"
        )


def crop(
    frame: UInt8[AnyArray, "H W 3"],
    center: Float[AnyArray, "2"],
    side: Float[AnyArray, ""] | int | float,
    size: int,
    fill: Num[AnyArray, "3"],
    window: Window = "pysot",
) -> UInt8[Array, "size size 3"]:
    """Cut a square window around a point and resize it, bit-equal to the reference trackers.

    Args:
        frame: RGB (or any three channels).
        center: (x, y), frame pixels, pixel centres at integers.
        side: of the window, frame pixels; rounded half to even. At most 8,192.
        size: of the result, pixels; static.
        fill: colour outside the frame: truncated to uint8 for `"pysot"`, rounded for `"siamfc"`.
        window: whose rounding to follow, PySOT's or siamfc-pytorch's.

    Returns:
        The window, equal to `cv2.resize(padded[window], (size, size))`.

    Raises:
        ValueError: `frame` is not `uint8[H, W, 3]`, `size` under 1, or `window` unknown.

    Source: PySOT `base_tracker.get_subwindow`; siamfc-pytorch `ops.crop_and_resize`.
    """
    check_frame(frame)
    if size < 1:
        raise ValueError(f"size: expected at least 1 pixel, got {size}")
    if window not in ("pysot", "siamfc"):
        raise ValueError(f"window: expected 'pysot' or 'siamfc', got {window!r}")
    return _crop(frame, center, jnp.asarray(side, jnp.float32), size, fill, window)


@functools.partial(jax.jit, static_argnums=(3, 5))
def _crop(frame, center, side, size, fill, window):
    frame = jnp.asarray(frame)
    height, width = frame.shape[:2]
    start, whole = _window(jnp.asarray(center, jnp.float32), side, window)
    taps = _taps(whole, size)
    fill = jnp.asarray(fill, jnp.float32)
    fill = jnp.clip(fill if window == "pysot" else jnp.round(fill), 0, 255).astype(jnp.uint8)

    # One 32-bit word a pixel, so that a gather reads its channels at once. Lower taps come before
    # the upper ones along both axes. `stored` keeps XLA from fusing all into one loop, which would
    # do the arithmetic of a pixel for each of its channels: 12 times slower on CPUs.
    words = stored(_pack(frame)).reshape(-1)
    reads = jnp.concatenate([taps.low, taps.high])
    rows, columns = reads + start[1], reads + start[0]
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
    rows, columns = jnp.clip(rows, 0, height - 1) * width, jnp.clip(columns, 0, width - 1)
    pixels = words.at[rows[:, None] + columns[None]].get(mode="promise_in_bounds")
    pixels = jnp.where(inside, stored(pixels), _pack(fill))

    def mix(shift):
        channel = ((pixels >> shift) & 0xFF).astype(jnp.int32)
        low, high = taps.low_weight, taps.high_weight
        mixed = (channel[:, :size] * low[None] + channel[:, size:] * high[None]) >> 4
        top = (low[:, None] * mixed[:size]) >> 16
        bottom = (high[:, None] * mixed[size:]) >> 16
        return ((top + bottom + 2) >> 2).astype(jnp.uint32) << shift

    return _unpack(stored(mix(0) | mix(8) | mix(16)))


def _pack(pixels):
    """Put three channels uint8[..., 3] into one word [...], the first in the lowest byte."""
    padding = [(0, 0)] * (pixels.ndim - 1)
    return jax.lax.bitcast_convert_type(jnp.pad(pixels, [*padding, (0, 1)]), jnp.uint32)


def _unpack(words):
    """Take channels uint8[..., 3] out of words [...]."""
    return jax.lax.bitcast_convert_type(words, jnp.uint8)[..., :3]


def sample(
    image: Num[AnyArray, "H W C"],
    center: Float[AnyArray, "2"],
    side: Float[AnyArray, "2"] | Float[AnyArray, ""] | int | float,
    size: int,
    fill: Num[AnyArray, "C"],
) -> Float[Array, "size size C"]:
    """Cut a window around a point by plain bilinear interpolation, in float32.

    Output pixel i reads position `center + ((i + 1/2) / size - 1/2) * side`. Meant for training:
    the window's side need not be whole and may differ per axis (stretch).

    Args:
        image: uint8 or float.
        center: (x, y), image pixels, pixel centres at integers.
        side: of the window, image pixels: one number or (width, height).
        size: of the result, pixels; static.
        fill: value outside the image, one a channel.

    Returns:
        float32, in the units of `image`.
    """
    side = jnp.broadcast_to(jnp.asarray(side, jnp.float32), (2,))
    image = jnp.asarray(image)
    steps = (jnp.arange(size, dtype=jnp.float32) + 0.5) / size - 0.5
    columns = _hat(center[0] + steps * side[0], image.shape[1])
    rows = _hat(center[1] + steps * side[1], image.shape[0])
    # Interpolation is a product with two sparse matrices; on 200 to 500 px windows a dense
    # product beats gathers on CPU and on accelerators, and its batched form is one GEMM.
    fill = jnp.asarray(fill, jnp.float32)[None, None, :]
    shifted = image.astype(jnp.float32) - fill
    across = jnp.einsum("hwc,jw->hjc", shifted, columns)
    return jnp.einsum("hjc,ih->ijc", across, rows) + fill


def _hat(positions, length):
    """Give the bilinear weights [size, length] of positions; zero outside, so the fill shows."""
    distance = jnp.abs(positions[:, None] - jnp.arange(length, dtype=jnp.float32)[None, :])
    return jnp.maximum(0.0, 1.0 - distance)
