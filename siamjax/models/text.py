"""Encoders of text: bytes, 0 for padding at the end (`siamjax.metric.text.encode`).

No vocabulary: the transformer reads bytes, the bag hashes their n-grams on the device.
"""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Bool, Float, Shaped, UInt8, UInt32

from siamjax.typing import AnyArray, Array

_PRIME = 0x01000193
"""Odd, hence with an inverse modulo 2^32 (FNV's)."""
_SPACE = 32


class ByteTransformer(nn.Module):
    """A pre-norm transformer over bytes, averaged over the text.

    Attributes:
        width: features of a byte.
        depth: blocks of attention and two dense layers.
        heads: of the attention.
        dropout: share of features dropped after each of a block's halves, in training.

    Source: Vaswani et al., "Attention Is All You Need", 2017; bytes in place of words as in Xue et
    al., "ByT5", 2022.
    """

    width: int = 128
    depth: int = 2
    heads: int = 4
    dropout: float = 0.0

    @nn.compact
    def __call__(self, tokens: UInt8[AnyArray, "B L"], train: bool = False) -> Float[Array, "B F"]:
        """Give the mean features of the bytes that are not padding; 0 for an empty text."""
        tokens = jnp.asarray(tokens)
        real = tokens != 0
        place = self.param("place", nn.initializers.normal(0.02), (tokens.shape[1], self.width))
        x = nn.Embed(256, self.width, embedding_init=nn.initializers.normal(0.02), name="bytes")(
            tokens.astype(jnp.int32)
        )
        x = x + place[None]
        drop = nn.Dropout(self.dropout, deterministic=not train)
        mask = nn.make_attention_mask(jnp.ones_like(real), real, dtype=bool)
        for index in range(self.depth):
            y = nn.LayerNorm(name=f"norm{index}a")(x)
            y = nn.MultiHeadDotProductAttention(self.heads, name=f"attention{index}")(y, mask=mask)
            x = x + drop(y)
            y = nn.LayerNorm(name=f"norm{index}b")(x)
            y = nn.gelu(nn.Dense(4 * self.width, name=f"widen{index}")(y))
            x = x + drop(nn.Dense(self.width, name=f"narrow{index}")(y))
        return _mean(nn.LayerNorm(name="norm")(x), real)


class NgramBag(nn.Module):
    """The mean of a learned vector for each n-gram of bytes and each whole word.

    A text is taken with a space before and behind it. n-grams share `buckets` vectors by a hash.

    Attributes:
        buckets: rows of the table of vectors.
        width: of a vector.
        sizes: the n of the n-grams.
        words: words, what spaces separate, count as well.
        dropout: share of the mean's features dropped in training.

    Source: Bojanowski et al., "Enriching Word Vectors with Subword Information", 2017, section 3.2.
    """

    buckets: int = 8192
    width: int = 128
    sizes: tuple[int, ...] = (1, 2, 3, 4)
    words: bool = True
    dropout: float = 0.0

    @nn.compact
    def __call__(self, tokens: UInt8[AnyArray, "B L"], train: bool = False) -> Float[Array, "B F"]:
        """Give the mean vector; 0 for an empty text."""
        text = _framed(jnp.asarray(tokens))
        found = [_ngrams(text, size) for size in self.sizes]
        if self.words:
            found.append(_words(text))
        names = jnp.concatenate([_mixed(name, i) for i, (name, _) in enumerate(found)], axis=1)
        real = jnp.concatenate([real for _, real in found], axis=1)
        table = nn.Embed(
            self.buckets, self.width, embedding_init=nn.initializers.normal(1.0), name="ngrams"
        )
        x = table((names % self.buckets).astype(jnp.int32))
        return nn.Dropout(self.dropout, deterministic=not train)(_mean(x, real))


def _mean(x: Float[Array, "B L F"], real: Bool[Array, "B L"]) -> Float[Array, "B F"]:
    some = jnp.maximum(real.sum(axis=1), 1)[:, None]
    return jnp.where(real[..., None], x, 0.0).sum(axis=1) / some


def _framed(tokens: Shaped[Array, "B L"]) -> UInt32[Array, "B M"]:
    """Put a space before and behind a text, unless it is empty."""
    text = jnp.pad(tokens.astype(jnp.uint32), ((0, 0), (1, 1)))
    length = (tokens != 0).sum(axis=1)[:, None]
    place = jnp.arange(text.shape[1])[None]
    edge = ((place == 0) | (place == length + 1)) & (length > 0)
    return jnp.where(edge, jnp.uint32(_SPACE), text)


def _ngrams(text: Array, size: int) -> tuple[Array, Array]:
    """Hash the n-gram that begins at each place, and tell which places hold one."""
    text = jnp.pad(text, ((0, 0), (0, size - 1)))
    count = text.shape[1] - size + 1
    steps = [text[:, i : i + count] for i in range(size)]
    name = jnp.zeros_like(steps[0])
    for step in steps:
        name = name * jnp.uint32(_PRIME) + step
    return name, (steps[-1] != 0) & ((steps[0] != _SPACE) | (size > 1))


def _words(text: Array) -> tuple[Array, Array]:
    """Hash the word that ends at each place, and tell at which places one ends."""
    count = text.shape[1]
    powers, inverse = (
        jnp.asarray(np.array([pow(_PRIME, sign * i, 2**32) for i in range(count)], np.uint32))[None]
        for sign in (1, -1)
    )
    letter = (text != 0) & (text != _SPACE)
    shift = lambda a, by: jnp.pad(a, ((0, 0), (max(by, 0), max(-by, 0))))
    before, after = shift(letter, 1)[:, :-1], shift(letter, -1)[:, 1:]
    sums = jnp.cumsum(jnp.where(letter, text * powers, jnp.uint32(0)), axis=1, dtype=jnp.uint32)
    place = jnp.broadcast_to(jnp.arange(count)[None], text.shape)
    start = lax.cummax(jnp.where(letter & ~before, place, 0), axis=1)
    earlier = jnp.take_along_axis(shift(sums, 1), start, axis=1)
    name = (sums - earlier) * jnp.take_along_axis(
        jnp.broadcast_to(inverse, text.shape), start, axis=1
    )
    return name, letter & ~after


def _mixed(name: UInt32[Array, "B M"], salt: int) -> UInt32[Array, "B M"]:
    """Spread hashes over all bits, those of each kind differently (Murmur3's last steps)."""
    name = name + jnp.uint32((salt + 1) * 0x9E3779B9 % 2**32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        name = (name ^ (name >> shift)) * jnp.uint32(factor)
    return name ^ (name >> 16)
