"""PyTorch names of PySOT: SiamRPN and SiamRPN++ on AlexNet, ResNet and MobileNetV2.

`backbone.*`, `neck.downsample*`, `rpn_head.*`: a network of one level has `neck.downsample` and its
head without number, one of several `neck.downsample2`, ... and `rpn_head.rpn2`, ... AlexNet comes
in two layouts, `pysot` (`backbone.layer1.0`) and `pysot-legacy` (`backbone.features.0`), which
PySOT's published checkpoint has. Source: PySOT, names alone.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from siamjax.models.backbones import BACKBONES
from siamjax.models.siamrpn import SiamRPNNet
from siamjax.track.siamrpn import SiamRPN
from siamjax.weights import names
from siamjax.weights.torch_file import strip_prefix

# Where AlexNet's five convolutions stand in the one sequence of the legacy layout (and of
# DaSiamRPN); each one's BatchNorm follows it.
SEQUENCE = (0, 4, 8, 11, 14)

_ALEXNET = (
    (r"backbone/conv(\d)/conv", r"backbone.layer\1.0"),
    (r"backbone/conv(\d)/bn", r"backbone.layer\1.1"),
)
_RESNET = (
    (r"backbone/stem/(conv|bn)", r"backbone.\g<1>1"),
    (r"backbone/layer(\d)/block(\d+)/conv(\d)/(conv|bn)", r"backbone.layer\1.\2.\4\3"),
    (r"backbone/layer(\d)/block(\d+)/downsample/conv", r"backbone.layer\1.\2.downsample.0"),
    (r"backbone/layer(\d)/block(\d+)/downsample/bn", r"backbone.layer\1.\2.downsample.1"),
)
_MOBILENET = (
    (r"backbone/layer0/conv", r"backbone.layer0.0"),
    (r"backbone/layer0/bn", r"backbone.layer0.1"),
    (r"backbone/layer(\d)/block(\d+)/expand/conv", r"backbone.layer\1.\2.conv.0"),
    (r"backbone/layer(\d)/block(\d+)/expand/bn", r"backbone.layer\1.\2.conv.1"),
    (r"backbone/layer(\d)/block(\d+)/depthwise/conv", r"backbone.layer\1.\2.conv.3"),
    (r"backbone/layer(\d)/block(\d+)/depthwise/bn", r"backbone.layer\1.\2.conv.4"),
    (r"backbone/layer(\d)/block(\d+)/project/conv", r"backbone.layer\1.\2.conv.6"),
    (r"backbone/layer(\d)/block(\d+)/project/bn", r"backbone.layer\1.\2.conv.7"),
)
_BACKBONES = {
    "alexnet": _ALEXNET,
    "resnet18": _RESNET,
    "resnet34": _RESNET,
    "resnet50": _RESNET,
    "mobilenetv2": _MOBILENET,
}
_ORDER = ("backbone", "neck", "rpn_head", "cls_weight", "loc_weight")
_ORDER += ("template_cls_conv", "template_loc_conv", "search_cls_conv", "search_loc_conv")
_ORDER += ("loc_adjust", "cls", "loc", "conv_kernel", "conv_search", "head")
_ORDER += ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")


def sequence(prefix: str) -> tuple[tuple[str, str], ...]:
    """Give the rules of an AlexNet that is one sequence of layers."""
    return tuple(
        (f"backbone/conv{number}/{kind}", f"{prefix}.{index + offset}")
        for number, index in enumerate(SEQUENCE, 1)
        for offset, kind in enumerate(("conv", "bn"))
    )


def _level(level: int, levels: int) -> tuple[tuple[str, str], ...]:
    """Give the rules of one level's neck and head."""
    number, sub = (str(level + 2), f"rpn{level + 2}.") if levels > 1 else ("", "")
    neck, head = f"neck.downsample{number}.downsample", rf"rpn_head.{sub}"
    here = f"rpn_head/level_{level}"
    return (
        (f"neck/level_{level}/conv", f"{neck}.0"),
        (f"neck/level_{level}/bn", f"{neck}.1"),
        (f"{here}/(template|search)_(cls|loc)", rf"{head}\1_\2_conv"),
        (f"{here}/loc_adjust", f"{head}loc_adjust"),
        (f"{here}/(cls|loc)/(conv_kernel|conv_search)/conv", rf"{head}\1.\2.0"),
        (f"{here}/(cls|loc)/(conv_kernel|conv_search)/bn", rf"{head}\1.\2.1"),
        (f"{here}/(cls|loc)/fuse/conv", rf"{head}\1.head.0"),
        (f"{here}/(cls|loc)/fuse/bn", rf"{head}\1.head.1"),
        (f"{here}/(cls|loc)/out", rf"{head}\1.head.3"),
    )


