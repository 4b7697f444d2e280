import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import backbones_numpy
from track import siamfc_numpy

from siamjax.models.alexnet import LAYOUTS, PySOTAlexNet
from siamjax.models.siamfc import SiamFCNet

WIDTH = 1 / 24


def random_variables(net, side, seed=0):
    """Weights and BatchNorm statistics away from their initial ones and zeros."""
    shape = jnp.zeros((1, side, side, 3))
    shapes = jax.eval_shape(net.init, jax.random.key(0), shape, shape)
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        last = path[-1].key
        if last == "kernel":
            fan_in = np.prod(leaf.shape[:-1])
            return np.float32(rng.normal(0, fan_in**-0.5, leaf.shape))
        if last == "count":
            return np.zeros(leaf.shape, np.int32)
        low, high = {"var": (0.5, 2), "scale": (0.5, 1.5)}.get(last, (-0.5, 0.5))
        return np.float32(rng.uniform(low, high, leaf.shape))

    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_network_equals_numpy(version):
    net = SiamFCNet(f"alexnet-v{version}", WIDTH)
    variables = random_variables(net, 95)
    rng = np.random.default_rng(1)
    z, x = (np.float32(rng.integers(0, 256, (2, side, side, 3))) for side in (95, 132))
    run = jax.jit(lambda v, images: net.bind(v).backbone(images))
    wanted = [siamfc_numpy.alexnet(version, variables, images) for images in (z, x)]
    for images, expected in zip((z, x), wanted, strict=True):
        stages = run(variables, images)
        assert sorted(stages) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
        for number, stage in enumerate(expected, 1):
            got = stages[f"conv{number}"]
            assert got.shape == stage.shape
            assert np.abs(np.asarray(got) - stage).max() <= 1e-4 * np.abs(stage).max()
    response = 0.001 * siamfc_numpy.correlate(wanted[0][-1], wanted[1][-1])
    got = jax.jit(net.apply)(variables, z, x)
    assert got.shape == response.shape
    assert np.abs(np.asarray(got) - response).max() <= 1e-4 * np.abs(response).max()


@pytest.mark.parametrize(
    ("version", "template", "search", "parameters"),
    [
        (1, (6, 6, 256), (22, 22, 256), 2_336_320),  # the count of siamfc-pytorch itself
        (2, (17, 17, 32), (49, 49, 32), None),
        (3, (6, 6, 512), (22, 22, 512), None),
    ],
)
def test_published_shapes(version, template, search, parameters):
    net = SiamFCNet(f"alexnet-v{version}")
    z, x = (jnp.zeros((1, side, side, 3)) for side in (127, 255))
    variables = jax.eval_shape(net.init, jax.random.key(0), z, x)
    embed = lambda method: jax.eval_shape(lambda v, a: net.apply(v, a, method=method), variables, z)
    assert embed("template").shape == (1, *template)
    found = jax.eval_shape(lambda v, a: net.apply(v, a, method="search"), variables, x)
    assert found.shape == (1, *search)
    if parameters:
        leaves = jax.tree.leaves(variables["params"])
        assert sum(np.prod(leaf.shape) for leaf in leaves) == parameters
    widths = [
        variables["params"]["backbone"][f"conv{n}"]["conv"]["bias"].shape[0] for n in range(1, 6)
    ]
    assert tuple(widths) == LAYOUTS[f"alexnet-v{version}"].widths
    has_norm = "bn" in variables["params"]["backbone"]["conv5"]
    assert has_norm == (version == 3)


def test_features_shift_with_the_picture():
    net = SiamFCNet("alexnet-v1", WIDTH)
    variables = random_variables(net, 95)
    picture = np.float32(np.random.default_rng(2).integers(0, 256, (1, 111, 111, 3)))
    search = jax.jit(lambda x: net.apply(variables, x, method="search"))
    whole = np.asarray(search(picture[:, :103, :103]))
    moved = np.asarray(search(picture[:, 8:, 8:]))
    np.testing.assert_allclose(whole[:, 1:, 1:], moved[:, :-1, :-1], atol=1e-3)


