import jax
import numpy as np
import pytest

from siamjax.track.siamfc import SiamFC

TINY = {"width": 1 / 48, "exemplar": 95, "instance": 127, "upsampling": 4}


def make_clip(length=4, height=90, width=120, seed=0):
    """A bright textured patch drifting over noise; frames and its first box."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 120, (length, height, width, 3), np.uint8)
    patch = rng.integers(100, 256, (20, 26, 3), np.uint8)
    for index, frame in enumerate(frames):
        y, x = 30 + 2 * index, 40 + 3 * index
        frame[y : y + 20, x : x + 26] = patch
    return frames, np.array([40, 30, 26, 20], np.float32)


@pytest.fixture(scope="session")
def clip():
    return make_clip()


@pytest.fixture(scope="session")
def tiny():
    return SiamFC(**TINY)


@pytest.fixture(scope="session")
def weights(tiny):
    return tiny.init_variables(jax.random.key(0))
