"""Fine-tuning: what is taken from the weights it starts from, and what begins anew."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from siamjax import weights
from siamjax.train import recipe as recipes
from siamjax.train.finetune import FineTune


@pytest.fixture(scope="module")
def recipe() -> FineTune:
    found = recipes.load("finetune_own_data")
    assert isinstance(found, FineTune)
    return dataclasses.replace(found, start="siamfc-lite")


@pytest.fixture(scope="module")
def fresh(recipe):
    shapes = jax.eval_shape(recipe.subject().init_variables, jax.random.key(0))
    return jax.tree.map(lambda leaf: np.full(leaf.shape, 7, leaf.dtype), shapes)


def test_everything_is_taken(recipe, fresh):
    tracker, stored = weights.load("siamfc-lite")
    assert recipe.subject() == tracker
    got = recipe.begin(fresh)
    assert jax.tree.structure(got) == jax.tree.structure(fresh)
    for kind in ("params", "batch_stats"):
        jax.tree.map(np.testing.assert_array_equal, got[kind], dict(stored[kind]))


def test_parts_begin_anew(recipe, fresh):
    _, stored = weights.load("siamfc-lite")
    got = dataclasses.replace(recipe, fresh=("^neck/",)).begin(fresh)
    assert all((leaf == 7).all() for leaf in jax.tree.leaves(got["params"]["neck"]))
    jax.tree.map(
        np.testing.assert_array_equal, got["params"]["backbone"], stored["params"]["backbone"]
    )
    with pytest.raises(ValueError, match=r"'\^nek/' matches no parameter"):
        dataclasses.replace(recipe, fresh=("^nek/",)).begin(fresh)


def test_parts_that_do_not_fit_must_be_named(recipe, fresh):
    other = {kind: dict(tree) for kind, tree in fresh.items()}
    other["params"]["extra"] = {"kernel": np.zeros((2, 2), np.float32)}
    with pytest.raises(ValueError, match="siamfc-lite has no extra/kernel of this shape"):
        recipe.begin(other)
    got = dataclasses.replace(recipe, fresh=("^extra/",)).begin(other)
    np.testing.assert_array_equal(got["params"]["extra"]["kernel"], np.zeros((2, 2)))


def test_start_is_named_in_the_error(recipe):
    with pytest.raises(ValueError, match="unknown model 'siamfc-lit'; did you mean"):
        dataclasses.replace(recipe, start="siamfc-lit").subject()


def test_the_recipe_reads_a_folder_of_ones_own(recipe, tmp_path: Path):
    import cv2

    rows = ["video,frame,x,y,w,h"]
    for clip in range(5):
        (tmp_path / f"clip{clip}").mkdir()
        for frame in range(2):
            image = np.zeros((40, 50, 3), np.uint8)
            cv2.imwrite(str(tmp_path / f"clip{clip}" / f"{frame}.png"), image)
            rows.append(f"clip{clip},{frame},10,10,12,12")
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    (source,) = recipe.sources(tmp_path)
    assert len({track.media.name for track in source.tracks}) == 5
    assert source.clips
    assert recipe.hold_out == 0.2
