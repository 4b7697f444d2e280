"""SiamMask's networks against outputs of PySOT and of its authors' code."""

import functools

import jax
import numpy as np
import pytest
from models.backbones_numpy import check_stage, relative
from test_siamrpn_net_golden import load

from siamjax import weights
from siamjax.models.refine import read_masks
from siamjax.track.siammask import SiamMask
from siamjax.weights import names

SHARP, BASE = SiamMask(), SiamMask(variant="base")


@functools.cache
def compiled():
    """The sharp network on one pair, with the masks of some positions."""

    def run(variables, z, x, positions):
        apply = functools.partial(SHARP.net.apply, variables)
        features = apply(x, method="search")
        raw = apply(apply(z, method="template"), features, method="respond")
        return features, raw, apply(raw["features"], positions, method="refine")

    return jax.jit(run)


def per_anchor(want, values):
    return want.reshape(len(want), values, 5, *want.shape[2:]).transpose(0, 3, 4, 2, 1)


def check(raw, numbers, prefix=""):
    assert relative(raw["cls"], per_anchor(numbers[f"{prefix}cls"], 2)) <= 2e-5
    assert relative(raw["loc"], per_anchor(numbers[f"{prefix}loc"], 4)) <= 2e-5


def check_stages(features, numbers):
    probes = [key.removesuffix("/probe") for key in numbers.files if "stage/x/" in key]
    for ending, stage in zip(("downsample", "layer2", "layer1"), features, strict=False):
        (key,) = {name for name in probes if name.endswith(ending)}
        check_stage(stage, numbers, key)


@pytest.mark.parametrize("case", ["siammask_r50_l3", "siammask_sharp"])
def test_refined_masks(shared, case):
    state_dict, numbers = load(shared, case)
    variables = weights.from_torch(state_dict, SHARP)
    z, x = (np.float32(numbers[side][..., ::-1]) for side in "zx")
    features, raw, masks = compiled()(variables, z, x, numbers["refine_pos_yx"][None])
    check(raw, numbers)
    check_stages(features, numbers)
    rows, columns = numbers["mask_pos_yx"].T
    wanted = numbers["mask_logits"].reshape(len(rows), -1)
    assert relative(raw["mask"][0, rows, columns], wanted) <= 2e-5
    for mask, wanted in zip(masks[0], numbers["refine_logits"], strict=True):
        assert relative(mask, wanted) <= 2e-5


def test_masks_without_refinement(shared):
    state_dict, numbers = load(shared, "siammask_base")
    variables = weights.from_torch(state_dict, BASE)
    # The sharp network's program serves: it differs by the refinement alone.
    shapes = names.unflatten(names.expected(SHARP))["params"]["refine_head"]
    blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    filled = {**variables, "params": {**variables["params"], "refine_head": blank}}
    z, x = (np.float32(numbers[side][..., ::-1]) for side in "zx")
    features, raw, _ = compiled()(filled, z, x, np.zeros((1, 3, 2), np.int32))
    check(raw, numbers)
    check_stages(features, numbers)
    at = numbers["mask_pos_yx"]
    wanted = numbers["mask_logits"].reshape(len(at), -1)
    assert relative(raw["mask"][0, at[:, 0], at[:, 1]], wanted) <= 2e-5
    wanted = numbers["mask_up127"]
    assert relative(read_masks(raw["mask"], at[None, 1:3])[0], wanted) <= 2e-5
    masks = BASE.refine(variables, raw["features"][:1], at[None, 1:3])
    assert relative(masks[0], wanted) <= 2e-5


@pytest.mark.slow
def test_the_training_graph_of_143_pixels(shared):
    state_dict, numbers = load(shared, "siammask_sharp")
    variables = weights.from_torch(state_dict, SHARP)
    z, x = (np.float32(numbers[side][..., ::-1]) for side in "zx")
    positions = np.stack(np.divmod(np.arange(9), 3), -1)[None]
    _, raw, masks = compiled()(variables, z, x[:, 56:199, 56:199], positions)
    check(raw, numbers, "train143/")
    for index, wanted in zip(
        numbers["train143/mask_idx"], numbers["train143/mask_logits"], strict=True
    ):
        assert relative(masks[0, index], wanted) <= 2e-5
    found = np.stack([masks[0].mean((1, 2)), masks[0].std((1, 2))], -1)
    assert relative(found, numbers["train143/mask_mean_std"]) <= 2e-5
