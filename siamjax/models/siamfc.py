"""SiamFC's network: one backbone for both branches, and the response of one on the other.

Source: Bertinetto et al., Fully-convolutional Siamese networks for object tracking, 2016. The
head's fixed scale is siamfc-pytorch's. The light backbone and its neck are this project's own.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from siamjax import xcorr
from siamjax.models.alexnet import LAYOUTS, AlexNet
from siamjax.models.efficientnet import EfficientNetLite0
from siamjax.models.layers import Conv
from siamjax.typing import AnyArray, Array

LITE = "efficientnet-lite0"
BACKBONES = (*LAYOUTS, LITE)
LITE_BLOCKS = 11  # to stride 16, 112 channels
STRIDES = {"alexnet-v1": 8, "alexnet-v2": 4, "alexnet-v3": 8, LITE: 8}


class Fuse(nn.Module):
    """Join features of strides 8 and 16 at stride 8: 1x1 convolutions, nearest upsampling, sum."""

    features: int = 96

    @nn.compact
    def __call__(self, fine: Float[AnyArray, "B h w c"], coarse: Float[AnyArray, "B i j d"]):
        coarse = Conv(self.features, 1, name="coarse")(coarse)
        coarse = jnp.repeat(jnp.repeat(coarse, 2, axis=1), 2, axis=2)
        fine = Conv(self.features, 1, use_bias=False, name="fine")(fine)
        return fine + coarse[:, : fine.shape[1], : fine.shape[2]]


class Response(nn.Module):
    """Cross-correlation times a scale; with `learned`, scale and bias are parameters."""

    scale: float = 0.001
    learned: bool = False

    @nn.compact
    def __call__(
        self, z: Float[AnyArray, "B h w C"], x: Float[AnyArray, "B H W C"]
    ) -> Float[Array, "B y x"]:
        response = xcorr.full(z, x)
        if not self.learned:
            return response * self.scale
        gain = self.param("gain", nn.initializers.ones, ())
        bias = self.param("bias", nn.initializers.zeros, ())
        return response * (self.scale * gain) + bias


class SiamFCNet(nn.Module):
    """Backbone and response head.

    Attributes:
        backbone_name: one of `BACKBONES`.
        width: scales an AlexNet's layers, for tests.
        frozen_norm: BatchNorm always by its running statistics.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
    """

    backbone_name: str = "alexnet-v1"
    width: float = 1.0
    frozen_norm: bool = False
    axis_name: str | None = None

    def setup(self):
        if self.backbone_name == LITE:
            self.backbone = EfficientNetLite0(LITE_BLOCKS, self.axis_name)
            self.neck = Fuse()
            self.head = Response(scale=1 / 1024, learned=True)
        else:
            self.backbone = AlexNet(self.backbone_name, self.width, self.axis_name)
            self.head = Response()

    def search(self, x: Float[AnyArray, "B H W 3"], train: bool = False):
        """Embed search windows [B, S, S, 3]."""
        stages = self.backbone(x, train and not self.frozen_norm)
        if self.backbone_name == LITE:
            return self.neck(stages["block4"], stages[f"block{LITE_BLOCKS - 1}"])
        return stages["conv5"]

    def template(self, z: Float[AnyArray, "B H W 3"], train: bool = False):
        """Embed exemplars [B, 127, 127, 3]: the light backbone keeps its central 8x8 of 16x16."""
        features = self.search(z, train)
        if self.backbone_name != LITE:
            return features
        edge = features.shape[1] // 4
        return features[:, edge : features.shape[1] - edge, edge : features.shape[2] - edge]

    def respond(self, template: Float[AnyArray, "b h w C"], x: Float[AnyArray, "n H W C"]):
        """Correlate embeddings; a batch of one on either side serves every element of the other."""
        batch = max(template.shape[0], x.shape[0])
        template = jnp.broadcast_to(template, (batch, *template.shape[1:]))
        return self.head(template, jnp.broadcast_to(x, (batch, *x.shape[1:])))

    def __call__(
        self,
        z: Float[AnyArray, "B h w 3"],
        x: Float[AnyArray, "B H W 3"],
        train: bool = False,
    ) -> Float[Array, "B y x"]:
        """Give the response of exemplars [B, 127, 127, 3] on search windows [B, S, S, 3]."""
        return self.respond(self.template(z, train), self.search(x, train))
