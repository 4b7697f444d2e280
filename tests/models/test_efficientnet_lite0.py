import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.models.efficientnet import EfficientNetLite0

# (input, output, kernel, expansion, stride) as the published network's table lists them.
BLOCKS = (
    (32, 16, 3, 1, 1),
    (16, 24, 3, 6, 2),
    (24, 24, 3, 6, 1),
    (24, 40, 5, 6, 2),
    (40, 40, 5, 6, 1),
    (40, 80, 3, 6, 2),
    (80, 80, 3, 6, 1),
    (80, 80, 3, 6, 1),
    (80, 112, 5, 6, 1),
    (112, 112, 5, 6, 1),
    (112, 112, 5, 6, 1),
    (112, 192, 5, 6, 2),
    (192, 192, 5, 6, 1),
    (192, 192, 5, 6, 1),
    (192, 192, 5, 6, 1),
    (192, 320, 3, 6, 1),
)


def random_variables(blocks=16):
    net = EfficientNetLite0(blocks)
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    rng = np.random.default_rng(blocks)

    def draw(path, leaf):
        last = path[-1].key
        if last == "kernel":
            return np.float32(rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape))
        if last == "count":
            return np.zeros(leaf.shape, np.int32)
        # Small variances let BatchNorm's 1e-3 show, high biases reach the 6 of ReLU6.
        low, high = {"var": (0.3, 0.9), "scale": (0.5, 1.5)}.get(last, (-0.5, 5.5))
        return np.float32(rng.uniform(low, high, leaf.shape))

    return net, jax.tree_util.tree_map_with_path(draw, shapes)


def same(x, side, stride):
    """TensorFlow's SAME padding: what is missing, the odd pixel at the end."""
    pads = []
    for length in x.shape[1:3]:
        missing = max((-(-length // stride) - 1) * stride + side - length, 0)
        pads.append((missing // 2, missing - missing // 2))
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    return np.lib.stride_tricks.sliding_window_view(x, (side, side), (1, 2))[:, ::stride, ::stride]


def forward(variables, x):
    """Every stage in float64."""
    params, stats = variables["params"], variables["batch_stats"]

    def norm(x, *path):
        p, s = params, stats
        for key in path:
            p, s = p[key], s[key]
        p, s = p["bn"], s["bn"]
        root = np.sqrt(np.float64(s["var"]) + 1e-3)
        return (x - np.float64(s["mean"])) / root * np.float64(p["scale"]) + np.float64(p["bias"])

    def kernel(*path):
        p = params
        for key in path:
            p = p[key]
        return np.float64(p["conv"]["kernel"])

    relu6 = lambda x: np.clip(x, 0, 6)
    k = kernel("stem")
    x = np.tensordot(same((np.float64(x) - 127) / 128, 3, 2), k, ((4, 5, 3), (0, 1, 2)))
    stages = {"stem": relu6(norm(x, "stem"))}
    x = stages["stem"]
    for index, (inputs, outputs, side, expansion, stride) in enumerate(BLOCKS):
        name = f"block{index}"
        if name not in params:
            break
        y = x
        if expansion > 1:
            y = relu6(norm(y @ kernel(name, "expand")[0, 0], name, "expand"))
        k = kernel(name, "depthwise")[:, :, 0]
        y = relu6(norm(np.einsum("bhwcij,ijc->bhwc", same(y, side, stride), k), name, "depthwise"))
        y = norm(y @ kernel(name, "project")[0, 0], name, "project")
        x = stages[name] = x + y if stride == 1 and inputs == outputs else y
    return stages


@pytest.mark.parametrize("side", [(32, 32), (37, 50)], ids=["even", "odd"])
def test_whole_network_equals_numpy(side):
    net, variables = random_variables()
    x = np.float32(np.random.default_rng(4).integers(0, 256, (2, *side, 3)))
    expected = forward(variables, x)
    got = jax.jit(net.apply)(variables, x)
    assert set(got) == {"stem", *(f"block{i}" for i in range(16))} == set(expected)
    for name, stage in expected.items():
        assert got[name].shape == stage.shape, name
        assert np.abs(np.asarray(got[name]) - stage).max() <= 1e-4 * np.abs(stage).max(), name
    assert any((stage == 6).any() for stage in expected.values())


def test_stages_of_the_tracker():
    net = EfficientNetLite0(11)
    x = jnp.zeros((1, 255, 255, 3))
    stages, variables = jax.eval_shape(lambda key: net.init_with_output(key, x), jax.random.key(0))
    assert len(stages) == 12
    assert stages["stem"].shape == (1, 128, 128, 32)
    assert stages["block4"].shape == (1, 32, 32, 40)
    assert stages["block10"].shape == (1, 16, 16, 112)
    assert "expand" not in variables["params"]["block0"]


def test_parameters_of_every_block():
    net = EfficientNetLite0()
    variables = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    count = lambda tree: sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))
    assert count(variables["params"]["stem"]) == 3 * 9 * 32 + 2 * 32
    total = count(variables["params"]["stem"])
    for index, (inputs, outputs, side, expansion, _) in enumerate(BLOCKS):
        wide = inputs * expansion
        expand = inputs * wide + 2 * wide if expansion > 1 else 0
        expected = expand + side * side * wide + 2 * wide + wide * outputs + 2 * outputs
        assert count(variables["params"][f"block{index}"]) == expected
        total += expected
    # Without the published 4,652,008's head: 1x1 to 1280 channels, its norm, 1000 classes.
    assert count(variables["params"]) == total == 4_652_008 - 322 * 1280 - 1281 * 1000
