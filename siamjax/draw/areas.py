"""What is laid over parts of a frame: the masks of targets, and response maps."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from siamjax.draw.strokes import (
    Color,
    color,
    corners_of,
    draw_lines,
    draw_outline,
    fixed,
    line_width,
)
from siamjax.typing import AnyArray


def masks(
    frame: UInt8[np.ndarray, "H W 3"],
    labels: UInt8[AnyArray, "H W"],
    *,
    opacity: float = 0.4,
    colors: Sequence[Color] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Lay each target's colour over its mask, and draw the mask's outline.

    Args:
        frame: RGB.
        labels: 0 the background, n + 1 target n, as `siamjax.masks.merge` gives it.
        opacity: of the colour inside the outline, 0..1.
        colors: RGB, in place of `color(n)`.

    Returns:
        A new RGB picture.

    Raises:
        ValueError: `labels` and `frame` differ in size, or `opacity` is outside 0..1.
    """
    found = np.asarray(labels)
    if found.shape != frame.shape[:2]:
        size = list(frame.shape[:2])
        raise ValueError(f"labels: expected the frame's {size}, got {list(found.shape)}")
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity: expected 0..1, got {opacity}")
    canvas = np.array(frame, order="C")
    numbers = [int(n) for n in np.flatnonzero(np.bincount(found.ravel())) if n]
    shades = {n: color(n - 1) if colors is None else colors[n - 1] for n in numbers}
    for n in numbers:
        inside = (found == n).astype(np.uint8)
        x, y, w, h = cv2.boundingRect(inside)
        part, inside = canvas[y : y + h, x : x + w], inside[y : y + h, x : x + w] > 0
        tinted = part[inside] * (1 - opacity) + np.array(shades[n]) * opacity
        part[inside] = np.rint(tinted).astype(np.uint8)
    line = line_width(*found.shape)
    for n in numbers:
        outlines, _ = cv2.findContours(
            (found == n).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        smooth = [fixed(_smoothed(outline[:, 0], line)) for outline in outlines]
        draw_lines(canvas, smooth, shades[n], closed=True, line=max(1, round(0.75 * line)))
    return canvas


def _smoothed(outline: np.ndarray, line: int) -> np.ndarray:
    """Take the steps of single pixels out of a closed line: the mean over a few neighbours."""
    reach = min(2 + line, (len(outline) - 1) // 6)
    shifts = [np.roll(outline, k, axis=0) for k in range(-reach, reach + 1)]
    return np.mean(shifts, axis=0)


def heatmap(
    frame: UInt8[np.ndarray, "H W 3"],
    response: Float[AnyArray, "h w"],
    window: Float[AnyArray, "4"],
    *,
    strength: float = 0.75,
) -> UInt8[np.ndarray, "H W 3"]:
    """Lay a response map over the part of the frame that it answers for.

    The lowest value is transparent, the highest most opaque, so that the picture stays visible.

    Args:
        frame: RGB.
        response: any range; its extremes set the scale.
        window: the box (x, y, width, height) in frame pixels that `response` covers edge to edge;
            what hangs over the frame is cut.
        strength: opacity of the peak, 0..1.

    Returns:
        A new RGB picture.

    Raises:
        ValueError: the window is not finite or has no area, or `strength` is outside 0..1.
    """
    place = np.asarray(window, np.float64)
    if not np.isfinite(place).all() or min(place[2:]) <= 0:
        raise ValueError(f"window: expected finite x, y, width, height > 0, got {place.tolist()}")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength: expected 0..1, got {strength}")
    values = np.nan_to_num(np.asarray(response, np.float32))
    low, high = float(values.min()), float(values.max())
    values = (values - low) / (high - low) if high > low else np.zeros_like(values)
    height, width = frame.shape[:2]
    # A frame pixel (x, y) shows the response at ((x + .5 - left) * w / window width - .5, ...).
    scale = np.array(values.shape[::-1]) / place[2:]
    offset = (0.5 - place[:2]) * scale - 0.5
    matrix = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    grown = cv2.warpAffine(values, matrix, (width, height), flags=flags,
                           borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    inside = (x >= place[0]) & (x < place[0] + place[2])
    inside = inside & (y >= place[1]) & (y < place[1] + place[3])
    grown = np.clip(grown, 0, 1) * inside
    hot = cv2.applyColorMap((grown * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    alpha = (strength * np.sqrt(grown))[..., None]
    canvas = np.rint(frame * (1 - alpha) + hot * alpha).astype(np.uint8)
    draw_outline(canvas, corners_of(place), (255, 255, 255), dashed=False, radius=0.0, width=1)
    return canvas
