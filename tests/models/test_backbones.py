import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import backbones_numpy as reference

from siamjax.models.backbones import BACKBONES

# Width, and the deepest stage of the tests that compile: enough for every kind of block.
NARROW = {
    "alexnet": (1 / 24, "conv5"),
    "resnet18": (1 / 8, "layer2"),
    "mobilenetv2": (1 / 4, "layer2"),
    "efficientnet-lite0": (1 / 4, "block2"),
}
RESNET = {127: (61, 31, 15, 15, 15), 255: (125, 63, 31, 31, 31), 831: (413, 207, 103, 103, 103)}


def narrow(name, **options):
    width, last = NARROW[name]
    return BACKBONES[name].make(width=width, layers=(last,), **options)


@pytest.mark.parametrize(
    ("name", "side", "sizes"),
    [
        ("alexnet", 127, (29, 12, 10, 8, 6)),
        ("alexnet", 255, (61, 28, 26, 24, 22)),
        ("alexnet", 271, (65, 30, 28, 26, 24)),
        ("alexnet", 287, (69, 32, 30, 28, 26)),
        ("resnet18", 127, RESNET[127]),
        ("resnet34", 255, RESNET[255]),
        *(("resnet50", side, sizes) for side, sizes in RESNET.items()),
        ("mobilenetv2", 127, (63, 63, 31, *[15] * 5)),
        ("mobilenetv2", 255, (127, 127, 63, *[31] * 5)),
        ("efficientnet-lite0", 127, (64, 64, 32, 32, 16, 16, *[8] * 6)),
        ("efficientnet-lite0", 255, (128, 128, 64, 64, 32, 32, *[16] * 6)),
    ],
)
def test_published_sizes(name, side, sizes):
    spec = BACKBONES[name]
    net = spec.make()
    stages = jax.eval_shape(
        lambda key: net.init_with_output(key, jnp.zeros((2, side, side, 3)))[0], jax.random.key(0)
    )
    built = list(spec.strides)[: len(sizes)]
    assert set(stages) == set(built)
    for stage, size in zip(built, sizes, strict=True):
        assert stages[stage].shape == (2, size, size, spec.channels[stage])
        assert stages[stage].dtype == jnp.float32
    assert set(spec.layers) <= set(built)


@pytest.mark.parametrize("name", BACKBONES)
def test_strides_by_the_period_of_the_features(name):
    """A picture longer by sixteen strides gives sixteen more cells."""
    spec = BACKBONES[name]
    last = list(spec.strides)[-1]
    net = spec.make(width=1 / 16, layers=(last,))
    sizes = [
        jax.eval_shape(
            lambda key, side=side: net.init_with_output(key, jnp.zeros((1, side, side, 3)))[0],
            jax.random.key(0),
        )
        for side in (191, 191 + 128)
    ]
    for stage, stride in spec.strides.items():
        assert sizes[1][stage].shape[1] - sizes[0][stage].shape[1] == 128 / stride, stage


def depthwise_rpn(inputs, anchors=5):
    """Parameters of one depthwise head pair of 256 channels, as published."""
    branch = 2 * (9 * inputs * 256 + 2 * 256) + 256 * 256 + 2 * 256
    return sum(branch + (256 + 1) * outputs * anchors for outputs in (2, 4))


def neck(channels):
    return sum(inputs * 256 + 2 * 256 for inputs in channels)


@pytest.mark.parametrize(
    ("name", "options", "whole", "rest"),
    [
        ("alexnet", {}, 6_251_102, depthwise_rpn(256)),
        ("resnet50", {}, 53_950_624, neck((512, 1024, 2048)) + 3 * depthwise_rpn(256) + 6),
        ("mobilenetv2", {}, 11_150_446, neck((44, 134, 448)) + 3 * depthwise_rpn(256)),
        ("alexnet", {}, 22_632_932, (9 * 256 + 1) * 256 * 32 + 420),
        ("alexnet", {"width": 2.0}, 90_436_132, (9 * 512 + 1) * 512 * 32 + 420),
    ],
    ids=["siamrpn", "siamrpnpp", "mobilenet", "dasiamrpn", "dasiamrpn-big"],
)
def test_published_numbers_of_parameters(name, options, whole, rest):
    net = BACKBONES[name].make(**options)
    assert reference.parameters(reference.shapes_of(net)["params"]) == whole - rest


@pytest.mark.parametrize("name", BACKBONES)
def test_only_what_is_wanted_is_built(name):
    spec = BACKBONES[name]
    names = list(spec.strides)
    width = 1 / 16
    for index in (0, 2, len(names) - 1):
        net = spec.make(width=width, layers=(names[index], names[0]))
        assert set(reference.shapes_of(net)["params"]) == set(names[: index + 1])
    assert spec.make(width=width) == spec.make(width=width)
    assert hash(spec.make(width=width)) == hash(spec.make(width=width))


