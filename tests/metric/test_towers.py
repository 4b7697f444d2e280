"""Every tower: shapes, lengths, padding, statistics of its own BatchNorm, settings refused."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from filled import filled

from siamjax.metric.text import encode
from siamjax.metric.towers import (
    TOWERS,
    ByteTower,
    ConvTower,
    ImageTower,
    MlpTower,
    NgramTower,
    tower,
)

rng = np.random.default_rng(8)
floats = lambda *shape: rng.normal(size=shape).astype(np.float32)
SMALL = {
    "conv": ConvTower(dim=5, size=9, channels=2, features=(4, 3), hidden=(6,)),
    "image": ImageTower(dim=5, backbone="resnet18", layer="layer1", width=0.25, size=33),
    "bytes": ByteTower(dim=5, length=12, width=8, depth=1, heads=2, dropout=0.5),
    "ngrams": NgramTower(dim=5, length=12, width=6, buckets=50, dropout=0.5),
    "mlp": MlpTower(dim=5, inputs=7, features=(4,)),
}


@functools.lru_cache
def made(kind):
    one = SMALL[kind]
    return filled(one.net().init, jax.random.key(1), one.example())


@functools.partial(jax.jit, static_argnums=0)
def embed(one, variables, x):
    return one.net().apply(variables, x)


def inputs(kind, batch):
    example = SMALL[kind].example(batch)
    if kind in ("bytes", "ngrams"):
        return encode(["red heart", "cat", "a dog", "x"][:batch], 12)
    if example.dtype == np.uint8:
        return rng.integers(0, 256, example.shape, np.uint8)
    return rng.normal(size=example.shape).astype(np.float32)


@pytest.mark.parametrize("kind", TOWERS)
def test_embeddings(kind):
    one = SMALL[kind]
    x = inputs(kind, 4)
    assert x.shape == one.example(4).shape
    assert x.dtype == one.example(4).dtype
    found = np.asarray(embed(one, made(kind), x))
    assert found.shape == (4, 5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    # Each row depends on its own input alone.
    other = np.asarray(embed(one, made(kind), x[::-1].copy()))
    np.testing.assert_allclose(other[::-1], found, rtol=1e-4, atol=1e-5)
    assert np.abs(found[0] - found[2]).max() > 1e-3
    assert tower(kind, **one.__dict__) == one


@pytest.mark.parametrize("kind", ["bytes", "ngrams"])
def test_padding_has_no_effect(kind):
    one = SMALL[kind]
    params = dict(made(kind)["params"])
    if kind == "bytes":
        params["encoder"] = {**params["encoder"], "place": params["encoder"]["place"][:9]}
    text = ["red heart", "a", ""]
    short = dataclasses.replace(one, length=9)
    wanted = np.asarray(embed(short, {"params": params}, encode(text, 9)))
    found = np.asarray(embed(one, made(kind), encode(text, 12)))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found[:2]).max() > 0
    assert not found[2].any()  # nothing to embed, and a bias of 0


def test_words_in_any_order_are_one_bag():
    one = dataclasses.replace(SMALL["ngrams"], sizes=())
    texts = ["red  heart", "heart red", "red"]
    found = np.asarray(embed(one, made("ngrams"), encode(texts, 12)))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert np.abs(found[0] - found[2]).max() > 1e-2


def test_training_moves_statistics_and_drops_out():
    x = inputs("conv", 4)
    one = SMALL["conv"]
    run = jax.jit(lambda v: one.net().apply(v, x, True, mutable=["batch_stats"]))
    _, moved = run(made("conv"))
    norm = moved["batch_stats"]["encoder"]["conv0"]["bn"]
    assert norm["count"] == 1
    assert np.abs(norm["mean"]).max() > 0
    one, x = SMALL["ngrams"], inputs("ngrams", 4)
    run = jax.jit(lambda key: one.net().apply(made("ngrams"), x, True, rngs={"dropout": key}))
    first, again, other = (run(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.asarray(first) - np.asarray(other)).max() > 1e-3


def test_mean_pooling_and_no_normalisation():
    one = dataclasses.replace(SMALL["conv"], pooling="mean", normalize=False)
    shapes = jax.eval_shape(one.net().init, jax.random.key(0), one.example())
    assert shapes["params"]["hidden0"]["kernel"].shape == (3, 6)
    params = dict(made("conv")["params"])
    params["hidden0"] = {**params["hidden0"], "kernel": floats(3, 6)}
    variables = {**made("conv"), "params": params}
    found = np.asarray(embed(one, variables, inputs("conv", 4)))
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() > 1e-2


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("conv", {"size": 8, "features": (4,) * 4}, r"features: 8 pixels can be halved 3 times"),
        ("conv", {"dim": 0}, r"dim: expected at least 1, got 0"),
        ("conv", {"hidden": (3, 0)}, r"hidden: .*\(3, 0\)"),
        ("image", {"backbone": "vgg"}, r"backbone: .*'vgg'"),
        ("image", {"layer": "layer9"}, r"layer: resnet18 has no 'layer9'"),
        ("bytes", {"width": 10, "heads": 4}, r"width: expected a multiple of 4 heads, got 10"),
        ("bytes", {"dropout": 1.0}, r"dropout: .*got 1.0"),
        ("ngrams", {"sizes": (), "words": False}, r"sizes: "),
        ("ngrams", {"buckets": 0}, r"buckets: expected at least 1, got 0"),
        ("mlp", {"inputs": 0}, r"inputs: expected at least 1, got 0"),
        ("lstm", {}, r"tower: .*'lstm'"),
    ],
)
def test_errors(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        tower(kind, **settings)
