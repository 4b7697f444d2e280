"""A tracker small enough to train by hand, with the protocol that training asks for."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Fake:
    """A dense layer, a BatchNorm over the whole batch, a mean weighted by counts."""

    def init_variables(self, key):
        kernel = jax.random.normal(key, (3, 4)) / 2
        norm = {"scale": jnp.ones(4), "bias": jnp.zeros(4)}
        return {
            "params": {"backbone": {"kernel": kernel, "bn": norm}, "head": {"bias": jnp.zeros(())}},
            "batch_stats": {"backbone": {"mean": jnp.zeros(4), "count": jnp.zeros((), jnp.int32)}},
        }

    def loss(self, params, stats, batch, key, train=True, axis_name=None):
        share = 1.0 if axis_name is None else jax.lax.psum(1, axis_name)
        whole = (lambda v: v) if axis_name is None else (lambda v: jax.lax.psum(v, axis_name))
        backbone = params["backbone"]
        y = jnp.sum(batch["x"][:, :, None] * backbone["kernel"][None], axis=1)
        mean = whole(y.mean(axis=0)) / share
        y = (y - mean[None]) * backbone["bn"]["scale"][None] + backbone["bn"]["bias"][None]
        values = (jnp.tanh(y).sum(axis=1) + params["head"]["bias"] - batch["y"]) ** 2
        mask = batch["positive"].astype(jnp.float32)
        count = jnp.maximum(whole(mask.sum()), 1)
        loss = share * (mask * values).sum() / count
        old = stats["backbone"]
        stats = {"backbone": {"mean": 0.9 * old["mean"] + 0.1 * mean, "count": old["count"] + 1}}
        return loss, (stats, {"positives": whole(mask.sum())})


def batch(seed=0, size=8):
    """A host batch whose positives are unevenly spread."""
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(size, 3)).astype(np.float32),
        "y": rng.normal(size=size).astype(np.float32),
        "positive": np.array([1, 1, 1, 0, 0, 1, 0, 0], bool)[:size],
        "index": np.arange(seed * size, (seed + 1) * size, dtype=np.uint32),
    }


def jitter(key, batch):
    """Add noise by each sample's own key."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["index"])
    noise = jax.vmap(lambda k: jax.random.normal(k, (3,)))(keys)
    return {**batch, "x": batch["x"] + 0.1 * noise}
