"""Masks of 127 x 127 pixels for chosen positions: SiamMask's refinement, and plain enlargement.

A position (row, column) is a cell of the heads' output; its window is where the exemplar would lie
in the search crop. Source: SiamMask (Wang et al. 2019), section 3.2 and appendix A; layers and
arithmetic as the authors' code and PySOT have them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Float, Int

from siamjax.models.layers import Conv
from siamjax.models.neck import torch_uniform
from siamjax.typing import AnyArray, Array

SIZE = 127
"""Side of a mask, crop pixels: the exemplar's."""


class Level(NamedTuple):
    """One stage of the backbone that the refinement merges.

    Attributes:
        stage: its name.
        cells: side of the exemplar's window in this stage.
        step: cells from one position's window to the next's.
        hidden: channels between the two convolutions of the window.
        features: channels after them, and of what they are added to.
    """

    stage: str
    cells: int
    step: int
    hidden: int
    features: int


def _resnet(*hidden: int) -> tuple[Level, ...]:
    cells = (("layer2", 15, 1), ("layer1", 31, 2), ("stem", 61, 4))
    return tuple(
        Level(*of, width, features)
        for of, width, features in zip(cells, hidden, (32, 16, 4), strict=True)
    )


LEVELS = {
    "resnet18": _resnet(32, 16, 16),
    "resnet34": _resnet(32, 16, 16),
    "resnet50": _resnet(128, 64, 16),
    "efficientnet-lite0": (
        Level("block4", 16, 2, 32, 32),
        Level("block2", 32, 4, 16, 16),
        Level("block0", 64, 8, 16, 8),
    ),
}
"""What is refined from, by backbone, the coarsest first; ResNet-50's as published."""

# As the authors draw the refinement's convolutions: Kaiming's uniform of gain 1.
_kaiming = nn.initializers.variance_scaling(1, "fan_in", "uniform")


def margin(level: Level, cells: int, positions: int) -> int:
    """Say how many steps before the stage's first cell the first position's window begins.

    The windows of all positions lie centred in the search crop. 4 for ResNets, whose exemplar's
    features are cropped, but the search window's are not; 0 where both are (searches of 143
    pixels) or neither is.

    Args:
        level: the stage.
        cells: its width in the search crop.
        positions: of a row.
    """
    excess = level.step * (positions - 1) + level.cells - cells
    return round(excess / (2 * level.step))


def windows(
    x: Float[AnyArray, "n H W C"],
    positions: Int[AnyArray, "B K 2"],
    level: Level,
    margin: int,
    across: int,
) -> Float[Array, "B K h w C"]:
    """Cut the exemplar's window at every position out of a stage; zeros beyond its border.

    Args:
        x: the stage; a batch of one serves all positions.
        positions: (row, column), clipped to 0 ... `across` - 1.
        level: the stage's window.
        margin: from `margin`.
        across: positions of a row.
    """
    step, side = level.step, level.cells
    before = step * margin
    pads = [(before, step * (across - 1) + side - before - length, 0) for length in x.shape[1:3]]
    x = lax.pad(jnp.asarray(x), jnp.zeros((), x.dtype), [(0, 0, 0), *pads, (0, 0, 0)])

    def cut(image, position):
        start = (step * position[0], step * position[1], jnp.zeros_like(position[0]))
        return lax.dynamic_slice(image, start, (side, side, image.shape[2]))

    each = jax.vmap(cut, (None, 0))
    positions = jnp.clip(positions, 0, across - 1)
    if x.shape[0] == 1:
        return jax.vmap(each, (None, 0))(x[0], positions)
    return jax.vmap(each)(x, positions)


def read_at(
    x: Float[AnyArray, "B y x C"], positions: Int[AnyArray, "B K 2"]
) -> Float[Array, "B K C"]:
    """Read the cells at positions (row, column), clipped to those that exist."""
    last = jnp.array(x.shape[1:3]) - 1
    positions = jnp.clip(positions, 0, last[None, None])
    return jax.vmap(lambda image, at: image[at[:, 0], at[:, 1]])(jnp.asarray(x), positions)


def nearest(x: Float[AnyArray, "B h w C"], size: int) -> Float[Array, "B s s C"]:
    """Enlarge to `size` x `size` by torch's nearest rule: cell floor(i * h / size).

    `jax.image.resize` rounds half a cell later.
    """
    x = jnp.asarray(x)
    for axis in (1, 2):
        length = x.shape[axis]
        scale = np.float32(length) / np.float32(size)
        rows = np.floor(np.arange(size, dtype=np.float32) * scale).astype(np.int32)
        x = jnp.take(x, np.minimum(rows, length - 1), axis=axis)
    return x


