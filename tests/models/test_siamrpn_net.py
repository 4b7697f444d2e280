import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.backbones_numpy import draw as draw_backbone
from models.backbones_numpy import parameters, picture, relative
from models.rpn_numpy import draw_net

from siamjax.models.backbones import BACKBONES
from siamjax.models.siamrpn import SiamRPNNet

NETS = {
    "up": SiamRPNNet("alexnet", head="up", hidden=6, width=1 / 24),
    "levels": SiamRPNNet("alexnet", ("conv3", "conv4", "conv5"), hidden=(6, 5, 4), width=1 / 24),
}


@functools.cache
def drawn(name):
    return draw_net(NETS[name], picture(127), picture(159))


@functools.cache
def run(name, method):
    return jax.jit(functools.partial(NETS[name].apply, method=method))


@pytest.mark.parametrize("name", list(NETS))
def test_halves_make_the_whole(name):
    variables, z, x = drawn(name), picture(127), picture(159, seed=1)
    template = run(name, "template")(variables, z)
    features = run(name, "search")(variables, x)
    assert {leaf.shape[0] for leaf in jax.tree.leaves((template, features))} == {1}
    got = run(name, "respond")(variables, template, features)
    assert got["cls"].shape == (1, 5, 5, 5, 2)
    assert got["loc"].shape == (1, 5, 5, 5, 4)
    whole = run(name, "__call__")(variables, z, x)
    for output in ("cls", "loc"):
        assert got[output].dtype == jnp.float32
        assert relative(got[output], whole[output]) < 1e-5
        assert np.ptp(got[output]) > 1e-3


@pytest.mark.parametrize("name", list(NETS))
def test_a_batch_of_one_serves_all(name):
    variables = drawn(name)
    z, x = picture(127, 2), picture(159, 2, seed=1)
    template, features = run(name, "template")(variables, z), run(name, "search")(variables, x)
    take = lambda tree, n: jax.tree.map(lambda leaf: leaf[n : n + 1], tree)
    respond = run(name, "respond")
    pairs = {(i, j): respond(variables, take(template, i), take(features, j)) for i, j in
             ((0, 0), (0, 1), (1, 0))}  # fmt: skip
    of_one_template = respond(variables, take(template, 0), features)
    of_one_search = respond(variables, template, take(features, 0))
    for output in ("cls", "loc"):
        for n in (0, 1):
            assert relative(of_one_template[output][n], pairs[0, n][output][0]) < 1e-5
            assert relative(of_one_search[output][n], pairs[n, 0][output][0]) < 1e-5
        assert relative(of_one_template[output][1], pairs[0, 0][output][0]) > 1e-3


@pytest.mark.parametrize(
    ("name", "layer", "width", "flipped"),
    [
        ("alexnet", "conv2", 1 / 24, True),
        ("resnet18", "layer1", 1 / 16, True),
        ("mobilenetv2", "layer1", 1 / 8, True),
        ("efficientnet-lite0", "block0", 1 / 4, False),
    ],
)
def test_colours_are_flipped_where_the_weights_want_it(name, layer, width, flipped):
    backbone = BACKBONES[name].make(width=width, layers=(layer,))
    variables, z = draw_backbone(backbone), picture(47)
    net = SiamRPNNet(name, layers=(layer,), width=width)
    inside = {tree: {"backbone": variables[tree]} for tree in variables}
    (features,) = net.apply(inside, z, method="search")
    rgb, bgr = (np.asarray(backbone.apply(variables, a)[layer]) for a in (z, z[..., ::-1]))
    assert relative(rgb, bgr) > 1e-3
    np.testing.assert_array_equal(features, bgr if flipped else rgb)


def test_training_moves_statistics_by_the_template_then_by_the_search():
    z, x = picture(127), picture(239, seed=1)
    net = SiamRPNNet("alexnet", features=(4,), hidden=3, width=1 / 48, trained=("conv3",))
    variables = draw_net(net, z, x)
    train = functools.partial(net.apply, train=True, mutable=["batch_stats"])
    _, both = jax.jit(train)(variables, z, x)
    search = functools.partial(train, method="search")
    _, first = jax.jit(search)(variables, z)
    halfway = {**variables, "batch_stats": {**variables["batch_stats"], **first["batch_stats"]}}
    _, second = jax.jit(search)(halfway, x)
    stats, before = both["batch_stats"], variables["batch_stats"]
    near = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    for part in ("backbone", "neck"):
        jax.tree.map(near, stats[part], second["batch_stats"][part])
    counts = lambda tree: {int(a) for a in jax.tree.leaves(tree) if a.dtype == jnp.int32}
    assert counts(stats["backbone"]["conv3"]) == counts(stats["neck"]) == {2}
    assert counts(stats["rpn_head"]) == {1}
    for stage in ("conv1", "conv2", "conv4", "conv5"):
        equal = np.testing.assert_array_equal
        jax.tree.map(equal, stats["backbone"][stage], before["backbone"][stage])


