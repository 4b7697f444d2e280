"""Towers: configurations of networks that map inputs of one kind to embeddings.

Frozen, hashable and made of JSON's types; the linen module is built from them. Pictures are raw
0..255, texts bytes (`siamjax.metric.text.encode`).
"""

import abc
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from flax import linen as nn

from siamjax.models.backbones import BACKBONES
from siamjax.models.drawing import DrawingNet, PooledBackbone
from siamjax.models.embedder import Embedder, Mlp
from siamjax.models.text import ByteTransformer, NgramBag


@dataclass(frozen=True, kw_only=True)
class Tower(abc.ABC):
    """What all towers have.

    Attributes:
        dim: width of the embedding.
        hidden: widths of the projection head's hidden layers; () for a linear projection.
        normalize: scale embeddings to length 1.
    """

    dim: int = 64
    hidden: tuple[int, ...] = ()
    normalize: bool = True

    def __post_init__(self):
        for name in ("dim", *self._positive()):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        for name in ("hidden", *self._widths()):
            widths = getattr(self, name)
            if any(width < 1 for width in widths):
                raise ValueError(f"{name}: expected widths of at least 1, got {widths}")

    @abc.abstractmethod
    def encoder(self, axis_name: str | None = None) -> nn.Module:
        """Build the linen module before the projection."""

    @abc.abstractmethod
    def example(self, batch: int = 1) -> np.ndarray:
        """Give inputs of zeros, of the shape and dtype that the tower takes."""

    def net(self, axis_name: str | None = None) -> Embedder:
        """Build the linen module; `axis_name` is that of BatchNorm's batch statistics."""
        return Embedder(self.encoder(axis_name), self.hidden, self.dim, self.normalize)

    def _positive(self) -> tuple[str, ...]:
        """Name the fields that are numbers of at least 1."""
        return ()

    def _widths(self) -> tuple[str, ...]:
        """Name the fields that are tuples of such numbers."""
        return ()


@dataclass(frozen=True, kw_only=True)
class ConvTower(Tower):
    """Small convolutions for drawings of some 8 to 105 pixels (`models.drawing.DrawingNet`).

    Attributes:
        size: side of the square pictures, pixels.
        channels: of the pictures; 1 for drawings.
        features: of each convolution, which halves the picture.
        pooling: "flatten" or "mean" of the last features.
    """

    size: int = 28
    channels: int = 1
    features: tuple[int, ...] = (64, 64, 64, 64)
    pooling: Literal["flatten", "mean"] = "flatten"

    def __post_init__(self):
        super().__post_init__()
        if self.size >> len(self.features) < 1:
            most = self.size.bit_length() - 1
            raise ValueError(
                f"features: {self.size} pixels can be halved {most} times, got {self.features}"
            )
        if self.pooling not in ("flatten", "mean"):
            raise ValueError(f"pooling: expected 'flatten' or 'mean', got {self.pooling!r}")

    def encoder(self, axis_name: str | None = None) -> DrawingNet:
        return DrawingNet(self.features, self.pooling, axis_name)

    def example(self, batch: int = 1) -> np.ndarray:
        return np.zeros((batch, self.size, self.size, self.channels), np.uint8)

    def _positive(self) -> tuple[str, ...]:
        return "size", "channels"

    def _widths(self) -> tuple[str, ...]:
        return ("features",)


@dataclass(frozen=True, kw_only=True)
class ImageTower(Tower):
    """A backbone for photographs (RGB), one stage of it averaged over the picture.

    Attributes:
        backbone: a name in `siamjax.models.backbones.BACKBONES`.
        layer: the stage; "" for the deepest usual one.
        width: scales the backbone.
        trained: stages whose BatchNorm follows the batch while training, None for all.
        size: side of the square pictures, pixels.
    """

    backbone: str = "resnet18"
    layer: str = ""
    width: float = 1.0
    trained: tuple[str, ...] | None = None
    size: int = 128

    def __post_init__(self):
        super().__post_init__()
        if self.backbone not in BACKBONES:
            known = ", ".join(BACKBONES)
            raise ValueError(f"backbone: expected one of {known}, got {self.backbone!r}")
        stages = {"": None, **BACKBONES[self.backbone].channels}
        strange = [name for name in (self.layer, *(self.trained or ())) if name not in stages]
        if strange:
            known = ", ".join(filter(None, stages))
            raise ValueError(f"layer: {self.backbone} has no {strange[0]!r}, but {known}")

    def encoder(self, axis_name: str | None = None) -> PooledBackbone:
        layer = self.layer or BACKBONES[self.backbone].layers[-1]
        return PooledBackbone(self.backbone, layer, self.width, self.trained, axis_name)

    def example(self, batch: int = 1) -> np.ndarray:
        return np.zeros((batch, self.size, self.size, 3), np.uint8)

    def _positive(self) -> tuple[str, ...]:
        return ("size",)


