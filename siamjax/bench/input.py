"""Does the device wait for its input? Pairs a second of the host, by stage, and of the steps.

Frames are decoded anew each time, as of data that exceed memory, but for "batches, kept".
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from siamjax.data import cache, pairs
from siamjax.data.media import DamagedMediaError
from siamjax.data.sources import Source
from siamjax.train.loop import Steps
from siamjax.train.parallel import Parallel
from siamjax.train.recipe import Recipe
from siamjax.train.step import init_state


class Row(NamedTuple):
    """One measurement: what was measured, and its time for a pair."""

    case: str
    ms: float
    """A pair."""

    def summary(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {"case": self.case, "ms": self.ms, "pairs_per_second": 1e3 / self.ms}


def _loop(call: Callable[[int], Any], count: int) -> float:
    """Give the time of a call in ms, over `count` of them."""
    start = time.perf_counter()
    for i in range(count):
        call(i)
    return (time.perf_counter() - start) * 1e3 / count


def _drawn(sources: Sequence[Source], config: pairs.PairConfig, count: int) -> list[pairs.Pair]:
    """Draw pairs of which every file can be decoded."""
    found = []
    for index in range(10 * count):
        pair = pairs.draw(sources, config, 1, index)
        try:
            pairs.read(pair, config, pairs.empty_batch(1, config), 0)
        except DamagedMediaError:
            continue
        found.append(pair)
        if len(found) == count:
            return found
    raise ValueError(f"sources: {len(found)} of {10 * count} pairs can be decoded; nothing to time")


def stages(sources: Sequence[Source], config: pairs.PairConfig, count: int) -> Iterator[Row]:
    """Time the stages of making a pair, one after another on one thread.

    Args:
        sources: of the pairs.
        config: of the crops.
        count: pairs that are timed.

    Raises:
        ValueError: too few pairs can be decoded.
    """
    kept = cache.shared.budget
    cache.shared.resize(0)
    try:
        chosen = _drawn(sources, config, count)
        yield Row("draw", _loop(lambda i: pairs.draw(sources, config, 1, i), count))
        whole = [p for p in chosen if p.search.track.crops is None]
        if whole:
            read = lambda shot: shot.track.media.frame(shot.frame)
            decode = lambda i: (read(whole[i].template), read(whole[i].search))
            yield Row("decode", _loop(decode, len(whole)))
            frames = [decode(i) for i in range(len(whole))]
            boxes = [[s.track.boxes[s.frame] for s in (p.template, p.search)] for p in whole]
            sizes = (config.template_size, config.search_size)

            def crop(i: int) -> None:
                for frame, box, size in zip(frames[i], boxes[i], sizes, strict=True):
                    pairs.context_crop(frame, box, size, config.exemplar)

            yield Row("crop", _loop(crop, len(whole)))
        out = pairs.empty_batch(1, config)
        yield Row("all, one thread", _loop(lambda i: pairs.read(chosen[i], config, out, 0), count))
    finally:
        cache.shared.resize(kept)


def _rate(batches: Iterator[Any], size: int, seconds: float) -> float:
    """Give ms a pair of batches, for so long after having run as long."""

    def run() -> float:
        start, made = time.perf_counter(), 0
        while made < 4 or time.perf_counter() - start < seconds:
            next(batches)
            made += 1
        return (time.perf_counter() - start) * 1e3 / (made * size)

    run()
    return run()


def pipeline(recipe: Recipe, seconds: float) -> Iterator[Row]:
    """Time the batches of a recipe by themselves: decoded anew, and as far as kept in memory.

    Args:
        recipe: whose batches.
        seconds: that each is measured for.
    """
    for case, memory in (("batches", 0.0), ("batches, kept", recipe.memory)):
        batches = dataclasses.replace(recipe, memory=memory).batches()
        try:
            yield Row(case, _rate(batches, recipe.batch_size, seconds))
        finally:
            batches.close()


def steps(recipe: Recipe, seconds: float) -> Iterator[Row]:
    """Time training steps on one batch over and over, and on batches as they come.

    Args:
        recipe: what is trained, from random weights.
        seconds: that each is measured for.
    """
    over = Parallel("jit", None)
    init_key, key = jax.random.split(jax.random.key(recipe.seed))
    variables = recipe.subject().init_variables(init_key)
    compiled = Steps(recipe, variables["params"], over)
    state = over.replicate(init_state(variables, compiled.optimizer, ema=recipe.ema > 0))
    step = compiled.at(0)
    batches = dataclasses.replace(recipe, memory=0.0).batches()
    try:
        same = next(batches)
        for case, take in (("steps, one batch", lambda: same), ("steps", lambda: next(batches))):
            for _ in range(2):
                state, _ = step(state, over.split(take()), key)
            jax.block_until_ready(state)
            start, made = time.perf_counter(), 0
            while made < 4 or time.perf_counter() - start < seconds:
                state, _ = step(state, over.split(take()), key)
                made += 1
                if made % 2 == 0:  # as far ahead as it may run
                    jax.block_until_ready(state)
            jax.block_until_ready(state)
            yield Row(case, (time.perf_counter() - start) * 1e3 / (made * recipe.batch_size))
    finally:
        batches.close()


def waits(rows: Sequence[Row]) -> float | None:
    """Give the part of a step's time in which the device waits for its batch; None if not timed."""
    ms = {row.case: row.ms for row in rows}
    if "steps" not in ms:
        return None
    return float(np.clip(1 - ms["steps, one batch"] / ms["steps"], 0, 1))
