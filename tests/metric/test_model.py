"""Siamese and pseudo-Siamese models: whose weights are whose, losses, devices, files."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from filled import filled
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import siamjax as sj
from siamjax.metric import objective, zoo
from siamjax.metric.towers import ConvTower, MlpTower, NgramTower
from siamjax.train.step import Trainable, init_state, make_step

rng = np.random.default_rng(6)
floats = lambda *shape: rng.normal(size=shape).astype(np.float32)

MLP = MlpTower(inputs=6, features=(5,), dim=4)
CONV = ConvTower(size=6, features=(4,), dim=4)
SIMILAR = np.arange(8) % 2 == 0
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])


def batch_of(model, count=8):
    sides = {side: model.towers[model.name_of(side)].example(count) for side in ("a", "b")}
    fill = lambda x: rng.integers(0, 256, x.shape).astype(x.dtype)
    batch = {
        side: fill(x) if x.dtype == np.uint8 else floats(*x.shape) for side, x in sides.items()
    }
    if model.loss_name in objective.OF_PAIRS:
        batch["similar"] = SIMILAR
    if model.loss_name in objective.OF_CLASSES:
        batch["label"] = LABELS
    return batch


def variables_of(model):
    return filled(model.init_variables, jax.random.key(0))


def gradient_of(model, batch, train=True):
    """Compile the gradient of a model's loss, a function of its variables."""

    def call(params, stats):
        return model.loss(params, stats, batch, jax.random.key(3), train)

    run = jax.jit(jax.value_and_grad(call, has_aux=True))
    return lambda variables: run(variables["params"], variables["batch_stats"])


# --- whose weights are whose --------------------------------------------------------------------


def test_siamese_sides_share_weights():
    model = sj.siamese(MLP)
    variables = variables_of(model)
    assert list(variables["params"]) == ["tower"]
    x = floats(3, 6)
    np.testing.assert_array_equal(model.embed(variables, x), model.embed(variables, x, "b"))
    batch = batch_of(model)
    _, whole = gradient_of(model, batch)(variables)
    sides = []
    for side in ("a", "b"):  # the gradient through one side, the other's embedding held

        def through(params, side=side):
            net = model.tower.net()
            fixed = {"a": variables["params"], "b": variables["params"], side: params}
            a, b = (net.apply({"params": fixed[s]["tower"]}, batch[s]) for s in ("a", "b"))
            return objective.score(model, params, {"a": a, "b": b}, batch, None)[0]

        sides.append(jax.jit(jax.grad(through))(variables["params"]))
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(sides[-1])) > 1e-3
    for total, a, b in zip(*map(jax.tree.leaves, (whole, *sides)), strict=True):
        np.testing.assert_allclose(total, a + b, atol=1e-6)


def test_pseudo_siamese_towers_are_disjoint():
    model = sj.pseudo_siamese(MLP, MLP, loss_name="info-nce")
    variables = model.init_variables(jax.random.key(0))
    a, b = variables["params"]["a"], variables["params"]["b"]
    assert jax.tree.structure(a) == jax.tree.structure(b)
    kernel = lambda tree: tree["encoder"]["dense0"]["kernel"]
    assert np.abs(kernel(a) - kernel(b)).max() > 0.1  # drawn apart
    x = floats(3, 6)

    @jax.jit
    def jacobians(params):
        sums = lambda params, side: (model.embed({"params": params}, x, side=side) ** 3).sum()
        return {side: jax.grad(sums)(params, side) for side in ("a", "b")}

    for side, tree in jacobians(variables["params"]).items():
        other = "b" if side == "a" else "a"
        assert all(np.abs(leaf).max() == 0 for leaf in jax.tree.leaves(tree[other]))
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(tree[side])) > 1e-3


# --- losses -------------------------------------------------------------------------------------

MODELS = {
    "contrastive": sj.siamese(CONV, distance_name="cosine"),
    "hadsell": sj.siamese(MLP, loss_name="hadsell"),
    "logistic": sj.siamese(MLP, loss_name="logistic", distance_name="learned"),
    "triplet": sj.siamese(MLP, loss_name="triplet", distance_name="learned", margin=0.3),
    "nt-xent": sj.siamese(MLP, loss_name="nt-xent"),
    "info-nce": sj.pseudo_siamese(CONV, MLP, loss_name="info-nce"),
    "siglip": sj.pseudo_siamese(MLP, MLP, loss_name="siglip", learn_temperature=False),
    "arcface": sj.siamese(MLP, loss_name="arcface", classes=3, margin=0.5),
}


