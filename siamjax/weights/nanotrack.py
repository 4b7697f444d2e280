"""PyTorch names of NanoTrack, versions 2 and 3 (HonglinChu/SiamTrackers), names alone.

`backbone.features.0` is the stem and `.N` the N-th block, whose `conv.*` count convolution,
BatchNorm, activation and squeeze-and-excitation in order; `ban_head` holds the rest: `cls` and
`bbox` (or `reg`). `neck.downsample` is in every published file and used by nothing; the network
keeps it, so that a round trip gives it back.
"""

from typing import Any

from siamjax.track.nanotrack import NanoTrack
from siamjax.weights.names import Family

# Modules in the order in which the published files list them.
_ORDER = (
    *("backbone", "neck", "ban_head"),
    *("corr_dw_reg", "corr_pw_reg", "corr_dw_cls", "corr_pw_cls"),
    *("CA_layer", "conv_kernel", "conv_search"),
    *("cls_pw_tower", "bbox_pw_tower", "cls_tower", "bbox_tower"),
    *("cls_logits", "cls_pred", "bbox_pred", "down_reg", "down_cls"),
)
# The tracker's branches under their two names, which differ from layer to layer.
_BRANCHES = (("cls", "cls", "cls"), ("loc", "reg", "bbox"))
_DEPTH = 6


def _backbone() -> tuple[tuple[str, str], ...]:
    block = r"backbone.features.\1.conv"
    parts = {"conv": 0, "bn": 1}
    return (
        (r"backbone/stem/conv", r"backbone.features.0.0"),
        (r"backbone/stem/bn", r"backbone.features.0.1"),
        # The first block does not expand, so that its layers count from the depthwise one.
        *(
            (rf"backbone/block(1)/{layer}/{part}", f"{block}.{first + offset}")
            for layer, first in (("depthwise", 0), ("project", 4))
            for part, offset in parts.items()
        ),
        (r"backbone/block(1)/squeeze/reduce", f"{block}.3.fc.0"),
        (r"backbone/block(1)/squeeze/expand", f"{block}.3.fc.2"),
        *(
            (rf"backbone/block(\d+)/{layer}/{part}", f"{block}.{first + offset}")
            for layer, first in (("expand", 0), ("depthwise", 3), ("project", 7))
            for part, offset in parts.items()
        ),
        (r"backbone/block(\d+)/squeeze/reduce", f"{block}.5.fc.0"),
        (r"backbone/block(\d+)/squeeze/expand", f"{block}.5.fc.2"),
    )


def _branch(ours: str, correlation: str, tower: str) -> tuple[tuple[str, str], ...]:
    pixel, depth = f"ban_head.corr_pw_{correlation}", f"ban_head.corr_dw_{correlation}"
    return (
        *(
            (f"{ours}/{short}_{side}/{part}", f"{theirs}.conv_{side}.{index}")
            for short, theirs in (("pixel", pixel), ("depth", depth))
            for side in ("kernel", "search")
            for index, part in enumerate(("conv", "bn"))
        ),
        (rf"{ours}/attention/fc(\d)", rf"{pixel}.CA_layer.fc\1"),
        (f"{ours}/mix/corner", f"{pixel}.conv.0"),
        (f"{ours}/mix/bn", f"{pixel}.conv.1"),
        (f"{ours}/mix/adjust/conv", f"{pixel}.conv.3"),
        (f"{ours}/mix/adjust/bn", f"{pixel}.conv.4"),
        (f"{ours}/down", f"ban_head.down_{correlation}.0"),
    )


def _tower(ours: str, theirs: str, layers: dict[str, int], length: int):
    return tuple(
        (f"{ours}/blocks_{block}/{layer}", f"ban_head.{theirs}.{block * length + place}")
        for block in range(_DEPTH)
        for layer, place in layers.items()
    )


def _family(version: int) -> Family:
    rules = _backbone()
    for ours, correlation, tower in _BRANCHES:
        rules += _branch(ours, correlation, tower)
        if version == 2:
            layers = {"depth": 0, "point/conv": 1, "point/bn": 2}
            rules += _tower(ours, f"{tower}_pw_tower", layers, 4)
        else:
            layers = {"depth": 0, "bn": 1, "point/conv": 3, "point/bn": 4}
            rules += _tower(ours, f"{tower}_tower", layers, 5)
    rules += (
        (r"cls/out", f"ban_head.{'cls_pred' if version == 2 else 'cls_logits'}.0"),
        (r"loc/out", r"ban_head.bbox_pred.0"),
        (r"neck/conv", r"neck.downsample.0"),
        (r"neck/bn", r"neck.downsample.1"),
    )
    return Family("nanotrack", rules, order=_ORDER)


FAMILIES = {version: _family(version) for version in (2, 3)}


def family(tracker: Any) -> Family | None:
    """Give the names for a NanoTrack, None for any other tracker."""
    return FAMILIES[tracker.version] if isinstance(tracker, NanoTrack) else None
