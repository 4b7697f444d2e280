"""Boxes, masks, labels, trails and response maps drawn on frames.

Frames are `uint8[H, W, 3]` RGB and are not changed: every function answers with a new picture.
Boxes are (x, y, width, height) in frame pixels, rotated boxes their corners [4, 2]. Needs no screen
and no plotting library.
"""

import os
import sys
from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from siamjax.typing import AnyArray

PALETTE = (
    (255, 176, 0),
    (64, 176, 255),
    (220, 50, 130),
    (60, 210, 150),
    (150, 110, 255),
    (250, 235, 90),
    (255, 105, 40),
    (150, 240, 255),
)
"""Colours that stay apart for colour-blind viewers too: neighbours also differ in lightness."""

LOST = (170, 170, 170)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHIFT = 4  # fractional bits of cv2's coordinates: lines move smoothly with sub-pixel boxes

Color = tuple[int, int, int]


def color(target: int) -> Color:
    """Give the colour of a target by its number; after eight they come again."""
    return PALETTE[target % len(PALETTE)]


def line_width(height: int, width: int) -> int:
    """Choose the width of lines for a frame: 2 px at 640x360, 3 at 720p, 5 at 1080p."""
    return max(1, round(float(np.hypot(height, width)) / 440))


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
        corners = _corners(box)
        if rotated is not None and found[n] and np.isfinite(rotated[n]).all():
            corners = np.asarray(rotated[n], np.float64)
        _outline(canvas, corners, shade, dashed=not found[n])
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
        smooth = [_fixed(_smoothed(outline[:, 0], line)) for outline in outlines]
        _lines(canvas, smooth, shades[n], closed=True, line=max(1, round(0.75 * line)))
    return canvas


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
    _outline(canvas, _corners(place), (255, 255, 255), dashed=False, radius=0.0, width=1)
    return canvas


