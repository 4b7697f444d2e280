import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.models.conv import conv, winograd
from siamjax.models.conv.shape import Shape

VALID = ((0, 0), (0, 0))


@pytest.mark.parametrize(
    ("m", "r"), [(1, 1), (1, 11), (2, 2), (2, 3), (4, 3), (4, 5), (3, 6), (2, 7)]
)
def test_transforms_give_the_correlation(m, r):
    random = np.random.default_rng(3)
    d, g = random.standard_normal(m + r - 1), random.standard_normal(r)
    axis = winograd.transforms(m, r)
    got = axis.outputs @ ((axis.taps @ g) * (axis.data @ d))
    np.testing.assert_allclose(got, np.correlate(d, g, "valid"), atol=1e-12)


def test_transforms_literal():
    axis = winograd.transforms(2, 2)  # Karatsuba's three products: at 0, 1 and infinity
    np.testing.assert_array_equal(axis.data, [[-1, 1, 0], [0, 1, 0], [0, -1, 1]])
    np.testing.assert_array_equal(axis.taps, [[-1, 0], [1, 1], [0, 1]])
    np.testing.assert_array_equal(axis.outputs, [[1, 1, 0], [0, 1, 1]])


def test_too_many_points_are_refused():
    with pytest.raises(ValueError, match="4 outputs of 7 taps"):
        winograd.transforms(4, 7)


def reference(x, kernel, strides, dilation, groups):
    """Loops over offsets in float64, without padding."""
    x, kernel = np.float64(x), np.float64(kernel)
    h, w, inputs, features = kernel.shape
    ho, wo = (
        (n - (k - 1) * dilation - 1) // strides + 1
        for n, k in zip(x.shape[1:3], (h, w), strict=True)
    )
    each = features // groups
    y = np.zeros((len(x), ho, wo, features))
    for u in range(h):
        for v in range(w):
            top, left = u * dilation, v * dilation
            seen = x[:, top : top + (ho - 1) * strides + 1 : strides]
            seen = seen[:, :, left : left + (wo - 1) * strides + 1 : strides]
            for k in range(groups):
                part = slice(k * each, (k + 1) * each)
                inside = seen[..., k * inputs : (k + 1) * inputs]
                y[..., part] += inside @ kernel[u, v, :, part]
    return y


# channels, features, kernel (rows, columns), strides, dilation, groups
CASES = {
    "wide": (80, 16, (3, 3), 1, 1, 1),
    "narrow": (12, 16, (5, 5), 1, 1, 1),
    "grouped": (160, 32, (3, 3), 1, 1, 2),
    "strided": (3, 16, (11, 11), 2, 1, 1),
    "strided-grouped": (6, 16, (7, 7), 2, 1, 2),
    "dilated": (70, 16, (3, 3), 1, 2, 1),
    "oblong": (66, 8, (2, 6), 1, 1, 1),
}


@pytest.mark.parametrize("temporary", [2**10, 2**17, 2**24])  # bands of rows, turns, all at once
@pytest.mark.parametrize("name", CASES)
def test_bands_and_turns_equal_loops(name, temporary, monkeypatch):
    channels, features, size, strides, dilation, groups = CASES[name]
    monkeypatch.setattr(winograd, "_TEMPORARY", temporary)
    random = np.random.default_rng(4)
    x = random.standard_normal((4, 26, 31, channels), np.float32)
    kernel = random.standard_normal((*size, channels // groups, features), np.float32)
    shape = Shape(strides, VALID, dilation, groups)
    got = jax.jit(functools.partial(winograd.forward, shape))(x, kernel)
    want = reference(x, kernel, strides, dilation, groups)
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 5e-6 * np.abs(want).max()


@pytest.mark.parametrize(
    ("shape", "x", "kernel", "pays"),
    [
        (Shape(1, VALID, 1, 1), (1, 28, 28, 256), (3, 3, 256, 384), True),
        (Shape(1, VALID, 4, 1), (1, 39, 39, 512), (3, 3, 512, 512), True),
        (Shape(1, VALID, 1, 2), (1, 61, 61, 96), (5, 5, 48, 256), True),
        (Shape(2, VALID, 1, 1), (1, 255, 255, 3), (11, 11, 3, 96), True),
        (Shape(2, VALID, 1, 1), (1, 63, 63, 256), (3, 3, 256, 512), False),  # strided and wide
        (Shape(1, VALID, 1, 1), (1, 7, 7, 256), (3, 3, 256, 256), False),  # few outputs
        (Shape(1, VALID, 1, 1), (1, 25, 25, 96), (5, 5, 96, 128), False),  # an exemplar's
        (Shape(1, VALID, 1, 1), (1, 28, 28, 256), (1, 1, 256, 384), False),
    ],
)
def test_where_it_pays(shape, x, kernel, pays):
    assert winograd.pays(shape, jnp.zeros(x), jnp.zeros(kernel)) == pays
    assert not winograd.pays(shape, jnp.zeros(x, jnp.bfloat16), jnp.zeros(kernel))


@pytest.mark.parametrize("options", [{"strides": 2, "dilation": 2}, {"dtype": jnp.bfloat16}])
def test_what_it_cannot_compute_is_an_error(options):
    dtype = options.pop("dtype", jnp.float32)
    x, kernel = jnp.zeros((1, 20, 20, 64), dtype), jnp.zeros((3, 3, 64, 16), dtype)
    with pytest.raises(ValueError, match="'winograd' needs float32"):
        conv(x, kernel, method="winograd", **options)
