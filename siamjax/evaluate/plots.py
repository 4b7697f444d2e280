"""Plots of several trackers: curves with their scores, and a radar of attributes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from siamjax.evaluate.attributes import DERIVED
from siamjax.evaluate.compare import Entry, measures
from siamjax.evaluate.figure import Figure, Stroke, Words, dash, tracker

_WIDTH, _LEFT, _RIGHT, _TOP, _HEIGHT = 340, 32.0, 10.0, 10.0, 210.0
_ROW = 19

PLOTS = {
    "success": ("Success", "overlaps", "success_auc", "overlap threshold", None),
    "precision": ("Precision", "pixels", "precision_20", "centre error threshold, pixels", 20.0),
    "normalised": (
        *("Normalised precision", "distances", "normalised_auc"),
        "centre error threshold, in sides of the target",
        None,
    ),
}
"""Title, key of the thresholds, key of the score, label of the axis, and the headline's place."""


def _line(*points: Sequence[float]) -> Float64[np.ndarray, "n 2"]:
    return np.asarray(points, np.float64)


def curves(kind: str, entries: Sequence[Entry]) -> Figure:
    """Draw the mean curve of each tracker, and a legend with the scores, the best first.

    Args:
        kind: a key of `PLOTS`.
        entries: colours and dashes go by their order.
    """
    title, thresholds, key, label, marked = PLOTS[kind]
    right, bottom = _WIDTH - _RIGHT, _TOP + _HEIGHT
    end = float(entries[0].summary["curves"][thresholds][-1])
    across = lambda value: _LEFT + (right - _LEFT) * value / end
    marks: list[Stroke | Words] = []
    for k in range(6):
        height, place = bottom - _HEIGHT * k / 5, across(end * k / 5)
        marks.append(Stroke(_line((_LEFT, height), (right, height)), "line"))
        marks.append(Words(_LEFT - 7, height + 4, f"{k / 5:.1f}", "end"))
        text = f"{end * k / 5:g}" if end > 1 else f"{end * k / 5:.1f}"
        marks.append(Words(place, bottom + 17, text, "middle"))
    marks.append(Words((_LEFT + right) / 2, bottom + 35, label, "middle"))
    if marked is not None:
        line = _line((across(marked), _TOP), (across(marked), bottom))
        marks.append(Stroke(line, "soft", 1.0, (3.0, 3.0)))
    ordered = sorted(range(len(entries)), key=lambda i: -entries[i].summary[key])
    for i in reversed(ordered):
        found = entries[i].summary["curves"]
        points = [
            (across(x), bottom - _HEIGHT * y)
            for x, y in zip(found[thresholds], found[kind], strict=True)
        ]
        marks.append(Stroke(_line(*points), tracker(i), 2.5, dash(i), name=entries[i].name))
    for row, i in enumerate(ordered):
        height = bottom + 58 + _ROW * row
        sample = _line((_LEFT, height - 4), (_LEFT + 34, height - 4))
        marks.append(Stroke(sample, tracker(i), 2.5, dash(i)))
        name = f"{entries[i].summary[key]:.3f}  {_short(entries[i].name)}"
        marks.append(Words(_LEFT + 44, height, name, part="ink", size=13.0))
    scores = ", ".join(f"{entries[i].name} {entries[i].summary[key]:.3f}" for i in ordered)
    height = round(bottom + 58 + _ROW * len(entries) - 8)
    return Figure(_WIDTH, height, f"{title} plot: {scores}", marks)


def _short(name: str, length: int = 32) -> str:
    return name if len(name) <= length else f"{name[: length - 3]}..."


def attribute_values(entries: Sequence[Entry]) -> dict[str, list[float]]:
    """Give the headline measure of each tracker for each attribute that all have."""
    measure = measures(entries[0].summary)[0]
    tables: list[Mapping[str, Any]] = [one.summary["attributes"] for one in entries]
    return {
        name: [table[name][measure.key] for table in tables]
        for name in tables[0]
        if all(name in table for table in tables)
    }


def radar(entries: Sequence[Entry]) -> Figure | None:
    """Draw the headline measure of each tracker, an axis for each attribute.

    Returns:
        None where there are fewer than three attributes.
    """
    values = attribute_values(entries)
    if len(values) < 3:
        return None
    radius, middle = 104.0, (190.0, 136.0)
    top = max(0.2, math.ceil(max(map(max, values.values())) * 5) / 5)
    angles = 2 * np.pi * np.arange(len(values)) / len(values)
    ways = np.stack([np.sin(angles), -np.cos(angles)], axis=1)
    marks: list[Stroke | Words] = []
    for k in range(1, round(top * 5) + 1):
        reach = radius * k / (top * 5)
        marks.append(Stroke(np.asarray([middle]) + reach * ways, "line", closed=True))
        marks.append(Words(middle[0] + 4, middle[1] - reach + 11, f"{k / 5:.1f}", size=10.0))
    for way, name in zip(ways, values, strict=True):
        x, y = np.asarray(middle) + (radius + 12) * way
        marks.append(Stroke(_line(middle, tuple(np.asarray(middle) + radius * way)), "line"))
        anchor = "middle" if abs(way[0]) < 0.2 else "start" if way[0] > 0 else "end"
        marks.append(Words(float(x), float(y) + 4, _plain(name), anchor, size=12.0))
    for i in reversed(range(len(entries))):
        reach = np.asarray([found[i] for found in values.values()])[:, None] * radius / top
        shape = np.asarray([middle]) + reach * ways
        style = {"closed": True, "filled": 0.06, "name": entries[i].name}
        marks.append(Stroke(shape, tracker(i), 2.2, dash(i), **style))
    for i, one in enumerate(entries):
        height = 288.0 + _ROW * i
        marks.append(
            Stroke(_line((110.0, height - 4), (144.0, height - 4)), tracker(i), 2.5, dash(i))
        )
        marks.append(Words(154.0, height, _short(one.name), part="ink", size=13.0))
    label = "Radar of attributes; the table beside it holds the numbers"
    return Figure(380, 288 + _ROW * len(entries) - 8, label, marks)


def _plain(name: str) -> str:
    return name.removesuffix(DERIVED)
