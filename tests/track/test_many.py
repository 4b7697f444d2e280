import jax
import jax.numpy as jnp
import numpy as np

from siamjax.track.many import init_many, step_many

BOXES = np.array([[40, 30, 26, 20], [np.nan] * 4, [10, 50, 12, 30], [500, 5, 5, 5]], np.float32)


def test_targets_do_not_disturb_each_other(tiny, weights, clip):
    frames, _ = clip
    states = init_many(tiny, weights, frames[0], BOXES)
    singles = [tiny.init(weights, frames[0], box) for box in BOXES]
    for frame in frames[1:]:
        states, outs = step_many(tiny, weights, states, frame)
        moved = [tiny.step(weights, state, frame) for state in singles]
        singles = [state for state, _ in moved]
        for n, (state, out) in enumerate(moved):
            np.testing.assert_allclose(outs.box[n], out.box, atol=1e-3)
            np.testing.assert_allclose(outs.score[n], out.score, atol=1e-5)
            np.testing.assert_allclose(states.size[n], state.size, atol=1e-3)
    np.testing.assert_array_equal(outs.valid, [True, False, True, False])
    np.testing.assert_array_equal(np.isnan(outs.box).all(1), [False, True, False, True])
    np.testing.assert_array_equal(outs.score[1::2], [0, 0])


def test_plain_vmap_and_jit_are_the_same(tiny, weights, clip):
    frames, _ = clip
    states = init_many(tiny, weights, frames[0], BOXES[::2])
    expected = step_many(tiny, weights, states, frames[1])[1].box
    plain = jax.vmap(lambda s: tiny.step(weights, s, frames[1])[1].box)(states)
    np.testing.assert_allclose(plain, expected, atol=1e-4)
    jitted = jax.jit(lambda s, f: step_many(tiny, weights, s, f)[1].box)
    np.testing.assert_allclose(jitted(states, jnp.asarray(frames[1])), expected, atol=1e-3)
