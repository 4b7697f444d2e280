"""Supervised VOT analysis (2013 to 2019): accuracy, robustness and expected average overlap.

A tracker is started on the truth, stopped where its overlap falls to zero, and started again five
frames later; `supervised` runs one so. Here what it answered is scored, in NumPy. Overlaps are
counted in pixels (`raster`). Source: Kristan et al., A novel performance evaluation methodology
for single-target trackers, 2016; conventions follow the code of PySOT and of the VOT toolkit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from siamjax import polygons
from siamjax.evaluate import aggregate, expected, raster
from siamjax.evaluate.aggregate import Interval

REGION, SKIPPED, STARTED, FAILED = -1, 0, 1, 2
"""What a frame's answer is; the last three are the codes that result files hold."""

BURN_IN = 10
"""Frames from a start on, itself counted, whose overlap does not count in the accuracy."""


class Answers(NamedTuple):
    """What a tracker answered in one supervised run over one sequence.

    `codes` says for each frame `STARTED`, `FAILED`, `SKIPPED` or `REGION`; `regions` holds boxes
    (4 values) or polygons, of any value where there is a code instead.
    """

    codes: Int[np.ndarray, " T"]
    regions: Float[np.ndarray, "T values"]

    @property
    def failures(self) -> Int[np.ndarray, " failures"]:
        """Numbers of the frames where the tracker failed."""
        return np.flatnonzero(self.codes == FAILED)


@dataclass(frozen=True)
class Recording:
    """One sequence's truth and the runs over it.

    Attributes:
        name: of the sequence.
        truth: [T, 4] boxes or [T, 2 n] polygons, pixels, 0-based.
        size: (width, height) of the frames.
        runs: repetitions; one for trackers that do not depend on chance.
        tags: for each attribute, the frames that have it, bool[T].
    """

    name: str
    truth: Float[np.ndarray, "T values"]
    size: tuple[int, int]
    runs: tuple[Answers, ...]
    tags: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        if not self.runs:
            raise ValueError(f"{self.name}: no run to score")
        for run in self.runs:
            if not len(run.codes) == len(run.regions) == len(self.truth):
                raise ValueError(
                    f"{self.name}: expected {len(self.truth)} answers, one for each frame, got"
                    f" {len(run.codes)} codes and {len(run.regions)} regions"
                )


@dataclass(frozen=True)
class Convention:
    """Choices in which supervised analyses differ.

    Attributes:
        text: for the report.
        accuracy_margin: pixels by which the frame's size is lessened as the bound of overlaps.
        expected_margin: likewise, for the expected overlap.
        through_skip: a failed fragment runs on to the next start (True) or ends at the failure.
        first: what is added to an interval's first length to give the curve's place, counted from
            0 (place k holds the mean over frames 1 to k of a fragment).
    """

    text: str
    accuracy_margin: int
    expected_margin: int
    through_skip: bool
    first: int


CONVENTIONS = {
    "pysot": Convention(
        text="overlaps within (width, height) for the accuracy and (width - 1, height - 1) for the"
        " expected overlap; a failed fragment runs on to the next start",
        accuracy_margin=0,
        expected_margin=1,
        through_skip=True,
        first=-1,
    ),
    "toolkit": Convention(
        text="overlaps within (width, height); a failed fragment ends at its failure, and is zero"
        " from there on",
        accuracy_margin=0,
        expected_margin=0,
        through_skip=False,
        first=0,
    ),
}


class Scores(NamedTuple):
    """What supervised runs over a dataset are worth.

    `robustness` is failures per 100 frames; `lost` failures in all, the mean over repetitions;
    `reliability` exp(-30 lost / frames), the chance to follow 30 frames. `curve` holds at k the
    expected overlap over k frames after the first. `sequences` has (accuracy, failures) by name.
    `eao_interval` is the bootstrap's over sequences, None for a lone one.
    """

    accuracy: float
    robustness: float
    lost: float
    reliability: float
    eao: float
    curve: Float64[np.ndarray, " length"]
    frames: int
    sequences: dict[str, tuple[float, float]]
    eao_interval: Interval | None = None


