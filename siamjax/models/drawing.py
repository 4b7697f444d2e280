"""Encoders of pictures: a small network for drawings, and a pooled stage of a backbone."""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Shaped

from siamjax.models.backbones import BACKBONES
from siamjax.models.layers import ConvNorm, max_pool
from siamjax.typing import AnyArray, Array


class DrawingNet(nn.Module):
    """3x3 convolutions, each with BatchNorm and ReLU and halving the picture.

    Input raw 0..255, scaled here to -1..1.

    Attributes:
        features: of each convolution.
        pooling: "flatten" keeps where things are; "mean" averages over the picture.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.

    Source: the network "conv4" of Vinyals et al., "Matching Networks for One Shot Learning", 2016,
    section 4.1; Koch et al. 2015 has larger kernels and no BatchNorm.
    """

    features: tuple[int, ...] = (64, 64, 64, 64)
    pooling: Literal["flatten", "mean"] = "flatten"
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Shaped[AnyArray, "B H W C"], train: bool = False) -> Float[Array, "B F"]:
        """Give the last convolution's features."""
        x = jnp.asarray(x, jnp.float32) / 127.5 - 1
        for index, width in enumerate(self.features):
            block = ConvNorm(
                width, 3, padding=1, activation=nn.relu, axis_name=self.axis_name,
                name=f"conv{index}",
            )  # fmt: skip
            x = max_pool(block(x, train), 2, 2)
        return x.mean(axis=(1, 2)) if self.pooling == "mean" else x.reshape(x.shape[0], -1)


class PooledBackbone(nn.Module):
    """The mean over space of one stage of a backbone.

    Input RGB, raw 0..255; the channels are flipped here where the backbone's weights want BGR.

    Attributes:
        backbone_name: a name in `BACKBONES`.
        layer: the stage.
        width: scales the backbone's layers.
        trained: stages whose BatchNorm follows the batch in training; None for all.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
    """

    backbone_name: str = "resnet18"
    layer: str = "layer4"
    width: float = 1.0
    trained: tuple[str, ...] | None = None
    axis_name: str | None = None

    def setup(self):
        self.backbone = BACKBONES[self.backbone_name].make(
            self.axis_name, trained=self.trained, width=self.width, layers=(self.layer,)
        )

    def __call__(self, x: Shaped[AnyArray, "B H W 3"], train: bool = False) -> Float[Array, "B F"]:
        """Give the stage's mean features."""
        x = jnp.asarray(x, jnp.float32)
        x = x[..., ::-1] if BACKBONES[self.backbone_name].bgr else x
        return self.backbone(x, train)[self.layer].mean(axis=(1, 2))
