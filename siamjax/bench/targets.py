"""One tracker's compiled step for growing numbers of targets, all numbers interleaved in one run.

Every sample of every number of targets does the same work, so that what else the machine does
falls on all alike.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from siamjax.bench.timing import Row, measure
from siamjax.track.many import init_many, step_many
from siamjax.track.zoo import Tracker
from siamjax.typing import Variables

TARGETS = (1, 2, 4, 8, 16, 32)
FRAME = (270, 480)


@dataclass(frozen=True)
class TargetRow(Row):
    """A row whose `batch` is the number of targets; `ms` is for all of them together."""

    relative: float | None = None
    """Targets a second, against those of the first row of the same case."""

    def summary(self) -> dict[str, Any]:
        """Give the JSON form, with `targets_per_s` and `relative`."""
        speed = self.batch / self.ms * 1e3
        return super().summary() | {"targets_per_s": speed, "relative": self.relative}


def rows(
    tracker: Tracker,
    variables: Variables,
    targets: Sequence[int] = TARGETS,
    repeats: int = 10,
    frame_size: tuple[int, int] = FRAME,
    name: str = "",
) -> Iterator[TargetRow]:
    """Measure a step on a synthetic frame: `siamjax.track.many`, and plain `vmap` under `jit`.

    Args:
        tracker: the tracker.
        variables: its weights.
        targets: numbers of targets.
        repeats: samples of each.
        frame_size: (height, width).
        name: put before the case.

    Yields:
        Rows of case "many" and "vmap" for each number of targets.
    """
    random = np.random.default_rng(0)
    height, width = frame_size
    frame = jnp.asarray(random.integers(0, 256, (height, width, 3), np.uint8))
    mapped = jax.jit(jax.vmap(tracker.step, (None, 0, None)))
    largest = max(targets)
    sides: dict[tuple[str, int], Callable[[], Any]] = {}
    calls = {count: max(1, round(largest / count)) for count in targets}
    for count in targets:
        corners = random.uniform(0.2, 0.6, (count, 2)) * (width, height)
        sizes = random.uniform(0.08, 0.15, (count, 2)) * width
        boxes = jnp.asarray(np.hstack([corners, sizes]), jnp.float32)
        states = init_many(tracker, variables, frame, boxes)
        many = lambda states=states: step_many(tracker, variables, states, frame)
        vmap = lambda states=states: mapped(variables, states, frame)
        sides["many", count] = _repeated(many, calls[count])
        sides["vmap", count] = _repeated(vmap, calls[count])
    found = dict(zip(sides, measure(list(sides.values()), repeats), strict=True))
    for (way, count), (ms, spread) in found.items():
        first_ms = found[way, targets[0]][0] / calls[targets[0]] / targets[0]
        each = ms / calls[count]
        case = f"{name} {way}".strip()
        quartiles = spread[0] / calls[count], spread[1] / calls[count]
        relative = first_ms * count / each
        yield TargetRow(case, count, "forward", each, quartiles, relative=relative)


def _repeated(call: Callable[[], Any], times: int) -> Callable[[], Any]:
    def run() -> None:
        for _ in range(times):
            jax.block_until_ready(call())

    return run