def convention(name: str) -> Convention:
    """Look a convention up by its name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in CONVENTIONS:
        raise ValueError(f"convention: {name!r} is not one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]


def overlaps(
    truth: Float[np.ndarray, "T values"], run: Answers, bound: tuple[int | float, int | float]
) -> Float64[np.ndarray, " T"]:
    """Give the overlap in every frame of a run, NaN where it holds a code."""
    found = np.full(len(truth), np.nan)
    there = run.codes == REGION
    found[there] = raster.overlap(run.regions[there], truth[there], bound)
    return found


def burnt_in(codes: Int[np.ndarray, " T"], frames: int = BURN_IN) -> Bool[np.ndarray, " T"]:
    """Tell which frames are far enough from every start before them to count."""
    counts = np.ones(len(codes), np.bool_)
    for start in np.flatnonzero(codes == STARTED):
        counts[start : start + frames] = False
    return counts


def _overlaps_within(
    one: Recording, run: Answers, margins: tuple[int, int]
) -> tuple[Float64[np.ndarray, " T"], Float64[np.ndarray, " T"]]:
    """Give a run's overlaps within the frame's size less each margin."""
    width, height = one.size
    wide = overlaps(one.truth, run, (width - margins[0], height - margins[0]))
    if margins[0] == margins[1]:
        return wide, wide
    bound = np.asarray(one.size, np.float64) - max(margins)
    reach = np.zeros(len(wide), np.bool_)  # elsewhere both bounds give the same
    for regions in (one.truth, run.regions):
        ends = polygons.corners(np.asarray(regions, np.float64)).max(axis=1)
        reach |= (ends > bound).any(axis=1)
    some = Answers(np.where(reach, run.codes, SKIPPED), run.regions)
    narrow = overlaps(one.truth, some, (width - margins[1], height - margins[1]))
    return wide, np.where(reach, narrow, wide)


def analyse(
    recordings: Sequence[Recording],
    year: str | tuple[int, int] = "vot2018",
    convention_name: str = "pysot",
    *,
    tag: str = "",
) -> Scores:
    """Score supervised runs over a dataset.

    Args:
        recordings: the sequences, each with as many runs as the others.
        year: a key of `expected.INTERVALS`, or first and last length.
        convention_name: a key of `CONVENTIONS`.
        tag: count only frames (and failures in frames) with this attribute; every frame without.

    Returns:
        The accuracy is the mean over the frames of all sequences, each averaged over the runs
        first; NaN overlaps (no pixel in either region) do not count.

    Raises:
        ValueError: no sequence, other numbers of runs, no such year, convention or tag, or no frame
            that counts.
    """
    rules = convention(convention_name)
    expected.interval(year)
    if not recordings:
        raise ValueError("recordings: expected at least one sequence, got none")
    counts = {len(one.runs) for one in recordings}
    if len(counts) > 1:
        raise ValueError(f"recordings: expected as many runs each, got {sorted(counts)}")
    if tag and not any(tag in one.tags for one in recordings):
        raise ValueError(f"tag: no sequence has {tag!r}")
    counted, pieces, sequences = [], {}, {}
    lost, frames, length = 0.0, 0, 0
    for one in recordings:
        total = len(one.truth)
        everywhere = np.zeros(total, np.bool_) if tag else np.ones(total, np.bool_)
        tagged = np.asarray(one.tags.get(tag, everywhere), np.bool_)
        per_run = []
        failures = 0
        pieces[one.name] = []
        for run in one.runs:
            wide, narrow = _overlaps_within(
                one, run, (rules.accuracy_margin, rules.expected_margin)
            )
            per_run.append(np.where(burnt_in(run.codes) & tagged, wide, np.nan))
            failures += int(tagged[run.failures].sum())
            pieces[one.name] += expected.fragments(
                narrow, run.failures, tagged, through_skip=rules.through_skip
            )
        overlap = _mean_of_known(np.stack(per_run))
        sequences[one.name] = (float(_mean_of_known(overlap)), failures / len(one.runs))
        counted.append(overlap)
        lost += failures / len(one.runs)
        frames += int(tagged.sum())
        length = max(length, total)
    accuracy = float(_mean_of_known(np.concatenate(counted)))
    if np.isnan(accuracy):
        raise ValueError("recordings: no frame has an overlap that counts")
    curve = expected.mean_curve([part for parts in pieces.values() for part in parts], length)
    low, high = expected.interval(year)
    each = np.array([expected.sums(parts, length) for parts in pieces.values()])
    each = each[:, :, low + rules.first : high + rules.first + 1]
    return Scores(
        accuracy=accuracy,
        robustness=lost / frames * 100,
        lost=lost,
        reliability=float(np.exp(-30 * lost / frames)),
        eao=expected.average(curve, year, first=rules.first),
        curve=curve,
        frames=frames,
        sequences=sequences,
        eao_interval=aggregate.mean_ratio_interval(each[:, 0], each[:, 1]),
    )


class Tagged(NamedTuple):
    """What runs are worth in the frames with one attribute; NaN where no overlap counts."""

    accuracy: float
    lost: float
    frames: int


def by_attribute(
    recordings: Sequence[Recording], convention_name: str = "pysot"
) -> dict[str, Tagged]:
    """Score the frames of each attribute alone: accuracy and failures, as `analyse` with a tag.

    Args:
        recordings: the sequences.
        convention_name: a key of `CONVENTIONS`.

    Returns:
        By attribute, those that no frame has left out.
    """
    margin = convention(convention_name).accuracy_margin
    found: dict[str, list[tuple[np.ndarray, float, int]]] = {}
    for one in recordings:
        bound = (one.size[0] - margin, one.size[1] - margin)
        runs = [
            np.where(burnt_in(run.codes), overlaps(one.truth, run, bound), np.nan)
            for run in one.runs
        ]
        overlap = _mean_of_known(np.stack(runs))
        for tag, flags in one.tags.items():
            tagged = np.asarray(flags, np.bool_)
            lost = float(np.mean([tagged[run.failures].sum() for run in one.runs]))
            found.setdefault(tag, []).append((overlap[tagged], lost, int(tagged.sum())))
    tables = {tag: tuple(zip(*parts, strict=True)) for tag, parts in sorted(found.items())}
    return {
        tag: Tagged(float(_mean_of_known(np.concatenate(values))), sum(lost), sum(frames))
        for tag, (values, lost, frames) in tables.items()
        if sum(frames)
    }


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Average over the first axis what is not NaN; NaN where all is."""
    known = np.isfinite(values)
    number = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