@dataclass(frozen=True, kw_only=True)
class ByteTower(Tower):
    """A transformer over the bytes of a text (`models.text.ByteTransformer`).

    Attributes:
        length: bytes of a text.
        width: features of a byte, a multiple of `heads`.
        depth: blocks.
        heads: of the attention.
        dropout: share of features dropped in training, 0 to below 1.
    """

    length: int = 64
    width: int = 128
    depth: int = 2
    heads: int = 4
    dropout: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        _check_dropout(self.dropout)
        if self.width % self.heads:
            raise ValueError(f"width: expected a multiple of {self.heads} heads, got {self.width}")

    def encoder(self, axis_name: str | None = None) -> ByteTransformer:
        del axis_name
        return ByteTransformer(self.width, self.depth, self.heads, self.dropout)

    def example(self, batch: int = 1) -> np.ndarray:
        return np.zeros((batch, self.length), np.uint8)

    def _positive(self) -> tuple[str, ...]:
        return "length", "width", "depth", "heads"


@dataclass(frozen=True, kw_only=True)
class NgramTower(Tower):
    """A bag of hashed n-grams of bytes and of words (`models.text.NgramBag`).

    Attributes:
        length: bytes of a text.
        buckets: rows of the table that the hashes share.
        width: of a row.
        sizes: the n of the n-grams.
        words: whole words count as well.
        dropout: share of features dropped in training, 0 to below 1.
    """

    length: int = 64
    buckets: int = 8192
    width: int = 128
    sizes: tuple[int, ...] = (1, 2, 3, 4)
    words: bool = True
    dropout: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        _check_dropout(self.dropout)
        if not self.sizes and not self.words:
            raise ValueError("sizes: expected one at least where words do not count")

    def encoder(self, axis_name: str | None = None) -> NgramBag:
        del axis_name
        return NgramBag(self.buckets, self.width, self.sizes, self.words, self.dropout)

    def example(self, batch: int = 1) -> np.ndarray:
        return np.zeros((batch, self.length), np.uint8)

    def _positive(self) -> tuple[str, ...]:
        return "length", "buckets", "width"

    def _widths(self) -> tuple[str, ...]:
        return ("sizes",)


@dataclass(frozen=True, kw_only=True)
class MlpTower(Tower):
    """Dense layers on vectors, as features of another network.

    Attributes:
        inputs: width of the vectors.
        features: of each layer; () leaves the projection alone.
    """

    inputs: int
    features: tuple[int, ...] = (128,)

    def encoder(self, axis_name: str | None = None) -> Mlp:
        del axis_name
        return Mlp(self.features)

    def example(self, batch: int = 1) -> np.ndarray:
        return np.zeros((batch, self.inputs), np.float32)

    def _positive(self) -> tuple[str, ...]:
        return ("inputs",)

    def _widths(self) -> tuple[str, ...]:
        return ("features",)


TOWERS: dict[str, type[Tower]] = {
    "conv": ConvTower,
    "image": ImageTower,
    "bytes": ByteTower,
    "ngrams": NgramTower,
    "mlp": MlpTower,
}


def tower(kind: str, **settings: Any) -> Tower:
    """Build a tower of a kind in `TOWERS`.

    Raises:
        ValueError: no such kind, or settings that do not fit.
    """
    if kind not in TOWERS:
        raise ValueError(f"tower: expected one of {', '.join(TOWERS)}, got {kind!r}")
    return TOWERS[kind](**settings)


def _check_dropout(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout: expected 0 to below 1, got {dropout}")
