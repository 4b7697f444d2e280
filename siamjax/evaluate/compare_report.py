"""Several evaluations in one folder: the page, and what goes into papers beside it.

`report.html`; `success`, `precision`, `normalised` and `attributes` as SVG and PNG; `ranking.tex`
(for LaTeX's booktabs), `sequences.csv`, `attributes.csv`; `frames/` where pictures are asked for.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2

from siamjax.data.tracks import Track
from siamjax.evaluate import aggregate, compare, figure, page, player, plots, report
from siamjax.evaluate.compare import Entry, Place
from siamjax.weights import npz

_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}"},
}
_SIDE = 480


def write(
    folders: Sequence[Path],
    out: Path,
    names: Sequence[str] = (),
    pictures: player.Pictures | None = None,
) -> dict[str, Any]:
    """Compare the evaluations in several folders, and write page, plots and tables.

    Args:
        folders: as `siamjax evaluate` writes them, of the same sequences by the same convention.
        out: folder for the files.
        names: of the trackers; see `compare.load`.
        pictures: addresses of frames for the player, from `save_frames`; none by default.

    Returns:
        `ranking`, the best first: `name`, each measure with its `intervals`, `behind` the first
        (with bounds; None for the first); `attributes` by tracker; and `verdicts` in words.

    Raises:
        ValueError: as `compare.load`.
        OSError: the folder cannot be written.
    """
    places = compare.rank(compare.load(folders, names))
    entries = [place.entry for place in places]
    out.mkdir(parents=True, exist_ok=True)
    drawn = {kind: plots.curves(kind, entries) for kind in plots.PLOTS}
    radar = plots.radar(entries)
    for name, one in ({**drawn, "attributes": radar} if radar else drawn).items():
        npz.write(out / f"{name}.svg", figure.svg(one).encode())
        npz.write(out / f"{name}.png", figure.png(one))
    texts = {
        "ranking.tex": latex(places),
        "sequences.csv": sequences_csv(entries),
        "attributes.csv": attributes_csv(entries),
        "report.html": report.render(entries, pictures),
    }
    for name, text in texts.items():
        npz.write(out / name, text.encode())
    return _told(places)


def _told(places: Sequence[Place]) -> dict[str, Any]:
    ranking = []
    for place in places:
        found = place.entry.summary
        bounds = {key: aggregate.told(one) for key, one in place.intervals.items()}
        behind = place.behind
        ranking.append(
            {
                "name": place.entry.name,
                **{one.key: found[one.key] for one in compare.measures(found)},
                "intervals": bounds,
                "behind": [behind.mean, behind.low, behind.high] if behind else None,
                "fps": found["fps"],
            }
        )
    return {
        "ranking": ranking,
        "attributes": {place.entry.name: place.entry.summary["attributes"] for place in places},
        "verdicts": compare.verdicts(places),
    }


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def latex(places: Sequence[Place]) -> str:
    """Write the ranking as a LaTeX table (package booktabs), intervals as small brackets."""
    summary = places[0].entry.summary
    measures = compare.measures(summary)[:4]
    heads = " & ".join(_escaped(one.title) for one in measures)
    rows = []
    best = {one.key: max(place.entry.summary[one.key] for place in places) for one in measures}
    for place in places:
        cells = [_escaped(place.entry.name)]
        for one in measures:
            value, interval = place.entry.summary[one.key], place.intervals[one.key]
            shown = rf"\textbf{{{value:.3f}}}" if value == best[one.key] else f"{value:.3f}"
            cells.append(
                shown + (f" {{\\scriptsize {compare.bounds(interval)}}}" if interval else "")
            )
        fps = place.entry.summary["fps"]
        cells.append("--" if fps is None else f"{fps:.1f}")
        rows.append(f"{' & '.join(cells)} \\\\\n")
    count = page.counted(len(summary["sequences"]), "sequence")
    rules = _escaped(summary["conventions"]["name"])
    return (
        f"% {count}, convention {rules}; brackets: {100 * aggregate.LEVEL:.0f} % bootstrap"
        " intervals over sequences\n"
        f"\\begin{{tabular}}{{l{'r' * (len(measures) + 1)}}}\n\\toprule\n"
        f"Tracker & {heads} & frames/s \\\\\n\\midrule\n{''.join(rows)}"
        "\\bottomrule\n\\end{tabular}\n"
    )


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def sequences_csv(entries: Sequence[Entry]) -> str:
    """Write a line for each tracker and sequence: every measure, frames and frames a second."""
    keys = [*(one.each for one in compare.MEASURES), "frames", "fps"]
    rows: list[list[Any]] = [["tracker", "sequence", *keys]]
    for one in entries:
        for name, numbers in one.summary["sequences"].items():
            rows.append([one.name, name, *(numbers[key] for key in keys)])
    return _csv(rows)


def attributes_csv(entries: Sequence[Entry]) -> str:
    """Write a line for each tracker and attribute: number of sequences, and every measure."""
    keys = [one.key for one in compare.measures(entries[0].summary)]
    rows: list[list[Any]] = [["tracker", "attribute", "sequences", *keys]]
    for one in entries:
        for name, found in one.summary["attributes"].items():
            rows.append([one.name, name, len(found["sequences"]), *(found[key] for key in keys)])
    return _csv(rows)


def save_frames(tracks: Sequence[Track], out: Path, count: int) -> dict[str, dict[int, str]]:
    """Write small JPEG files of up to `count` frames of each clip, evenly spaced.

    Args:
        tracks: of the sequences that the report shows.
        out: folder of the report; pictures go to `frames/SEQUENCE/00000.jpg` within.
        count: at least 1; a clip with fewer frames is written whole.

    Returns:
        Addresses relative to `out`, by sequence and frame.

    Raises:
        ValueError: a count below 1, a clip that cannot be decoded.
        OSError: the folder cannot be written.
    """
    if count < 1:
        raise ValueError(f"frames: expected at least 1, got {count}")
    found: dict[str, dict[int, str]] = {}
    for track in tracks:
        every = -(-len(track) // count)
        place = out / "frames" / track.name
        place.mkdir(parents=True, exist_ok=True)
        addresses = {}
        for i, frame in enumerate(track.media):
            if i % every:
                continue
            less = min(1.0, _SIDE / max(frame.shape[:2]))
            size = (round(frame.shape[1] * less), round(frame.shape[0] * less))
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            done, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])
            if not done:
                raise ValueError(f"{track.name}: frame {i} cannot be written as JPEG")
            npz.write(place / f"{i:05d}.jpg", data.tobytes())
            addresses[i] = quote(f"frames/{track.name}/{i:05d}.jpg")
        found[track.name] = addresses
    return found


def frames_of(tracks: Mapping[str, Track], names: Sequence[str]) -> list[Track]:
    """Give the tracks of these names.

    Raises:
        ValueError: the data have no sequence of one of them.
    """
    missing = [name for name in names if name not in tracks]
    if missing:
        raise ValueError(f"data: no sequence {missing[0]!r} there, which the results are of")
    return [tracks[name] for name in names]
