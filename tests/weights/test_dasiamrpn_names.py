import dataclasses

import jax
import numpy as np
import pytest
from small import draw, equal
from test_convert import state_dict
from test_pysot_names import identical, keys

from siamjax import weights
from siamjax.track import zoo
from siamjax.track.dasiamrpn import DaSiamRPN
from siamjax.track.distractors import Aware

NAMES = ("dasiamrpn-vot", "dasiamrpn-otb", "dasiamrpn-big")


def big():
    """SiamRPNBIG: every width of the backbone doubled, 512 channels correlated."""
    double = lambda key, n: n if n in (3, 5, 11, 20, 1) else 2 * n
    return {
        key: tuple(double(key, n) for n in shape) for key, shape in keys("dasiamrpn_vot").items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_published_state_dicts_round_trip(name):
    spec = big() if name == "dasiamrpn-big" else keys("dasiamrpn_vot")
    tracker, before = zoo.tracker(name), state_dict(spec)
    variables = weights.from_torch(before, tracker)
    assert weights.layout_of(before, tracker) == "dasiamrpn"
    assert identical(weights.to_torch(variables, tracker), before)
    wide = variables["params"]["rpn_head"]["level_0"]
    assert wide["template_cls"]["kernel"].shape[3] == (5120 if "big" in name else 2560)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == (90436132 if "big" in name else 22632932)


def test_values_land_where_they_belong():
    before = state_dict(keys("dasiamrpn_vot"))
    params = weights.from_torch(before, zoo.tracker("dasiamrpn-vot"))["params"]
    head = params["rpn_head"]["level_0"]
    pairs = {"template_loc": "conv_r1", "search_loc": "conv_r2", "template_cls": "conv_cls1"}
    pairs |= {"search_cls": "conv_cls2", "loc_adjust": "regress_adjust"}
    for ours, theirs in pairs.items():
        np.testing.assert_array_equal(head[ours]["bias"], before[f"{theirs}.bias"])
    kernel = params["backbone"]["conv3"]["conv"]["kernel"]
    assert float(kernel[2, 1, 7, 300]) == before["featureExtract.8.weight"][300, 7, 2, 1]


@pytest.mark.parametrize("aware", [None, Aware(most=2)])
def test_any_weights_round_trip(aware):
    tracker = DaSiamRPN(hidden=3, width=1 / 48, instance=159, aware=aware)
    variables = draw(tracker, seed=3)
    assert equal(weights.from_torch(weights.to_torch(variables, tracker), tracker), variables)


def test_other_names_of_the_same_network_are_told_apart():
    sibling = state_dict(keys("siamrpn_alex_up"))
    with pytest.raises(
        ValueError, match=r"fit dasiamrpn-vot: 40 missing.*like siamrpn-alexnet-up$"
    ):
        weights.from_torch(sibling, zoo.tracker("dasiamrpn-vot"))
    with pytest.raises(ValueError, match=r"fit siamrpn-alexnet-up: 40 missing.*dasiamrpn-vot$"):
        weights.from_torch(state_dict(keys("dasiamrpn_vot")), zoo.tracker("siamrpn-alexnet-up"))


def test_sizes_are_told_apart():
    small = state_dict(keys("dasiamrpn_vot"))
    with pytest.raises(ValueError, match=r"featureExtract\.0\.weight \(got \(96, 3, 11, 11\), exp"):
        weights.from_torch(small, zoo.tracker("dasiamrpn-big"))


def test_other_networks_have_pysot_names():
    tracker = dataclasses.replace(zoo.tracker("dasiamrpn-vot"), head="depthwise")
    assert weights.convert.family_of(tracker).name == "pysot-legacy"
