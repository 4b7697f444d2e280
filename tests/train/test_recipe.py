"""Recipes by name and path, their fields as options, the project's own."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest
import tiny

from siamjax.cli import train as command
from siamjax.train import recipe as recipes
from siamjax.train.schedule import Exponential, WarmupCosine

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def path(tmp_path):
    return str(tiny.write(tmp_path))


def test_fields_become_options(path):
    options = {
        "--steps": "7",
        "--optimizer.clip": "2.5",
        "--search-augment.shift": "3",
        "--tracker.width": "0.5",
        "--data": "elsewhere",
        "--out": "there",
        "--devices": "2",
    }
    got = command.parse([path, *(word for pair in options.items() for word in pair), "--json"])
    assert got.recipe.steps == 7
    assert got.recipe.optimizer.clip == 2.5
    assert got.recipe.optimizer.schedule == WarmupCosine(peak=1e-2)
    assert got.recipe.search_augment.shift == 3.0
    assert got.recipe.search_augment.flip == 0.5
    assert got.recipe.tracker.width == 0.5
    assert got.recipe.data == Path("elsewhere")
    assert got.recipe.name == "tiny"
    assert (got.out, got.devices, got.json) == (Path("there"), 2, True)
    assert command.parse([path]).recipe.steps == 12


def test_unknown_field_suggests(path, capsys):
    with pytest.raises(SystemExit):
        command.parse([path, "--step", "7"])
    assert "--steps" in capsys.readouterr().err


def test_help_lists_recipes(capsys, path):
    with pytest.raises(SystemExit) as status:
        command.parse(["--help"])
    assert status.value.code == 0
    assert "siamfc_lite" in capsys.readouterr().out
    with pytest.raises(SystemExit) as status:
        command.parse([path, "--help"])
    assert status.value.code == 0
    assert "--optimizer.weight-decay" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a recipe first; known are .*siamfc_lite"),
        (["--steps", "3"], "name a recipe first"),
        (["siamfc_light"], "unknown recipe 'siamfc_light': did you mean 'siamfc_lite'"),
        (["nowhere/x.py"], "unknown recipe 'nowhere/x.py'"),
    ],
)
def test_unknown_recipes(arguments, message):
    with pytest.raises(ValueError, match=message):
        command.parse(arguments)


def test_a_file_without_recipe(tmp_path):
    (tmp_path / "empty.py").write_text("RECIPE = 3\n")
    with pytest.raises(ValueError, match="must define RECIPE"):
        recipes.load(str(tmp_path / "empty.py"))


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"accumulate": 0},
        {"seed": -1},
        {"validate_every": -1},
        {"pictures_every": -1},
        {"hold_out": 1.0},
        {"ema": 1.0},
        {"keep": 1},
        {"log_every": 0},
    ],
)
def test_settings_out_of_range(path, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(recipes.load(path), **change)


def test_clips_held_out_are_validated_on_and_not_drawn(path, monkeypatch):
    recipe = dataclasses.replace(recipes.load(path), hold_out=0.5)
    with pytest.raises(ValueError, match="none of the sources 'clips' has clips"):
        recipe.batches()
    (source,) = recipe.sources(recipe.data)
    recipe = dataclasses.replace(
        recipe, sources=lambda data: [dataclasses.replace(source, clips=True)]
    )
    make, given = recipes.pipeline.batches, []
    monkeypatch.setattr(
        recipes.pipeline,
        "batches",
        lambda sources, *rest, **more: given.extend(sources) or make(sources, *rest, **more),
    )
    recipe = dataclasses.replace(recipe, pairs=dataclasses.replace(recipe.pairs, negative=0.0))
    recipe.batches().close()
    drawn = {track.name for source in given for track in source.tracks}
    monkeypatch.setattr(recipes.validation, "success", lambda tracker, tracks, _: tracks)
    validate = recipe.validation()
    assert validate is not None
    judged = {track.name for track in validate({})}
    assert (len(drawn), len(judged), drawn | judged) == (1, 1, {"one", "two"})
    with pytest.raises(ValueError, match=r"hold_out 0\.5: the recipe names clips"):
        dataclasses.replace(recipe, clips=lambda data: [])


def test_names_are_files():
    assert importlib.util.find_spec("siamjax") is not None
    assert recipes.names() == sorted(p.stem for p in EXPERIMENTS.glob("*.py"))
    for name in recipes.names():
        assert recipes.load(name).name == name


def test_got10k_recipe_is_siamfc_pytorchs():
    recipe = recipes.load("siamfc_alexnet_got10k")
    assert recipe.steps == 58_300
    assert recipe.batch_size == 8
    assert recipe.optimizer.schedule == Exponential(1e-2, 1e-5, 50)
    assert recipe.optimizer.weight_decay == 5e-4
    assert recipe.optimizer.decay_all
    assert recipe.search_size == 239
