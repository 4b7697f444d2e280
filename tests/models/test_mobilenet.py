import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import backbones_numpy as reference

from siamjax.models.backbones import BACKBONES
from siamjax.models.mobilenet import ROWS, Layer, MobileNetV2, scaled

PYSOT = (
    (r"layer0/conv", r"backbone.layer0.0"),
    (r"layer0/bn", r"backbone.layer0.1"),
    *(
        (rf"(layer\d)/block(\d+)/{part}/{kind}", rf"backbone.\1.\2.conv.{first + after}")
        for first, part in ((0, "expand"), (3, "depthwise"), (6, "project"))
        for after, kind in enumerate(("conv", "bn"))
    ),
)


def test_network_equals_numpy():
    net = MobileNetV2(width=0.25)
    variables = reference.draw(net)
    image = reference.picture(95, batch=2)
    wanted = reference.mobilenet(variables, image)
    stages = jax.jit(net.apply)(variables, image)
    assert list(stages) == list(wanted) == [f"layer{number}" for number in range(8)]
    for stage, want in wanted.items():
        assert stages[stage].dtype == jnp.float32
        assert reference.relative(stages[stage], want) <= 2e-5, stage


def test_golden_stages(shared):
    case = "siamrpn_mobilev2_l234_dwxcorr"
    stages, numbers = reference.golden(shared, case, "mobilenetv2", PYSOT)
    for side, found in stages.items():
        for name, stage in found.items():
            reference.check_stage(stage, numbers, f"stage/{side}/backbone.{name}")


def test_activation_ends_at_six():
    net = MobileNetV2(width=0.25, last="layer0")
    stages = net.apply(reference.draw(net), 40 * reference.picture(31))
    assert list(stages) == ["layer0"]
    assert np.max(stages["layer0"]) == 6
    assert np.min(stages["layer0"]) == 0


def test_published_widths():
    features = [32, *(row.features for row in ROWS.values())]
    assert [scaled(each, 1.4) for each in features] == [44, 22, 33, 44, 89, 134, 224, 448]
    shapes = reference.shapes_of(BACKBONES["mobilenetv2"].make())["params"]
    kernels = [shapes["layer0"]["conv"]["kernel"].shape[-1]] + [
        shapes[f"layer{n}"]["block0"]["project"]["conv"]["kernel"].shape[-1] for n in range(1, 8)
    ]
    assert kernels == [44, 22, 33, 44, 89, 134, 224, 448]


@pytest.mark.parametrize(
    ("layer", "before", "reach", "step"),
    [
        ("layer4", 1, 1 + 3 * 2, 1),
        ("layer5", 2, 3 * 2, 2),
        ("layer6", 2, 2 + 2 * 4, 2),
        ("layer7", 4, 4, 4),
    ],
)
def test_dilation_by_the_reach_of_an_impulse(layer, before, reach, step):
    net = Layer(ROWS[layer]._replace(features=2, expansion=1), before)
    impulse = np.zeros((1, 25, 25, 2), np.float32)
    impulse[0, 12, 12] = 1
    variables = net.init(jax.random.key(0), impulse)
    positive = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.full_like(leaf, 0.0 if path[-1].key == "bias" else 0.5),
        variables["params"],
    )
    response = net.apply({**variables, "params": positive}, impulse)
    touched = np.flatnonzero(np.asarray(response).sum((0, 2, 3)) > 0) - 12
    np.testing.assert_array_equal(touched, np.arange(-reach, reach + 1, step))
