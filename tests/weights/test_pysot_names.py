import json
from pathlib import Path

import jax
import numpy as np
import pytest
import torch_writer as tw
import tyro
from small import draw, equal
from test_convert import state_dict

from siamjax import weights
from siamjax.cli import convert
from siamjax.models.backbones import BACKBONES
from siamjax.track import zoo
from siamjax.track.siamrpn import SiamRPN
from siamjax.weights import pysot

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = {
    "siamrpn_alex_up": ("siamrpn-alexnet-up", "pysot"),
    "siamrpn_alex_dwxcorr": ("siamrpn-alexnet-dw", "pysot-legacy"),
    "siamrpn_r50_l234_dwxcorr": ("siamrpnpp-resnet50", "pysot"),
    "siamrpn_mobilev2_l234_dwxcorr": ("siamrpnpp-mobilenetv2", "pysot"),
}


def keys(file):
    return {k: tuple(v) for k, v in json.loads((GOLDEN / f"{file}.keys.json").read_text()).items()}


def identical(after, before):
    """Tell whether two state dicts hold the same bits in the same order."""
    assert list(after) == list(before)
    for key, array in before.items():
        assert (after[key].dtype, after[key].shape) == (array.dtype, array.shape)
        assert after[key].tobytes() == array.tobytes()
        assert after[key].flags.c_contiguous
    return True


@pytest.mark.parametrize("file", list(FILES))
def test_published_state_dicts_round_trip(file):
    name, layout = FILES[file]
    tracker, before = zoo.tracker(name), state_dict(keys(file))
    variables = weights.from_torch(before, tracker)
    assert weights.layout_of(before, tracker) == layout
    assert identical(weights.to_torch(variables, tracker), before)
    assert identical(weights.to_torch(variables, tracker, layout), before)


def longterm():
    """The keys of PySOT's long-term model: other widths after the neck, all else as VOT's."""
    result = {}
    for key, shape in keys("siamrpn_r50_l234_dwxcorr").items():
        level = next(
            (i for i in range(3) if f"downsample{i + 2}." in key or f"rpn{i + 2}." in key), 1
        )
        wide = (128, 256, 512)[level]
        head = key.startswith(("neck.", "rpn_head.rpn"))
        result[key] = tuple(wide if n == 256 else n for n in shape) if head else shape
    return result


def test_long_term_and_unweighted_models_round_trip():
    before = state_dict(longterm())
    assert before["rpn_head.rpn4.cls.conv_kernel.0.weight"].shape == (512, 512, 3, 3)
    assert before["neck.downsample2.downsample.0.weight"].shape == (128, 512, 1, 1)
    tracker = zoo.tracker("siamrpnpp-resnet50-longterm")
    assert identical(weights.to_torch(weights.from_torch(before, tracker), tracker), before)
    plain = keys("siamrpn_r50_l234_dwxcorr")
    del plain["rpn_head.cls_weight"], plain["rpn_head.loc_weight"]
    before, tracker = state_dict(plain), zoo.tracker("siamrpnpp-resnet50-otb")
    assert identical(weights.to_torch(weights.from_torch(before, tracker), tracker), before)


TINY = [
    SiamRPN(backbone="alexnet", head="up", hidden=3, width=1 / 48, instance=159),
    SiamRPN(backbone="alexnet", head="depthwise", hidden=3, width=1 / 48, instance=159),
    SiamRPN(backbone="alexnet", features=(5,), hidden=3, width=1 / 48, instance=239),
    SiamRPN(backbone="resnet18", features=(3, 4, 5), hidden=(3, 4, 5), weighted=True, width=1 / 32),
    SiamRPN(backbone="resnet34", features=(4, 4, 4), hidden=4, width=1 / 32),
    SiamRPN(backbone="resnet50", layers=("layer3",), features=(4,), hidden=4, width=1 / 32),
    SiamRPN(backbone="mobilenetv2", features=(4, 4, 4), hidden=4, weighted=True, width=1 / 8),
]


@pytest.mark.parametrize("tracker", TINY, ids=lambda t: f"{t.backbone}-{t.head}-{len(t.features)}")
@pytest.mark.parametrize("seed", [0, 1])
def test_any_weights_round_trip_in_every_layout(tracker, seed):
    variables = draw(tracker, seed)
    for layout in pysot.of_net(tracker.net).layouts:
        there = weights.to_torch(variables, tracker, layout.name)
        assert weights.layout_of(there, tracker) == layout.name
        assert equal(weights.from_torch(there, tracker), variables)
        assert identical(weights.to_torch(variables, tracker, layout.name), there)


