import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.models.conv import conv, gradient, winograd, winograd_gradient
from siamjax.models.conv.shape import Shape

VALID = ((0, 0), (0, 0))
UNEVEN = ((1, 2), (0, 3))


def arrays(shape, size, channels, kernel):
    """Draw x, a kernel and a cotangent of whole numbers, whose products are exact."""
    random = np.random.default_rng(5)
    whole = lambda *sizes: random.integers(-3, 4, sizes).astype(np.float32)
    x, k = whole(3, *size, channels), whole(*kernel)
    return x, k, whole(3, *shape.output_size(x, k), kernel[3])


def by_jax(shape, x, kernel, g):
    """One XLA convolution with JAX's own gradient."""

    def plain(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (shape.strides,) * 2,
            shape.padding,
            rhs_dilation=(shape.dilation,) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=shape.groups,
        )

    return jax.jit(lambda x, k, g: jax.vjp(plain, x, k)[1](g))(x, kernel, g)


# shape, channels, kernel
CASES = {
    "wide": (Shape(1, VALID, 1, 1), 66, (3, 3, 66, 5)),
    "narrow-grouped": (Shape(1, UNEVEN, 1, 2), 12, (5, 5, 6, 4)),
    "strided": (Shape(2, UNEVEN, 1, 1), 3, (11, 11, 3, 4)),
    "strided-grouped": (Shape(2, VALID, 1, 2), 36, (3, 3, 18, 4)),
    "dilated": (Shape(1, UNEVEN, 2, 1), 66, (3, 3, 66, 3)),
}


@pytest.mark.parametrize("way", [winograd_gradient.kernel_gradient, gradient.by_rows])
@pytest.mark.parametrize("name", CASES)
def test_kernel_gradient_equals_that_of_one_convolution(name, way):
    shape, channels, size = CASES[name]
    x, kernel, g = arrays(shape, (17, 22), channels, size)
    got = jax.jit(functools.partial(way, shape))(x, kernel, g)
    want = by_jax(shape, x, kernel, g)[1]
    assert got.shape == kernel.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("name", ["wide", "narrow-grouped", "dilated"])
def test_adjoint_is_the_gradient_of_the_input(name):
    shape, channels, size = CASES[name]
    x, kernel, g = arrays(shape, (11, 13), channels, size)
    other, flipped = gradient.adjoint(shape, *map(jnp.asarray, (x, kernel, g)))
    got = conv(g, flipped, padding=other.padding, dilation=other.dilation, groups=other.groups)
    np.testing.assert_array_equal(got, by_jax(shape, x, kernel, g)[0])


@pytest.mark.parametrize("name", ["wide", "strided"])
@pytest.mark.parametrize("worth", [0, 10**12])
def test_backward_whatever_it_chooses(name, worth, monkeypatch):
    monkeypatch.setattr(winograd, "_WORTH", worth)
    shape, channels, size = CASES[name]
    size = (*size[:3], 16)
    x, kernel, g = arrays(shape, (22 * shape.strides, 30 * shape.strides), channels, size)
    backward = functools.partial(gradient.backward, shape)
    assert winograd.pays(shape, x, kernel) == (worth == 0)
    text = str(jax.make_jaxpr(backward)(x, kernel, g))
    assert ("layout_constraint" in text) == (worth == 0)  # tiles are stored
    for got, want in zip(jax.jit(backward)(x, kernel, g), by_jax(shape, x, kernel, g), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("strides", [1, 2])
def test_pointwise_gradient_is_exact(strides):
    shape = Shape(strides, VALID, 1, 1)
    x, kernel, g = arrays(shape, (5, 6), 7, (1, 1, 7, 4))
    got = gradient.pointwise(shape, *map(jnp.asarray, (x, kernel, g)))
    for ours, theirs in zip(got, by_jax(shape, x, kernel, g), strict=True):
        np.testing.assert_array_equal(ours, theirs)
