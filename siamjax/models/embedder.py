"""What every tower is made of: an encoder of its inputs, then a projection to the embedding."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Shaped

from siamjax.metric.distances import unit
from siamjax.typing import AnyArray, Array


class Embedder(nn.Module):
    """An encoder and a projection head.

    Attributes:
        encoder: maps inputs and `train` to features [B, F].
        hidden: widths of the head's hidden layers, with ReLU; () for a linear head.
        dim: width of the embedding.
        normalize: scale embeddings to length 1.

    Source: the head is that of Chen et al., SimCLR, 2020, section 4.2, without BatchNorm.
    """

    encoder: nn.Module
    hidden: tuple[int, ...] = ()
    dim: int = 64
    normalize: bool = True

    @nn.compact
    def __call__(self, x: Shaped[AnyArray, "B *n"], train: bool = False) -> Float[Array, "B D"]:
        """Embed a batch; with `train` BatchNorm follows it and dropout draws from its key."""
        x = self.encoder(x, train)
        for index, width in enumerate(self.hidden):
            x = nn.relu(nn.Dense(width, name=f"hidden{index}")(x))
        x = nn.Dense(self.dim, name="projection")(x)
        return unit(x) if self.normalize else jnp.asarray(x)


class Mlp(nn.Module):
    """Dense layers with ReLU, on vectors.

    Attributes:
        features: of each layer.
    """

    features: tuple[int, ...] = (128,)

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B I"], train: bool = False) -> Float[Array, "B F"]:
        """Give the last layer's features."""
        x = jnp.asarray(x)
        for index, width in enumerate(self.features):
            x = nn.relu(nn.Dense(width, name=f"dense{index}")(x))
        return x
