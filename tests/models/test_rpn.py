import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import rpn_numpy as reference
from models.backbones_numpy import relative
from models.rpn_numpy import draw

from siamjax.models.rpn import DepthwiseRPN, DepthwiseXCorr, LevelRPN, UpChannelRPN


def pictures(batch, side, channels, seed=0):
    return np.random.default_rng(seed).standard_normal((batch, side, side, channels), np.float32)


class Whole:
    """A head with its template's half and its search's half in one call."""

    def __init__(self, head):
        self.head = head

    def run(self, module, z, x, train=False):
        return module.respond(module.template(z, train), x, train)

    def variables(self, z, x, seed=0):
        init = lambda key: self.head.init(key, z, x, method=self.run)
        return draw(jax.eval_shape(init, jax.random.key(0)), seed)

    def __call__(self, variables, z, x, **options):
        return self.head.apply(variables, z, x, method=self.run, **options)


@pytest.mark.parametrize("hidden", [3, 4])
def test_up_channel_equals_numpy(hidden):
    z, x = pictures(2, 6, 4), pictures(2, 11, 4, seed=1)
    head = Whole(UpChannelRPN(anchors=3, hidden=hidden))
    variables = head.variables(z, x)
    got = head(variables, z, x)
    expected = reference.up_channel(variables, z, x, hidden)
    assert got["cls"].shape == (2, 6, 6, 3, 2)
    assert got["loc"].shape == (2, 6, 6, 3, 4)
    assert relative(got["cls"], expected["cls"]) < 1e-5
    assert relative(got["loc"], expected["loc"]) < 1e-5


def test_depthwise_equals_numpy():
    z, x = pictures(2, 7, 4), pictures(2, 12, 4, seed=1)
    head = Whole(DepthwiseRPN(anchors=3, hidden=5))
    variables = head.variables(z, x)
    got, expected = head(variables, z, x), reference.depthwise(variables, z, x)
    assert got["cls"].shape == (2, 6, 6, 3, 2)
    assert got["loc"].shape == (2, 6, 6, 3, 4)
    assert relative(got["cls"], expected["cls"]) < 1e-5
    assert relative(got["loc"], expected["loc"]) < 1e-5


@pytest.mark.parametrize("kind", [UpChannelRPN, DepthwiseRPN])
@pytest.mark.parametrize("batches", [(1, 3), (3, 1)])
def test_a_batch_of_one_serves_all(kind, batches):
    z, x = pictures(batches[0], 5, 3), pictures(batches[1], 8, 3, seed=1)
    head = Whole(kind(anchors=2, hidden=4))
    variables = head.variables(z, x)
    got = head(variables, z, x)
    for n in range(3):
        alone = head(variables, z[n % len(z)][None], x[n % len(x)][None])
        for name in ("cls", "loc"):
            assert relative(got[name][n], alone[name][0]) < 1e-5


def test_correlation_can_be_read_at_single_positions():
    z, x = pictures(1, 7, 3), pictures(1, 10, 3, seed=1)
    head = DepthwiseXCorr(features=9, hidden=4)
    template = lambda module, z: module(module.template(z), x)
    variables = draw(jax.eval_shape(lambda k: head.init(k, z, method=template), jax.random.key(0)))
    kernel = head.apply(variables, z, method="template")
    correlation = head.apply(variables, kernel, x, method="correlate")
    assert correlation.shape == (1, 4, 4, 4)
    whole = head.apply(variables, kernel, x)
    cell = head.apply(variables, correlation[:, 1:2, 3:4], method="read")
    assert whole.shape == (1, 4, 4, 9)
    np.testing.assert_allclose(cell[0, 0, 0], whole[0, 1, 3], rtol=1e-5)


def levels(weighted, hidden=(4, 4, 4), count=3):
    z = tuple(pictures(1, 5, 4 + i, seed=i) for i in range(count))
    x = tuple(pictures(1, 8, 4 + i, seed=9 + i) for i in range(count))
    head = Whole(LevelRPN("depthwise", 2, hidden[:count], weighted))
    return head, head.variables(z, x), z, x


def of_level(variables, level):
    return {tree: variables[tree][f"level_{level}"] for tree in ("params", "batch_stats")}


@pytest.mark.parametrize("weighted", [True, False])
def test_levels_are_averaged(weighted):
    head, variables, z, x = levels(weighted, hidden=(4, 6, 3))
    shares = {"cls": np.full(3, 1 / 3), "loc": np.full(3, 1 / 3)}
    if weighted:
        for name in shares:
            grown = np.exp(np.float64(variables["params"][f"{name}_weight"]))
            shares[name] = grown / grown.sum()
        assert not np.allclose(shares["cls"], shares["loc"])
    got = head(variables, z, x)
    each = [reference.depthwise(of_level(variables, i), z[i], x[i]) for i in range(3)]
    for name, share in shares.items():
        expected = sum(share[i] * each[i][name] for i in range(3))
        assert relative(got[name], expected) < 1e-5


def test_parameters_of_levels():
    weighted = levels(True)[1]["params"]
    assert sorted(weighted) == ["cls_weight", "level_0", "level_1", "level_2", "loc_weight"]
    assert weighted["cls_weight"].shape == (3,)
    assert sorted(levels(False)[1]["params"]) == ["level_0", "level_1", "level_2"]
    assert sorted(levels(True, count=1)[1]["params"]) == ["level_0"]
    head, _, z, x = levels(True)
    start = head.head.init(jax.random.key(0), z, x, method=head.run)["params"]
    np.testing.assert_array_equal(start["loc_weight"], np.ones(3))


def test_kernels_start_as_pytorch_starts_them():
    """Uniform within 1 / sqrt(fan in)."""
    z = jnp.zeros((1, 5, 5, 16))
    head = Whole(UpChannelRPN(anchors=2, hidden=16))
    params = head.head.init(jax.random.key(0), z, z, method=head.run)["params"]
    kernel = np.abs(np.asarray(params["template_cls"]["kernel"]))
    assert 0.99 / 12 < kernel.max() <= 1 / 12
    np.testing.assert_allclose(kernel.mean(), 1 / 24, rtol=0.05)
    assert not params["template_cls"]["bias"].any()


@pytest.mark.parametrize("kind", ["up", "depthwise"])
def test_bfloat16_is_near(kind):
    z, x = (pictures(1, 6, 8),), (pictures(1, 9, 8, seed=1),)
    exact, half = (Whole(LevelRPN(kind, 2, (8,), dtype=dtype)) for dtype in ("float32", "bfloat16"))
    variables = exact.variables(z, x)
    near, wanted = half(variables, z, x), exact(variables, z, x)
    for name in ("cls", "loc"):
        assert near[name].dtype == jnp.float32
        assert 1e-5 < relative(near[name], wanted[name]) < 0.02
