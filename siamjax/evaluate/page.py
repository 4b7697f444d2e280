"""The parts of a page that shows an evaluation: plots, tiles, a table that sorts, and the rest.

Everything is inside the page: inline SVG, one style sheet (`page.css`), scripts (`table.js` for
sorting, `player.js`), so that it can be sent as one file and opened anywhere.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from siamjax.evaluate import figure

_WIDTH, _HEIGHT = 440, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 14, 44


def _beside(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _style() -> str:
    """Give the style sheet with the colours of trackers, light and dark."""
    light, dark = (
        "".join(f"--t{i}:{color};" for i, color in enumerate(colors))
        for colors in (figure.TRACKERS, figure.TRACKERS_DARK)
    )
    both = f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return f"{_beside('page.css')}{both}"


def document(title: str, body: str, *scripts: str) -> str:
    """Make a whole page.

    Args:
        title: of the window.
        body: HTML.
        scripts: names of files beside this one, run after the body.
    """
    run = "".join(f"<script>{_beside(name)}</script>" for name in scripts)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(title)}</title><style>{_style()}</style></head><body><main>
{body}
</main>{run}</body></html>
"""


def _text(value: float | int | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _rows(pairs: Mapping[str, Any]) -> str:
    cells = "".join(
        f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>"
        for name, value in pairs.items()
        if value not in (None, "")
    )
    return f"<dl>{cells}</dl>"


def _polyline(x: Sequence[float], y: Float64[np.ndarray, " n"], kind: str, name: str = "") -> str:
    end = x[-1]
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    points = " ".join(
        f"{_LEFT + across * u / end:.1f},{_TOP + down * (1 - v):.1f}"
        for u, v in zip(x, y.tolist(), strict=True)
    )
    title = f"<title>{escape(name)}</title>" if name else ""
    data = f' data-n="{escape(name)}"' if name else ""
    return f'<polyline class="{kind}"{data} points="{points}">{title}</polyline>'


def plot(
    x: Sequence[float],
    mean: Float64[np.ndarray, " n"],
    each: Mapping[str, Float64[np.ndarray, " n"]],
    label: str,
    mark: float | None = None,
) -> str:
    """Draw curves with values in 0..1 as SVG: a thin one a sequence, the mean over them.

    Args:
        x: positions, from 0, ascending.
        mean: values of the heavy curve.
        each: values of the thin ones, by the name of their sequence.
        label: of the horizontal axis.
        mark: position of a dashed vertical line.

    Returns:
        An `<svg>` element, its colours from the page's style sheet.
    """
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    right, bottom = _LEFT + across, _TOP + down
    parts = []
    for k in range(6):
        height, place = bottom - down * k / 5, _LEFT + across * k / 5
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{height}" y2="{height}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{height + 4}" text-anchor="end">{k / 5:.1f}</text>')
        tick = f"{x[-1] * k / 5:g}" if x[-1] > 1 else f"{x[-1] * k / 5:.1f}"
        parts.append(f'<text x="{place}" y="{bottom + 18}" text-anchor="middle">{tick}</text>')
    middle = _LEFT + across / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(label)}</text>'
    )
    if mark is not None:
        place = _LEFT + across * mark / x[-1]
        parts.append(f'<line class="mark" x1="{place}" x2="{place}" y1="{_TOP}" y2="{bottom}"/>')
    parts += [_polyline(x, values, "each", name) for name, values in each.items()]
    parts.append(_polyline(x, mean, "mean"))
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'


def strip(
    overlap: Float64[np.ndarray, " T"], columns: int = 150, *, kind: str = "", label: str = ""
) -> str:
    """Draw the overlap over time as bars: the mean of each column's frames, red where under 0.5.

    Args:
        overlap: intersection over union a frame; NaN where the truth is absent.
        columns: bars at most.
        kind: class of the element.
        label: told to who cannot see it.

    Returns:
        An `<svg>` element, stretched to the width of its cell.
    """
    parts = np.array_split(overlap, min(columns, len(overlap)))
    paths = {"good": "", "bad": "", "absent": ""}
    last = ""
    for k, part in enumerate(parts):
        known = part[np.isfinite(part)]
        value = float(known.mean()) if known.size else 0.06
        color = "absent" if not known.size else "good" if value >= 0.5 else "bad"
        start = "" if color == last else f"M{k} 24"
        if start and last:
            paths[last] += "V24"
        paths[color] += f"{start}V{24 - max(value, 0.06) * 24:.0f}h1"
        last = color
    paths[last] += "V24"
    bars = "".join(
        f'<path d="{path}" fill="var(--{color})"/>' for color, path in paths.items() if path
    )
    box = f'viewBox="0 0 {len(parts)} 24" preserveAspectRatio="none"'
    named = f' class="{kind}"' if kind else ""
    told = escape(label or "overlap over time")
    return f'<svg{named} {box} role="img" aria-label="{told}">{bars}</svg>'