def png(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Encode an RGB picture."""
    done, data = cv2.imencode(".png", picture[..., ::-1])
    if not done:
        raise ValueError(f"picture: cannot be encoded, {picture.dtype}{list(picture.shape)}")
    return data.tobytes()


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


def _label(target: int, count: int, score: float | None, found: bool) -> str:
    parts = [str(target)] if count > 1 or score is None else []
    if not found:
        parts.append("lost")
    elif score is not None and np.isfinite(score):
        parts.append(f"{score:.2f}")
    return "  ".join(parts)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << _SHIFT)).astype(np.int32).reshape(-1, 1, 2)


def _corners(box: np.ndarray) -> np.ndarray:
    """Give the corners of a box, clockwise from the top left."""
    x, y, w, h = box
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])


def _rounded(corners: np.ndarray, radius: float) -> np.ndarray:
    """Give the points of a rectangle with rounded corners, in the order of its corners."""
    before = np.roll(corners, 1, axis=0) - corners
    after = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(after, axis=1)
    radius = min(radius, *lengths / 2)
    if radius <= 0:
        return corners
    ends = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (before, after)]
    turn = np.linspace(0, np.pi / 2, 9)[:, None]
    arcs = (1 - np.sin(turn)) * ends[0][:, None] + (1 - np.cos(turn)) * ends[1][:, None]
    return (corners[:, None] + radius * arcs).reshape(-1, 2)


def _smoothed(outline: np.ndarray, line: int) -> np.ndarray:
    """Take the steps of single pixels out of a closed line: the mean over a few neighbours."""
    reach = min(2 + line, (len(outline) - 1) // 6)
    shifts = [np.roll(outline, k, axis=0) for k in range(-reach, reach + 1)]
    return np.mean(shifts, axis=0)


def _dashes(points: np.ndarray, length: float) -> list[np.ndarray]:
    """Cut a closed line into dashes of about `length` with gaps of the same length."""
    closed = np.concatenate([points, points[:1]])
    steps = np.linalg.norm(np.diff(closed, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    count = max(4, round(along[-1] / (2 * length)))
    dashes = []
    for start in np.arange(count) * along[-1] / count:
        at = np.linspace(start, start + along[-1] / count / 2, 5)
        dashes.append(np.stack([np.interp(at, along, closed[:, k]) for k in (0, 1)], axis=1))
    return dashes


def _outline(
    canvas: np.ndarray,
    corners: np.ndarray,
    shade: Color,
    *,
    dashed: bool,
    radius: float | None = None,
    width: int | None = None,
) -> None:
    height, breadth = canvas.shape[:2]
    line = line_width(height, breadth) if width is None else width
    # Far outside nothing is seen, and cv2's coordinates end.
    limit = np.array([breadth, height])
    near = np.clip(corners, -limit - 50, 2 * limit + 50)
    points = _rounded(near, 4.0 * line if radius is None else radius)
    pieces = _dashes(points, 4.0 * line) if dashed else [points]
    _lines(canvas, [_fixed(piece) for piece in pieces], shade, closed=not dashed, line=line)


def _lines(
    canvas: np.ndarray, lines: list[np.ndarray], shade: Color, *, closed: bool, line: int
) -> None:
    for shade_, thickness in (((0, 0, 0), line + 2), (shade, line)):
        # The dark rim under the line keeps it visible on a background of its own colour.
        layer = canvas.copy() if thickness > line else canvas
        cv2.polylines(layer, lines, closed, shade_, thickness, cv2.LINE_AA, _SHIFT)
        if thickness > line:
            cv2.addWeighted(layer, 0.45, canvas, 0.55, 0, dst=canvas)


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
    points = _fixed(_rounded(_corners(np.array([left, top, wide, tall])), 1.5 * line))
    cv2.fillPoly(canvas, [points], shade, cv2.LINE_AA, _SHIFT)
    bright = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2]
    ink = (20, 20, 20) if bright > 120 else (255, 255, 255)
    start = (round(left + pad), round(top + tall - pad - base // 4))
    cv2.putText(canvas, text, start, _FONT, size, ink, thick, cv2.LINE_AA)


def _draw_trail(canvas: np.ndarray, centers: np.ndarray, shade: Color) -> None:
    line = line_width(*canvas.shape[:2])
    if not np.isfinite(centers).any() or max(np.nanmax(centers, 0) - np.nanmin(centers, 0)) < 2:
        return  # a target at rest leaves no trail
    limit = 3 * max(canvas.shape)
    for n in range(len(centers) - 1):
        pair = centers[n : n + 2]
        if not np.isfinite(pair).all():
            continue
        part = _fixed(np.clip(pair, -limit, limit))
        start, end = part[0, 0], part[1, 0]
        x0, y0 = np.minimum(start, end) // (1 << _SHIFT) - line - 2
        x1, y1 = np.maximum(start, end) // (1 << _SHIFT) + line + 3
        view = canvas[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        if view.size == 0:
            continue
        shift = np.array([max(x0, 0), max(y0, 0)]) * (1 << _SHIFT)
        layer = view.copy()
        first, last = (start - shift).tolist(), (end - shift).tolist()
        cv2.line(layer, first, last, shade, line, cv2.LINE_AA, _SHIFT)
        alpha = 0.85 * (n + 1) / (len(centers) - 1)
        view[:] = cv2.addWeighted(layer, alpha, view, 1 - alpha, 0)


class Window:
    """A window on the screen, where OpenCV's GUI build and a screen are there.

    Raises:
        ValueError: there is no screen or no GUI build; names the remedy.
    """

    def __init__(self, title: str = "siamjax") -> None:
        if sys.platform == "linux" and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            # OpenCV's Qt would end the process here, so this is asked first.
            raise ValueError("show: there is no screen (DISPLAY is not set); leave --show out")
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL)
        except cv2.error:
            raise ValueError(
                "show: this OpenCV is built without windows; install the other build: "
                "pip uninstall opencv-python-headless && pip install opencv-python"
            ) from None
        self._title = title

    def show(self, frame: UInt8[np.ndarray, "H W 3"]) -> bool:
        """Show an RGB frame; answers False when q or Escape was pressed or the window closed."""
        cv2.imshow(self._title, frame[..., ::-1])
        key = cv2.waitKey(1) & 0xFF
        visible = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        return key not in (27, ord("q")) and visible

    def ask_boxes(self, frame: UInt8[np.ndarray, "H W 3"]) -> list[list[float]]:
        """Let boxes be drawn by mouse: Enter after each, Escape after the last."""
        drawn = cv2.selectROIs(self._title, np.ascontiguousarray(frame[..., ::-1]), False)
        return [[float(side) for side in box] for box in drawn]

    def close(self) -> None:
        """Close the window."""
        cv2.destroyWindow(self._title)
