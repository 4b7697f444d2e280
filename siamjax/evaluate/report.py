"""One page that shows an evaluation, or several trackers' beside each other.

Ranking with confidence intervals, curves, attributes, every sequence, and a player of all boxes.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from siamjax.evaluate import aggregate, compare, figure, ope, page, player, plots, vos
from siamjax.evaluate.attributes import DERIVED
from siamjax.evaluate.compare import SUCCESS, Entry, Place

_STRIP = 60
_BRACKETS = f"""<p class="key below">Brackets: {100 * aggregate.LEVEL:.0f} % bootstrap intervals
over sequences ({aggregate.DRAWS} draws, percentiles); of differences by pairs, each sequence under
both trackers.</p>"""


def render(entries: Sequence[Entry], pictures: player.Pictures | None = None) -> str:
    """Make the page of one-pass evaluations on the same sequences.

    Args:
        entries: one tracker each, of `run.evaluate`.
        pictures: addresses of frames that the player shows; none by default.

    Returns:
        HTML that needs no other file, but for the pictures that it is told to show.
    """
    places = compare.rank(entries)
    entries = [place.entry for place in places]
    summary = entries[0].summary
    drawn = {
        title: figure.svg(plots.curves(kind, entries), page=True)
        for kind, (title, *_) in plots.PLOTS.items()
    }
    count = page.counted(len(summary["sequences"]), "sequence")
    if len(entries) == 1:
        title, top = entries[0].name, _tiles(places[0])
    else:
        on = f" on {summary['data']}" if summary["data"] else ""
        title, top = f"{len(entries)} trackers{on}", _ranking(places)
    made_with = "".join(
        f"<details{' open' if len(entries) == 1 else ''}><summary>{escape(one.name)}</summary>"
        f"{page.made_with(one.summary)}</details>"
        for one in entries
    )
    body = f"""<h1>{escape(title)}</h1>
{page.under(summary, count)}
{top}
{page.plots(drawn)}
{_attributes(entries)}
<h2>Sequences</h2>
{_sequences(entries)}
<h2>Player</h2>
{player.CONTROLS}
{player.element(player.contents(entries, pictures or {}))}
{page.measured(summary)}
<h2>What was measured</h2><div class="card">{made_with}</div>"""
    return page.document(f"{title} · siamjax evaluation", body, "table.js", "player.js")


def _tiles(place: Place) -> str:
    summary = place.entry.summary
    pooled = {"sr_50": "success at 0.5", "sr_75": "success at 0.75"}
    values: list[tuple[float | None, int, str]] = []
    for measure in compare.measures(summary):
        bounds = page.around(aggregate.told(place.intervals[measure.key]))
        values.append((summary[measure.key], 3, f"{measure.title}{bounds}"))
    values += [(summary[key], 3, text) for key, text in pooled.items() if key in summary]
    values.append((summary["fps"], 1, "frames/s, with decoding"))
    return f"{page.tiles(values)}{_BRACKETS if place.intervals[SUCCESS.key] else ''}"


def _swatch(number: int) -> str:
    line = figure.Stroke(np.array([[0.0, 4], [34, 4]]), figure.tracker(number), 3.5)
    dashed = figure.Stroke(line.points, line.part, line.width, figure.dash(number))
    drawn = figure.svg(figure.Figure(34, 8, "", [dashed]), page=True)
    return drawn.replace("<svg", '<svg class="swatch" aria-hidden="true"', 1)


def _ranking(places: Sequence[Place]) -> str:
    first, *others = compare.measures(places[0].entry.summary)
    shown = [others[0], others[1]] if first is SUCCESS else others[:2]
    found = [place.intervals[first.key] for place in places]
    known = [one for one in found if one]
    low = np.floor(min((one.low for one in known), default=0.0) * 10) / 10
    high = np.ceil(max((one.high for one in known), default=1.0) * 10) / 10
    scale = f'<span class="key">{low:.1f} to {high:.1f}</span>'
    rows = []
    for i, place in enumerate(places):
        summary, interval = place.entry.summary, found[i]
        cells = [f"<td>{i + 1}</td>"]
        cells.append(f'<td class="words">{_swatch(i)}{escape(place.entry.name)}</td>')
        cells.append(f"<td><b>{summary[first.key]:.3f}</b>{_below(interval)}</td>")
        cells.append(f"<td>{_whisker(i, interval, low, high)}</td>" if interval else "<td>-</td>")
        for measure in shown:
            other = _below(place.intervals[measure.key])
            cells.append(f"<td>{summary[measure.key]:.3f}{other}</td>")
        cells.append(f"<td>{'-' if summary['fps'] is None else format(summary['fps'], '.1f')}</td>")
        behind = place.behind
        text = f"{-behind.mean:+.3f}{_below(_turned(behind))}" if behind else "-"
        cells.append(f"<td>{text}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = ["", "tracker", first.title, scale, *(one.title for one in shown)]
    heads += ["frames/s", "to the first"]
    head = "".join(
        f'<th scope="col"{" class=words" if i == 1 else ""}>{text if i == 3 else escape(text)}</th>'
        for i, text in enumerate(heads)
    )
    told = "".join(
        f"<li{'' if 'is ahead of' in text else ' class=unsure'}>{escape(text)}</li>"
        for text in compare.verdicts(places)
    )
    return f"""<div class="card scroll"><table id="ranking"><thead><tr>{head}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div>
