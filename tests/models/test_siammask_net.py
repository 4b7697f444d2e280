import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.backbones_numpy import Net, parameters, picture, relative, relu, windows
from models.rpn_numpy import convolve, draw_net

from siamjax.models import refine
from siamjax.models.siammask import SiamMaskNet
from siamjax.weights import names

NARROW = SiamMaskNet("resnet18", features=(4,), hidden=4, width=1 / 32)
LITE = SiamMaskNet("efficientnet-lite0", ("block10",), (), hidden=96)


@pytest.mark.parametrize(
    ("net", "cells", "count"),
    [(SiamMaskNet(), (25, 31, 63, 125), 21482052), (LITE, (9, 32, 64, 128), 2545352)],
)
def test_sizes(net, cells, count):
    z, x = jnp.zeros((1, 127, 127, 3)), jnp.zeros((1, 255, 255, 3))
    got, variables = jax.eval_shape(net.init_with_output, jax.random.key(0), z, x)
    assert got["cls"].shape == (1, cells[0], cells[0], 5, 2)
    assert got["loc"].shape == (1, cells[0], cells[0], 5, 4)
    assert got["mask"].shape == (1, cells[0], cells[0], 63 * 63)
    assert tuple(stage.shape[2] for stage in got["features"]) == cells
    masks = functools.partial(net.apply, method="refine")
    at = jnp.zeros((1, 6, 2), jnp.int32)
    assert jax.eval_shape(masks, variables, got["features"], at).shape == (1, 6, 127, 127)
    assert parameters(variables["params"]) == count


@functools.cache
def narrow():
    """A narrow network: its variables, kernels and features of two pairs of 143 px."""
    variables = draw_net(NARROW, picture(127), picture(143))
    rng = np.random.default_rng(5)
    draw = lambda cells, channels: np.float32(rng.normal(size=(2, cells, cells, channels)))
    kernels = {name: draw(5, 4) for name in ("cls", "loc", "mask")}
    return variables, (kernels,), (draw(9, 4), draw(17, 4), draw(35, 2), draw(69, 2))


def test_a_search_of_143_pixels_is_cropped_as_the_template():
    variables, (kernels,), features = narrow()
    shapes = lambda side, method: jax.tree.map(
        lambda leaf: leaf.shape,
        jax.eval_shape(functools.partial(NARROW.apply, method=method), variables, picture(side)),
    )
    assert shapes(127, "template") == ({name: (1, *k.shape[1:]) for name, k in kernels.items()},)
    assert shapes(143, "search") == tuple((1, *stage.shape[1:]) for stage in features)
    assert shapes(255, "search")[0] == (1, 31, 31, 4)


def test_masks_equal_numpy_and_are_read_at_positions():
    variables, template, (level, *_) = narrow()
    net = NARROW.clone(refined=False)
    respond = jax.jit(functools.partial(net.apply, method="respond"))
    raw = respond(variables, template, (level,))
    head = Net({kind: tree["mask_head"] for kind, tree in variables.items()})
    search = relu(head(level, "conv_search"))
    wanted = np.einsum("bhwcij,bijc->bhwc", windows(search, 5), template[0]["mask"])
    assert relative(raw["features"][0], wanted) < 1e-5
    wanted = convolve(variables, "mask_head/out", relu(head(wanted, "fuse")))
    assert relative(raw["mask"], wanted) < 1e-5
    positions = np.array([[[0, 2], [1, 1]], [[2, 1], [2, 2]]])
    got = net.apply(variables, raw["features"], positions, method="refine")
    chosen = np.stack([wanted[n][tuple(positions[n].T)] for n in (0, 1)]).reshape(2, 2, 63, 63)
    assert relative(got, refine.enlarge(np.float32(chosen))) < 1e-5
    assert relative(refine.read_masks(raw["mask"], positions), got) < 1e-5
    with pytest.raises(ValueError, match="positions: expected a batch of 2, got 1"):
        net.apply(variables, raw["features"], positions[:1], method="refine")


def moved(variables):
    """Paths of the BatchNorms that followed a batch; they counted none before."""
    counts = names.flatten(variables["batch_stats"]).items()
    return {path.removesuffix("/bn/count") for path, leaf in counts if "count" in path and leaf}


@pytest.mark.parametrize(
    ("method", "frozen", "wanted"),
    [
        ("respond", (), {"rpn_head", "mask_head", "mask_head/fuse"}),
        ("respond", ("mask_head",), {"rpn_head"}),
        ("propose", ("neck",), {"rpn_head", "mask_head"}),
        ("propose", ("rpn_head",), {"mask_head"}),
    ],
)
def test_which_statistics_follow_the_batch(method, frozen, wanted):
    net = NARROW.clone(frozen_norm=frozen)
    run = functools.partial(net.apply, train=True, mutable=["batch_stats"], method=method)
    raw, after = run(*narrow())
    assert ("mask" in raw) == (method == "respond")
    found = {path.replace("level_0/", "") for path in moved(after)}
    rpn = {f"rpn_head/{branch}/{part}" for branch in ("cls", "loc")
           for part in ("conv_search", "fuse")}  # fmt: skip
    meant = {"rpn_head": rpn, "mask_head": {"mask_head/conv_search"}}
    assert found == {path for name in wanted for path in meant.get(name, {name})}


@pytest.mark.parametrize("frozen", [(), ("neck",)])
def test_the_neck_follows_the_batch_unless_frozen(frozen):
    settings = {"layers": ("stem",), "refined": False, "trained": (), "frozen_norm": frozen}
    net, x = NARROW.clone(**settings), picture(31, 2)
    variables = net.init(jax.random.key(0), x, method="search")
    search = functools.partial(net.apply, train=True, mutable=["batch_stats"], method="search")
    _, after = search(variables, x)
    assert moved(after) == (set() if frozen else {"neck/level_0"})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"layers": ("layer2", "layer3"), "features": (4, 4)}, "layers: expected one stage, got"),
        ({"backbone_name": "mobilenetv2", "layers": ("layer5",)}, "backbone_name: masks can be r"),
        ({"frozen_norm": ("backbone",)}, "frozen_norm holds 'backbone', expected some of"),
    ],
)
def test_settings_that_do_not_fit(options, text):
    with pytest.raises(ValueError, match=text):
        jax.eval_shape(NARROW.clone(**options).init, jax.random.key(0), picture(127), picture(143))
