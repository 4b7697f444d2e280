"""One tracker's compiled step alone, for growing numbers of targets."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from siamjax.bench.timing import Row, compare
from siamjax.track.many import init_many, step_many
from siamjax.track.zoo import Tracker
from siamjax.typing import Variables

TARGETS = (1, 2, 4, 8, 16, 32)
FRAME = (270, 480)


def rows(
    tracker: Tracker,
    variables: Variables,
    targets: Sequence[int] = TARGETS,
    repeats: int = 10,
    frame_size: tuple[int, int] = FRAME,
) -> Iterator[Row]:
    """Measure a step on a synthetic frame: plain `vmap`, and `siamjax.track.many`.

    Args:
        tracker: the tracker.
        variables: its weights.
        targets: numbers of targets; each becomes the row's `batch`.
        repeats: samples of each.
        frame_size: (height, width).

    Yields:
        Rows of case "vmap" and "many", ms for all targets together.
    """
    random = np.random.default_rng(0)
    height, width = frame_size
    frame = jnp.asarray(random.integers(0, 256, (height, width, 3), np.uint8))
    mapped = jax.jit(jax.vmap(tracker.step, (None, 0, None)))
    for count in targets:
        corners = random.uniform(0.2, 0.6, (count, 2)) * (width, height)
        sizes = random.uniform(0.08, 0.15, (count, 2)) * width
        boxes = jnp.asarray(np.hstack([corners, sizes]), jnp.float32)
        states = init_many(tracker, variables, frame, boxes)
        sides = {
            "vmap": lambda states=states: mapped(variables, states, frame),
            "many": lambda states=states: step_many(tracker, variables, states, frame),
        }
        for case, side in sides.items():
            run = lambda side=side: jax.block_until_ready(side())
            yield compare(case, count, "forward", run, None, repeats)
