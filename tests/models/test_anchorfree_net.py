import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.backbones_numpy import Net, pad, picture, relative, relu, windows
from models.nanotrack_numpy import draw

from siamjax.models.anchorfree import AnchorFreeNet, occupancy

# Five blocks of a narrow backbone; 63 px to 4x4 cells, 95 to 6x6.
NET = AnchorFreeNet(layers=("block5",), hidden=6, depth=2, kernel=3, width=0.2, box_aware=True)
BOX = np.float32([[10, 20, 30, 21]])


@pytest.fixture(scope="module")
def drawn():
    return draw(NET, 63, 95)


def embed(net, variables, image):
    """The backbone by linen: its own tests compare it with NumPy."""
    return np.float64(jax.jit(lambda v, x: net.apply(v, x, method="embed"))(variables, image))


def overlap(first, length, start):
    """Part of a cell of 16 px that an interval covers."""
    return max(0.0, min(first + length, start + 16) - max(first, start)) / 16


def test_network_equals_numpy(drawn):
    z, x = picture(63), picture(95, batch=2, seed=1)
    raw = jax.jit(NET.apply)(drawn, z, x, box=BOX)  # one template serves both windows
    assert raw["cls"].shape == (2, 6, 6, 1, 2)
    assert raw["loc"].shape == (2, 6, 6, 1, 4)

    net = Net(drawn)
    # Cells begin at -0.5 + 16 i, of pixels whose centres are whole.
    cover = [
        [overlap(first, side, 16 * i) for i in range(4)] for first, side in ((10, 30), (20, 21))
    ]
    features = embed(NET, drawn, z)
    cover = np.outer(cover[1], cover[0])[None, :, :, None]
    kernel = net(np.concatenate([features, cover], -1), "adjust_template") / 6**0.5
    search = net(embed(NET, drawn, x), "adjust_search")
    answer = np.einsum("nyxc,kc->nyxk", search, kernel.reshape(16, 6))
    fused = relu(net(np.concatenate([relu(net(answer, "answer")), search], -1), "fuse"))

    def tower(name):
        y = fused
        for block in range(2):
            depth = np.float64(drawn["params"][f"{name}_tower_{block}"]["depth"]["kernel"])
            y = np.einsum("nyxcij,ijc->nyxc", windows(pad(y, 1), 3), depth[:, :, 0])
            y = relu(net(y, f"{name}_tower_{block}/point"))
        out = drawn["params"][f"{name}_out"]
        return y @ np.float64(out["kernel"])[0, 0] + out["bias"]

    np.testing.assert_array_equal(raw["cls"][..., 0], 0)
    assert relative(raw["cls"][..., 1], tower("cls")) <= 2e-5
    assert relative(raw["loc"][..., 0, :], 16 * np.log1p(np.exp(tower("loc")))) <= 2e-5


def test_without_a_box_it_is_a_square_of_half_the_side(drawn):
    template = jax.jit(lambda v, z, box: NET.apply(v, z, box=box, method="template"))
    z = picture(63, batch=2)
    usual = template(drawn, z, None)
    square = np.tile(np.float32([[15.75, 15.75, 31.5, 31.5]]), (2, 1))
    np.testing.assert_allclose(usual, template(drawn, z, square), rtol=0, atol=1e-6)
    assert np.abs(usual - template(drawn, z, np.tile(BOX, (2, 1)))).max() > 1e-3


@pytest.mark.parametrize(
    ("box", "columns", "rows"),
    [
        ([0, 0, 16, 8], [1, 0, 0, 0], [0.5, 0, 0, 0]),
        ([8, 40, 32, 100], [0.5, 1, 0.5, 0], [0, 0, 0.5, 1]),
        ([-50, 60, 400, 1], [1, 1, 1, 1], [0, 0, 0, 1 / 16]),
        ([100, 4, 8, 8], [0, 0, 0, 0], [0.5, 0, 0, 0]),
    ],
)
def test_occupancy_by_hand(box, columns, rows):
    got = occupancy(np.float32([box]), side=63, size=4, stride=16, offset=0.5)
    np.testing.assert_allclose(got, [np.outer(rows, columns)], rtol=0, atol=1e-6)


def test_statistics_that_follow_the_batch(drawn):
    net = AnchorFreeNet(
        **{
            **{
                name: getattr(NET, name)
                for name in ("layers", "hidden", "depth", "kernel", "width", "box_aware")
            },
            "trained": ("block5",),
        }
    )
    call = lambda v, z, x: net.apply(v, z, x, True, mutable=["batch_stats"])
    zeros = lambda side: jnp.zeros((2, side, side, 3))
    shapes = jax.eval_shape(call, drawn, zeros(63), zeros(95))
    assert jax.tree.structure(shapes[1]["batch_stats"]) == jax.tree.structure(drawn["batch_stats"])
    _, moved = jax.jit(call)(drawn, zeros(63), zeros(95))
    counts = {}
    for path, leaf in jax.tree.leaves_with_path(moved["batch_stats"]):
        if path[-1].key == "count":
            counts.setdefault("/".join(k.key for k in path[:2]), set()).add(int(leaf))
    backbone = {name.split("/")[1]: count for name, count in counts.items() if "backbone" in name}
    assert backbone.pop("block5") == {2}
    assert set(backbone) == {"stem", *(f"block{n}" for n in range(5))}
    assert all(count == {0} for count in backbone.values())
    assert all(count == {1} for name, count in counts.items() if "backbone" not in name)


def test_bfloat16_keeps_parameters_and_outputs_in_float32():
    net = AnchorFreeNet(layers=("block5",), hidden=6, width=0.2, dtype="bfloat16")
    z, x = (jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32) for side in (63, 95))
    variables = jax.eval_shape(net.init, jax.random.key(0), z, x)
    raw = jax.eval_shape(net.apply, variables, z, x)
    dtypes = {leaf.dtype for leaf in jax.tree.leaves((variables["params"], raw))}
    assert dtypes == {jnp.dtype("float32")}
