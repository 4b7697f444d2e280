"""Region-proposal heads: per anchor, two class scores and four offsets.

Every head works in two halves: `template` computes once what depends on the template alone (its
correlation kernels), `respond` does the rest for each search window. `cls[..., 0]` is background,
`cls[..., 1]` the target; `loc` is (dx, dy, dw, dh) of REFERENCE 1.5's decoding. Channels are stored
as PySOT stores them, class-major ((2, A) and (4, A)), so that its weights fit.

Source: SiamRPN (Li et al. 2018), section 3.2, `UpChannelRPN`; SiamRPN++ (Li et al. 2019), sections
3.3 and 3.4, `DepthwiseRPN` and `LevelRPN`; layers as PySOT and DaSiamRPN have them.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from siamjax import xcorr
from siamjax.models.layers import Conv, ConvNorm
from siamjax.models.neck import torch_uniform
from siamjax.typing import AnyArray, Array

HEADS = ("up", "depthwise")


def per_anchor(x: Float[Array, "B y x N"], numbers: int) -> Float[Array, "B y x A n"]:
    """Split class-major channels (`numbers`, A) and put the anchors first."""
    return x.reshape(*x.shape[:3], numbers, -1).swapaxes(3, 4)


def shared_batch(z: AnyArray, x: AnyArray) -> tuple[Array, Array]:
    """Let a batch of one, of a template or a search window, serve all of the other's."""
    batch = max(z.shape[0], x.shape[0])
    z = jnp.broadcast_to(z, (batch, *z.shape[1:]))
    return z, jnp.broadcast_to(x, (batch, *x.shape[1:]))


class UpChannelRPN(nn.Module):
    """Two template convolutions raise the channels to one kernel a number and anchor.

    Attributes:
        anchors: A, anchors per position.
        hidden: channels that are correlated.
        dtype: of the arithmetic.
        axis_name: unused; there is no BatchNorm.
    """

    anchors: int = 5
    hidden: int = 256
    dtype: str = "float32"
    axis_name: str | None = None

    def setup(self):
        conv = lambda features, size: Conv(
            features, size, kernel_init=torch_uniform, dtype=self.dtype
        )
        self.template_cls = conv(2 * self.anchors * self.hidden, 3)
        self.template_loc = conv(4 * self.anchors * self.hidden, 3)
        self.search_cls = conv(self.hidden, 3)
        self.search_loc = conv(self.hidden, 3)
        self.loc_adjust = conv(4 * self.anchors, 1)

    def template(self, z: Float[AnyArray, "B h w C"], train: bool = False) -> dict[str, Array]:
        """Give the kernels [B, h - 2, w - 2, hidden, 2 A] (`cls`) and 4 A (`loc`)."""
        return {
            "cls": self._kernels(self.template_cls(z)),
            "loc": self._kernels(self.template_loc(z)),
        }

    def _kernels(self, x: Float[Array, "B h w O"]) -> Float[Array, "B h w C K"]:
        """Channels come kernel by kernel, `hidden` of each."""
        return x.reshape(*x.shape[:3], -1, self.hidden).swapaxes(3, 4)

    def respond(
        self,
        template: dict[str, Float[AnyArray, "b h w C _"]],
        x: Float[AnyArray, "n H W D"],
        train: bool = False,
    ) -> dict[str, Array]:
        """Give `cls` [B, y, x, A, 2] and `loc` [B, y, x, A, 4]."""
        cls = xcorr.up(*shared_batch(template["cls"], self.search_cls(x)))
        loc = xcorr.up(*shared_batch(template["loc"], self.search_loc(x)))
        return {"cls": per_anchor(cls, 2), "loc": per_anchor(self.loc_adjust(loc), 4)}


