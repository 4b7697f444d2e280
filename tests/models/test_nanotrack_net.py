import functools
import importlib.util

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import nanotrack_numpy as reference
from models.backbones_numpy import check_stage, picture, relative

from siamjax import weights
from siamjax.models.mobilenetv3 import MobileNetV3, eights, hard_sigmoid, hard_swish
from siamjax.models.nanotrack import NanoTrackNet, correlate_pixels
from siamjax.track import zoo

# Narrow networks on small windows: 95 px to 6x6, 127 to 8x8.
WIDTH = 0.2


@pytest.mark.parametrize("version", [2, 3])
def test_network_equals_numpy(version):
    net, variables = drawn_net(version)
    z, x = picture(127), picture(191, batch=2, seed=1)
    raw = jax.jit(net.apply)(variables, z, x)  # one template serves both windows
    wanted = reference.network(variables, np.repeat(z, 2, 0), x, version)
    side = 12 if version == 2 else 11
    assert raw["cls"].shape == (2, side, side, 1, 2)
    assert raw["loc"].shape == (2, side, side, 1, 4)
    for name, want in wanted.items():
        assert raw[name].dtype == jnp.float32
        assert relative(raw[name], want) <= 2e-5, name


def drawn_net(version, dtype="float32"):
    net = NanoTrackNet(version, WIDTH, dtype)
    return net, reference.draw(net, 127, 127)


def test_backbone_equals_numpy():
    net = MobileNetV3(width=0.5)
    variables = reference.draw(net, 63)
    image = picture(63)
    stages = jax.jit(net.apply)(variables, image)
    wanted = reference.backbone(variables, image, 9, root="")
    assert sorted(stages) == sorted(wanted) == [*(f"block{n}" for n in range(1, 10)), "stem"]
    for stage, want in wanted.items():
        assert relative(stages[stage], want) <= 2e-5, stage


def test_stages_that_follow_the_batch():
    net = MobileNetV3(blocks=2, width=0.5, trained=("block2",))
    variables = reference.draw(net, 63)
    train = jax.jit(lambda v, x: net.apply(v, x, True, mutable=["batch_stats"]))
    _, moved = train(variables, picture(63, batch=2))
    counts = {name: jax.tree.leaves(tree)[0] for name, tree in moved["batch_stats"].items()}
    assert {name: int(count) for name, count in counts.items()} == {
        "stem": 0, "block1": 0, "block2": 1,
    }  # fmt: skip


def test_bfloat16_keeps_parameters_and_outputs_in_float32():
    net, variables = drawn_net(2, "bfloat16")
    z, x = picture(127), picture(127, seed=1)
    raw = jax.jit(net.apply)(variables, z, x)
    exact = reference.network(variables, z, x, 2)
    assert all(leaf.dtype != jnp.bfloat16 for leaf in jax.tree.leaves(variables))
    for name in ("cls", "loc"):
        assert raw[name].dtype == jnp.float32
        assert 1e-6 < relative(raw[name], exact[name]) < 0.2


def test_pixel_correlation_by_hand():
    kernel = np.float32([[[[1, 2]], [[3, -1]]]])  # two positions, one below the other
    search = np.float32([[[[1, 0], [0, 1], [2, 2]]]])
    np.testing.assert_array_equal(correlate_pixels(kernel, search), [[[[1, 3], [2, -1], [6, 4]]]])


@pytest.mark.parametrize(
    ("x", "sigmoid", "swish"),
    [(-4.0, 0, 0), (-3.0, 0, 0), (-1.0, 1 / 3, -1 / 3), (0.0, 0.5, 0), (3.0, 1, 3), (5.0, 1, 5)],
)
def test_activations(x, sigmoid, swish):
    assert float(hard_sigmoid(jnp.float32(x))) == pytest.approx(sigmoid, abs=1e-6)
    assert float(hard_swish(jnp.float32(x))) == pytest.approx(swish, abs=1e-6)


def test_rounding_of_channels():
    wanted = {4: 8, 11: 16, 12: 16, 36: 40, 60: 64, 72: 72, 88.08: 88, 100: 104}
    assert {channels: eights(channels) for channels in wanted} == wanted


# ------------------------------------------------------------------ published numbers and weights


@pytest.fixture(scope="module")
def numbers(shared):
    return np.load(shared / "golden" / "models" / "nanotrack_v3.npz")


def drawn(shared, seed):
    spec = importlib.util.spec_from_file_location("weights", shared / "golden" / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    keys = module.load_spec(shared / "golden" / "models" / "nanotrack_v3.keys.json")
    return module.state_dict(keys, seed)


@functools.partial(jax.jit, static_argnums=0)
def respond(tracker, variables, z, x):
    return tracker.respond(variables, tracker.template(variables, z), x)


@pytest.mark.parametrize("prefix", ["", "real/"])
def test_golden_outputs(shared, numbers, prefix):
    tracker = zoo.tracker("nanotrack-v3")
    if prefix:
        state_dict = weights.read_torch(shared / "weights" / "nanotrack" / "nanotrackv3.pth")
    else:
        state_dict = drawn(shared, int(numbers["seed"]))
    variables = weights.from_torch(state_dict, tracker)
    z, x = (np.float32(numbers[name][..., ::-1]) for name in "zx")
    backbone = {tree: leaves["backbone"] for tree, leaves in variables.items()}
    found, run = {}, jax.jit(MobileNetV3().apply)
    for side, image in (("z", z), ("x", x)):
        stages = run(backbone, image[..., ::-1])
        for index in range(1, 10):
            check_stage(
                stages[f"block{index}"], numbers, f"stage/{prefix}{side}/backbone.features.{index}"
            )
        found[side] = stages["block9"]
    assert relative(found["z"], numbers[f"{prefix}zf"].transpose(0, 2, 3, 1)) <= 2e-5
    raw = respond(tracker, variables, z, x)
    for name in ("cls", "loc"):
        want = numbers[f"{prefix}{name}"].transpose(0, 2, 3, 1)[..., None, :]
        assert relative(raw[name], want) <= 2e-5


def test_version_2_equals_the_published_onnx_files(shared, numbers):
    folder = shared / "weights" / "nanotrack"
    tracker = zoo.tracker("nanotrack-v2")
    variables = weights.from_torch(weights.read_torch(folder / "nanotrackv2.pth"), tracker)
    backbone, head = (
        cv2.dnn.readNet(str(folder / f"nanotrackv2_{part}.onnx")) for part in ("backbone", "head")
    )

    def embed(image):
        backbone.setInput(np.ascontiguousarray(np.float32(image).transpose(0, 3, 1, 2)))
        return backbone.forward().copy()

    for number, name in enumerate("zx", 1):  # in BGR, as the weights were trained
        head.setInput(embed(numbers[name]), f"input{number}")
    wanted = dict(zip(("cls", "loc"), head.forward(("output1", "output2")), strict=True))
    z, x = (np.float32(numbers[name][..., ::-1]) for name in "zx")
    raw = respond(tracker, variables, z, x)
    for name, want in wanted.items():
        assert relative(raw[name][..., 0, :], want.transpose(0, 2, 3, 1)) <= 2e-5