def enlarge(x: Float[AnyArray, "*n h w"], size: int = SIZE) -> Float[Array, "*n s s"]:
    """Enlarge bilinearly so that corners fall on corners, as torch's `align_corners`."""
    x = jnp.asarray(x)
    rows, columns = (jnp.asarray(_bilinear(length, size), x.dtype) for length in x.shape[-2:])
    return jnp.einsum("ui,...ij,vj->...uv", rows, x, columns, precision=lax.Precision.HIGHEST)


def _bilinear(length: int, size: int) -> Float[np.ndarray, "s n"]:
    """Give the weights of `length` samples in each of `size`."""
    at = np.arange(size)[:, None] * ((length - 1) / (size - 1))
    return np.maximum(0, 1 - np.abs(at - np.arange(length)))


def read_masks(
    mask: Float[AnyArray, "B y x M"], positions: Int[AnyArray, "B K 2"], size: int = SIZE
) -> Float[Array, "B K s s"]:
    """Read the head's unrefined masks at positions, and enlarge them.

    Args:
        mask: logits, side * side of each position, row by row.
        positions: (row, column).
        size: side of the result, pixels.
    """
    side = round(mask.shape[3] ** 0.5)
    return enlarge(read_at(mask, positions).reshape(*positions.shape[:2], side, side), size)


class Deconv(nn.Module):
    """One cell to `size` x `size`: a transposed convolution whose input is a single cell.

    Attributes:
        features: channels of the output.
        size: its side.
        dtype: of the arithmetic.
    """

    features: int
    size: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B C"]) -> Float[Array, "B s s O"]:
        """Multiply by the kernel [s, s, O, C], one matrix."""
        shape = (self.size, self.size, self.features, x.shape[1])
        kernel = jnp.asarray(self.param("kernel", torch_uniform, shape), self.dtype)
        bias = jnp.asarray(self.param("bias", nn.initializers.zeros, shape[2:3]), self.dtype)
        y = jnp.asarray(x, self.dtype) @ kernel.reshape(-1, x.shape[1]).T
        return y.reshape(-1, *shape[:3]) + bias[None, None, None]


class Merge(nn.Module):
    """Add a stage's window to what came from coarser ones, enlarge, and convolve.

    Attributes:
        level: the stage.
        features: channels of the output.
        size: its side.
        dtype: of the arithmetic.
    """

    level: Level
    features: int
    size: int
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B h w D"], window: Float[AnyArray, "B h w C"]
    ) -> Float[Array, "B s s O"]:
        """Give the merged features, `size` on each side."""

        def conv(x, features, name):
            return Conv(features, 3, padding=1, kernel_init=_kaiming, dtype=self.dtype, name=name)(
                x
            )

        _, _, _, hidden, width = self.level
        window = nn.relu(conv(window, hidden, "window1"))
        window = nn.relu(conv(window, width, "window2"))
        x = nn.relu(conv(x, width, "inner1"))
        x = nn.relu(conv(x, width, "inner2"))
        return conv(nearest(x + window, self.size), self.features, "post")


class Refine(nn.Module):
    """Turn the correlation at chosen positions, with the stages around them, into masks.

    Attributes:
        levels: stages that are merged, the coarsest first.
        size: side of the masks, pixels.
        dtype: of the arithmetic.
    """

    levels: tuple[Level, ...]
    size: int = SIZE
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self,
        correlation: Float[AnyArray, "B y x D"],
        stages: Sequence[Float[AnyArray, "_ _h _w _c"]],
        positions: Int[AnyArray, "B K 2"],
    ) -> Float[Array, "B K s s"]:
        """Give the logits of the masks.

        Args:
            correlation: of the mask's head.
            stages: the levels' outputs for the search window, a batch of B or of one.
            positions: (row, column), clipped to those that exist.
        """
        across, first = correlation.shape[2], self.levels[0]
        before = margin(first, stages[0].shape[2], across)
        point = read_at(correlation, positions)
        x = Deconv(first.features, first.cells, self.dtype, name="deconv")(
            point.reshape(-1, point.shape[2])
        )
        outputs = [*((level.features, level.cells) for level in self.levels[1:]), (1, self.size)]
        triples = zip(self.levels, stages, outputs, strict=True)
        for index, (level, stage, (features, size)) in enumerate(triples):
            window = windows(stage, positions, level, before, across)
            merge = Merge(level, features, size, self.dtype, name=f"level_{index}")
            x = merge(x, window.reshape(-1, *window.shape[2:]))
        return x.astype(jnp.float32).reshape(*positions.shape[:2], self.size, self.size)