def test_statistics_are_those_of_all_devices():
    net = SiamRPNNet("alexnet", features=(4,), hidden=3, width=1 / 48)
    z, x = picture(103, 4), picture(111, 4, seed=1)
    variables = draw_net(net, z, x)
    train = functools.partial(net.apply, train=True, mutable=["batch_stats"])
    whole, stats = jax.jit(train)(variables, z, x)
    split = functools.partial(net.clone(axis_name="d").apply, train=True, mutable=["batch_stats"])
    parts = lambda a: a.reshape(2, 2, *a.shape[1:])
    shared = jax.vmap(split, (None, 0, 0), axis_name="d")
    got, moved = jax.jit(shared)(variables, parts(z), parts(x))
    for name in ("cls", "loc"):
        assert relative(got[name].reshape(whole[name].shape), whole[name]) < 1e-4
    near = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
    for half in (0, 1):
        jax.tree.map(near, jax.tree.map(lambda a, n=half: a[n], moved), stats)


def test_bfloat16_is_near_and_keeps_float32_parameters():
    variables, z, x = drawn("levels"), picture(127), picture(159, seed=1)
    net = NETS["levels"].clone(dtype="bfloat16")
    shapes = jax.eval_shape(net.init, jax.random.key(0), z, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {
        np.dtype("float32"),
        np.dtype("int32"),
    }
    template = jax.eval_shape(lambda v, a: net.apply(v, a, method="template"), variables, z)
    assert {leaf.dtype for leaf in jax.tree.leaves(template)} == {np.dtype("bfloat16")}
    got, wanted = jax.jit(net.apply)(variables, z, x), run("levels", "__call__")(variables, z, x)
    for name in ("cls", "loc"):
        assert got[name].dtype == jnp.float32
        assert 1e-5 < relative(got[name], wanted[name]) < 0.05


@pytest.mark.parametrize(
    ("net", "template", "search", "cells", "count"),
    [
        (SiamRPNNet("alexnet", head="up"), 127, 287, 21, 22632932),
        (SiamRPNNet("alexnet"), 127, 287, 21, 6251102),
        (SiamRPNNet("resnet50", features=(256,) * 3), 127, 255, 25, 53950624),
        (SiamRPNNet("resnet50", features=(256,) * 3, weighted=False), 127, 255, 25, 53950618),
        (SiamRPNNet("resnet50", features=(256,) * 3), 127, 831, 97, 53950624),
        (SiamRPNNet("mobilenetv2", features=(256,) * 3, weighted=False), 127, 255, 25, 11150446),
        (SiamRPNNet("alexnet", head="up", width=2.0, hidden=512), 127, 271, 19, 90436132),
        (SiamRPNNet("resnet50", ("layer3",), (256,)), 127, 255, 25, None),
        (SiamRPNNet("efficientnet-lite0", ("block4",), (96,), hidden=96), 127, 255, 26, None),
    ],
)
def test_published_sizes(net, template, search, cells, count):
    z, x = jnp.zeros((1, template, template, 3)), jnp.zeros((1, search, search, 3))
    got, variables = jax.eval_shape(net.init_with_output, jax.random.key(0), z, x)
    assert got["cls"].shape == (1, cells, cells, 5, 2)
    assert got["loc"].shape == (1, cells, cells, 5, 4)
    if count is not None:
        assert parameters(variables["params"]) == count


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"head": "ban"}, "head: expected one of .*, got 'ban'"),
        ({"features": (8, 8)}, r"features: expected none or 1 numbers, got \(8, 8\)"),
        ({"hidden": (8, 8)}, r"hidden: expected one number or 1, got \(8, 8\)"),
        ({"layers": ("conv1", "conv5")}, r"layers: expected one stride, got \[4, 8\] of"),
        ({"layers": ("conv6",)}, "layers holds 'conv6', expected some of"),
    ],
)
def test_settings_that_do_not_fit(options, text):
    net = SiamRPNNet("alexnet", **options)
    with pytest.raises(ValueError, match=text):
        jax.eval_shape(net.init, jax.random.key(0), picture(127), picture(159))