def test_names_of_one_level():
    one = weights.to_torch(draw(TINY[5]), TINY[5])
    assert not any("rpn2" in key or "downsample2" in key or "cls_weight" in key for key in one)
    assert one["neck.downsample.downsample.0.weight"].shape == (4, 32, 1, 1)
    assert one["rpn_head.loc.head.3.bias"].shape == (20,)
    assert not any(key.startswith("backbone.layer4.") for key in one)


def test_values_land_where_they_belong():
    tracker, before = zoo.tracker("siamrpn-alexnet-up"), state_dict(keys("siamrpn_alex_up"))
    params = weights.from_torch(before, tracker)["params"]
    kernel = params["rpn_head"]["level_0"]["template_loc"]["kernel"]
    assert (
        float(kernel[2, 0, 7, 5119]) == before["rpn_head.template_loc_conv.weight"][5119, 7, 2, 0]
    )
    bias = params["rpn_head"]["level_0"]["search_cls"]["bias"]
    np.testing.assert_array_equal(bias, before["rpn_head.search_cls_conv.bias"])
    np.testing.assert_array_equal(
        params["backbone"]["conv4"]["bn"]["scale"], before["backbone.layer4.1.weight"]
    )


def test_legacy_names_of_the_same_weights():
    tracker, before = zoo.tracker("siamrpn-alexnet-dw"), state_dict(keys("siamrpn_alex_dwxcorr"))
    variables = weights.from_torch(before, tracker)
    new = weights.to_torch(variables, tracker, "pysot")
    pairs = zip((0, 4, 8, 11, 14), range(1, 6), strict=True)
    for index, number in pairs:
        conv, norm = f"backbone.features.{index}.weight", f"backbone.features.{index + 1}.bias"
        np.testing.assert_array_equal(new[f"backbone.layer{number}.0.weight"], before[conv])
        np.testing.assert_array_equal(new[f"backbone.layer{number}.1.bias"], before[norm])
    assert weights.layout_of(new, tracker) == "pysot"
    assert equal(weights.from_torch(new, tracker), variables)
    with pytest.raises(ValueError, match=r"layout: expected one of \('pysot-legacy', 'pysot'\), g"):
        weights.to_torch(variables, tracker, "siammask")


def test_prefixes_and_missing_counts():
    tracker, before = zoo.tracker("siamrpn-alexnet-dw"), state_dict(keys("siamrpn_alex_dwxcorr"))
    old = {f"module.{k}": v for k, v in before.items() if not k.endswith("tracked")}
    assert len(old) == 64
    variables = weights.from_torch(old, tracker)
    after = weights.to_torch(variables, tracker)
    assert list(after) == list(before)
    assert after["rpn_head.cls.head.1.num_batches_tracked"] == 0
    assert all(np.array_equal(after[key.removeprefix("module.")], old[key]) for key in old)


@pytest.mark.parametrize(
    ("file", "asked", "text"),
    [
        (
            "siamrpn_alex_up",
            "siamrpn-alexnet-dw",
            "34 missing: rpn_head.cls.conv_kernel.0.weight, rpn_head.cls.conv_kernel.1.weight,"
            " rpn_head.cls.conv_kernel.1.bias, ...; 10 unexpected:"
            " rpn_head.template_cls_conv.weight, rpn_head.template_cls_conv.bias,"
            " rpn_head.template_loc_conv.weight, ...;"
            " looks like siamrpn-alexnet-up",
        ),
        (
            "siamrpn_r50_l234_dwxcorr",
            "siamrpnpp-resnet50-otb",
            "2 unexpected: rpn_head.cls_weight, rpn_head.loc_weight; looks like siamrpnpp-resnet50",
        ),
        (
            "siamrpn_mobilev2_l234_dwxcorr",
            "siamrpnpp-resnet50",
            "looks like siamrpnpp-mobilenetv2",
        ),
    ],
)
def test_what_does_not_fit_is_named(file, asked, text):
    spec = {key: np.empty(shape) for key, shape in keys(file).items()}
    with pytest.raises(ValueError, match=f"^checkpoint does not fit {asked}: ") as caught:
        weights.from_torch(spec, zoo.tracker(asked))
    assert str(caught.value).endswith(text)


