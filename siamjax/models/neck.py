"""Necks: 1x1 convolutions that bring the backbone's stages to the widths that the heads take.

Source: PySOT's adjust layers; SiamRPN++ (Li et al. 2019), section 3.3, and SiamMask (Wang et al.
2019), whose own neck crops by a margin.
"""

from collections.abc import Sequence

from flax import linen as nn
from jaxtyping import Float

from siamjax.models.layers import ConvNorm
from siamjax.typing import AnyArray, Array

NARROW = 20
"""Features narrower than this are taken for a template's, and cropped."""
CENTER = 7
"""Cells that are kept of them."""

# PyTorch's default for convolutions: uniform within 1 / sqrt(fan in).
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def center_crop(x: Float[AnyArray, "B H W C"], margin: int | None = None) -> Array | AnyArray:
    """Keep the middle of features that are narrower than `NARROW`, as templates are.

    The rule looks at the width alone, so a search window so small that its features are narrow is
    cropped as well, as published: SiamMask trains its masks on windows of 143 pixels, whose 17x17
    features become 9x9.

    Args:
        x: features.
        margin: cells cut from each side; None keeps the central `CENTER` cells, whatever the
            width.

    Returns:
        [B, 7, 7, C] of narrow features (or the margin less on each side); others, and those of at
        most `CENTER` cells, as they are.
    """
    width = x.shape[2]
    if width <= CENTER or width >= NARROW:
        return x
    first, last = (width - CENTER) // 2, (width + CENTER) // 2
    if margin is not None:
        first, last = margin, width - margin
    return x[:, first:last, first:last]


class Neck(nn.Module):
    """One 1x1 convolution with BatchNorm per stage, then `center_crop`.

    Attributes:
        features: channels of the outputs, one per stage.
        margin: of `center_crop`.
        dtype: of the arithmetic.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
    """

    features: tuple[int, ...]
    margin: int | None = None
    dtype: str = "float32"
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, stages: Sequence[Float[AnyArray, "B _h _w _c"]], train: bool = False
    ) -> tuple[Float[AnyArray, "B _y _x _d"], ...]:
        """Adjust every stage, the shallowest first."""
        return tuple(
            center_crop(
                ConvNorm(
                    width,
                    kernel_init=torch_uniform,
                    dtype=self.dtype,
                    axis_name=self.axis_name,
                    name=f"level_{level}",
                )(stage, train),
                self.margin,
            )
            for level, (width, stage) in enumerate(zip(self.features, stages, strict=True))
        )
