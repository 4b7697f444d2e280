"""Trackers beside each other: a folder of results each, ranked, with what a difference is worth."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from siamjax.evaluate import aggregate
from siamjax.evaluate.aggregate import Difference, Interval
from siamjax.evaluate.trajectories import Trajectory, read


class Measure(NamedTuple):
    """A number of a sequence, and of a dataset.

    Attributes:
        key: of the dataset's number in `results.json`.
        title: for people.
        each: key of the numbers of sequences.
        pooled: sequences weigh as their frames, not each the same.
    """

    key: str
    title: str
    each: str
    pooled: bool = False


SUCCESS = Measure("success_auc", "success AUC", "success_auc")
POOLED = Measure("ao", "average overlap (AO)", "mean_iou", pooled=True)
MEASURES = (
    SUCCESS,
    Measure("precision_20", "precision at 20 px", "precision_20"),
    Measure("normalised_auc", "normalised precision, area", "normalised_auc"),
    Measure("normalised_20", "normalised precision at 0.2", "normalised_20"),
    Measure("mean_iou", "mean overlap (IoU)", "mean_iou"),
)


FEW = 10
"""Sequences under which percentiles of the bootstrap are known to lie too close together."""


class Entry(NamedTuple):
    """One tracker's evaluation."""

    name: str
    summary: Mapping[str, Any]
    """What `results.json` holds."""
    trajectories: Mapping[str, Trajectory]
    """By the name of their sequence."""


class Place(NamedTuple):
    """One tracker's place in a ranking.

    `intervals` are of the measures by their key, None for lone sequences. `behind` is what the
    first has more than this one in the headline measure; None for the first itself, and for lone
    sequences.
    """

    entry: Entry
    intervals: dict[str, Interval | None]
    behind: Difference | None


def measures(summary: Mapping[str, Any]) -> tuple[Measure, ...]:
    """Give the measures of an evaluation, the one that its benchmark ranks by first."""
    return (POOLED, *MEASURES) if POOLED.key in summary else MEASURES


def _weights(sequences: Mapping[str, Any], measure: Measure) -> np.ndarray | None:
    frames = [one["frames"] for one in sequences.values()]
    return np.asarray(frames, np.float64) if measure.pooled else None


def model_name(summary: Mapping[str, Any]) -> str:
    """Name a tracker by its model: a file's name without folder and suffix."""
    return Path(summary["model"] or "stored boxes").name.removesuffix(".npz")


def mean(sequences: Mapping[str, Any], measure: Measure) -> float:
    """Give a mean over sequences, at least one."""
    values = [one[measure.each] for one in sequences.values()]
    return float(np.average(values, weights=_weights(sequences, measure)))


def interval(sequences: Mapping[str, Any], measure: Measure) -> Interval | None:
    """Give a mean over sequences with its confidence interval; None for a lone sequence."""
    if len(sequences) < 2:
        return None
    values = np.asarray([one[measure.each] for one in sequences.values()], np.float64)
    return aggregate.confidence_interval(values, weights=_weights(sequences, measure))


def difference(one: Entry, other: Entry, measure: Measure) -> Difference | None:
    """Give what `one` has more than `other`, by pairs of sequences; None for a lone sequence."""
    first, second = one.summary["sequences"], other.summary["sequences"]
    if len(first) < 2:
        return None
    values = [first[name][measure.each] for name in first]
    others = [second[name][measure.each] for name in first]
    weights = _weights(first, measure)
    return aggregate.difference(np.asarray(values), np.asarray(others), weights=weights)


def separate(found: Difference) -> bool:
    """Tell whether a paired interval leaves out zero, so that the difference is a result."""
    return found.low > 0 or found.high < 0


def rank(entries: Sequence[Entry]) -> list[Place]:
    """Order trackers by the headline measure, the best first; equal ones stay in order."""
    headline, *_ = known = measures(entries[0].summary)
    ordered = sorted(entries, key=lambda one: -one.summary[headline.key])
    places = []
    for one in ordered:
        intervals = {each.key: interval(one.summary["sequences"], each) for each in known}
        behind = None if one is ordered[0] else difference(ordered[0], one, headline)
        places.append(Place(one, intervals, behind))
    return places