def test_a_backbone_that_pysot_does_not_have():
    tracker = SiamRPN(backbone="efficientnet-lite0", layers=("block4",), hidden=4)
    with pytest.raises(ValueError, match=r"siamrpn \(efficientnet-lite0\) has no PyT"):
        weights.to_torch({}, tracker)


def test_command_keeps_the_layout_of_the_file(tmp_path):
    before = state_dict(keys("siamrpn_alex_dwxcorr"))
    source, out = tmp_path / "model.pth", tmp_path / "model.npz"
    source.write_bytes(tw.zip_bytes({"state_dict": tw.tensors(before), "epoch": 19}))
    command = (str(source), str(out), "--arch", "siamrpn-alexnet-dw")
    summary = tyro.cli(convert.Command, args=command).run()
    assert summary["parameters"] == 6251102
    header, _ = weights.read(out)
    assert header["original"]["layout"] == "pysot-legacy"
    tracker, variables = weights.load(out)
    assert tracker == zoo.tracker("siamrpn-alexnet-dw")
    assert identical(weights.to_torch(variables, tracker, header["original"]["layout"]), before)


# ------------------------------------------------------------------ backbones alone


def of_backbone(file):
    return {
        key.removeprefix("backbone."): value
        for key, value in state_dict(keys(file)).items()
        if key.startswith("backbone.")
    }


def expected(file, name):
    """The same weights, through the whole tracker."""
    whole = weights.from_torch(state_dict(keys(file)), zoo.tracker(FILES[file][0]))
    return {tree: whole[tree]["backbone"] for tree in ("params", "batch_stats")}


@pytest.mark.parametrize(
    ("file", "name", "prefix"),
    [
        ("siamrpn_alex_up", "alexnet", ""),
        ("siamrpn_alex_up", "alexnet", "backbone."),
        ("siamrpn_alex_dwxcorr", "alexnet", ""),
        ("siamrpn_alex_dwxcorr", "alexnet", "module.backbone."),
        ("siamrpn_mobilev2_l234_dwxcorr", "mobilenetv2", "module."),
    ],
)
def test_backbone_alone(file, name, prefix):
    alone = {f"{prefix}{key}": value for key, value in of_backbone(file).items()}
    extra = {"fc.weight": np.zeros((1000, 2048)), f"{prefix}classifier.bias": np.zeros(3)}
    assert equal(pysot.backbone(alone | extra, name), expected(file, name))


def test_backbone_with_numbers_alone():
    """PySOT puts `features.` before the names of its AlexNet pretrained on ImageNet."""
    alone = of_backbone("siamrpn_alex_dwxcorr")
    bare = {key.removeprefix("features."): value for key, value in alone.items()}
    assert "14.weight" in bare
    assert equal(pysot.backbone(bare, "alexnet"), pysot.backbone(alone, "alexnet"))


def test_stages_that_are_not_built_are_left_out():
    alone = of_backbone("siamrpn_r50_l234_dwxcorr")
    got = pysot.backbone(alone, "resnet50", ("layer2", "layer3"))
    net = BACKBONES["resnet50"].make(layers=("layer2", "layer3"))
    wanted = jax.eval_shape(net.init, jax.random.key(0), np.zeros((1, 63, 63, 3), np.float32))
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    assert "layer4" not in got["params"]
    kernel = got["params"]["layer3"]["block0"]["downsample"]["conv"]["kernel"]
    assert kernel.shape == (3, 3, 512, 1024)
    assert float(kernel[1, 2, 3, 4]) == alone["layer3.0.downsample.0.weight"][4, 3, 1, 2]
    np.testing.assert_array_equal(got["params"]["stem"]["bn"]["scale"], alone["bn1.weight"])


def test_other_backbones_are_refused():
    alone = of_backbone("siamrpn_r50_l234_dwxcorr")
    alone["layer2.0.downsample.0.weight"] = alone["layer2.0.downsample.0.weight"][..., :1, :1]
    text = r"PySOT's resnet50: 1 of wrong shape: backbone\.layer2\.0\.downsample\.0\.weight"
    with pytest.raises(ValueError, match=text):
        pysot.backbone(alone, "resnet50")
    with pytest.raises(ValueError, match="name is 'vgg', expected one of"):
        pysot.backbone({}, "vgg")
