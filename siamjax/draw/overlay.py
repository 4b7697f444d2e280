"""The results of one clip, drawn frame by frame, with the ways that its targets came."""

from collections import deque

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from siamjax.draw.areas import masks
from siamjax.draw.strokes import PALETTE, SHIFT, Color, color, fixed, line_width
from siamjax.draw.targets import boxes
from siamjax.typing import AnyArray


class Overlay:
    """Draw one clip's results frame by frame; remembers each target's last box and its trail.

    Args:
        length: frames that the trail reaches back; 0 draws none.
    """

    def __init__(self, length: int = 25) -> None:
        self._past: deque[np.ndarray] = deque(maxlen=max(length, 0))
        self._last: np.ndarray | None = None

    def __call__(
        self,
        frame: UInt8[np.ndarray, "H W 3"],
        placed: Float[AnyArray, "N 4"],
        scores: Float[AnyArray, "N"],
        valid: Bool[AnyArray, "N"],
        labels: UInt8[AnyArray, "H W"] | None = None,
        rotated: Float[AnyArray, "N 4 2"] | None = None,
    ) -> UInt8[np.ndarray, "H W 3"]:
        """Draw masks, trails, boxes and plates; a lost target keeps its last box, grey and dashed.

        Args:
            frame: RGB.
            placed: boxes, NaN where there is none.
            scores: 0..1.
            valid: whether each target was found.
            labels: as `masks` takes them; None draws no masks.
            rotated: corners drawn in place of the boxes.

        Returns:
            A new RGB picture.
        """
        now = np.asarray(placed, np.float64)
        known = np.all(np.isfinite(now), axis=1, keepdims=True)
        shown = now if self._last is None else np.where(known, now, self._last)
        self._last = shown
        found = np.asarray(valid) & known[:, 0]
        centers = np.where(found[:, None], now[:, :2] + now[:, 2:] / 2, np.nan)
        self._past.append(centers)
        canvas = np.array(frame, order="C") if labels is None else masks(frame, labels)
        for n in range(len(now)):
            _draw_trail(canvas, np.array([past[n] for past in self._past]), color(n))
        return boxes(canvas, shown.astype(np.float32), scores=scores, valid=found, rotated=rotated)


def trail(
    frame: UInt8[np.ndarray, "H W 3"],
    centers: Float[AnyArray, "T 2"],
    color: Color = PALETTE[0],
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the way of a target, fading towards its past.

    Args:
        frame: RGB.
        centers: (x, y) in frame pixels, oldest first; NaN interrupts the line.
        color: RGB of the newest end.

    Returns:
        A new RGB picture.
    """
    canvas = np.array(frame, order="C")
    _draw_trail(canvas, np.asarray(centers, np.float64), color)
    return canvas


def _draw_trail(canvas: np.ndarray, centers: np.ndarray, shade: Color) -> None:
    line = line_width(*canvas.shape[:2])
    if not np.isfinite(centers).any() or max(np.nanmax(centers, 0) - np.nanmin(centers, 0)) < 2:
        return  # a target at rest leaves no trail
    limit = 3 * max(canvas.shape)
    for n in range(len(centers) - 1):
        pair = centers[n : n + 2]
        if not np.isfinite(pair).all():
            continue
        part = fixed(np.clip(pair, -limit, limit))
        start, end = part[0, 0], part[1, 0]
        x0, y0 = np.minimum(start, end) // (1 << SHIFT) - line - 2
        x1, y1 = np.maximum(start, end) // (1 << SHIFT) + line + 3
        view = canvas[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        if view.size == 0:
            continue
        shift = np.array([max(x0, 0), max(y0, 0)]) * (1 << SHIFT)
        layer = view.copy()
        first, last = (start - shift).tolist(), (end - shift).tolist()
        cv2.line(layer, first, last, shade, line, cv2.LINE_AA, SHIFT)
        alpha = 0.85 * (n + 1) / (len(centers) - 1)
        view[:] = cv2.addWeighted(layer, alpha, view, 1 - alpha, 0)
