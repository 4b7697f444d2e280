import json

import numpy as np
import pytest
from small import equal
from test_convert import state_dict
from test_pysot_names import identical, keys

from siamjax import weights
from siamjax.track.siammask import SiamMask
from siamjax.weights import names, siammask

SHARP, BASE = SiamMask(), SiamMask(variant="base")
NARROW = SiamMask(backbone="resnet18", features=(4,), hidden=4, width=1 / 32)


def published(file):
    """PyTorch's names and shapes; the base variant has the sharp one's but for the refinement."""
    if file != "siammask_base":
        return keys(file)
    found = keys("siammask_sharp")
    return {key: shape for key, shape in found.items() if not key.startswith("refine_model.")}


@pytest.mark.parametrize(
    ("file", "tracker", "layout", "count"),
    [
        ("siammask_r50_l3", SHARP, "pysot", 356),
        ("siammask_sharp", SHARP, "siammask", 356),
        ("siammask_base", BASE, "siammask", 324),
    ],
)
def test_published_state_dicts_round_trip(file, tracker, layout, count):
    before = state_dict(published(file))
    assert len(before) == count
    variables = weights.from_torch(before, tracker)
    assert weights.layout_of(before, tracker) == layout
    assert identical(weights.to_torch(variables, tracker, layout), before)


def test_the_usual_layout_is_the_published_one():
    layouts = lambda tracker: [family.name for family in siammask.family(tracker).layouts]
    assert layouts(SHARP) == ["pysot", "siammask"]
    assert layouts(BASE) == ["siammask", "pysot"]


def test_the_base_variant_has_the_published_names(shared):
    folder = shared / "golden" / "models"
    text = (folder / "siammask_base.keys.json").read_text()
    assert [(key, shape) for key, shape in published("siammask_base").items()] == [
        (key, tuple(shape)) for key, shape in json.loads(text).items()
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_any_weights_round_trip_in_every_layout(seed):
    rng = np.random.default_rng(seed)
    fill = lambda leaf: rng.integers(0, 99, leaf.shape).astype(leaf.dtype)
    shapes = names.expected(NARROW)
    variables = names.unflatten({path: fill(leaf) for path, leaf in shapes.items()})
    for layout in siammask.family(NARROW).layouts:
        there = weights.to_torch(variables, NARROW, layout.name)
        assert weights.layout_of(there, NARROW) == layout.name
        assert equal(weights.from_torch(there, NARROW), variables)


@pytest.fixture(scope="module")
def pysot():
    """PySOT's model: its state dict, and the variables made of it."""
    before = state_dict(keys("siammask_r50_l3"))
    return before, weights.from_torch(before, SHARP)


def test_values_land_where_they_belong(pysot):
    before, variables = pysot
    refine, head = (variables["params"][name] for name in ("refine_head", "mask_head"))
    spread = before["refine_head.deconv.weight"]
    assert float(refine["deconv"]["kernel"][2, 11, 30, 255]) == spread[255, 30, 2, 11]
    pairs = {("level_0", "window2"): "v2.2", ("level_1", "window1"): "v1.0"}
    pairs |= {("level_2", "inner1"): "h0.0", ("level_0", "inner2"): "h2.2"}
    pairs |= {("level_0", "post"): "post0", ("level_2", "post"): "post2"}
    for (level, module), name in pairs.items():
        wanted = before[f"refine_head.{name}.weight"]
        got = np.asarray(refine[level][module]["kernel"]).transpose(3, 2, 0, 1)
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(head["out"]["bias"], before["mask_head.head.3.bias"])
    moved = variables["batch_stats"]["mask_head"]["conv_search"]["bn"]["var"]
    np.testing.assert_array_equal(moved, before["mask_head.conv_search.1.running_var"])


def test_both_layouts_hold_the_same_arrays(pysot):
    before, variables = pysot
    theirs = weights.to_torch(variables, SHARP, "siammask")
    assert list(theirs) == list(keys("siammask_sharp"))
    for ours, name in zip(before.values(), theirs, strict=True):
        np.testing.assert_array_equal(ours, theirs[name])


def test_variants_are_told_apart():
    sharp = {key: np.empty(shape) for key, shape in published("siammask_sharp").items()}
    base = {key: np.empty(shape) for key, shape in published("siammask_base").items()}
    with pytest.raises(ValueError, match=r"32 unexpected: refine_model\.v0\.0\.weight, .*sharp$"):
        weights.from_torch(sharp, BASE)
    with pytest.raises(ValueError, match=r"32 missing: refine_model\.v0\.0\.weight, .*base$"):
        weights.from_torch(base, SHARP)


def test_other_backbones_have_no_names():
    lite = SiamMask(backbone="efficientnet-lite0", layers=("block10",), features=(), hidden=8)
    assert siammask.family(lite) is None
    assert weights.convert.family_of(lite) is None
    with pytest.raises(ValueError, match=r"siammask \(efficientnet-lite0\) has no PyTorch names"):
        weights.to_torch({}, lite)
