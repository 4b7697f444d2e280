"""Which frames make a pair: a pure function of (seed, global sample index)."""

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from siamjax.data import shuffle
from siamjax.data.sources import Source
from siamjax.data.tracks import Track

ATTEMPTS = 100


@dataclass(frozen=True)
class PairConfig:
    """What a pair is made of.

    Attributes:
        template_size: K, side of the template's context crop.
        search_size: S, side of the search's context crop.
        exemplar: side of the exemplar in crop pixels, which sets their scale.
        negative: probability of a pair whose search shows another target.
        kin: probability that a negative pair shows another object of the template's category, in
            any clip, its own included, where categories are known and there is one (DaSiamRPN's
            distractors); otherwise it comes from any other clip.
        masks: cut the mask of the search's target as well.
        keep: keep crops in memory after they were cut first, within the budget of
            `siamjax.data.cache.shared`: for data that fit there and are seen many times.
    """

    template_size: int = 191
    search_size: int = 431
    exemplar: int = 127
    negative: float = 0.0
    kin: float = 0.0
    masks: bool = False
    keep: bool = False

    def __post_init__(self):
        for name in ("template_size", "search_size", "exemplar"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1 pixel, got {getattr(self, name)}")
        for name in ("negative", "kin"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a probability 0..1, got {getattr(self, name)}")


class Shot(NamedTuple):
    """One frame of one track."""

    track: Track
    frame: int


class Pair(NamedTuple):
    """A template shot, a search shot, whether they show the same target; which are bare."""

    template: Shot
    search: Shot
    positive: bool
    bare_template: bool = False
    bare_search: bool = False


def _choose(weights: Sequence[float], rng: np.random.Generator) -> int:
    """Draw a number by weights, of which one at least is over 0."""
    total = math.fsum(weights)
    ends = np.cumsum([weight / total for weight in weights])
    return min(int(np.searchsorted(ends, rng.random(), side="right")), len(ends) - 1)


def _weights(sources: Sequence[Source]) -> list[float]:
    """Give the weights of sources: their pairs in an epoch, where these are told."""
    weights = [float(source.per_epoch) for source in sources]
    if not any(weights):
        weights = [source.weight for source in sources]
    elif not all(weights):
        bare = next(source.name for source in sources if not source.per_epoch)
        raise ValueError(f"per_epoch: expected of all sources or none, {bare!r} has none")
    if not math.fsum(weights) > 0:
        raise ValueError("sources: expected at least one with a weight over 0")
    return weights


def _draw_track(
    sources: Sequence[Source], weights: Sequence[float], rng: np.random.Generator
) -> tuple[Source, Track, np.ndarray]:
    for _ in range(ATTEMPTS):
        source = sources[_choose(weights, rng)]
        chosen = int(rng.integers(len(source.tracks)))
        frames = source.accepted(chosen)
        if len(frames):
            return source, source.tracks[chosen], frames
    names = ", ".join(repr(source.name) for source in sources)
    raise ValueError(
        f"sources: {ATTEMPTS} tracks drawn in a row from {names} have no box that the filter"
        " accepts"
    )


def _take_turn(
    sources: Sequence[Source], seed: int, index: int
) -> tuple[Source, Track, np.ndarray] | None:
    """Give the track whose turn it is in the epoch; None where nothing of it is accepted."""
    counts = [source.per_epoch for source in sources]
    epoch, inside = divmod(index, sum(counts))
    place = shuffle.place(inside, sum(counts), (seed, epoch))
    number = bisect.bisect_right(list(itertools.accumulate(counts)), place)
    source = sources[number]
    visit = epoch * source.per_epoch + place - sum(counts[:number])
    turn, track = divmod(visit, len(source.tracks))
    track = shuffle.place(track, len(source.tracks), (seed, number, turn))
    frames = source.accepted(track)
    return (source, source.tracks[track], frames) if len(frames) else None


def _draw_kin(
    sources: Sequence[Source], weights: Sequence[float], track: Track, rng: np.random.Generator
) -> tuple[Source, Track, np.ndarray] | None:
    """Draw another track of the category of `track`; None where none comes up."""
    category = track.category
    kin = [source.kin.get(category, []) if category else [] for source in sources]
    chances = [weight if numbers else 0.0 for weight, numbers in zip(weights, kin, strict=True)]
    for _ in range(ATTEMPTS if math.fsum(chances) > 0 else 0):
        source = _choose(chances, rng)
        chosen = kin[source][int(rng.integers(len(kin[source])))]
        other, frames = sources[source].tracks[chosen], sources[source].accepted(chosen)
        if other is not track and len(frames):
            return sources[source], other, frames
    return None


def draw(
    sources: Sequence[Source],
    config: PairConfig,
    seed: int,
    index: int,
    attempt: int = 0,
) -> Pair:
    """Choose the pair of a global sample index.

    A source by weight, one of its tracks, a template frame among the accepted ones, all uniformly,
    or the source and track whose turn it is in the epoch; then a search frame within range, the
    template's own included. The search of a negative pair is another object of the same category,
    or drawn afresh until it comes from another clip.

    Args:
        sources: where tracks come from.
        config: probabilities of negative pairs.
        seed: of the run.
        index: global sample index.
        attempt: 0; a higher number gives the replacement of a pair that could not be read.

    Returns:
        The pair, a function of the arguments alone.

    Raises:
        ValueError: the filters accept nothing, or no second clip exists for a negative pair.
    """
    weights = _weights(sources)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, index, attempt])))
    negative = rng.random() < config.negative
    turn = attempt == 0 and sources[0].per_epoch > 0
    drawn = _take_turn(sources, seed, index) if turn else None
    source, track, frames = drawn or _draw_track(sources, weights, rng)
    place = int(rng.integers(len(frames)))
    template = Shot(track, int(frames[place]))
    if not negative:
        first, last = source.near(frames, place)
        search = Shot(track, int(frames[rng.integers(first, last + 1)]))
        return Pair(template, search, True, source.bare, source.bare)
    drawn = None
    if config.kin and rng.random() < config.kin:
        drawn = _draw_kin(sources, weights, track, rng)
    for _ in range(ATTEMPTS):
        behind, other, frames = drawn or _draw_track(sources, weights, rng)
        if drawn or other.media != track.media:
            search = Shot(other, int(frames[rng.integers(len(frames))]))
            return Pair(template, search, False, source.bare, behind.bare)
    raise ValueError(f"negative: {ATTEMPTS} draws in a row gave no clip but {track.media.name}")
