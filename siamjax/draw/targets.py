"""Boxes of targets, upright or rotated, each with a plate that says which and how sure."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from siamjax.draw.strokes import (
    LOST,
    SHIFT,
    Color,
    color,
    corners_of,
    draw_outline,
    fixed,
    line_width,
    rounded,
)
from siamjax.typing import AnyArray

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def boxes(
    frame: UInt8[np.ndarray, "H W 3"],
    boxes: Float[AnyArray, "N 4"],
    *,
    scores: Float[AnyArray, "N"] | None = None,
    valid: Bool[AnyArray, "N"] | None = None,
    labels: Sequence[str] | None = None,
    colors: Sequence[Color] | None = None,
    rotated: Float[AnyArray, "N 4 2"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw boxes with rounded corners and a label plate each.

    Args:
        frame: RGB.
        boxes: in frame pixels; a box with NaN is left out, one outside the frame is cut.
        scores: 0..1, shown on the plate behind the target's number.
        valid: False draws the box grey and dashed, with the word "lost".
        labels: texts in place of number and score.
        colors: RGB, in place of `color(n)`.
        rotated: corners of the rectangles that are drawn in place of the boxes; where one holds
            NaN, or `valid` is False, the box itself is drawn.

    Returns:
        A new RGB picture.
    """
    canvas = np.array(frame, order="C")
    placed = np.asarray(boxes, np.float64)
    found = np.ones(len(placed), bool) if valid is None else np.array(valid, bool)
    for n, box in enumerate(placed):
        if not np.isfinite(box).all() or min(box[2:]) < 0:
            continue
        shade = (color(n) if colors is None else colors[n]) if found[n] else LOST
        corners = corners_of(box)
        if rotated is not None and found[n] and np.isfinite(rotated[n]).all():
            corners = np.asarray(rotated[n], np.float64)
        draw_outline(canvas, corners, shade, dashed=not found[n])
        if labels is not None:
            text = labels[n]
        else:
            text = _label(
                n, len(placed), None if scores is None else float(scores[n]), bool(found[n])
            )
        if text:
            top = corners[:, 1].min()
            upper = corners[:, 1] <= top + 0.15 * np.ptp(corners[:, 1])
            _plate(canvas, (corners[upper, 0].min(), top), text, shade)
    return canvas


def _label(target: int, count: int, score: float | None, found: bool) -> str:
    parts = [str(target)] if count > 1 or score is None else []
    if not found:
        parts.append("lost")
    elif score is not None and np.isfinite(score):
        parts.append(f"{score:.2f}")
    return "  ".join(parts)


def _plate(canvas: np.ndarray, at: tuple[float, float], text: str, shade: Color) -> None:
    """Write on a plate over a point, or below where the frame ends."""
    height, breadth = canvas.shape[:2]
    line = line_width(height, breadth)
    size = 0.42 + 0.1 * (line - 1)
    thick = max(1, round(line / 2.5))
    (w, h), base = cv2.getTextSize(text, _FONT, size, thick)
    pad = 2 + line
    wide, tall = w + 2 * pad, h + base // 2 + 2 * pad - 2
    if wide > breadth or tall > height:
        return
    left = float(np.clip(at[0] - line / 2, 0, breadth - wide))
    above = at[1] - tall - line
    top = float(np.clip(above if above >= 0 else at[1] + line, 0, height - tall))
    points = fixed(rounded(corners_of(np.array([left, top, wide, tall])), 1.5 * line))
    cv2.fillPoly(canvas, [points], shade, cv2.LINE_AA, SHIFT)
    bright = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2]
    ink = (20, 20, 20) if bright > 120 else (255, 255, 255)
    start = (round(left + pad), round(top + tall - pad - base // 4))
    cv2.putText(canvas, text, start, _FONT, size, ink, thick, cv2.LINE_AA)