def test_fresh_weights_are_xavier_uniform():
    net = SiamFCNet("alexnet-v1", 0.1)
    shape = jnp.zeros((1, 95, 95, 3))
    params = jax.jit(net.init)(jax.random.key(5), shape, shape)["params"]["backbone"]
    for name, layer in params.items():
        kernel = np.asarray(layer["conv"]["kernel"])
        area = kernel.shape[0] * kernel.shape[1]
        limit = np.sqrt(6 / (area * (kernel.shape[2] + kernel.shape[3])))
        assert 0.97 * limit < np.abs(kernel).max() <= limit, name
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05), name
        assert not np.asarray(layer["conv"]["bias"]).any()


# ------------------------------------------------------------------ PySOT's

NEW_NAMES = ((r"conv(\d)/conv", r"backbone.layer\1.0"), (r"conv(\d)/bn", r"backbone.layer\1.1"))
PLACES = {"conv1": (0, 3), "conv2": (4, 7), "conv3": (8, 10), "conv4": (11, 13), "conv5": (14, 15)}
"""Indices in the one `Sequential` of the old names: the stage's convolution, its last module."""


def old_names(prefix):
    return tuple(
        (f"{stage}/{kind}", f"{prefix}{first + after}")
        for stage, (first, _) in PLACES.items()
        for after, kind in enumerate(("conv", "bn"))
    )


def test_pysot_network_equals_numpy():
    net = PySOTAlexNet(width=1 / 24)
    variables = backbones_numpy.draw(net)
    image = backbones_numpy.picture(103, batch=2)
    stages = jax.jit(net.apply)(variables, image)
    wanted = backbones_numpy.alexnet(variables, image)
    assert set(stages) == set(wanted) == {"conv1", "conv2", "conv3", "conv4", "conv5"}
    for name, want in wanted.items():
        assert backbones_numpy.relative(stages[name], want) <= 2e-5, name
    assert np.min(stages["conv4"]) == 0
    assert np.min(stages["conv5"]) < 0


@pytest.mark.parametrize(
    ("case", "prefix", "keys"),
    [
        pytest.param("siamrpn_alex_up", "backbone.", None, marks=pytest.mark.slow),
        pytest.param("siamrpn_alex_dwxcorr", "backbone.features.", PLACES, marks=pytest.mark.slow),
        ("dasiamrpn_vot", "featureExtract.", PLACES),
    ],
)
def test_pysot_golden_stages(shared, case, prefix, keys):
    rules = old_names(prefix) if keys else NEW_NAMES
    stages, numbers = backbones_numpy.golden(shared, case, "alexnet", rules, prefix)
    for side, found in stages.items():
        for name, stage in found.items():
            module = keys[name][1] if keys else f"layer{name[-1]}"
            backbones_numpy.check_stage(stage, numbers, f"stage/{side}/{prefix}{module}")


def test_pysot_widths():
    for width, expected in ((1.0, [96, 256, 384, 384, 256]), (2.0, [192, 512, 768, 768, 512])):
        params = backbones_numpy.shapes_of(PySOTAlexNet(width=width))["params"]
        assert [params[f"conv{n}"]["conv"]["bias"].shape[0] for n in range(1, 6)] == expected


def test_pysot_features_shift_with_the_picture():
    net = PySOTAlexNet(width=1 / 24)
    variables = backbones_numpy.draw(net)
    image = backbones_numpy.picture(135)
    run = jax.jit(lambda x: net.apply(variables, x)["conv5"])
    whole, moved = np.asarray(run(image[:, :127, :127])), np.asarray(run(image[:, 8:, 8:]))
    assert whole.shape[1:3] == (6, 6)
    np.testing.assert_allclose(whole[:, 1:, 1:], moved[:, :-1, :-1], atol=1e-4)


def test_pysot_fresh_weights_are_those_of_pytorch():
    net = PySOTAlexNet(width=0.1)
    params = jax.jit(net.init)(jax.random.key(5), jnp.zeros((1, 127, 127, 3)))["params"]
    for name, layer in params.items():
        kernel, bias = (np.asarray(layer["conv"][leaf]) for leaf in ("kernel", "bias"))
        limit = np.prod(kernel.shape[:3]) ** -0.5
        assert 0.97 * limit < np.abs(kernel).max() <= limit, name
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05), name
        assert 0.5 * limit < np.abs(bias).max() <= limit, name