class DepthwiseXCorr(nn.Module):
    """Correlate channel by channel, then read the result out by two 1x1 convolutions.

    Attributes:
        features: output channels: 2 A or 4 A of a region-proposal head, 63 * 63 of SiamMask's.
        hidden: channels that are correlated.
        dtype: of the arithmetic.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
    """

    features: int
    hidden: int = 256
    dtype: str = "float32"
    axis_name: str | None = None

    def setup(self):
        block = lambda size: ConvNorm(
            self.hidden,
            size,
            activation=nn.relu,
            kernel_init=torch_uniform,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        self.conv_kernel = block(3)
        self.conv_search = block(3)
        self.fuse = block(1)
        self.out = Conv(self.features, 1, kernel_init=torch_uniform, dtype=self.dtype)

    def template(
        self, z: Float[AnyArray, "B h w C"], train: bool = False
    ) -> Float[Array, "B i j D"]:
        """Give the kernels [B, h - 2, w - 2, hidden]."""
        return self.conv_kernel(z, train)

    def correlate(
        self,
        template: Float[AnyArray, "b i j D"],
        x: Float[AnyArray, "n H W C"],
        train: bool = False,
    ) -> Float[Array, "B y x D"]:
        """Give the correlation [B, y, x, hidden], which SiamMask's refinement takes too."""
        return xcorr.depthwise(*shared_batch(template, self.conv_search(x, train)))

    def read(
        self, correlation: Float[AnyArray, "B y x D"], train: bool = False
    ) -> Float[Array, "B y x K"]:
        """Give the outputs [B, y, x, features] of correlations, at any positions."""
        return self.out(self.fuse(correlation, train))

    def __call__(
        self,
        template: Float[AnyArray, "b i j D"],
        x: Float[AnyArray, "n H W C"],
        train: bool = False,
    ) -> Float[Array, "B y x K"]:
        """Give the outputs [B, y, x, features] of kernels on search features."""
        return self.read(self.correlate(template, x, train), train)


class DepthwiseRPN(nn.Module):
    """A `DepthwiseXCorr` for the class scores and one for the offsets.

    Attributes:
        anchors: A, anchors per position.
        hidden: channels that are correlated.
        dtype: of the arithmetic.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
    """

    anchors: int = 5
    hidden: int = 256
    dtype: str = "float32"
    axis_name: str | None = None

    def setup(self):
        branch = lambda numbers: DepthwiseXCorr(
            numbers * self.anchors, self.hidden, self.dtype, self.axis_name
        )
        self.cls = branch(2)
        self.loc = branch(4)

    def template(self, z: Float[AnyArray, "B h w C"], train: bool = False) -> dict[str, Array]:
        """Give the kernels [B, h - 2, w - 2, hidden] of both branches."""
        return {"cls": self.cls.template(z, train), "loc": self.loc.template(z, train)}

    def respond(
        self,
        template: dict[str, Float[AnyArray, "b h w D"]],
        x: Float[AnyArray, "n H W C"],
        train: bool = False,
    ) -> dict[str, Array]:
        """Give `cls` [B, y, x, A, 2] and `loc` [B, y, x, A, 4]."""
        cls, loc = self.cls(template["cls"], x, train), self.loc(template["loc"], x, train)
        return {"cls": per_anchor(cls, 2), "loc": per_anchor(loc, 4)}


class LevelRPN(nn.Module):
    """One head per level of features, and a weighted mean of what they say, float32.

    Attributes:
        head: one of `HEADS`.
        anchors: A, anchors per position.
        hidden: channels that are correlated, one number a level.
        weighted: mean by the softmax of learned weights, one set for `cls` and one for `loc`;
            else the plain mean. A single level has no weights.
        dtype: of the arithmetic within the levels.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
    """

    head: str
    anchors: int
    hidden: tuple[int, ...]
    weighted: bool = True
    dtype: str = "float32"
    axis_name: str | None = None

    def setup(self):
        kind = UpChannelRPN if self.head == "up" else DepthwiseRPN
        self.level = [
            kind(self.anchors, width, self.dtype, self.axis_name) for width in self.hidden
        ]
        if self.weighted and len(self.hidden) > 1:
            start, shape = nn.initializers.ones, (len(self.hidden),)
            self.cls_weight = self.param("cls_weight", start, shape)
            self.loc_weight = self.param("loc_weight", start, shape)

    def template(
        self, features: Sequence[Float[AnyArray, "B _h _w _c"]], train: bool = False
    ) -> tuple[dict[str, Array], ...]:
        """Give every level's kernels."""
        pairs = zip(self.level, features, strict=True)
        return tuple(head.template(z, train) for head, z in pairs)

    def respond(
        self,
        template: Sequence[dict[str, Any]],
        features: Sequence[Float[AnyArray, "n _h _w _c"]],
        train: bool = False,
    ) -> dict[str, Array]:
        """Give `cls` [B, y, x, A, 2] and `loc` [B, y, x, A, 4], float32."""
        triples = zip(self.level, template, features, strict=True)
        levels = [head.respond(z, x, train) for head, z, x in triples]
        learned = self.weighted and len(levels) > 1
        return {
            "cls": _mean([level["cls"] for level in levels], self.cls_weight if learned else None),
            "loc": _mean([level["loc"] for level in levels], self.loc_weight if learned else None),
        }


def _mean(
    outputs: Sequence[Float[Array, "B y x A n"]], weights: Float[AnyArray, "levels"] | None
) -> Float[Array, "B y x A n"]:
    """Average the levels by the softmax of `weights`, evenly without, in float32."""
    share = jnp.full(len(outputs), 1 / len(outputs)) if weights is None else nn.softmax(weights)
    total = share[0] * outputs[0].astype(jnp.float32)
    for level in range(1, len(outputs)):
        total = total + share[level] * outputs[level]
    return total
