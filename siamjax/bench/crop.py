"""The device crop beside OpenCV's, which it equals bit for bit."""

import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from siamjax.bench.timing import Row, agree, compare
from siamjax.crop import crop
from siamjax.typing import Array

CASES = (
    ("480x270 inside, 110 to 127", (270, 480), (240.0, 135.0), 110, 127),
    ("480x270 inside, 200 to 255", (270, 480), (240.0, 135.0), 200, 255),
    ("1280x720 inside, 410 to 255", (720, 1280), (640.0, 360.0), 410, 255),
    ("1280x720 over the corner, 410 to 255", (720, 1280), (60.0, 40.0), 410, 255),
)
"""Name, frame (height, width), centre (x, y), side and size of the result, pixels."""

BATCHES = (1, 3)
SCALE_STEP = 1.0375


@functools.partial(jax.jit, static_argnums=4)
def _pyramid(frame: Array, center: Array, sides: Array, fill: Array, size: int) -> Array:
    return jax.vmap(lambda side: crop(frame, center, side, size, fill, "siamfc"))(sides)


def rows(
    against_opencv: bool,
    batches: Sequence[int] = BATCHES,
    repeats: int = 20,
    cases: Sequence[tuple] = CASES,
) -> Iterator[Row]:
    """Measure crops; a batch is a pyramid of that many scales out of one frame.

    Raises:
        ValueError: OpenCV gives another pixel.
    """
    for name, (height, width), center, side, size in cases:
        frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        fill = np.round(frame.mean((0, 1))).astype(np.float32)
        for batch in batches:
            factors = SCALE_STEP ** (np.arange(batch) - batch // 2)
            sides = np.round(side * factors).astype(np.float32)
            placed = jnp.asarray(frame), jnp.asarray(center), jnp.asarray(sides), jnp.asarray(fill)

            compiled = _pyramid.lower(*placed, size).compile()
            ours = lambda run=compiled, given=placed: jax.block_until_ready(run(*given))
            other = None
            if against_opencv:
                from siamjax.bench import opencv_crop

                given = (frame, np.array(center), [float(s) for s in sides], size, fill)
                other = lambda given=given: opencv_crop.pyramid(*given)
                agree(name, [ours()], [other()], 0.0)
            yield compare(name, batch, "forward", ours, other, repeats)
