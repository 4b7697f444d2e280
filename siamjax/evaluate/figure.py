"""Figures of lines and words, drawn once and written as SVG or PNG.

Colours are named by their part; a page gives them by its style sheet, so that they follow light and
dark, a file holds those of paper. Trackers differ in colour and in dashes: neither alone has to be
seen. The colours follow Okabe and Ito, darkened where they would be faint on white.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
from jaxtyping import Float64

PAPER = {"ink": "#1d2126", "soft": "#5d6570", "line": "#e3e4e1", "bg": "#ffffff"}
TRACKERS = ("#0072b2", "#c64a00", "#00805c", "#b0498b", "#8a6400", "#3f3f3f", "#2a86c8", "#93312b")
TRACKERS_DARK = (
    *("#62b6f4", "#ff9457", "#3fcf9f", "#f09ccb", "#e9bb4a", "#d0d4d9", "#9fd4ff", "#f08c85"),
)
DASHES: tuple[tuple[float, ...], ...] = (
    *((), (8.0, 4.0), (3.0, 3.0), (10.0, 3.0, 3.0, 3.0), (5.0, 2.0), (14.0, 4.0)),
)

_HERSHEY = 22.0
"""Pixels of a line of OpenCV's simplex letters at scale 1."""


@dataclass(frozen=True)
class Stroke:
    """A line through points, [n, 2] (x, y).

    Attributes:
        points: in the units of the figure, y downward.
        part: names the colour: a key of `PAPER`, or `tracker` of a number.
        width: of the line.
        dash: lengths drawn and left out, in turn; a whole line without.
        closed: the last point is joined to the first.
        filled: 0..1, how much of the colour lies within.
        name: told by browsers where the pointer rests.
    """

    points: Float64[np.ndarray, "n 2"]
    part: str
    width: float = 1.0
    dash: tuple[float, ...] = ()
    closed: bool = False
    filled: float = 0.0
    name: str = ""


@dataclass(frozen=True)
class Words:
    """Words on a line of their own; `anchor` (start, middle, end) says which part stands at x."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    part: str = "soft"
    size: float = 12.0


@dataclass(frozen=True)
class Figure:
    """Strokes and words on an area of width x height; `label` tells them to who cannot see it."""

    width: int
    height: int
    label: str
    marks: Sequence[Stroke | Words]


def tracker(number: int) -> str:
    """Name the colour of a tracker."""
    return f"t{number % len(TRACKERS)}"


def dash(number: int) -> tuple[float, ...]:
    """Give the dashes of a tracker, the same again only where its colour is another."""
    return DASHES[number % len(DASHES)]


def _paper(part: str) -> str:
    return PAPER[part] if part in PAPER else TRACKERS[int(part[1:])]


def svg(figure: Figure, *, page: bool = False) -> str:
    """Write a figure as an `<svg>` element.

    Args:
        figure: to write.
        page: colours are variables of the page's style sheet, and the size is the page's to choose;
            otherwise it stands for itself, on white.
    """
    color = (lambda part: f"var(--{part})") if page else _paper
    parts = []
    for mark in figure.marks:
        if isinstance(mark, Words):
            parts.append(
                f'<text x="{mark.x:.1f}" y="{mark.y:.1f}" text-anchor="{mark.anchor}"'
                f' font-size="{mark.size:g}" style="fill:{color(mark.part)}">'
                f"{escape(mark.text)}</text>"
            )
            continue
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.points.tolist())
        style = f"stroke:{color(mark.part)};stroke-width:{mark.width:g};stroke-linejoin:round;"
        style += (
            f"fill:{color(mark.part)};fill-opacity:{mark.filled}" if mark.filled else "fill:none"
        )
        if mark.dash:
            style += f";stroke-dasharray:{' '.join(f'{length:g}' for length in mark.dash)}"
        kind = "polygon" if mark.closed else "polyline"
        title = f"<title>{escape(mark.name)}</title>" if mark.name else ""
        parts.append(f'<{kind} points="{points}" style="{style}">{title}</{kind}>')
    box = f'viewBox="0 0 {figure.width} {figure.height}"'
    label = f'role="img" aria-label="{escape(figure.label)}"'
    if page:
        return f"<svg {box} {label}>{''.join(parts)}</svg>"
    size = (
        f'width="{figure.width}" height="{figure.height}" font-family="Helvetica,Arial,sans-serif"'
    )
    ground = f'<rect width="100%" height="100%" fill="{PAPER["bg"]}"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} {size} {label}>'
    return f"{head}{ground}{''.join(parts)}</svg>\n"


def png(figure: Figure, scale: int = 3) -> bytes:
    """Paint a figure on white as a PNG file, `scale` pixels for a unit.

    Letters outside ASCII are shown as question marks: OpenCV's fonts have no others.
    """
    canvas = np.full((figure.height * scale, figure.width * scale, 3), 255, np.uint8)
    for mark in figure.marks:
        color = tuple(bytes.fromhex(_paper(mark.part)[1:]))
        if isinstance(mark, Words):
            _write(canvas, mark, scale, color)
            continue
        points = mark.points * scale
        if mark.closed:
            points = np.concatenate([points, points[:1]])
        if mark.filled:
            over = cv2.fillPoly(canvas.copy(), [_fixed(points)], color, cv2.LINE_AA, _SHIFT)
            canvas = cv2.addWeighted(over, mark.filled, canvas, 1 - mark.filled, 0)
        lines = dashes(points, [length * scale for length in mark.dash])
        thick = max(1, round(mark.width * scale))
        cv2.polylines(canvas, [_fixed(p) for p in lines], False, color, thick, cv2.LINE_AA, _SHIFT)
    done, data = cv2.imencode(".png", canvas[..., ::-1])
    if not done:
        raise ValueError(f"figure: {figure.width} x {figure.height} cannot be written as PNG")
    return data.tobytes()


_SHIFT = 4  # bits of the parts of pixels


def _fixed(points: Float64[np.ndarray, "n 2"]) -> np.ndarray:
    return np.rint(points * 2**_SHIFT).astype(np.int32)


def _write(canvas: np.ndarray, words: Words, scale: int, color: tuple[int, ...]) -> None:
    text = words.text.encode("ascii", "replace").decode()
    size, thick = words.size * scale / _HERSHEY * 0.72, max(1, round(scale * 0.4))
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    left = words.x * scale - {"start": 0, "middle": width / 2, "end": width}[words.anchor]
    place = (round(left), round(words.y * scale))
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, color, thick, cv2.LINE_AA)


def dashes(
    points: Float64[np.ndarray, "n 2"], lengths: Sequence[float]
) -> list[Float64[np.ndarray, "m 2"]]:
    """Cut a line into dashes, the drawn and the empty in turn; the line itself without lengths."""
    if not lengths:
        return [points]
    steps = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
    along = np.concatenate([[0.0], np.cumsum(steps)])
    parts, start, turn = [], 0.0, 0
    while start < along[-1]:
        end = min(start + lengths[turn % len(lengths)], along[-1])
        if turn % 2 == 0:
            inner = along[(along > start) & (along < end)]
            places = np.concatenate([[start], inner, [end]])
            parts.append(
                np.stack([np.interp(places, along, points[:, k]) for k in range(2)], axis=1)
            )
        start, turn = end, turn + 1
    return parts
