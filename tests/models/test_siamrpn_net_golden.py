"""The networks with published layers, against outputs of the published implementations."""

import importlib.util

import jax
import numpy as np
import pytest
from models.backbones_numpy import check_stage, relative

from siamjax import weights
from siamjax.models.neck import center_crop
from siamjax.track import zoo

TRACKERS = {
    "siamrpn_alex_up": "siamrpn-alexnet-up",
    "siamrpn_alex_dwxcorr": "siamrpn-alexnet-dw",
    "siamrpn_r50_l234_dwxcorr": "siamrpnpp-resnet50",
    "siamrpn_mobilev2_l234_dwxcorr": "siamrpnpp-mobilenetv2",
    "dasiamrpn_vot": "dasiamrpn-vot",
}
COUNTS = dict(zip(TRACKERS, (4, 6, 18, 12, 4), strict=True))
# PyTorch's modules whose outputs are recorded, and ours; a template passes first.
UP = {
    "template_cls_conv": "template_cls",
    "template_loc_conv": "template_loc",
    "search_cls_conv": "search_cls",
    "search_loc_conv": "search_loc",
    "conv_cls1": "template_cls",
    "conv_r1": "template_loc",
    "conv_cls2": "search_cls",
    "conv_r2": "search_loc",
}


def load(shared, case):
    spec = importlib.util.spec_from_file_location("weights", shared / "golden" / "weights.py")
    drawn = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawn)
    folder = shared / "golden" / "models"
    numbers = np.load(folder / f"{case}.npz")
    keys = drawn.load_spec(folder / f"{case}.keys.json")
    return drawn.state_dict(keys, int(numbers["seed"])), numbers


def stage(intermediates, key):
    """Find what a recorded module of the neck or head gave here."""
    side, _, module = key.removeprefix("stage/").partition("/")
    part, *path = module.split(".")
    if part == "neck":
        level = int(path[0].removeprefix("downsample")) - 2
        outputs = intermediates["neck"][f"level_{level}"]["__call__"]
        return center_crop(np.asarray(outputs["zx".index(side)]))
    level = 0
    if part == "rpn_head" and path[0].startswith("rpn"):
        level = int(path.pop(0).removeprefix("rpn")) - 2
    node = intermediates["rpn_head"][f"level_{level}"]
    path = [part] if part.startswith("conv_") else path
    if path[-2:] == ["head", "2"]:
        path = [path[0], "fuse"]
    for name in path:
        node = node[UP.get(name, name)]
    (output,) = node["__call__"]
    return output


@pytest.mark.parametrize("case", list(TRACKERS))
def test_outputs_and_head_stages(shared, case):
    state_dict, numbers = load(shared, case)
    tracker = zoo.tracker(TRACKERS[case])
    variables = weights.from_torch(state_dict, tracker)
    z, x = (np.float32(numbers[side][..., ::-1]) for side in "zx")

    @jax.jit
    def run(variables, z, x):
        heads = lambda module, method: method == "__call__" and "backbone" not in module.path
        options = {"capture_intermediates": heads, "mutable": ["intermediates"]}
        return tracker.net.apply(variables, z, x, **options)

    outputs, state = run(variables, z, x)
    names = ("score_logits", "delta") if case == "dasiamrpn_vot" else ("cls", "loc")
    for ours, theirs, values in zip(("cls", "loc"), names, (2, 4), strict=True):
        want = numbers[theirs]
        want = want.reshape(len(want), values, 5, *want.shape[2:]).transpose(0, 3, 4, 2, 1)
        assert relative(outputs[ours], want) <= 2e-5
    keys = [name.removesuffix("/probe") for name in numbers.files if name.endswith("/probe")]
    keys = [key for key in keys if "/backbone." not in key and "/featureExtract." not in key]
    for key in keys:
        check_stage(stage(state["intermediates"], key), numbers, key)
    assert len(keys) == COUNTS[case]
