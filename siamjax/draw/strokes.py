"""Colours of targets, and the lines of width and rim that all outlines are drawn with."""

import cv2
import numpy as np

Color = tuple[int, int, int]

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
SHIFT = 4
"""Fractional bits of OpenCV's coordinates: lines move smoothly with sub-pixel boxes."""


def color(target: int) -> Color:
    """Give the colour of a target by its number; after eight they come again."""
    return PALETTE[target % len(PALETTE)]


def line_width(height: int, width: int) -> int:
    """Choose the width of lines for a frame: 2 px at 640x360, 3 at 720p, 5 at 1080p."""
    return max(1, round(float(np.hypot(height, width)) / 440))


def fixed(points: np.ndarray) -> np.ndarray:
    """Give points (x, y) as OpenCV's functions take them, with `SHIFT` fractional bits."""
    return np.rint(points * (1 << SHIFT)).astype(np.int32).reshape(-1, 1, 2)


def corners_of(box: np.ndarray) -> np.ndarray:
    """Give the corners of a box, clockwise from the top left."""
    x, y, w, h = box
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])


def rounded(corners: np.ndarray, radius: float) -> np.ndarray:
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


def draw_outline(
    canvas: np.ndarray,
    corners: np.ndarray,
    shade: Color,
    *,
    dashed: bool,
    radius: float | None = None,
    width: int | None = None,
) -> None:
    """Draw a closed line into a picture, which it changes.

    Args:
        canvas: RGB.
        corners: (x, y) in order, in frame pixels.
        shade: RGB.
        dashed: with gaps as long as the dashes.
        radius: of the corners in pixels; follows the width by default.
        width: in pixels; that of `line_width` by default.
    """
    height, breadth = canvas.shape[:2]
    line = line_width(height, breadth) if width is None else width
    # Far outside nothing is seen, and cv2's coordinates end.
    limit = np.array([breadth, height])
    near = np.clip(corners, -limit - 50, 2 * limit + 50)
    points = rounded(near, 4.0 * line if radius is None else radius)
    pieces = _dashes(points, 4.0 * line) if dashed else [points]
    draw_lines(canvas, [fixed(piece) for piece in pieces], shade, closed=not dashed, line=line)


def draw_lines(
    canvas: np.ndarray, lines: list[np.ndarray], shade: Color, *, closed: bool, line: int
) -> None:
    """Draw lines of points from `fixed`, `line` pixels wide, into a picture, which it changes."""
    for shade_, thickness in (((0, 0, 0), line + 2), (shade, line)):
        # The dark rim under the line keeps it visible on a background of its own colour.
        layer = canvas.copy() if thickness > line else canvas
        cv2.polylines(layer, lines, closed, shade_, thickness, cv2.LINE_AA, SHIFT)
        if thickness > line:
            cv2.addWeighted(layer, 0.45, canvas, 0.55, 0, dst=canvas)
