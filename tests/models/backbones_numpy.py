"""PySOT's backbones by NumPy in float64, written apart from the package, and what tests share."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np

from siamjax.models.backbones import BACKBONES
from siamjax.weights import names


def windows(x, side, stride=1, dilation=1):
    """[B, h, w, C, side, side] views of [B, H, W, C]."""
    reach = (side - 1) * dilation + 1
    view = np.lib.stride_tricks.sliding_window_view(x, (reach, reach), (1, 2))
    return view[:, ::stride, ::stride, :, ::dilation, ::dilation]


def pad(x, cells, value=0.0):
    border = (cells, cells)
    return np.pad(x, ((0, 0), border, border, (0, 0)), constant_values=value)


def max_pool(x, side, stride, padding=0):
    return windows(pad(np.float64(x), padding, -np.inf), side, stride).max((-1, -2))


def relu6(x):
    return np.clip(x, 0, 6)


def relu(x):
    return np.maximum(x, 0)


class Net:
    """Convolution with BatchNorm by the path of its variables."""

    def __init__(self, variables):
        self.flat = names.flatten(variables)

    def __contains__(self, path):
        return f"params/{path}/conv/kernel" in self.flat

    def __call__(self, x, path, stride=1, padding=0, dilation=1, depthwise=False):
        take = lambda tree, leaf: np.float64(self.flat[f"{tree}/{path}/{leaf}"])
        kernel = take("params", "conv/kernel")
        view = windows(pad(np.float64(x), padding), kernel.shape[0], stride, dilation)
        if depthwise:
            x = np.einsum("bhwcij,ijc->bhwc", view, kernel[:, :, 0])
        else:
            x = np.tensordot(view, kernel, ((4, 5, 3), (0, 1, 2)))
        if f"params/{path}/conv/bias" in self.flat:
            x = x + take("params", "conv/bias")
        root = np.sqrt(take("batch_stats", "bn/var") + 1e-5)
        x = (x - take("batch_stats", "bn/mean")) / root
        return x * take("params", "bn/scale") + take("params", "bn/bias")


def alexnet(variables, x):
    net, stages = Net(variables), {}
    for number, stride in enumerate((2, 1, 1, 1, 1), 1):
        x = net(x, f"conv{number}", stride)
        x = max_pool(x, 3, 2) if number < 3 else x
        x = stages[f"conv{number}"] = relu(x) if number < 5 else x
    return stages


def resnet(variables, x):
    """ResNet of either kind of block; (stride, dilations of the first and the other blocks)."""
    net = Net(variables)
    stages = {"stem": relu(net(x, "stem", 2))}
    x = max_pool(stages["stem"], 3, 2, 1)
    table = {"layer1": (1, 1, 1), "layer2": (2, 1, 1), "layer3": (1, 1, 2), "layer4": (1, 2, 4)}
    for layer, (stride, first, rest) in table.items():
        index = 0
        while f"{layer}/block{index}/conv1" in net:
            at = f"{layer}/block{index}"
            stride, dilation = (stride, first) if index == 0 else (1, rest)
            padding = 0 if stride == 2 else dilation
            if f"{at}/conv3" in net:
                y = relu(net(x, f"{at}/conv1"))
                y = relu(net(y, f"{at}/conv2", stride, padding, dilation))
                y = net(y, f"{at}/conv3")
            else:
                y = relu(net(x, f"{at}/conv1", stride, padding, dilation))
                y = net(y, f"{at}/conv2", 1, rest, rest)
            if f"{at}/downsample" in net:
                options = () if layer == "layer1" else (stride, padding, dilation)
                x = net(x, f"{at}/downsample", *options)
            x = relu(x + y)
            index += 1
        stages[layer] = x
    return stages


def mobilenet(variables, x):
    net = Net(variables)
    x = relu6(net(x, "layer0", 2))
    stages = {"layer0": x}
    strides = (1, 2, 2, 1, 1, 1, 1)
    dilations = ((1, 1), (1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4))
    for number, (stride, (first, rest)) in enumerate(zip(strides, dilations, strict=True), 1):
        index = 0
        while f"layer{number}/block{index}/expand" in net:
            at = f"layer{number}/block{index}"
            stride, dilation = (stride, first) if index == 0 else (1, rest)
            y = relu6(net(x, f"{at}/expand"))
            padding = 0 if stride == 2 else dilation
            y = relu6(net(y, f"{at}/depthwise", stride, padding, dilation, depthwise=True))
            y = net(y, f"{at}/project")
            x = x + y if stride == 1 and x.shape == y.shape else y
            index += 1
        stages[f"layer{number}"] = x
    return stages


# ------------------------------------------------------------------ what the tests share


def picture(side, batch=1, seed=0):
    return np.float32(np.random.default_rng(seed).integers(0, 256, (batch, side, side, 3)))


def shapes_of(net, side=127):
    return jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))


def draw(net, seed=0):
    """Weights and running statistics away from their initial ones and zeros."""
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        last = path[-1].key
        if last == "kernel":
            gain = 1 / 64 if leaf.shape[2] == 3 else 1.4
            return np.float32(rng.normal(0, gain * np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape))
        if last == "count":
            return np.zeros(leaf.shape, np.int32)
        low, high = {"var": (0.5, 1.5), "scale": (0.5, 1.5)}.get(last, (-0.2, 0.2))
        return np.float32(rng.uniform(low, high, leaf.shape))

    return jax.tree_util.tree_map_with_path(fill, shapes_of(net))


def relative(got, want):
    """Largest absolute difference over the largest absolute value of `want`."""
    want = np.asarray(want)
    assert np.shape(got) == want.shape
    return np.abs(np.asarray(got) - want).max() / np.abs(want).max()


def parameters(tree):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def golden(shared, case, backbone, rules, prefix="backbone.", layers=None):
    """The stages of both crops of a golden network, and its file."""
    spec = importlib.util.spec_from_file_location("weights", shared / "golden" / "weights.py")
    drawn = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawn)
    folder = shared / "golden" / "models"
    numbers = np.load(folder / f"{case}.npz")
    keys = drawn.load_spec(folder / f"{case}.keys.json")
    keys = {key: shape for key, shape in keys.items() if key.startswith(prefix)}
    state_dict = drawn.state_dict(keys, int(numbers["seed"]))
    net = BACKBONES[backbone].make(layers=layers)
    family = names.Family(case, rules)
    table = names.entries(names.flatten(shapes_of(net)), family)
    assert names.describe_mismatch(state_dict, table, family) == ""
    variables = names.to_variables(state_dict, table)
    run = jax.jit(net.apply)
    return {side: run(variables, np.float32(numbers[side])) for side in "zx"}, numbers


def check_stage(stage, numbers, key):
    """Compare one stage [B, h, w, c] with shape, mean, deviation and probe of a PyTorch module."""
    probe, mean_std = numbers[f"{key}/probe"], numbers[f"{key}/mean_std"]
    stage = np.asarray(stage)
    batch, channels, height, width = numbers[f"{key}/shape"]
    assert stage.shape == (batch, height, width, channels)
    assert relative(stage[0, height // 2, width // 2, :16], probe) <= 1e-4
    found = np.float64([stage.mean(dtype=np.float64), stage.std(dtype=np.float64)])
    np.testing.assert_allclose(found, mean_std, rtol=1e-4)
