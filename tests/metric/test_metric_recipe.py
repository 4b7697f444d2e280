"""Recipes of metric learning: options, a short training, resuming, and the project's own."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from siamjax import weights
from siamjax.cli import train as command
from siamjax.data.examples import Captioned, Examples
from siamjax.metric.augment import Distort, distort_batch
from siamjax.metric.model import PseudoSiamese, Siamese
from siamjax.metric.recipe import MetricRecipe
from siamjax.metric.sampling import Captions, Twins
from siamjax.metric.towers import ConvTower, NgramTower
from siamjax.train import recipe as recipes
from siamjax.train.loop import train
from siamjax.train.optimizer import Optimizer
from siamjax.train.schedule import Constant

OWN = ("digits", "emoji", "omniglot", "orl_faces")


def squares(path=None):
    """Four classes by four: a bright corner on noise."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 40, (16, 8, 8, 1), dtype=np.uint8)
    labels = np.repeat(np.arange(4), 4)
    for picture, label in zip(pictures, labels, strict=True):
        picture[4 * (label // 2) :][:4, 4 * (label % 2) :][:, :4] += 200
    return Examples(pictures, labels, tuple("abcd"))


def tiny(**changes):
    settings = {
        "name": "tiny",
        "model": Siamese(ConvTower(size=8, features=(4,), dim=4), loss_name="contrastive"),
        "examples": squares,
        "sampling": Twins(similar=0.5),
        "augment": Distort(shift=0.05, brightness=5.0),
        "steps": 40,
        "batch_size": 8,
        "optimizer": Optimizer(schedule=Constant(1e-2)),
        "checkpoint_every": 20,
        "log_every": 20,
        "ema": 0.5,
    }
    return MetricRecipe(**{**settings, **changes})


def test_a_training_learns_resumes_and_writes_its_weights(tmp_path):
    quiet = Console(quiet=True)
    recipe = tiny()
    summary = train(recipe, tmp_path / "whole", devices=1, console=quiet)
    assert summary["samples"] == 320
    model, variables = weights.load(tmp_path / "whole" / "weights.npz")
    assert model == recipe.model
    data = squares()
    embeddings = model.embed(variables, data.pictures)
    distances = np.asarray(model.distances(variables, embeddings, embeddings))
    same = data.labels[:, None] == data.labels[None]
    assert distances[same].max() < distances[~same].min()

    import shutil

    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    (tmp_path / "broken" / "checkpoints" / "40.sha256.json").unlink()
    assert train(recipe, tmp_path / "broken", devices=1, console=quiet)["continued_from"] == 20
    again = weights.load(tmp_path / "broken" / "weights.npz")[1]
    jax.tree.map(np.testing.assert_array_equal, again, variables)


def test_both_sides_are_augmented_each_by_itself():
    recipe = tiny()
    batch = next(recipe.batches())
    key = jax.random.key(0)
    out = recipe.augmentation()(key, batch)
    for number, side in enumerate(("a", "b")):
        wanted = distort_batch(key, batch[side], batch["index"], recipe.augment, number)
        np.testing.assert_allclose(out[side], wanted, atol=1e-3)
    np.testing.assert_array_equal(out["similar"], batch["similar"])


def test_texts_are_not_augmented():
    data = Captioned(
        squares().pictures, tuple((f"t{n}",) for n in range(16)), ((),) * 16, ("",) * 16
    )
    model = PseudoSiamese(
        NgramTower(length=16, buckets=8, width=4, dim=4),
        ConvTower(size=8, features=(4,), dim=4),
        loss_name="info-nce",
    )
    recipe = tiny(model=model, examples=lambda path: data, sampling=Captions(length=16))
    batch = next(recipe.batches())
    out = recipe.augmentation()(jax.random.key(0), batch)
    np.testing.assert_array_equal(out["a"], batch["a"])
    assert np.abs(out["b"] - batch["b"]).max() > 2


@pytest.mark.parametrize("name", OWN)
def test_the_projects_own(name):
    recipe = recipes.load(name)
    assert isinstance(recipe, MetricRecipe)
    assert recipe.evaluate is not None
    got = command.parse([name, "--steps", "3", "--augment.rotation", "5", "--data", "there"]).recipe
    assert (got.steps, got.data) == (3, Path("there"))
    assert got.augment == dataclasses.replace(recipe.augment, rotation=5.0)
    same = ("model", "sampling", "batch_size", "optimizer", "name")
    assert all(getattr(got, field) == getattr(recipe, field) for field in same)
    text = (recipes.experiments() / f"{name}.py").read_text()
    assert all(f"\n{word}" in text for word in ("Result", "Hardware", "Command", "Score"))


def test_digits_need_nothing_downloaded():
    """Three steps of the recipe, then its score: numbers of the right form."""
    pytest.importorskip("sklearn")
    recipe = recipes.load("digits")
    assert recipe.data is None
    batch = next(recipe.batches())
    assert batch["a"].shape == (64, 16, 16, 1)
    assert batch["similar"].sum() == pytest.approx(32, abs=1)
    variables = recipe.model.init_variables(jax.random.key(0))
    score = recipe.evaluate(recipe.model, variables, None)
    assert score["pairs"] == 300 * 299 // 2
    assert 0.5 < score["auc"] < 0.95