def tiles(values: Sequence[tuple[float | None, int, str]]) -> str:
    """Draw headline numbers: (value, digits, label) each."""
    parts = (
        f'<div class="card tile"><b>{_text(value, digits)}</b><span>{escape(label)}</span></div>'
        for value, digits, label in values
    )
    return f'<section class="tiles">{"".join(parts)}</section>'


def around(bounds: Sequence[float] | None) -> str:
    """Write the bounds of an interval behind a label; nothing where there are none."""
    return f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""


def plots(drawn: Mapping[str, str]) -> str:
    """Put plots side by side, by their titles."""
    parts = (f'<div class="card"><h2>{escape(n)}</h2>{svg}</div>' for n, svg in drawn.items())
    return f'<section class="plots">{"".join(parts)}</section>'


def row(
    name: str,
    headline: float,
    numbers: Sequence[tuple[float | int | None, int]],
    overlap: Float64[np.ndarray, " T"],
) -> str:
    """Make a row of `table`.

    Args:
        name: in the first column.
        headline: 0..1, shown as a meter too.
        numbers: (value, digits) of the other columns.
        overlap: over time, for `strip`.
    """
    meter = f'<span class="meter"><i style="width:{100 * headline:.1f}%"></i></span>'
    cells = [f'<td data-v="{escape(name)}">{escape(name)}</td>']
    cells.append(f'<td data-v="{headline}">{meter}{headline:.3f}</td>')
    for value, digits in numbers:
        cells.append(f'<td data-v="{-1 if value is None else value}">{_text(value, digits)}</td>')
    cells.append(f'<td class="strip">{strip(overlap)}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    """Make a table that sorts by its columns, given sorted by the second, overlap over time last.

    Args:
        heads: of all columns but the last.
        rows: from `row`, the largest headline first.
    """
    marks = {0: ' data-kind="words"', 1: ' aria-sort="descending"'}
    head = "".join(
        f'<th scope="col"{marks.get(i, "")}><button type="button">{escape(text)}</button></th>'
        for i, text in enumerate(heads)
    )
    return f"""<div class="card scroll"><table class="sorts"><thead><tr>{head}
<th class="strip" scope="col">overlap over time</th></tr></thead>
<tbody>{"".join(rows)}</tbody></table></div>"""


def plain(name: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a table that does not sort.

    Args:
        name: of the element.
        heads: words.
        rows: cells, HTML each.
    """
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"""<div class="card scroll"><table id="{name}"><thead><tr>{head}</tr></thead>
<tbody>{lines}</tbody></table></div>"""


def page(summary: Mapping[str, Any], count: str, body: str) -> str:
    """Make the page around what one kind of evaluation shows.

    Args:
        summary: what `results.json` holds; `conventions` and what it was made with are listed.
        count: how much was run, in words.
        body: HTML.

    Returns:
        HTML that needs no other file.
    """
    model = summary["model"] or "stored boxes"
    inside = f"""<h1>{escape(model)}</h1>
{under(summary, count)}
{body}
{measured(summary)}
<h2>What was measured</h2><div class="card">{made_with(summary)}</div>"""
    return document(f"{model} · siamjax evaluation", inside, "table.js")


def under(summary: Mapping[str, Any], count: str) -> str:
    """Say below the title what was run."""
    source = " ".join(word for word in (summary["data"], summary["format"]) if word)
    return f"""<p class="under">{escape(source)}{" · " if source else ""}{count},
{summary["frames"]} frames · convention “{escape(summary["conventions"]["name"])}” ·
{escape(summary["hardware"])}</p>"""


def measured(summary: Mapping[str, Any]) -> str:
    """List what the numbers mean."""
    rules = {name: text for name, text in summary["conventions"].items() if name != "name"}
    return f'<h2>How it was measured</h2><div class="card">{_rows(rules)}</div>'


def made_with(summary: Mapping[str, Any]) -> str:
    """List what answers were made with."""
    hyper = summary.get("hyper") or {}
    return _rows(
        {
            "model": summary["model"] or "stored boxes",
            "tracker": summary.get("tracker"),
            "weights SHA-256": summary.get("model_sha256"),
            "constants": ", ".join(f"{name} {value}" for name, value in hyper.items()),
            "data": " ".join(word for word in (summary["data"], summary["format"]) if word),
            "hardware": summary["hardware"],
            "versions": ", ".join(f"{name} {v}" for name, v in summary["versions"].items()),
        }
    )


def counted(number: int, what: str) -> str:
    """Give a number of things in words."""
    return f"{number} {what}{'s' if number != 1 else ''}"


COLORS = "Overlap over time:{}".format(
    "".join(
        f'<i style="background:var(--{color})"></i>{text}'
        for color, text in (
            ("good", "overlap at least 0.5"),
            ("bad", "less"),
            ("absent", "no truth or no answer"),
        )
    )
)
"""What the colours of `strip` say."""

KEY = f'<p class="key">{COLORS}</p>'
"""The same as a paragraph."""