<ul class="verdict">{told}</ul>
{_BRACKETS}"""


def _below(found: aggregate.Interval | aggregate.Difference | None) -> str:
    return f"<small>{compare.bounds(found)}</small>" if found else ""


def _turned(found: aggregate.Difference) -> aggregate.Difference:
    return aggregate.Difference(-found.mean, -found.high, -found.low, 1 - found.above)


def _whisker(number: int, found: aggregate.Interval, low: float, high: float) -> str:
    across = lambda value: 8 + 174 * (value - low) / (high - low)
    ends = [across(value) for value in (found.low, found.high)]
    part, middle = figure.tracker(number), across(found.mean)
    line = lambda *points: np.asarray(points, np.float64)
    marks = [
        figure.Stroke(line((8, 11), (182, 11)), "line"),
        figure.Stroke(line((ends[0], 11), (ends[1], 11)), part, 3.0),
        *(figure.Stroke(line((x, 6), (x, 16)), part, 2.0) for x in ends),
        figure.Stroke(line((middle, 3), (middle, 19)), part, 6.0),
    ]
    label = f"{found.mean:.3f}, interval {compare.bounds(found)}"
    return (
        f'<div class="interval">{figure.svg(figure.Figure(190, 22, label, marks), page=True)}</div>'
    )


def _attributes(entries: Sequence[Entry]) -> str:
    values = plots.attribute_values(entries)
    if not values:
        return ""
    measure = compare.measures(entries[0].summary)[0]
    tables = [one.summary["attributes"] for one in entries]
    rows = []
    for name, found in values.items():
        names = tables[0][name]["sequences"]
        cells = [escape(name), str(len(names))]
        for one, value in zip(entries, found, strict=True):
            chosen = {key: one.summary["sequences"][key] for key in names}
            bounds = _below(compare.interval(chosen, measure))
            best = value == max(found) and len(entries) > 1
            cells.append(f"{f'<b>{value:.3f}</b>' if best else f'{value:.3f}'}{bounds}")
        rows.append(cells)
    heads = ["attribute", "sequences", *(one.name for one in entries)]
    table = page.plain("attributes", heads, rows)
    drawn = plots.radar(entries)
    radar = f'<div class="card">{figure.svg(drawn, page=True)}</div>' if drawn else ""
    derived = any(name.endswith(DERIVED) for name in values)
    how = (
        "The data names no attributes: these are derived from the boxes of the truth, by the"
        " thresholds of OTB and UAV123 (siamjax/evaluate/attributes.py)."
        if derived
        else "Attributes as the data names them; a sequence has those of any of its frames."
    )
    return f"""<h2>Attributes</h2>