@pytest.mark.parametrize("name", MODELS)
def test_descent_lowers_every_loss(name):
    model = MODELS[name]
    assert isinstance(model, Trainable)
    assert zoo.build(*json.loads(json.dumps(zoo.describe(model)))) == model
    variables, run, values = variables_of(model), gradient_of(model, batch_of(model)), []
    for _ in range(30):
        (value, (stats, _)), slope = run(variables)
        values.append(float(value))
        size = float(optax.tree.norm(slope))
        params = jax.tree.map(lambda p, g, by=0.05 / size: p - by * g, variables["params"], slope)
        variables = {"params": params, "batch_stats": stats}
    assert min(values[-3:]) < 0.9 * values[0]
    for key, leaf in slope.get("head", {}).items():
        assert np.abs(leaf).max() > 0, key


def test_metrics_by_hand():
    model = sj.siamese(MLP)
    params = variables_of(model)["params"]
    a, b = floats(8, 4), floats(8, 4)
    apart = np.linalg.norm(a - b, axis=1)
    value, metrics = objective.score(model, params, {"a": a, "b": b}, {"similar": SIMILAR}, None)
    wanted = np.where(SIMILAR, apart, np.maximum(1 - apart, 0)).mean()
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_allclose(metrics["similar_distance"], apart[SIMILAR].mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["different_distance"], apart[~SIMILAR].mean(), rtol=1e-5)
    model = sj.siamese(MLP, loss_name="info-nce", temperature=0.2, learn_temperature=False)
    a = np.eye(4, dtype=np.float32)
    _, metrics = objective.score(model, params, {"a": a, "b": a[[0, 1, 3, 2]]}, {}, None)
    assert metrics["accuracy"] == 0.5
    assert metrics["temperature"] == np.float32(0.2)


def test_learned_distance():
    model = MODELS["logistic"]
    weight = np.float32([0.5, -1.0, 2.0, 0.0])
    variables = {"params": {"head": {"weight": weight}}}
    a, b = floats(3, 4), floats(3, 4)
    scale = np.log1p(np.exp(weight))
    wanted = (np.abs(a[:, None] - b[None]) * scale).sum(-1)
    np.testing.assert_allclose(model.distances(variables, a, b), wanted, rtol=1e-5)
    np.testing.assert_allclose(model.distance(variables, a, b), np.diag(wanted), rtol=1e-5)


def test_logistic_reads_threshold_and_temperature():
    model = sj.siamese(MLP, loss_name="logistic")
    head = {"log_temperature": np.log(np.float32(0.5)), "threshold": np.float32(2.0)}
    a, b = floats(8, 4), floats(8, 4)
    logits = (2.0 - np.linalg.norm(a - b, axis=1)) / 0.5
    wanted = np.log1p(np.exp(np.where(SIMILAR, -logits, logits))).mean()
    embeddings, batch = {"a": a, "b": b}, {"similar": SIMILAR}
    value, _ = objective.score(model, {"head": head}, embeddings, batch, None)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)


# --- devices, statistics ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["shard_map", "pmap"])
def test_updates_over_four_devices_equal_one(mode):
    """BatchNorm over both sides and all devices, negatives gathered, a head of its own."""
    model = sj.siamese(CONV, loss_name="nt-xent", temperature=0.3)
    batch = batch_of(model)
    optimizer = optax.sgd(0.1)
    state = init_state(variables_of(model), optimizer)
    wanted, metrics = jax.jit(make_step(model, optimizer))(state, batch, jax.random.key(1))
    step = make_step(model, optimizer, axis_name="data")
    if mode == "pmap":
        run = jax.pmap(step, "data", in_axes=(None, 0, None), out_axes=None)
        batch = jax.tree.map(lambda x: x.reshape(4, 2, *x.shape[1:]), batch)
    else:
        mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
        specs = (P(), P("data"), P())
        run = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=specs, out_specs=P()))
    found, got = jax.block_until_ready(run(state, batch, jax.random.key(1)))
    np.testing.assert_allclose(got["loss"], metrics["loss"], rtol=1e-6)
    np.testing.assert_allclose(got["accuracy"], metrics["accuracy"], rtol=1e-6)
    for name in ("params", "stats"):
        mine, theirs = getattr(wanted, name), getattr(found, name)
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)


