"""PySOT's and DaSiamRPN's heads by NumPy in float64, channels in PyTorch's order."""

import jax
import numpy as np
from models.backbones_numpy import Net, relu, windows

from siamjax.weights.names import flatten


def convolve(variables, path, x):
    """A convolution with bias and without padding."""
    flat = flatten(variables)
    kernel = np.float64(flat[f"params/{path}/kernel"])
    view = windows(np.float64(x), kernel.shape[0])
    return np.tensordot(view, kernel, ((4, 5, 3), (0, 1, 2))) + flat[f"params/{path}/bias"]


def class_major(x, numbers):
    """[B, y, x, numbers * A] as (numbers, A): the value n of anchor a is channel n * A + a."""
    count = x.shape[3] // numbers
    out = np.empty((*x.shape[:3], count, numbers))
    for n in range(numbers):
        for a in range(count):
            out[..., a, n] = x[..., n * count + a]
    return out


def up_channel(variables, z, x, hidden):
    """Channel k * hidden + c of the raised template is channel c of kernel k."""
    result = {}
    for name, numbers in (("cls", 2), ("loc", 4)):
        kernels = convolve(variables, f"template_{name}", z)
        search = convolve(variables, f"search_{name}", x)
        count, side = kernels.shape[3] // hidden, kernels.shape[1]
        size = search.shape[1] - side + 1
        out = np.empty((len(x), size, size, count))
        for b in range(len(x)):
            for k in range(count):
                one = kernels[b, ..., k * hidden : (k + 1) * hidden]
                for i in range(size):
                    for j in range(size):
                        out[b, i, j, k] = (search[b, i : i + side, j : j + side] * one).sum()
        if name == "loc":
            out = convolve(variables, "loc_adjust", out)
        result[name] = class_major(out, numbers)
    return result


def depthwise(variables, z, x):
    """Every channel of the template slides over the same channel of the search window."""
    net, result = Net(variables), {}
    for name, numbers in (("cls", 2), ("loc", 4)):
        kernel = relu(net(z, f"{name}/conv_kernel"))
        search = relu(net(x, f"{name}/conv_search"))
        side = kernel.shape[1]
        out = np.einsum("bhwcij,bijc->bhwc", windows(search, side), kernel)
        out = convolve(variables, f"{name}/out", relu(net(out, f"{name}/fuse")))
        result[name] = class_major(out, numbers)
    return result


# ------------------------------------------------------------------ what the tests share


def draw(shapes, seed=0):
    """Weights and statistics between 0.5 and 1.5, counts of zero."""
    rng = np.random.default_rng(seed)

    def fill(leaf):
        if np.issubdtype(leaf.dtype, np.integer):
            return np.zeros(leaf.shape, leaf.dtype)
        return rng.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype)

    return jax.tree.map(fill, shapes)


def draw_net(net, z, x, seed=0):
    """Weights of a whole network that keep the size of its activations, statistics near theirs."""
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

    shapes = jax.eval_shape(net.init, jax.random.key(0), z, x)
    return jax.tree_util.tree_map_with_path(fill, shapes)
