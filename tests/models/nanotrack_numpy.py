"""NanoTrack's network by NumPy in float64, written apart from the package."""

import jax
import numpy as np
from models.backbones_numpy import Net, pad, relu, relu6, windows

from siamjax.weights.names import flatten

# kernel, expands, squeezes, activation, stride
BLOCKS = (
    *((3, False, True, "relu", 2), (3, True, False, "relu", 2), (3, True, False, "relu", 1)),
    (5, True, True, "swish", 2),
    *[(5, True, True, "swish", 1)] * 5,
)


def draw(net, *sides, seed=0):
    """Weights and running statistics away from their initial ones and zeros."""
    rng = np.random.default_rng(seed)
    images = [np.zeros((1, side, side, 3), np.float32) for side in sides]

    def fill(path, leaf):
        last = path[-1].key
        if last == "kernel":
            gain = 1 / 64 if leaf.shape[-2] == 3 else 1.4
            return np.float32(rng.normal(0, gain * np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape))
        if last == "count":
            return np.zeros(leaf.shape, np.int32)
        low, high = {"var": (0.5, 1.5), "scale": (0.5, 1.5)}.get(last, (-0.2, 0.2))
        return np.float32(rng.uniform(low, high, leaf.shape))

    shapes = jax.eval_shape(net.init, jax.random.key(0), *images)
    return jax.tree_util.tree_map_with_path(fill, shapes)


def sigmoid6(x):
    return np.clip(x + 3, 0, 6) / 6


def swish6(x):
    return x * sigmoid6(x)


class Numbers:
    """Layers by the path of their variables."""

    def __init__(self, variables, root):
        self.flat, self.root = flatten(variables), root
        self.norm = Net(variables)

    def take(self, path):
        return np.float64(self.flat[f"params/{self.root}{path}"])

    def block(self, x, path, *options, **named):
        return self.norm(x, f"{self.root}{path}", *options, **named)

    def affine(self, x, path):
        """A 1x1 convolution or a dense layer, with bias."""
        kernel = self.take(f"{path}/kernel")
        return x @ kernel.reshape(kernel.shape[-2:]) + self.take(f"{path}/bias")

    def depthwise(self, x, path, padding):
        kernel = self.take(f"{path}/kernel")
        view = windows(pad(np.float64(x), padding), kernel.shape[0])
        return np.einsum("bhwcij,ijc->bhwc", view, kernel[:, :, 0])

    def normed(self, x, path):
        """BatchNorm alone."""
        stats = {
            leaf: np.float64(self.flat[f"batch_stats/{self.root}{path}/{leaf}"])
            for leaf in ("mean", "var")
        }
        x = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
        return x * self.take(f"{path}/scale") + self.take(f"{path}/bias")


def backbone(variables, x, count, root="backbone/"):
    """Stages of the stem and `count` blocks."""
    net = Numbers(variables, root)
    stages = {"stem": swish6(net.block(x, "stem", 2, 1))}
    x = stages["stem"]
    for number, (side, expands, squeezes, name, stride) in enumerate(BLOCKS[:count], 1):
        at = f"block{number}"
        activate = relu if name == "relu" else swish6
        y = activate(net.block(x, f"{at}/expand")) if expands else x
        y = net.block(y, f"{at}/depthwise", stride, side // 2, depthwise=True)
        y = y if expands else activate(y)
        if squeezes:
            gate = relu(net.affine(y.mean((1, 2)), f"{at}/squeeze/reduce"))
            gate = sigmoid6(net.affine(gate, f"{at}/squeeze/expand"))
            y = y * gate[:, None, None]
        y = net.block(activate(y) if expands else y, f"{at}/project")
        x = stages[at] = x + y if stride == 1 and x.shape == y.shape else y
    return stages


def branch(variables, root, z, x, version):
    """Outputs [B, y, x, n] of one branch on backbone features."""
    net = Numbers(variables, f"{root}/")
    kernel, search = net.block(z, "pixel_kernel"), net.block(x, "pixel_search")
    side = z.shape[1]
    y = np.empty((*search.shape[:3], side * side))
    for position in range(side * side):
        row, column = divmod(position, side)
        y[..., position] = np.sum(search * kernel[:, row, column][:, None, None], -1)
    gate = relu(net.affine(y.mean((1, 2)), "attention/fc1"))
    gate = 1 / (1 + np.exp(-net.affine(gate, "attention/fc2")))
    y = y * gate[:, None, None]
    if version == 3:
        y = relu6(net.normed(net.depthwise(y, "mix/corner", 0), "mix/bn"))
        y = net.block(y, "mix/adjust")
        edge = (side - 4) // 2
        kernel = net.block(z, "depth_kernel")[:, edge : side - edge, edge : side - edge]
        view = windows(pad(net.block(x, "depth_search"), 1), 4)
        depth = np.einsum("bhwcij,bijc->bhwc", view, kernel)
        y = net.affine(np.concatenate([y, depth], -1), "down")
    for number in range(6):
        at = f"blocks_{number}"
        y = net.depthwise(y, f"{at}/depth", 1)
        if version == 3:
            y = net.block(relu6(net.normed(y, f"{at}/bn")), f"{at}/point")
        else:
            y = relu6(net.block(y, f"{at}/point"))
    return net.affine(y, "out")


def network(variables, z, x, version):
    """Raw outputs of RGB crops, as `NanoTrackNet` gives them."""
    count = 8 if version == 2 else 9
    z, x = (backbone(variables, image[..., ::-1], count)[f"block{count}"] for image in (z, x))
    cls, loc = (branch(variables, name, z, x, version) for name in ("cls", "loc"))
    return {"cls": cls[..., None, :], "loc": np.exp(loc)[..., None, :]}
