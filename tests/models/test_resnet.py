import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import backbones_numpy as reference

from siamjax.models.backbones import BACKBONES
from siamjax.models.resnet import ROWS, Layer

PYSOT = (
    (r"stem/(conv|bn)", r"backbone.\g<1>1"),
    (r"(layer\d)/block(\d+)/conv(\d)/(conv|bn)", r"backbone.\1.\2.\4\3"),
    (r"(layer\d)/block(\d+)/downsample/conv", r"backbone.\1.\2.downsample.0"),
    (r"(layer\d)/block(\d+)/downsample/bn", r"backbone.\1.\2.downsample.1"),
)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_network_equals_numpy(name):
    net = BACKBONES[name].make(width=1 / 16)
    variables = reference.draw(net)
    image = reference.picture(95, batch=2)
    wanted = reference.resnet(variables, image)
    stages = jax.jit(net.apply)(variables, image)
    assert set(stages) == set(wanted) == {"stem", "layer1", "layer2", "layer3", "layer4"}
    for stage, want in wanted.items():
        assert stages[stage].dtype == jnp.float32
        assert reference.relative(stages[stage], want) <= 2e-5, stage


@pytest.mark.parametrize(
    ("case", "layers"),
    [
        pytest.param("siamrpn_r50_l234_dwxcorr", None, marks=pytest.mark.slow),
        ("siammask_r50_l3", ("stem", "layer3", "layer2")),
    ],
)
def test_golden_stages(shared, case, layers):
    stages, numbers = reference.golden(shared, case, "resnet50", PYSOT, layers=layers)
    for side, found in stages.items():
        assert ("layer4" in found) == (layers is None)
        # The file has the stem before its ReLU, then what the pooling makes of it.
        stem = np.asarray(found.pop("stem"))
        probe = np.maximum(numbers[f"stage/{side}/backbone.bn1/probe"], 0)
        middle = stem[0, stem.shape[1] // 2, stem.shape[2] // 2, :16]
        assert reference.relative(middle, probe) <= 1e-4
        pooled = reference.max_pool(stem, 3, 2, 1)
        reference.check_stage(pooled, numbers, f"stage/{side}/backbone.maxpool")
        for name, stage in found.items():
            reference.check_stage(stage, numbers, f"stage/{side}/backbone.{name}")


@pytest.mark.parametrize(
    ("blocks", "bottleneck", "layer", "reach", "step"),
    [
        (6, True, "layer3", 1 + 5 * 2, 1),
        (3, True, "layer4", 2 + 2 * 4, 2),
        (2, False, "layer3", 1 + 3 * 2, 1),
        (2, False, "layer4", 2 + 3 * 4, 2),
    ],
)
def test_dilation_by_the_reach_of_an_impulse(blocks, bottleneck, layer, reach, step):
    net = Layer(ROWS[layer]._replace(features=2), blocks, bottleneck)
    impulse = np.zeros((1, 41, 41, 3), np.float32)
    impulse[0, 20, 20] = 1
    variables = net.init(jax.random.key(0), impulse)
    positive = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.full_like(leaf, 0.0 if path[-1].key == "bias" else 0.1),
        variables["params"],
    )
    response = net.apply({**variables, "params": positive}, impulse)
    assert response.shape[1:3] == (41, 41)
    touched = np.flatnonzero(np.asarray(response).sum((0, 2, 3)) > 0) - 20
    np.testing.assert_array_equal(touched, np.arange(-reach, reach + 1, step))


def test_features_shift_with_the_picture():
    net = BACKBONES["resnet18"].make(width=1 / 16, layers=("layer2",))
    variables = reference.draw(net)
    wide = reference.picture(263)
    run = jax.jit(lambda x: net.apply(variables, x)["layer2"])
    whole, moved = (np.asarray(run(wide[:, s : s + 255, s : s + 255])) for s in (0, 8))
    assert whole.shape[1:3] == (31, 31)
    np.testing.assert_allclose(whole[:, 9:-7, 9:-7], moved[:, 8:-8, 8:-8], atol=1e-4)
    assert np.abs(whole[:, 1:, 1:] - moved[:, :-1, :-1]).max() > 1e-3  # the padding shows


def test_fresh_weights_follow_he():
    net = BACKBONES["resnet50"].make(width=1 / 2, layers=("layer2",))
    params = jax.jit(net.init)(jax.random.key(3), jnp.zeros((1, 63, 63, 3)))["params"]
    for kernel in (
        params["stem"]["conv"]["kernel"],
        params["layer1"]["block0"]["conv2"]["conv"]["kernel"],
        params["layer2"]["block0"]["downsample"]["conv"]["kernel"],
    ):
        side, _, _, outputs = kernel.shape
        assert np.asarray(kernel).std() == pytest.approx((2 / (side**2 * outputs)) ** 0.5, rel=0.05)
