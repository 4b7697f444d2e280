import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from siamjax import xcorr

OPS = ("full", "up", "depthwise")
SUBSCRIPTS = {
    "full": "nijcuv,nuvc->nij",
    "up": "nijcuv,nuvck->nijk",
    "depthwise": "nijcuv,nuvc->nijc",
}
BATCH = 4
TOLERANCE = 1e-5


def close(got, want):
    """Within 1e-5 of the largest wanted magnitude, and neither empty nor zero."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert np.abs(want).max() > 0.1
    assert np.abs(got - want).max() <= TOLERANCE * np.abs(want).max()


@functools.cache
def case(op, channels=5):
    """Operands, response, and gradients for the cotangent `g`, by NumPy in float64."""
    random = np.random.default_rng(3)
    template = (BATCH, 3, 4, channels, 6) if op == "up" else (BATCH, 3, 4, channels)
    z = random.standard_normal(template, np.float32)
    x = random.standard_normal((BATCH, 7, 9, channels), np.float32)
    subscripts = SUBSCRIPTS[op]
    windows, template, response = subscripts.replace("->", ",").split(",")
    view = np.lib.stride_tricks.sliding_window_view(np.float64(x), (3, 4), (1, 2))
    y = np.einsum(subscripts, view, np.float64(z))
    g = random.standard_normal(y.shape, np.float32)
    dz = np.einsum(f"{windows},{response}->{template}", view, np.float64(g))
    spread = np.einsum(f"{response},{template}->{windows}", np.float64(g), np.float64(z))
    dx = np.zeros(x.shape)
    for u in range(3):
        for v in range(4):
            dx[:, u : u + 5, v : v + 6] += spread[..., u, v]
    return (z, x, g), (y, dz, dx)


def value_and_gradients(op, method, z, x, g):
    y, pull = jax.vjp(lambda z, x: getattr(xcorr, op)(z, x, method=method), z, x)
    return (y, *pull(g))


EVERY = [(op, method, 5) for op in OPS for method in xcorr.METHODS]
# Two blocks of channels: what the CPU's depthwise form does with many channels.
BLOCKS = [("depthwise", method, 64) for method in ("auto", "shift")]


def every(test):
    return pytest.mark.parametrize(("op", "method"), [e[:2] for e in EVERY])(test)


def every_and_blocks(test):
    return pytest.mark.parametrize(("op", "method", "channels"), EVERY + BLOCKS)(test)


def mesh():
    return jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))


@every_and_blocks
def test_method_equals_einsum(op, method, channels):
    operands, want = case(op, channels)
    got = value_and_gradients(op, method, *operands)
    for a, b in zip(got, want, strict=True):
        close(a, b)


@every
def test_jit(op, method):
    operands, want = case(op)
    got = jax.jit(functools.partial(value_and_gradients, op, method))(*operands)
    for a, b in zip(got, want, strict=True):
        close(a, b)


@every_and_blocks
def test_vmap(op, method, channels):
    operands, want = case(op, channels)
    split = [a.reshape(2, 2, *a.shape[1:]) for a in operands]
    got = jax.vmap(functools.partial(value_and_gradients, op, method))(*split)
    for a, b in zip(got, want, strict=True):
        close(a.reshape(b.shape), b)


@every
def test_vmap_over_templates_of_one_search_area(op, method):
    (z, x, g), _ = case(op)
    got = jax.vmap(functools.partial(value_and_gradients, op, method), (0, None, 0))(
        z[:, None], x[:1], g[:, None]
    )
    same = np.repeat(x[:1], BATCH, 0)
    want = value_and_gradients(op, "grouped", z, same, g)
    for a, b in zip(got, want, strict=True):
        close(a[:, 0], b)


@every_and_blocks
def test_named_sharding(op, method, channels):
    operands, want = case(op, channels)
    sharding = NamedSharding(mesh(), P("data"))
    operands = jax.device_put(operands, sharding)
    got = jax.jit(functools.partial(value_and_gradients, op, method))(*operands)
    for a, b in zip(jax.block_until_ready(got), want, strict=True):
        close(a, b)


@every_and_blocks
def test_shard_map(op, method, channels):
    operands, want = case(op, channels)
    mapped = jax.shard_map(
        functools.partial(value_and_gradients, op, method),
        mesh=mesh(),
        in_specs=P("data"),
        out_specs=P("data"),
    )
    for a, b in zip(jax.block_until_ready(jax.jit(mapped)(*operands)), want, strict=True):
        close(a, b)


@every
def test_shard_map_sums_the_gradient_of_a_replicated_template(op, method):
    (z, x, g), _ = case(op)

    def local(z, x, g):
        y, pull = jax.vjp(lambda z, x: getattr(xcorr, op)(z, x, method=method), z, x)
        return (y, *pull(g))

    mapped = jax.shard_map(
        local,
        mesh=mesh(),
        in_specs=(P(), P("data"), P("data")),
        out_specs=(P("data"), P(), P("data")),
    )
    y, dz, dx = jax.block_until_ready(jax.jit(mapped)(z[:1], x, g))
    want = value_and_gradients(op, "grouped", np.repeat(z[:1], BATCH, 0), x, g)
    close(y, want[0])
    close(dz[0], np.sum(want[1], 0))
    close(dx, want[2])


@every
def test_pmap(op, method):
    operands, want = case(op)
    split = [a[:, None] for a in operands]
    got = jax.pmap(functools.partial(value_and_gradients, op, method))(*split)
    for a, b in zip(jax.block_until_ready(got), want, strict=True):
        close(np.asarray(a)[:, 0], b)


@every
def test_export_round_trip_with_gradient(op, method):
    operands, want = case(op)
    function = jax.jit(lambda z, x: getattr(xcorr, op)(z, x, method=method))
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in operands[:2]]
    exported = export.export(function, platforms=("cpu", "cuda", "tpu"))(*shapes)
    loaded = export.deserialize(exported.serialize(vjp_order=1))
    assert loaded.platforms == ("cpu", "cuda", "tpu")
    y, pull = jax.vjp(loaded.call, *operands[:2])
    for a, b in zip((y, *pull(operands[2])), want, strict=True):
        close(a, b)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("batch", [1, 16])
def test_export_of_auto_for_every_batch_size(op, batch):
    (z, x, g), _ = case(op)
    z, x, g = (np.concatenate([a] * 4)[:batch] for a in (z, x, g))
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (z, x, g)]
    function = jax.jit(functools.partial(value_and_gradients, op, "auto"))
    exported = export.export(function, platforms=("cpu", "cuda", "tpu"))(*shapes)
    got = export.deserialize(exported.serialize()).call(z, x, g)
    for a, b in zip(got, value_and_gradients(op, "grouped", z, x, g), strict=True):
        close(a, b)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("method", ["auto", "gemm", "shift"])
def test_template_as_large_as_the_search_area(op, method):
    (z, x, g), _ = case(op)
    x, g = x[:, :3, :4], g[:, :1, :1]
    got = value_and_gradients(op, method, z, x, g)
    for a, b in zip(got, value_and_gradients(op, "grouped", z, x, g), strict=True):
        close(a, b)


def test_literal_values():
    z = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    for method in xcorr.METHODS:  # 0*1 + 1*2 + 3*3 + 4*4 = 27, and 10 more per pixel
        np.testing.assert_allclose(
            xcorr.full(z, x, method=method)[0], [[27, 37], [57, 67]], rtol=1e-5
        )


@every
def test_is_the_convolution_with_the_flipped_template(op, method):
    (z, x, _), _ = case(op)
    got = getattr(xcorr, op)(z, x, method=method)
    kernels = z if op == "up" else z[..., None]
    for n in range(BATCH):
        for k in range(kernels.shape[-1]):
            per_channel = np.stack(
                [true_convolution(x[n, :, :, c], kernels[n, ::-1, ::-1, c, k]) for c in range(5)],
                -1,
            )
            if op == "depthwise":
                close(got[n], per_channel)
            else:
                close(got[n, ..., k] if op == "up" else got[n], per_channel.sum(-1))


def true_convolution(image, kernel):
    """The textbook definition out[m] = sum_p image[p] * kernel[m - p], its valid part."""
    h, w = kernel.shape
    out = np.zeros((image.shape[0] + h - 1, image.shape[1] + w - 1))
    for (i, j), value in np.ndenumerate(image):
        out[i : i + h, j : j + w] += value * kernel
    return out[h - 1 : 1 - h or None, w - 1 : 1 - w or None]


def test_half_precision_keeps_its_type():
    (z, x, _), (y, *_) = case("depthwise")
    for method in xcorr.METHODS:
        got = xcorr.depthwise(z.astype(jnp.bfloat16), x.astype(jnp.bfloat16), method=method)
        assert got.dtype == jnp.bfloat16
        assert np.abs(got.astype(np.float32) - y).max() < 0.1 * np.abs(y).max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z, x: (z[:2], x), "batch of z is 2 and of x 4"),
        (lambda z, x: (z[:, :, :, :3], x), "channels of z is 3 and of x 5"),
        (lambda z, x: (z, x[:, :2]), "exceeds the search area"),
        (lambda z, x: (z, x[:, :, :3]), "exceeds the search area"),
        (lambda z, x: (z.astype(np.float16), x), "z is float16 and x float32"),
    ],
)
@pytest.mark.parametrize("op", OPS)
def test_mismatch_is_an_error(op, change, message):
    (z, x, _), _ = case(op)
    with pytest.raises(ValueError, match=message):
        getattr(xcorr, op)(*change(z, x))


@pytest.mark.parametrize("op", OPS)
def test_unknown_method_is_an_error(op):
    (z, x, _), _ = case(op)
    with pytest.raises(ValueError, match=r"method is 'winograd', expected one of .*'gemm'"):
        getattr(xcorr, op)(z, x, method="winograd")


def test_tree_sum():
    for n in (1, 2, 8, 9, 49):
        assert xcorr.tree_sum([jnp.float32(k) for k in range(1, n + 1)]) == n * (n + 1) / 2
