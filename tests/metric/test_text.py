"""Text as bytes, and the towers' view of it: n-grams and words by hash, padding without effect."""

import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.metric.text import encode
from siamjax.models import text


def test_encode():
    rows = encode(["Abc", "", "é€x", "a\0b"], 4)
    assert rows.dtype == np.uint8
    assert [bytes(row) for row in rows] == [
        b"abc\0",
        b"\0\0\0\0",
        "é".encode() + b"\0\0",  # the euro sign's three bytes do not fit whole
        b"a b\0",
    ]
    assert bytes(encode(["Abc"], 3, fold=False)[0]) == b"Abc"
    with pytest.raises(ValueError, match="length: expected at least 1 byte, got 0"):
        encode(["a"], 0)


def names(found):
    """Give the hashes of what is there, row by row."""
    name, real = (np.asarray(part) for part in found)
    return [row[there].tolist() for row, there in zip(name, real, strict=True)]


def wrapped(data, prime=0x01000193):
    value = 0
    for byte in data:
        value = (value * prime + byte) % 2**32
    return value


def test_ngrams_and_words():
    tokens = jnp.asarray(encode(["cat a cat", "at", ""], 10))
    framed = text._framed(tokens)
    assert [bytes(row).rstrip(b"\0") for row in np.asarray(framed, np.uint8)] == [
        b" cat a cat ", b" at ", b"",
    ]  # fmt: skip
    first, second, empty = names(text._ngrams(framed, 3))
    grams = [b" ca", b"cat", b"at ", b"t a", b" a ", b"a c", b" ca", b"cat", b"at "]
    assert first == [wrapped(gram) for gram in grams]
    assert second == [wrapped(b" at"), wrapped(b"at ")]
    assert empty == []
    assert len(names(text._ngrams(framed, 1))[0]) == 7  # letters, not spaces

    first, second, empty = names(text._words(framed))
    assert first[0] == first[2]  # the same word, wherever it stands
    assert len(set(first + second)) == 3
    assert (len(first), len(second), len(empty)) == (3, 1, 0)


def test_mixed_hashes_fill_the_table():
    name = jnp.arange(4096, dtype=jnp.uint32)[None]
    buckets = np.asarray(text._mixed(name, 0) % 64)
    counts = np.bincount(buckets[0], minlength=64)
    assert counts.min() > 30
    assert (np.asarray(text._mixed(name, 1)) != np.asarray(text._mixed(name, 0))).mean() > 0.99
