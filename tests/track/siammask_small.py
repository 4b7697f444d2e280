"""Small SiamMasks, with weights drawn by NumPy: to compile `init_variables` takes longer."""

import jax
import numpy as np

from siamjax.track.siammask import SiamMask

SHARP = SiamMask(
    backbone="resnet18", features=(8,), hidden=8, width=0.1, instance=175, mask_threshold=0.5
)
BASE = SiamMask(
    variant="base",
    backbone="alexnet",
    layers=("conv5",),
    features=(),
    hidden=16,
    width=0.1,
    instance=159,
    mask_threshold=0.5,
)
# Of the first convolution and of the last ones, for activations, logits and offsets near one.
GAINS = {
    "sharp": {"stem": 1 / 128, "cls/out": 1 / 4000, "loc/out": 1 / 20000, "level_2/post": 1 / 8},
    "base": {"conv1": 1 / 8, "cls/out": 1 / 2000, "loc/out": 1 / 10000, "mask_head/out": 1 / 5000},
}


def draw_variables(tracker, seed=0):
    """Weights whose scores, boxes and masks vary as trained ones do."""
    rng = np.random.default_rng(seed)

    def drawn(path, leaf):
        name = "/".join(entry.key for entry in path)
        if name.endswith(("scale", "var", "fuse/bn/bias")):
            return np.ones(leaf.shape, np.float32)
        if leaf.ndim < 2:
            return np.zeros(leaf.shape, np.float32)
        first = "block" not in name
        gains = [g for part, g in GAINS[tracker.variant].items() if f"/{part}/" in name and first]
        gain = gains[0] if gains else 1
        fan_in = np.prod(leaf.shape[:-1])
        return rng.normal(0, gain * np.sqrt(2 / fan_in), leaf.shape).astype(np.float32)

    shapes = jax.eval_shape(tracker.init_variables, jax.random.key(0))
    return jax.tree.map_with_path(drawn, shapes)