def of_net(net: SiamRPNNet) -> names.Family | None:
    """Give PySOT's names for a network, None for a backbone that PySOT does not have."""
    if net.backbone_name not in _BACKBONES:
        return None
    levels = len(net.stages)
    rules = tuple(rule for level in range(levels) for rule in _level(level, levels))
    rules += ((r"rpn_head", r"rpn_head"),)
    plain = names.Family("pysot", _BACKBONES[net.backbone_name] + rules, order=_ORDER)
    if net.backbone_name != "alexnet":
        return plain
    legacy = names.Family("pysot-legacy", sequence("backbone.features") + rules, order=_ORDER)
    # PySOT's published AlexNets: the depthwise head has the legacy layout.
    first, second = (legacy, plain) if net.head == "depthwise" else (plain, legacy)
    return first._replace(also=(second,))


def family(tracker: Any) -> names.Family | None:
    """Give the names for a SiamRPN on a backbone of PySOT's, None for any other tracker."""
    return of_net(tracker.net) if isinstance(tracker, SiamRPN) else None


def backbone(
    state_dict: Mapping[str, Any], name: str, layers: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Convert the weights of a backbone alone, as PySOT's ImageNet files hold them.

    `module.` and `backbone.` are dropped from the names, and an AlexNet's may lack `features.`;
    heads, classifiers and stages that the backbone does not build are left out.

    Args:
        state_dict: names and arrays in PyTorch's layout (`read_torch`).
        name: `"alexnet"`, `"resnet18"`, `"resnet34"`, `"resnet50"` or `"mobilenetv2"`.
        layers: the stages wanted, the backbone's usual ones by default.

    Returns:
        `{"params": ..., "batch_stats": ...}` of `BACKBONES[name].make(layers=layers)`.

    Raises:
        ValueError: unknown name, or the state dict does not fit; the first differing names are
            given. Torchvision's ResNets do not: PySOT's have 3x3 convolutions where those have 1x1.
    """
    if name not in _BACKBONES:
        raise ValueError(f"name is {name!r}, expected one of {tuple(_BACKBONES)}")
    spec = BACKBONES[name]
    image = jax.ShapeDtypeStruct((1, 127, 127, 3), np.float32)
    shapes = jax.eval_shape(spec.make(layers=layers).init, jax.random.key(0), image)
    left = [stage for stage in spec.strides if stage not in shapes["params"]]
    unused = "|".join((*left, "neck", "rpn_head", "mask_head", "refine_head", "fc", "classifier"))
    family = names.Family(
        f"PySOT's {name}", _BACKBONES[name], ignored=rf"backbone\.({unused})\.", order=_ORDER
    )
    if name == "alexnet":
        family = family._replace(also=(family._replace(rules=sequence("backbone.features")),))
    bare = strip_prefix(strip_prefix(state_dict), "backbone.")
    if name == "alexnet":
        bare = {f"features.{key}" if key[:1].isdigit() else key: bare[key] for key in bare}
    got = {f"backbone.{key}": value for key, value in bare.items()}
    inside = {kind: {"backbone": tree} for kind, tree in shapes.items()}
    table, family = names.closest(got, names.flatten(inside), family)
    difference = names.describe_mismatch(got, table, family)
    if difference:
        raise ValueError(f"state dict does not fit {family.name}: {difference}")
    variables = names.to_variables(got, table)
    return {kind: tree["backbone"] for kind, tree in variables.items()}