def test_evaluation_leaves_statistics_alone():
    model = MODELS["contrastive"]
    variables = variables_of(model)
    (_, (stats, _)), _ = gradient_of(model, batch_of(model), train=False)(variables)
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])


def test_equal_models_compile_once():
    variables = variables_of(MODELS["hadsell"])
    x = floats(2, 6)
    before = sj.Siamese.embed._cache_size()
    for _ in range(2):
        sj.siamese(MLP, loss_name="hadsell", mining="hard").embed(variables, x)
    assert sj.Siamese.embed._cache_size() == before + 1


# --- files, errors ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["logistic", "info-nce"])
def test_save_and_load(tmp_path, name):
    model = MODELS[name]
    variables = variables_of(model)
    path = tmp_path / "model.npz"
    sj.weights.save(path, model, variables, source="a test", licence="MIT")
    again, read = sj.load(path)
    assert again == model
    assert jax.tree.structure(read) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, read, variables)
    params = {key: value for key, value in variables["params"].items() if key != "head"}
    with pytest.raises(ValueError, match=r"do not fit (pseudo-)?siamese \(.*mlp\): \d missing"):
        sj.weights.save(path, model, {**variables, "params": params}, source="", licence="")


def test_descriptions():
    family, config = zoo.describe(
        sj.pseudo_siamese(NgramTower(sizes=(2, 3)), "conv", loss_name="siglip")
    )
    assert family == "pseudo-siamese"
    assert config["tower_a"]["kind"] == "ngrams"
    read = json.loads(json.dumps(config))
    assert zoo.build(family, read).tower_a.sizes == (2, 3)
    with pytest.raises(ValueError, match="config: tower 'ngrams' has no setting colour"):
        zoo.build(family, {**read, "tower_a": {**read["tower_a"], "colour": 1}})
    with pytest.raises(ValueError, match="config: pseudo-siamese has no setting depth"):
        zoo.build(family, {**read, "depth": 1})
    with pytest.raises(ValueError, match=r"family: .*'triplets'"):
        zoo.build("triplets", read)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss_name": "hinge"}, r"loss_name: .*'hinge'"),
        ({"distance_name": "hamming"}, r"distance_name: .*'hamming'"),
        ({"loss_name": "nt-xent", "distance_name": "learned"}, r"'learned' needs a loss of"),
        ({"loss_name": "arcface"}, r"classes: .*got 0 with 'arcface'"),
        ({"classes": 5}, r"classes: .*got 5 with 'contrastive'"),
        ({"temperature": 0.0}, r"temperature: expected above 0, got 0.0"),
    ],
)
def test_settings_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        sj.siamese(MLP, **settings)


def test_errors():
    model = sj.siamese(MLP)
    variables = variables_of(model)
    with pytest.raises(ValueError, match=r"inputs of side 'a': expected \[B, 6\], got .*\(2, 5\)"):
        model.embed(variables, floats(2, 5))
    with pytest.raises(ValueError, match="side: expected 'a' or 'b', got 'c'"):
        model.embed(variables, floats(2, 6), side="c")
    call = functools.partial(model.loss, variables["params"], {}, key=jax.random.key(0))
    with pytest.raises(ValueError, match="batch: 'contrastive' needs a, b, similar, got a, b"):
        call(batch={"a": jnp.zeros((2, 6)), "b": jnp.zeros((2, 6))})
    with pytest.raises(ValueError, match="towers: expected one dim, got 4 and 3"):
        sj.pseudo_siamese(MLP, MlpTower(inputs=2, dim=3))
    with pytest.raises(ValueError, match="loss_name: 'triplet' embeds one side alone"):
        sj.pseudo_siamese(MLP, MLP, loss_name="triplet")
    with pytest.raises(ValueError, match=r"tower: .*'lstm'"):
        sj.siamese("lstm")
