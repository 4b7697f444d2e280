import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from siamjax.models.conv import METHODS, conv
from siamjax.models.layers import BatchNorm, Conv, ConvNorm, follows_batch, max_pool, relu6

TOLERANCE = 1e-5

# name: (channels, features, kernel, options)
CASES = {
    "plain": (6, 8, 3, {}),
    "plain-strided": (6, 8, 3, {"strides": 2, "padding": 1}),
    "plain-dilated": (6, 8, 3, {"dilation": 2, "padding": "SAME"}),
    "pointwise": (6, 8, 1, {}),
    "pointwise-strided": (6, 8, 1, {"strides": 2}),
    "pointwise-padded": (6, 8, 1, {"padding": 1}),
    "grouped": (6, 8, 5, {"groups": 2}),
    "grouped-strided": (6, 9, 3, {"groups": 3, "strides": 2, "padding": "SAME"}),
    "depthwise": (6, 6, 3, {"groups": 6}),
    "depthwise-same": (6, 6, 5, {"groups": 6, "padding": "SAME"}),
    "depthwise-same-strided": (6, 6, 5, {"groups": 6, "padding": "SAME", "strides": 2}),
    "depthwise-dilated": (6, 6, 3, {"groups": 6, "padding": 2, "dilation": 2}),
    "depthwise-uneven": (6, 6, 3, {"groups": 6, "padding": ((0, 3), (2, 1)), "strides": 3}),
    "depthwise-multiplier": (6, 12, 3, {"groups": 6, "padding": 1}),
    "depthwise-wide-padding": (6, 6, 3, {"groups": 6, "padding": 4, "strides": 2}),
}


def methods(name):
    """The methods that can compute the case."""
    channels, _, size, options = CASES[name]
    depthwise = options.get("groups", 1) == channels
    pointwise = size == 1 and not options.get("padding")
    possible = {"shift": depthwise, "taps": "groups" not in options, "gemm": pointwise}
    return [m for m in METHODS if possible.get(m, True)]


COMBINATIONS = [(name, method) for name in CASES for method in methods(name)]


