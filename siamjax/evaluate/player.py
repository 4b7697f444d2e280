"""The player of a report: truth and boxes of every frame, packed into the page.

Coordinates are whole numbers of a fraction of a pixel, overlaps of thousandths, 16 bits each, in
base64. Where all frames of a large benchmark would not fit, every n-th is kept.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from siamjax.evaluate.compare import Entry
from siamjax.evaluate.figure import TRACKERS_DARK, dash, tracker
from siamjax.typing import AnyArray

BUDGET = 3_000_000
"""Characters that all boxes together may take in a page."""

ABSENT = -32768
_LARGEST = 32767
_THOUSAND = 1000.0

Pictures = Mapping[str, Mapping[int, str]]
"""For each sequence, addresses of the pictures of some frames, by their number."""


def scale(size: tuple[int, int]) -> float:
    """Give the steps for a pixel: tenths of it, coarser for frames over 1,600 pixels."""
    return min(10.0, 16_000 / max(size))


def pack(values: Shaped[AnyArray, "..."], steps: float) -> str:
    """Pack numbers as little-endian int16 of `steps` for each unit, in base64; NaN as `ABSENT`."""
    values = np.asarray(values, np.float64)
    whole = np.clip(np.rint(np.nan_to_num(values) * steps), -_LARGEST, _LARGEST)
    known = np.where(np.isfinite(values), whole, ABSENT).astype("<i2")
    return base64.b64encode(known.tobytes()).decode()


def _pack_overlap(overlap: Shaped[AnyArray, " T"]) -> str:
    """Pack overlaps so that 0, a failure, stands for nothing else."""
    small = (overlap > 0) & (overlap < 1 / _THOUSAND)
    return pack(np.where(small, 1 / _THOUSAND, overlap), _THOUSAND)


def stride(frames: int, trackers: int, budget: int = BUDGET) -> int:
    """Give n so that every n-th frame of a page's sequences fits into the budget."""
    numbers = 4 + 5 * trackers
    return max(1, math.ceil(frames * numbers * 2 * 4 / 3 / budget))


def contents(entries: Sequence[Entry], pictures: Pictures) -> dict[str, Any]:
    """Give what the player's script reads, JSON-ready.

    Args:
        entries: the trackers, in the order of their colours.
        pictures: addresses; a sequence without any is drawn on an empty canvas.
    """
    first = entries[0].trajectories
    step = stride(sum(len(one.truth) for one in first.values()), len(entries))
    sequences = []
    for name, one in first.items():
        others = [entry.trajectories[name] for entry in entries]
        steps = scale(one.size)
        sequences.append(
            {
                "name": name,
                "size": list(one.size),
                "scale": steps,
                "frames": len(one.truth),
                "truth": pack(one.truth[::step], steps),
                "boxes": [pack(other.boxes[::step], steps) for other in others],
                "overlap": [_pack_overlap(other.overlap[::step]) for other in others],
                "pictures": {str(k): place for k, place in pictures.get(name, {}).items()},
            }
        )
    trackers = [
        {
            "name": one.name,
            "part": tracker(i),
            "bright": TRACKERS_DARK[i % len(TRACKERS_DARK)],
            "dash": dash(i),
        }
        for i, one in enumerate(entries)
    ]
    return {"step": step, "absent": ABSENT, "trackers": trackers, "sequences": sequences}


def element(found: Mapping[str, Any]) -> str:
    """Put JSON into a page; nothing within can end the element."""
    text = json.dumps(found, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="frames">{text}</script>'


CONTROLS = """<section class="card player" id="player" aria-label="player of sequences">
<div class="bar">
<button type="button" id="earlier" aria-label="previous sequence" title="previous sequence ([)">
&#8249;</button>
<label class="grow"><span class="hidden">sequence</span><select id="sequence"></select></label>
<button type="button" id="later" aria-label="next sequence" title="next sequence (])">&#8250;
</button>
<button type="button" id="play" class="main" aria-pressed="false">Play</button>
<label>speed <select id="speed"><option value="5">5 frames/s</option>
<option value="12">12 frames/s</option><option value="25" selected>25 frames/s</option>
<option value="50">50 frames/s</option></select></label>
</div>
<div class="stage"><canvas id="view" tabindex="0" role="img"
aria-label="the frame with the boxes of the truth and of all trackers"></canvas>
<ul id="legend" class="legend"></ul></div>
<label class="slide"><span class="hidden">frame</span>
<input type="range" id="frame" min="0" value="0" step="1">
<output id="number"></output></label>
<div class="timeline" id="timeline"></div>
<p class="key">Overlap with the truth over time; below it, for each tracker, a mark where the
overlap is zero: the target is lost. Grey: frames that do not count, or show no target. Click to go
there. Keys: space plays, arrows step (with shift by ten), Home and End, [ and ] change the
sequence.</p>
<noscript><p>The player needs JavaScript; everything else on this page does not.</p></noscript>
</section>"""
"""The elements that the script fills."""
