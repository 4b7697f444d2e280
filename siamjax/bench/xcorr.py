"""Cross-correlation, forward and backward, beside PyTorch's grouped convolution.

Sizes are those of the published networks: SiamFC (full), SiamRPN (up), SiamRPN++ (depthwise).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from siamjax import xcorr
from siamjax.bench.timing import Row, agree, compare

SIZES = {
    "full": ((6, 6, 256), (22, 22, 256)),
    "up": ((4, 4, 256, 20), (20, 20, 256)),
    "depthwise": ((7, 7, 256), (31, 31, 256)),
}
"""Template and search features of one example."""

BATCHES = (1, 8, 32)


def rows(
    against_torch: bool,
    batches: Sequence[int] = BATCHES,
    repeats: int = 20,
    sizes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] | None = None,
) -> Iterator[Row]:
    """Measure every operation at every batch size, forward and forward+backward.

    Args:
        against_torch: measure `torch.nn.functional.conv2d` beside it.
        batches: batch sizes.
        repeats: samples of each.
        sizes: as `SIZES`, which is the default.

    Yields:
        One row for each operation, batch size and pass.

    Raises:
        ValueError: PyTorch computes other numbers.
    """
    for op, (template, search) in (SIZES if sizes is None else sizes).items():
        for batch in batches:
            random = np.random.default_rng(0)
            z = random.standard_normal((batch, *template), np.float32)
            x = random.standard_normal((batch, *search), np.float32)
            yield from _pair(op, z, x, against_torch, repeats)


def _pair(
    op: str, z: np.ndarray, x: np.ndarray, against_torch: bool, repeats: int
) -> Iterator[Row]:
    function = getattr(xcorr, op)
    shape = jax.eval_shape(function, z, x)
    g = np.random.default_rng(1).standard_normal(shape.shape, np.float32)

    def gradients(z: jax.Array, x: jax.Array, g: jax.Array):
        y, pull = jax.vjp(function, z, x)
        return (y, *pull(g))

    ours = _ready(lambda z, x: (function(z, x),), z, x), _ready(gradients, z, x, g)
    other: tuple[Callable[[], Any] | None, ...] = (None, None)
    if against_torch:
        from siamjax.bench import torch_xcorr

        other = torch_xcorr.forward(op, z, x), torch_xcorr.forward_backward(op, z, x, g)
        tolerance = 2e-5 if jax.default_backend() == "cpu" else 1e-2
        for mine, theirs in zip(ours, other, strict=True):
            agree(f"xcorr.{op}", mine(), torch_xcorr.numpy(op, theirs()), tolerance)
    batch = z.shape[0]
    yield compare(op, batch, "forward", ours[0], other[0], repeats)
    yield compare(op, batch, "forward+backward", ours[1], other[1], repeats)


def _ready(function: Callable[..., Any], *operands: np.ndarray) -> Callable[[], Any]:
    """Compile `function` and keep its operands on the device."""
    placed = [jnp.asarray(a) for a in operands]
    compiled = jax.jit(function).lower(*placed).compile()
    return lambda: jax.block_until_ready(compiled(*placed))