def run(net, variables, image, train=False):
    """Stages and updated statistics."""
    apply = lambda v, x: net.apply(v, x, train=train, mutable=["batch_stats"])
    stages, updates = jax.jit(apply)(variables, image)
    return stages, updates["batch_stats"]


def moved(old, new):
    return set(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), old, new)))


@pytest.mark.parametrize("name", NARROW)
def test_trained_says_whose_norms_follow_the_batch(name):
    image = reference.picture(95, batch=2)
    variables = reference.draw(narrow(name))
    evaluated, _ = run(narrow(name), variables, image)
    frozen, statistics = run(narrow(name, trained=()), variables, image, train=True)
    jax.tree.map(np.testing.assert_array_equal, statistics, variables["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, frozen, evaluated)

    first, second, *_, last = (n for n in BACKBONES[name].strides if n in evaluated)
    some, statistics = run(narrow(name, trained=(last, second)), variables, image, train=True)
    for stage, old in variables["batch_stats"].items():
        assert moved(old, statistics[stage]) == {stage in (last, second)}, stage
    np.testing.assert_array_equal(some[first], evaluated[first])
    assert reference.relative(some[second], evaluated[second]) > 1e-2

    whole, statistics = run(narrow(name), variables, image, train=True)
    assert moved(variables["batch_stats"], statistics) == {True}
    assert reference.relative(whole[first], evaluated[first]) > 1e-2


@pytest.mark.parametrize("name", NARROW)
def test_bfloat16_is_close(name):
    image = reference.picture(127)
    variables = reference.draw(narrow(name))
    rough, _ = run(narrow(name, dtype="bfloat16"), variables, image)
    exact, _ = run(narrow(name), variables, image)
    for stage, want in exact.items():
        assert rough[stage].dtype == jnp.float32
        assert 1e-4 < reference.relative(rough[stage], want) < 4e-2, stage


def gradients(net, variables, image):
    """Of a weighted sum of the last stage."""
    weights = np.random.default_rng(1).standard_normal((2, 2, 2, 11), np.float32)

    def loss(params):
        given = {**variables, "params": params}
        return (net.apply(given, image)["conv5"] * weights).sum()

    return jax.grad(loss)(variables["params"])


@pytest.mark.parametrize("name", NARROW)
def test_bfloat16_keeps_float32_variables(name):
    net, exact = narrow(name, dtype="bfloat16"), narrow(name)
    variables = reference.shapes_of(exact)
    assert reference.shapes_of(net) == variables
    image = jnp.zeros((2, 95, 95, 3))
    apply = lambda v, x: net.apply(v, x, train=True, mutable=["batch_stats"])[1]
    assert jax.eval_shape(apply, variables, image)["batch_stats"] == variables["batch_stats"]


def test_bfloat16_has_float32_gradients():
    image = reference.picture(95, batch=2)
    variables = reference.draw(narrow("alexnet"))
    compute = jax.jit(gradients, static_argnums=0)
    rough = compute(narrow("alexnet", dtype="bfloat16"), variables, image)
    exact = compute(narrow("alexnet"), variables, image)
    assert {leaf.dtype for leaf in jax.tree.leaves(rough)} == {np.dtype("float32")}
    for stage in ("conv3", "conv4", "conv5"):  # before them, roundings move the pools' maxima
        got, want = (np.float64(tree[stage]["conv"]["kernel"]) for tree in (rough, exact))
        assert 1e-4 < np.linalg.norm(got - want) / np.linalg.norm(want) < 0.03


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "mobilenetv2"])
def test_vmap_equals_loop(name):
    net = narrow(name)
    variables = reference.draw(net)
    images = reference.picture(95, batch=4).reshape(2, 2, 95, 95, 3)
    single = jax.jit(net.apply)
    mapped = jax.jit(jax.vmap(net.apply, (None, 0)))(variables, images)
    for index, image in enumerate(images):
        for stage, want in single(variables, image).items():
            assert reference.relative(mapped[stage][index], want) <= 2e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ("layer9",)}, "layers holds 'layer9', expected some of"),
        ({"layers": ()}, "layers is empty"),
        ({"trained": ("layer1", "conv1")}, "trained holds 'conv1'"),
        ({"dtype": "float16"}, "dtype is 'float16', expected one of"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        BACKBONES["resnet50"].make(**options)


def test_colour_order():
    rgb = [name for name, spec in BACKBONES.items() if not spec.bgr]
    assert rgb == ["efficientnet-lite0"]