def operands(name, batch=2, height=11, width=12):
    random = np.random.default_rng(5)
    channels, features, size, options = CASES[name]
    x = random.standard_normal((batch, height, width, channels), np.float32)
    kernel = random.standard_normal(
        (size, size, channels // options.get("groups", 1), features), np.float32
    )
    return x, kernel


def reference(x, kernel, strides=1, padding="VALID", dilation=1, groups=1):
    """Loops over offsets in float64; SAME as TensorFlow documents it."""
    x, kernel = np.float64(x), np.float64(kernel)
    h, w, per_group, features = kernel.shape
    reach = [(n - 1) * dilation + 1 for n in (h, w)]
    if padding == "VALID":
        padding = 0
    if padding == "SAME":
        total = [
            max((-(-n // strides) - 1) * strides + r - n, 0)
            for n, r in zip(x.shape[1:3], reach, strict=True)
        ]
        padding = tuple((n // 2, n - n // 2) for n in total)
    if isinstance(padding, int):
        padding = ((padding, padding),) * 2
    x = np.pad(x, ((0, 0), *padding, (0, 0)))
    ho, wo = ((n - r) // strides + 1 for n, r in zip(x.shape[1:3], reach, strict=True))
    out = np.zeros((len(x), ho, wo, features))
    for i in range(ho):
        for j in range(wo):
            top, left = i * strides, j * strides
            patch = x[:, top : top + reach[0] : dilation, left : left + reach[1] : dilation]
            for o in range(features):
                first = o // (features // groups) * per_group
                part = patch[..., first : first + per_group]
                out[:, i, j, o] = (part * kernel[None, ..., o]).sum((1, 2, 3))
    return out


def close(got, want):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert np.abs(want).max() > 0.1
    assert np.abs(got - want).max() <= TOLERANCE * np.abs(want).max()


def value_and_gradients(options, method, x, kernel, g):
    y, pull = jax.vjp(lambda x, k: conv(x, k, method=method, **options), x, kernel)
    return (y, *pull(g))


def by_xla(options, x, kernel, g):
    """One XLA convolution with JAX's own gradient."""
    padding = options.get("padding", "VALID")
    padding = [(padding, padding)] * 2 if isinstance(padding, int) else padding

    def plain(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            (options.get("strides", 1),) * 2,
            padding,
            rhs_dilation=(options.get("dilation", 1),) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=options.get("groups", 1),
        )

    y, pull = jax.vjp(plain, x, kernel)
    return (y, *pull(g))


@functools.cache
def case(name, batch=2, height=11, width=12):
    options = CASES[name][3]
    x, kernel = operands(name, batch, height, width)
    y = reference(x, kernel, **options)
    g = np.random.default_rng(6).standard_normal(y.shape, np.float32)
    want = by_xla(options, x, kernel, g)
    close(want[0], y)
    return (x, kernel, g), (y, *map(np.asarray, want[1:]))


@pytest.mark.parametrize(("name", "method"), COMBINATIONS)
def test_method_equals_loops(name, method):
    arguments, want = case(name)
    run = jax.jit(functools.partial(value_and_gradients, CASES[name][3], method))
    for a, b in zip(run(*arguments), want, strict=True):
        close(a, b)


@pytest.mark.parametrize("name", ["depthwise", "depthwise-same-strided"])
@pytest.mark.parametrize("height", [5, 19, 34, 63])  # one chunk, chunks that fit and that do not
def test_depthwise_gradient_for_any_number_of_rows(name, height):
    arguments, want = case(name, 3, height)
    run = jax.jit(functools.partial(value_and_gradients, CASES[name][3], "shift"))
    for a, b in zip(run(*arguments), want, strict=True):
        close(a, b)


@pytest.mark.parametrize("name", ["plain-strided", "pointwise", "grouped", "depthwise-same"])
def test_vmap_over_examples_and_over_kernels(name):
    (x, kernel, g), want = case(name)
    run = functools.partial(value_and_gradients, CASES[name][3], "auto")
    y, dx, dk = jax.vmap(run, (0, None, 0))(x[:, None], kernel, g[:, None])
    close(y[:, 0], want[0])
    close(dx[:, 0], want[1])
    close(dk.sum(0), want[2])
    many = jax.vmap(run, (None, 0, None))(x, np.stack([kernel, 2 * kernel]), g)
    for scales, a, b in zip(((1, 2), (1, 2), (1, 1)), many, want, strict=True):
        close(a[0], scales[0] * b)
        close(a[1], scales[1] * b)


def mesh():
    return jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))


@pytest.mark.parametrize("name", ["plain-strided", "pointwise", "grouped", "depthwise-same"])
def test_sharded_over_four_devices(name):
    (x, kernel, g), want = case(name, 8)
    run = functools.partial(value_and_gradients, CASES[name][3], "auto")
    data = NamedSharding(mesh(), P("data"))
    placed = jax.device_put(x, data), kernel, jax.device_put(g, data)
    for a, b in zip(jax.block_until_ready(jax.jit(run)(*placed)), want, strict=True):
        close(a, b)
    specs = {"in_specs": (P("data"), P(), P("data")), "out_specs": (P("data"), P("data"), P())}
    mapped = jax.jit(jax.shard_map(run, mesh=mesh(), **specs))
    for a, b in zip(jax.block_until_ready(mapped(x, kernel, g)), want, strict=True):
        close(a, b)
    split = [a.reshape(4, 2, *a.shape[1:]) for a in (x, g)]
    y, dx, dk = jax.block_until_ready(
        jax.pmap(run, in_axes=(0, None, 0))(split[0], kernel, split[1])
    )
    close(np.asarray(y).reshape(want[0].shape), want[0])
    close(np.asarray(dx).reshape(want[1].shape), want[1])
    close(np.asarray(dk).sum(0), want[2])


@pytest.mark.parametrize("name", ["plain-strided", "pointwise", "grouped", "depthwise-same"])
def test_export_round_trip(name):
    arguments, want = case(name)
    run = jax.jit(functools.partial(value_and_gradients, CASES[name][3], "auto"))
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arguments]
    exported = export.export(run, platforms=("cpu", "cuda", "tpu"))(*shapes)
    got = export.deserialize(exported.serialize()).call(*arguments)
    for a, b in zip(got, want, strict=True):
        close(a, b)


def test_conv_layer_holds_kernel_and_bias():
    layer = Conv(8, 3, strides=2, padding=1, groups=2)
    x = np.random.default_rng(0).standard_normal((2, 9, 9, 6), np.float32)
    variables = layer.init(jax.random.key(0), x)
    params = variables["params"]
    assert jax.tree.map(jnp.shape, params) == {"kernel": (3, 3, 3, 8), "bias": (8,)}
    params = {"kernel": params["kernel"], "bias": jnp.arange(8.0)}
    want = reference(x, params["kernel"], 2, 1, 1, 2) + np.arange(8.0)
    close(layer.apply({"params": params}, x), want)
    assert "bias" not in Conv(8, 3, use_bias=False).init(jax.random.key(0), x)["params"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("plain", {"groups": 2}, "expected 6 \\* groups channels"),
        ("plain", {"groups": 0}, "groups is 0"),
        ("plain", {"padding": "FULL"}, "padding is 'FULL'"),
        ("plain", {"method": "fast"}, "method is 'fast', expected one of"),
        ("plain", {"method": "shift"}, "'shift' needs groups = 6"),
        ("plain", {"method": "gemm"}, "'gemm' needs an ungrouped 1x1"),
        ("pointwise", {"method": "gemm", "padding": 1}, "'gemm' needs an ungrouped 1x1"),
    ],
)
def test_conv_errors(name, options, message):
    with pytest.raises(ValueError, match=message):
        conv(*operands(name), **options)


# ------------------------------------------------------------------ BatchNorm


def batch(rows=8):
    return np.random.default_rng(1).normal(3.0, 2.0, (rows, 5, 4, 3)).astype(np.float32)


VARIABLES = {
    "params": {"scale": np.float32([1.5, -0.5, 2.0]), "bias": np.float32([0.1, 0.2, 0.3])},
    "batch_stats": {
        "mean": np.float32([1.0, 2.0, 3.0]),
        "var": np.float32([4.0, 1.0, 0.25]),
        "count": np.int32(6),
    },
}


def torch_formulas(x, momentum, epsilon):
    """What torch.nn.BatchNorm2d documents, in float64."""
    x = np.float64(x)
    n = x.size // x.shape[-1]
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    params, stats = VARIABLES["params"], VARIABLES["batch_stats"]
    y = (x - mean) / np.sqrt(var + epsilon) * params["scale"] + params["bias"]
    return y, {
        "mean": (1 - momentum) * stats["mean"] + momentum * mean,
        "var": (1 - momentum) * stats["var"] + momentum * var * n / (n - 1),
        "count": 7,
    }


@pytest.mark.parametrize(("momentum", "epsilon"), [(0.1, 1e-5), (0.05, 1e-3)])
def test_batch_norm_trains_as_torch_does(momentum, epsilon):
    x = batch(2)
    layer = BatchNorm(momentum=momentum, epsilon=epsilon)
    y, updates = layer.apply(VARIABLES, x, train=True, mutable=["batch_stats"])
    want, stats = torch_formulas(x, momentum, epsilon)
    np.testing.assert_allclose(y, want, atol=1e-5)
    assert updates["batch_stats"]["count"].dtype == jnp.int32
    for name, value in stats.items():
        np.testing.assert_allclose(updates["batch_stats"][name], value, rtol=1e-5)


def test_batch_norm_literal():
    x = jnp.array([1.0, 3.0]).reshape(2, 1, 1, 1)  # mean 2, biased variance 1, unbiased 2
    layer = BatchNorm(epsilon=0.0)
    variables = layer.init(jax.random.key(0), x)
    y, updates = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y.ravel(), [-1.0, 1.0])
    stats = updates["batch_stats"]
    np.testing.assert_allclose([stats["mean"][0], stats["var"][0]], [0.2, 1.1], rtol=1e-6)
    assert stats["count"] == 1


def test_frozen_batch_norm_uses_and_keeps_its_statistics():
    x = batch()
    y, updates = BatchNorm().apply(VARIABLES, x, train=False, mutable=["batch_stats"])
    stats, params = VARIABLES["batch_stats"], VARIABLES["params"]
    want = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * params["scale"] + params["bias"]
    np.testing.assert_allclose(y, want, atol=2e-5)
    for name, value in stats.items():
        np.testing.assert_array_equal(updates["batch_stats"][name], value)


def test_initialising_in_training_leaves_fresh_statistics():
    stats = BatchNorm().init(jax.random.key(0), batch(), train=True)["batch_stats"]
    np.testing.assert_array_equal(stats["mean"], np.zeros(3))
    np.testing.assert_array_equal(stats["var"], np.ones(3))
    assert stats["count"] == 0


def test_batch_norm_of_one_value_is_an_error():
    with pytest.raises(ValueError, match="2 values per channel"):
        BatchNorm().apply(VARIABLES, np.ones((1, 1, 1, 3), np.float32), train=True, mutable=True)


def synchronised(axis_name):
    """Output, gradients of a weighted sum, and new statistics."""
    layer = BatchNorm(axis_name=axis_name)

    def loss(params, x, g):
        variables = {"params": params, "batch_stats": VARIABLES["batch_stats"]}
        y, updates = layer.apply(variables, x, train=True, mutable=["batch_stats"])
        return (y * g).sum(), (y, updates["batch_stats"])

    def run(params, x, g):
        if axis_name is not None:
            params = jax.lax.pcast(params, axis_name, to="varying")
        (_, aux), (dp, dx) = jax.value_and_grad(loss, (0, 1), has_aux=True)(params, x, g)
        if axis_name is not None:
            dp = jax.lax.psum(dp, axis_name)
        return dp, aux[1], aux[0], dx

    return run


@pytest.mark.parametrize("how", ["shard_map", "pmap"])
def test_synchronised_batch_norm_equals_one_device(how):
    x = batch()
    g = np.random.default_rng(2).standard_normal(x.shape, np.float32)
    params = VARIABLES["params"]
    want = jax.jit(synchronised(None))(params, x, g)
    run = synchronised("data")
    if how == "shard_map":
        specs = {
            "in_specs": (P(), P("data"), P("data")),
            "out_specs": (P(), P(), P("data"), P("data")),
        }
        got = jax.jit(jax.shard_map(run, mesh=mesh(), **specs))(params, x, g)
    else:
        mapped = jax.pmap(run, axis_name="data", in_axes=(None, 0, 0), out_axes=(None, None, 0, 0))
        split = [a.reshape(4, 2, *a.shape[1:]) for a in (x, g)]
        *same, y, dx = mapped(params, *split)
        got = (*same, y.reshape(x.shape), dx.reshape(x.shape))
    jax.block_until_ready(got)
    assert got[1]["count"] == 7
    assert np.abs(want[3]).max() > 0.1
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), got, want)
    alone = jax.jit(synchronised(None))(params, x[:2], g[:2])
    assert np.abs(np.asarray(alone[2]) - np.asarray(got[2])[:2]).max() > 1e-2


