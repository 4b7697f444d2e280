"""A narrow tracker with drawn weights, for the tests of this folder."""

import jax
import numpy as np

from siamjax.track.siamfc import SiamFC

TRACKER = SiamFC("alexnet-v1", width=0.05, exemplar=87, instance=103)


def draw(tracker, seed=0):
    """Fill the tracker's variables with numbers, without running its initialisation."""
    generator = np.random.default_rng(seed)
    shapes = jax.eval_shape(tracker.init_variables, jax.random.key(0))

    def fill(leaf):
        if np.issubdtype(leaf.dtype, np.integer):
            return np.asarray(generator.integers(0, 1000, leaf.shape), leaf.dtype)
        return generator.standard_normal(leaf.shape).astype(leaf.dtype)

    return jax.tree.map(fill, shapes)


def equal(a, b):
    """Tell whether two trees have the same structure, dtypes and bits."""
    if jax.tree.structure(a) != jax.tree.structure(b):
        return False
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    arrays = [(np.asarray(x), np.asarray(y)) for x, y in pairs]
    return all(x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in arrays)