<p class="key">{measure.title[:1].upper()}{measure.title[1:]}, mean over the sequences that have the
attribute. {how}</p>
<div class="pair">{radar}{table}</div>"""


def _sequences(entries: Sequence[Entry]) -> str:
    first = compare.measures(entries[0].summary)[0]
    keys = {one.each: one.title for one in compare.MEASURES}
    order = list(entries[0].trajectories)
    tables = [one.summary["sequences"] for one in entries]
    rows = []
    for name in sorted(order, key=lambda name: -tables[0][name][first.each]):
        values = [table[name][first.each] for table in tables]
        button = f'<button type="button" data-open="{order.index(name)}">{escape(name)}</button>'
        cells = [f'<td data-v="{escape(name)}">{button}</td>']
        cells.append(f'<td data-v="{tables[0][name]["frames"]}">{tables[0][name]["frames"]}</td>')
        for i, (one, table, value) in enumerate(zip(entries, tables, values, strict=True)):
            numbers = escape(json.dumps({key: round(table[name][key], 6) for key in keys}))
            label = f"overlap over time of {one.name} on {name}"
            overlap = one.trajectories[name].overlap
            best = ' class="best"' if value == max(values) and len(values) > 1 else ""
            fill = f"width:{100 * value:.1f}%;background:var(--{figure.tracker(i)})"
            cells.append(
                f'<td{best} data-v="{value}" data-numbers="{numbers}"><span class="meter">'
                f'<i style="{fill}"></i></span><span class="number">{value:.3f}</span>'
                f"{page.strip(overlap, _STRIP, kind='thin', label=label)}</td>"
            )
        if len(entries) > 1:
            spread = max(values) - min(values)
            cells.append(f'<td data-spread data-v="{spread}">{spread:.3f}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = [("sequence", ' data-kind="words"'), ("frames", "")]
    heads += [
        (one.name, ' aria-sort="descending"' if i == 0 else "") for i, one in enumerate(entries)
    ]
    heads += [("spread", "")] if len(entries) > 1 else []
    head = "".join(
        f'<th scope="col"{mark}><button type="button">{escape(text)}</button></th>'
        for text, mark in heads
    )
    options = "".join(
        f'<option value="{key}"{" selected" if key == first.each else ""}>{title}</option>'
        for key, title in keys.items()
    )
    return f"""<p class="key"><label>Numbers:
<select data-for="sequences">{options}</select></label>
Click the head of a column to sort, a sequence to play it. {page.COLORS}</p>
<div class="card scroll"><table class="sorts" id="sequences"><thead><tr>{head}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div>"""


def render_masks(summary: Mapping[str, Any], scores: Mapping[str, vos.Scores]) -> str:
    """Make the page of `segment.evaluate`.

    Args:
        summary: what `results.json` holds.
        scores: of each object, by name; of the masks, or of filled boxes where there are none.

    Returns:
        HTML that needs no other file.
    """
    kind = "masks" if summary["masks"] else "filled_boxes"
    shown, filled = summary[kind], summary["filled_boxes"]
    means = "mean over objects of the tracker's masks" if summary["masks"] else "boxes filled"
    values = [
        (shown["j_and_f"], 3, f"J&F, {means}{page.around(summary['intervals']['j_and_f'])}"),
        (shown["j_mean"], 3, "J, overlap of regions"),
        (shown["f_mean"], 3, "F, agreement of contours"),
        (summary["success_auc"], 3, "success AUC of the boxes"),
        (summary["fps"], 1, "frames/s, with decoding"),
    ]
    if summary["masks"]:
        values.insert(3, (filled["j_and_f"], 3, "J&F of the same boxes, filled"))
    each = {name: (one.region[1:-1], one.contour[1:-1]) for name, one in scores.items()}
    curves = [{name: _above(pair[k]) for name, pair in each.items()} for k in (0, 1)]
    drawn = {
        title: page.plot(ope.OVERLAPS.tolist(), np.mean(list(curve.values()), axis=0), curve, label)
        for title, label, curve in zip(
            ("Regions", "Contours"), ("threshold on J", "threshold on F"), curves, strict=True
        )
    }
    objects = {
        name: {**one, "fps": sequence["fps"], "frames": sequence["frames"]}
        for sequence in summary["sequences"].values()
        for name, one in sequence["objects"].items()
    }
    rows = []
    for name in sorted(objects, key=lambda name: -objects[name][kind]["j_and_f"]):
        numbers, other = objects[name][kind], objects[name]
        fields = ("j_mean", "j_recall", "j_decay", "f_mean", "f_recall", "f_decay")
        others: list[Any] = [(numbers[field], 3) for field in fields]
        others.append((other["filled_boxes"]["j_and_f"], 3))
        others += [(other["success_auc"], 3), (other["frames"], 0), (other["fps"], 1)]
        rows.append(page.row(name, numbers["j_and_f"], others, scores[name].region))
    heads = ("object", "J&F", "J", "J recall", "J decay", "F", "F recall", "F decay")
    heads += ("boxes filled, J&F", "success AUC", "frames", "frames/s")
    body = f"""{page.tiles(values)}{page.plots(drawn)}
<h2>Objects</h2>{page.KEY}{page.table(heads, rows)}"""
    count = page.counted(len(summary["sequences"]), "sequence")
    return page.page(summary, f"{count}, {page.counted(len(objects), 'object')}", body)


def _above(values: np.ndarray) -> np.ndarray:
    return (values[:, None] > ope.OVERLAPS[None]).mean(axis=0)