# ------------------------------------------------------------------ pooling, blocks, dtype


def windows(x, size, strides):
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    return view[:, ::strides, ::strides]


@pytest.mark.parametrize(
    ("shape", "size", "strides", "padding"),
    [((2, 9, 12, 3), 3, 2, 0), ((1, 8, 7, 2), 3, 2, 1), ((1, 6, 6, 2), 3, 1, 0)],
)
def test_max_pool_equals_numpy(shape, size, strides, padding):
    x = np.random.default_rng(0).standard_normal(shape, np.float32) - 5  # below a border of zeros
    border = (padding, padding)
    padded = np.pad(x, ((0, 0), border, border, (0, 0)), constant_values=-np.inf)
    got = max_pool(x, size, strides, padding)
    np.testing.assert_array_equal(got, windows(padded, size, strides).max((-1, -2)))


def test_max_pool_gives_the_gradient_to_the_first_of_equals():
    x = np.float32(np.random.default_rng(0).integers(0, 3, (2, 9, 9, 4)))
    weights = np.random.default_rng(1).standard_normal((2, 4, 4, 4), np.float32)
    want = np.zeros_like(x)
    for n, i, j, c in np.ndindex(weights.shape):
        first = x[n, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3, c].argmax()
        want[n, 2 * i + first // 3, 2 * j + first % 3, c] += weights[n, i, j, c]
    got = jax.grad(lambda x: (max_pool(x) * weights).sum())(x)
    np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(("at", "expected"), [(0, [1, 0, 0, 0]), (2, [1, 1, 1, 1])])
def test_max_pool_passes_nan_on(at, expected):
    x = np.zeros((1, 5, 5, 1), np.float32)
    x[0, at, at] = np.nan
    np.testing.assert_array_equal(np.isnan(max_pool(x)).ravel(), np.bool_(expected))


def test_relu6_passes_the_gradient_between_its_ends_alone():
    x = jnp.array([-1.0, 0.0, 0.5, 6.0, 7.0, jnp.nan])
    y, pull = jax.vjp(relu6, x)
    np.testing.assert_array_equal(y, [0, 0, 0.5, 6, 6, np.nan])
    np.testing.assert_array_equal(pull(jnp.full(6, 3.0))[0], [0, 0, 3, 0, 0, 0])


def test_convolution_with_norm_and_activation():
    x = np.random.default_rng(0).standard_normal((2, 9, 9, 6), np.float32)
    layer = ConvNorm(4, 3, 2, padding=1, activation=jax.nn.relu6)
    variables = layer.init(jax.random.key(0), x)
    assert "bias" not in variables["params"]["conv"]
    stats = {"mean": np.float32([0.5] * 4), "var": np.float32([1, 2, 3, 4]), "count": np.int32(0)}
    affine = {"scale": np.float32([1, -2, 3, 9]), "bias": np.float32([0, 1, 2, 3])}
    params = {"conv": variables["params"]["conv"], "bn": affine}
    y = reference(x, params["conv"]["kernel"], 2, 1, 1, 1)
    y = (y - 0.5) / np.sqrt(stats["var"] + 1e-5) * affine["scale"] + affine["bias"]
    got = layer.apply({"params": params, "batch_stats": {"bn": stats}}, x)
    close(got, np.clip(y, 0, 6))
    assert np.max(got) == 6


@pytest.mark.parametrize("layer", [Conv(5, 3), BatchNorm(), ConvNorm(5, 3)])
def test_dtype_is_that_of_the_output_alone(layer):
    x = np.random.default_rng(0).normal(2, 1, (2, 7, 7, 3)).astype(np.float32)
    exact, variables = layer.init_with_output(jax.random.key(0), x)
    rough = layer.clone(dtype="bfloat16")
    assert jax.eval_shape(rough.init, jax.random.key(0), x) == jax.eval_shape(lambda: variables)
    got = rough.apply(variables, x)
    assert exact.dtype == jnp.float32
    assert got.dtype == jnp.bfloat16
    apart = np.abs(np.asarray(got, np.float32) - exact).max() / np.abs(exact).max()
    assert 0 < apart < 0.02


@pytest.mark.parametrize(
    ("train", "trained", "expected"),
    [
        (True, None, True),
        (True, ("layer1", "layer2"), True),
        (True, ("layer1",), False),
        (True, (), False),
        (False, None, False),
        (False, ("layer2",), False),
    ],
)
def test_follows_batch(train, trained, expected):
    assert follows_batch("layer2", train, trained) is expected
