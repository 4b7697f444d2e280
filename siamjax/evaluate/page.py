"""The parts of a page that shows an evaluation: plots, tiles, a table that sorts, and the rest.

Everything is inside the page: inline SVG, one style sheet, a few lines of script for sorting.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Float64

_WIDTH, _HEIGHT = 440, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 14, 44

_STYLE = """
:root{color-scheme:light dark;--bg:#f7f7f5;--card:#fff;--ink:#1d2126;--soft:#67707b;--line:#e3e4e1;
--main:#0f6fb8;--each:#0f6fb8;--good:#2a9d6f;--bad:#d9573f;--absent:#c9ccd0}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1c2024;--ink:#e8eaed;--soft:#98a1ab;
--line:#2e343a;--main:#62b6f4;--each:#62b6f4;--good:#4cc394;--bad:#f0806b;--absent:#454c54}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1040px;margin:0 auto;padding:36px 20px 60px}
h1{font-size:26px;line-height:1.25;margin:0}h2{font-size:16px;margin:34px 0 10px}
.under{color:var(--soft);margin:4px 0 24px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:14px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.tile b{display:block;font-size:30px;line-height:1.2;font-weight:650;
font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(380px,1fr));gap:14px;
margin-top:14px}
.plots h2{margin:0 0 6px}svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font-size:12px}.grid{stroke:var(--line)}
.each{fill:none;stroke:var(--each);stroke-width:1;opacity:.2}
.each.lit{opacity:1;stroke:var(--bad);stroke-width:2.2}
.mean{fill:none;stroke:var(--main);stroke-width:3;stroke-linejoin:round}
.mark{stroke:var(--soft);stroke-dasharray:4 4}
.scroll{overflow-x:auto;padding:0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:7px 12px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}th:first-child,td:first-child{text-align:left}
td.strip{padding:4px 12px;width:34%;min-width:200px}td.strip svg{height:26px}
th{font-size:13px;color:var(--soft);font-weight:600}th.strip{text-align:left}
th button{all:unset;cursor:pointer}th button:hover,th button:focus-visible{color:var(--ink);
text-decoration:underline}th[aria-sort=ascending] button::after{content:" \\2191"}
th[aria-sort=descending] button::after{content:" \\2193"}
tbody tr:hover{background:color-mix(in srgb,var(--main) 8%,transparent)}
.meter{display:inline-block;width:64px;height:8px;margin-right:8px;border-radius:4px;
background:var(--line);overflow:hidden}.meter i{display:block;height:100%;background:var(--main)}
.key{color:var(--soft);font-size:13px;margin:0 0 10px}.key i{display:inline-block;width:10px;
height:10px;border-radius:2px;margin:0 4px 0 10px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;margin:0;font-size:14px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media(max-width:600px){dl{grid-template-columns:1fr}dd{margin-bottom:6px}}
@media(max-width:440px){.plots{grid-template-columns:1fr}}
"""

_SCRIPT = """
const body=document.querySelector('tbody')??{rows:[]};
document.querySelectorAll('th button').forEach(button=>button.onclick=()=>{
 const head=button.parentElement,column=head.cellIndex,
  up=head.getAttribute('aria-sort')==='descending'||(!head.hasAttribute('aria-sort')&&column===0);
 document.querySelectorAll('th').forEach(h=>h.removeAttribute('aria-sort'));
 head.setAttribute('aria-sort',up?'ascending':'descending');
 const key=row=>row.cells[column].dataset.v,sign=up?1:-1;
 [...body.rows].sort((a,b)=>sign*(column?key(a)-key(b):key(a).localeCompare(key(b))))
  .forEach(row=>body.append(row));});
for(const row of body.rows)for(const [event,on] of [['mouseenter',true],['mouseleave',false]])
 row.addEventListener(event,()=>document.querySelectorAll('.each').forEach(curve=>
  curve.classList.toggle('lit',on&&curve.dataset.n===row.cells[0].dataset.v)));
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


def strip(overlap: Float64[np.ndarray, " T"], columns: int = 150) -> str:
    """Draw the overlap over time as bars: the mean of each column's frames, red where under 0.5.

    Args:
        overlap: intersection over union a frame; NaN where the truth is absent.
        columns: bars at most.

    Returns:
        An `<svg>` element, stretched to the width of its cell.
    """
    parts = np.array_split(overlap, min(columns, len(overlap)))
    bars = []
    for k, part in enumerate(parts):
        known = part[np.isfinite(part)]
        value = float(known.mean()) if known.size else 0.06
        color = "absent" if not known.size else "good" if value >= 0.5 else "bad"
        height = max(value, 0.06) * 24
        place = f'x="{k}" y="{24 - height:.1f}" width="1.05" height="{height:.1f}"'
        bars.append(f'<rect {place} fill="var(--{color})"/>')
    box = f'viewBox="0 0 {len(parts)} 24" preserveAspectRatio="none"'
    return f'<svg {box} role="img" aria-label="overlap over time">{"".join(bars)}</svg>'


def tiles(values: Sequence[tuple[float | None, int, str]]) -> str:
    """Draw headline numbers: (value, digits, label) each."""
    parts = (
        f'<div class="card tile"><b>{_text(value, digits)}</b><span>{escape(label)}</span></div>'
        for value, digits, label in values
    )
    return f'<section class="tiles">{"".join(parts)}</section>'


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
    marks = {1: ' aria-sort="descending"'}
    head = "".join(
        f'<th scope="col"{marks.get(i, "")}><button>{escape(text)}</button></th>'
        for i, text in enumerate(heads)
    )
    return f"""<div class="card scroll"><table><thead><tr>{head}<th class="strip" scope="col">
overlap over time</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>"""


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
    source = " ".join(word for word in (summary["data"], summary["format"]) if word)
    hyper = summary.get("hyper") or {}
    made_with = {
        "model": model,
        "tracker": summary.get("tracker"),
        "weights SHA-256": summary.get("model_sha256"),
        "constants": ", ".join(f"{name} {value}" for name, value in hyper.items()),
        "data": source,
        "hardware": summary["hardware"],
        "versions": ", ".join(f"{name} {v}" for name, v in summary["versions"].items()),
    }
    rules = {name: text for name, text in summary["conventions"].items() if name != "name"}
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(model)} · siamjax evaluation</title><style>{_STYLE}</style></head><body><main>
<h1>{escape(model)}</h1>
<p class="under">{escape(source)}{" · " if source else ""}{count}, {summary["frames"]} frames ·
convention “{escape(summary["conventions"]["name"])}” · {escape(summary["hardware"])}</p>
{body}
<h2>How it was measured</h2><div class="card">{_rows(rules)}</div>
<h2>What was measured</h2><div class="card">{_rows(made_with)}</div>
</main><script>{_SCRIPT}</script></body></html>
"""


def counted(number: int, what: str) -> str:
    """Give a number of things in words."""
    return f"{number} {what}{'s' if number != 1 else ''}"


KEY = '<p class="key">Overlap over time:{}</p>'.format(
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