def verdicts(places: Sequence[Place]) -> list[str]:
    """Say of each tracker and the next one in a ranking whether their difference is a result.

    Source of the caution where sequences are `FEW`: Efron and Tibshirani 1993, chapters 13 and 14.
    """
    measure = measures(places[0].entry.summary)[0]
    texts = []
    for better, worse in itertools.pairwise(places):
        found = difference(better.entry, worse.entry, measure)
        names = f"{better.entry.name} and {worse.entry.name}"
        if found is None:
            texts.append(f"{names}: one sequence tells nothing of how sure a difference is.")
            continue
        numbers = f"{found.mean:+.3f}, {100 * aggregate.LEVEL:.0f} % interval {bounds(found)}"
        if separate(found):
            texts.append(f"{better.entry.name} is ahead of {worse.entry.name}: {numbers}.")
        else:
            texts.append(
                f"{names} cannot be told apart: {numbers}, which holds 0; not taken for a result."
            )
    count = len(places[0].entry.summary["sequences"])
    if texts and 1 < count < FEW:
        texts.append(f"Only {count} sequences: intervals over so few are too narrow to rely on.")
    return texts


def bounds(found: Interval | Difference) -> str:
    """Write the bounds of an interval."""
    return f"[{found.low:.3f}, {found.high:.3f}]"


def load(folders: Sequence[Path], names: Sequence[str] = ()) -> list[Entry]:
    """Read the folders of several evaluations on the same data by the same convention.

    Args:
        folders: as `siamjax evaluate` writes them.
        names: of the trackers; by default those of their models, of their folders where two
            models have the same name.

    Raises:
        ValueError: no folder, another number of names, two of one name, a file missing or damaged,
            or evaluations that cannot be compared.
    """
    if not folders:
        raise ValueError("folders: expected at least one folder of `siamjax evaluate`, got none")
    summaries = [_summary(folder) for folder in folders]
    models = [model_name(one) for one in summaries]
    unique = len(set(models)) == len(models)
    names = list(names) or (models if unique else [folder.resolve().name for folder in folders])
    if len(names) != len(folders):
        raise ValueError(f"names: expected {len(folders)}, one for each folder, got {len(names)}")
    if len(set(names)) != len(names):
        raise ValueError(f"names: two trackers have one name: {', '.join(names)}")
    entries = [
        Entry(name, summary, {one.name: one for one in read(folder)})
        for name, summary, folder in zip(names, summaries, folders, strict=True)
    ]
    for entry, folder in zip(entries, folders, strict=True):
        _check(entries[0], folders[0], entry, folder)
    return entries


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / "results.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    missing = [key for key in ("success_auc", "curves", "attributes") if key not in summary]
    if missing:
        raise ValueError(
            f"{path}: holds no {missing[0]!r}; expected the results of boxes, by this version"
        )
    return summary


def _check(first: Entry, first_folder: Path, entry: Entry, folder: Path) -> None:
    """Refuse evaluations whose numbers do not belong beside each other."""
    sequences = set(entry.summary["sequences"])
    if sequences != set(entry.trajectories):
        raise ValueError(f"{folder}: results.json and trajectories.npz hold other sequences")
    apart = sorted(sequences ^ set(first.summary["sequences"]))
    if apart:
        raise ValueError(
            f"{folder}: other sequences than {first_folder}, which cannot be ranked together:"
            f" {', '.join(apart[:5])}{', ...' if len(apart) > 5 else ''} in one alone"
        )
    used, expected = (one.summary["conventions"]["name"] for one in (entry, first))
    if used != expected:
        raise ValueError(f"{folder}: convention {used!r}, but {expected!r} in {first_folder}")
    for name, one in entry.trajectories.items():
        truth = first.trajectories[name].truth
        if not np.array_equal(truth, one.truth, equal_nan=True):
            raise ValueError(f"{folder}: another truth of {name!r} than {first_folder}")
