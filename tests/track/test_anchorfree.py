import dataclasses

import jax
import numpy as np
import pytest
from models.nanotrack_numpy import draw
from track.conftest import make_clip

import siamjax as sj
from siamjax import weights
from siamjax.crop import crop, mean_color
from siamjax.track import zoo
from siamjax.track.anchorfree import AnchorFree
from siamjax.track.many import init_many, step_many

SMALL = AnchorFree(
    layers=("block5",), hidden=6, depth=1, width=0.1, exemplar=63, instance=127, box_aware=True
)


def test_points_of_the_usual_search_crop_are_7_5_and_16_further():
    points = np.asarray(zoo.tracker("anchorfree-lite").points(16)) + 127
    np.testing.assert_array_equal(points[0, :3], [[7.5, 7.5], [23.5, 7.5], [39.5, 7.5]])
    np.testing.assert_array_equal(points[15, 2], [39.5, 247.5])
    moved = dataclasses.replace(SMALL, offset=-8.0).points(16)
    np.testing.assert_array_equal(moved, zoo.nanotrack(2).points(16))


def test_named():
    light = zoo.tracker("anchorfree-lite")
    assert light == sj.anchorfree()
    assert light.box_aware
    assert light.hyper() == (0.06, 0.46, 0.53)
    assert AnchorFree().hyper() == (0.15, 0.35, 0.35)
    assert weights.title(light) == "anchorfree-lite"
    assert sj.AnchorFree(hidden=64, depth=2).net.hidden == 64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "vgg"}, "backbone: expected one of alexnet, .* got 'vgg'"),
        ({"layers": ("block99",)}, "layers: efficientnet-lite0 has no 'block99', but stem"),
        ({"layers": ("block4",)}, r"stride: that of layers \('block4',\) is \[8\], got 16"),
        ({"layers": ("block4", "block5")}, r"stride: that of .* is \[8, 16\], got 16"),
        ({"backbone": "resnet18", "layers": ()}, r"stride: that of .* is \[8\], got 16"),
        ({"kernel": 4}, "kernel: expected an odd number of at least 1, got 4"),
        ({"hidden": 0}, "hidden: expected a number of at least 1, got 0"),
        ({"depth": -1}, "depth: expected a number of at least 0, got -1"),
        ({"wider": (200,)}, r"wider: expected sides growing from 255, got \(200,\)"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        AnchorFree(**settings)


def test_wrong_dtype_without_the_tests_check_of_annotations():
    tracker = AnchorFree()
    object.__setattr__(tracker, "dtype", "float16")
    with pytest.raises(ValueError, match=r"dtype: expected one of .* got 'float16'"):
        tracker.__post_init__()


@pytest.fixture(scope="module")
def variables():
    return draw(SMALL.net, SMALL.exemplar, SMALL.instance)


def test_saved_weights_are_those_of_their_tracker(variables, tmp_path):
    path = tmp_path / "w.npz"
    weights.save(path, SMALL, variables, source="drawn", licence="MIT")
    tracker, loaded = weights.load(path)
    assert tracker == SMALL
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)


def test_the_template_is_told_the_box(variables):
    frames, box = make_clip(1)
    template = SMALL.init(variables, frames[0], box).template
    side = round(float(np.sqrt((26 + 23) * (20 + 23))))
    middle = np.float32([40 + 25 / 2, 30 + 19 / 2])
    z = crop(frames[0], middle, side, 63, mean_color(frames[0]), "pysot")
    width, height = 63 / np.sqrt((26 + 23) * (20 + 23)) * np.float32([26, 20])
    told = np.float32([[31 - (width - 1) / 2, 31 - (height - 1) / 2, width, height]])
    embed = jax.jit(lambda v, z, box: SMALL.net.apply(v, z, False, box, method="template"))
    z = np.asarray(z, np.float32)[None]
    np.testing.assert_allclose(template, embed(variables, z, told), rtol=0, atol=1e-4)
    assert np.abs(template - embed(variables, z, told[:, [0, 1, 3, 2]])).max() > 1e-2


@pytest.mark.slow
def test_steps_of_many_targets_are_those_of_each(variables):
    frames, box = make_clip(3)
    boxes = np.stack([box, box + np.float32([5, -3, 6, -4])])
    looped = []
    for start in boxes:
        state = SMALL.init(variables, frames[0], start)
        for frame in frames[1:]:
            state, out = SMALL.step(variables, state, frame)
        looped.append(np.asarray(out.box))
    states = init_many(SMALL, variables, frames[0], boxes)
    for frame in frames[1:]:
        states, many = step_many(SMALL, variables, states, frame)
    np.testing.assert_allclose(many.box, looped, rtol=0, atol=1e-4)
    assert np.isfinite(looped).all()

    bad = SMALL.init(variables, frames[0], np.float32([np.nan, 1, 2, 3]))
    _, out = SMALL.step(variables, bad, frames[1])
    assert not bool(out.valid)
    assert np.isnan(out.box).all()
