"""The configurations that families were published with, and those that this project trains."""

from typing import Any, Literal

from siamjax.models.siamfc import LITE
from siamjax.track.anchorfree import AnchorFree
from siamjax.track.dasiamrpn import DaSiamRPN
from siamjax.track.distractors import Aware
from siamjax.track.nanotrack import NanoTrack
from siamjax.track.siamfc import SiamFC
from siamjax.track.siammask import SiamMask
from siamjax.track.siamrpn import SiamRPN


def siamfc(
    backbone: Literal["alexnet-v1", "alexnet-v2", "alexnet-v3"] = "alexnet-v1",
    scales: Literal[3, 5] = 3,
) -> SiamFC:
    """Give SiamFC as siamfc-pytorch runs it (three scales) or as its authors did (five).

    Source: siamfc-pytorch's defaults; the MATLAB original's `params-5s.txt`, with its limits of
    0.2 and 5 on the size.

    Raises:
        ValueError: no such backbone, or another number of scales.
    """
    if scales == 3:
        return SiamFC(backbone)
    if scales != 5:
        raise ValueError(f"scales: expected 3 or 5, got {scales}")
    return SiamFC(
        backbone,
        scales=5,
        scale_step=1.0255,
        scale_penalty=0.962,
        scale_lr=0.34,
        window_influence=0.168,
        min_scale=0.2,
        max_scale=5.0,
    )


def siamfc_lite() -> SiamFC:
    """Give the light SiamFC whose weights come with the package.

    EfficientNet-Lite0 to stride 16, fused at stride 8; the pyramid is of templates, so that a step
    embeds a single search window, and every second one the template's anew.
    """
    return SiamFC(
        LITE,
        pyramid="template",
        template_rate=0.03,
        template_every=2,
        template_score=0.3,
        scale_step=1.05,
        scale_penalty=0.95,
        scale_lr=0.6,
        window_influence=0.35,
        min_scale=0.2,
        max_scale=5.0,
        loss_name="balanced",
        scale_loss=1.0,
        frozen_norm=True,
    )


def siamrpn(
    head: Literal["up", "depthwise"] = "depthwise", preset: Literal["vot", "otb"] = "vot"
) -> SiamRPN:
    """Give SiamRPN on AlexNet: its own up-channel head, or PySOT's depthwise one.

    Args:
        head: `"up"` or `"depthwise"`.
        preset: tracking constants; PySOT publishes the same for both benchmarks.

    Source: PySOT's `siamrpn_alex_dwxcorr` and `siamrpn_alex_dwxcorr_otb`.

    Raises:
        ValueError: no such head or preset.
    """
    if preset not in ("vot", "otb"):
        raise ValueError(f"preset: expected 'vot' or 'otb', got {preset!r}")
    constants: dict[str, Any] = {"penalty_k": 0.16, "window_influence": 0.4, "lr": 0.3}
    return SiamRPN(backbone="alexnet", head=head, instance=287, **constants)


def siamrpnpp(
    backbone: Literal["resnet50", "mobilenetv2"] = "resnet50",
    preset: Literal["vot", "otb", "longterm"] = "vot",
) -> SiamRPN:
    """Give SiamRPN++: depthwise heads on three stages of a deep backbone.

    Args:
        backbone: `"resnet50"` or `"mobilenetv2"`.
        preset: of ResNet-50: VOT's weights weigh the levels, OTB's average them, and `"longterm"`
            has other widths and searches windows of 831 pixels while the target is lost.

    Source: PySOT's `siamrpn_r50_l234_dwxcorr`, `..._otb`, `..._lt` and
    `siamrpn_mobilev2_l234_dwxcorr`.

    Raises:
        ValueError: no such backbone or preset.
    """
    settings: dict[tuple[str, str], dict[str, Any]] = {
        ("resnet50", "vot"): {
            "weighted": True, "penalty_k": 0.05, "window_influence": 0.42, "lr": 0.38,
        },
        ("resnet50", "otb"): {"penalty_k": 0.24, "window_influence": 0.5, "lr": 0.25},
        ("resnet50", "longterm"): {
            "features": (128, 256, 512), "hidden": (128, 256, 512), "weighted": True,
            "penalty_k": 0.05, "window_influence": 0.28, "lr": 0.22,
            "lost_below": 0.8, "found_above": 0.998, "wider": (831,),
        },
        ("mobilenetv2", "vot"): {"penalty_k": 0.04, "window_influence": 0.4, "lr": 0.5},
    }  # fmt: skip
    if (backbone, preset) not in settings:
        known = ", ".join(f"{name} with {of!r}" for name, of in settings)
        raise ValueError(f"backbone and preset: expected {known}, got {backbone} with {preset!r}")
    chosen = {"features": (256, 256, 256), **settings[backbone, preset]}
    return SiamRPN(backbone=backbone, **chosen)


def dasiamrpn(
    size: Literal["vot", "otb", "big"] = "vot",
    aware: Aware | None = None,
    wider: tuple[int, ...] = (),
) -> DaSiamRPN:
    """Give DaSiamRPN as its authors run it, or with what their code leaves out.

    Args:
        size: `"vot"` and `"otb"` differ in constants alone; `"big"` has twice the channels, and
            a search crop of 287 pixels for small targets.
        aware: how distractors are learnt; None, as published in code, for not at all.
        wider: search crops while lost, as (399, 527, 655, 783); () as published in code.

    Source: foolwood/DaSiamRPN (constants); Zhu et al. 2018 (thresholds 0.8 and 0.95 of the
    local-to-global search).

    Raises:
        ValueError: no such size.
    """
    lost: dict[str, Any] = {"wider": wider, "lost_below": 0.8, "found_above": 0.95} if wider else {}
    lost["aware"] = aware
    if size == "vot":
        return DaSiamRPN(penalty_k=0.04, window_influence=0.44, lr=0.45, **lost)
    if size == "otb":
        return DaSiamRPN(penalty_k=0.22, window_influence=0.4, lr=0.3, **lost)
    if size != "big":
        raise ValueError(f"size: expected 'vot', 'otb' or 'big', got {size!r}")
    return DaSiamRPN(
        width=2.0,
        hidden=512,
        small_instance=287,
        penalty_k=0.055,
        window_influence=0.42,
        lr=0.295,
        **lost,
    )


def nanotrack(version: Literal[2, 3] = 3) -> NanoTrack:
    """Give NanoTrack as its authors run it.

    Args:
        version: 2, whose towers see pixel-wise correlation alone, or 3.

    Source: HonglinChu/SiamTrackers, `NanoTrack/models/config`.

    Raises:
        ValueError: no such version.
    """
    constants: dict[int, dict[str, Any]] = {
        2: {"penalty_k": 0.15, "window_influence": 0.49, "lr": 0.385},
        3: {"penalty_k": 0.138, "window_influence": 0.455, "lr": 0.348},
    }
    return NanoTrack(version=version, **constants.get(version, {}))


def siammask(
    variant: Literal["sharp", "base"] = "sharp", preset: Literal["vot", "davis"] = "vot"
) -> SiamMask:
    """Give SiamMask on ResNet-50, with refined masks or without.

    Args:
        variant: `"sharp"` or `"base"`.
        preset: tracking constants for boxes, or for masks: DAVIS's take the box's size from the
            latest frame alone.

    Source: PySOT's `siammask_r50_l3`, equal to SiamMask's `config_vot18` (sharp); the defaults of
    SiamMask's `TrackerConfig` (base); SiamMask's `config_davis` (both).

    Raises:
        ValueError: no such variant or preset.
    """
    settings: dict[tuple[str, str], dict[str, Any]] = {
        ("sharp", "vot"): {
            "penalty_k": 0.1, "window_influence": 0.41, "lr": 0.32, "mask_threshold": 0.15,
        },
        ("base", "vot"): {
            "penalty_k": 0.09, "window_influence": 0.39, "lr": 0.38, "mask_threshold": 0.3,
        },
    }  # fmt: skip
    davis: dict[str, Any] = {
        "penalty_k": 0.04,
        "window_influence": 0.4,
        "lr": 1.0,
        "mask_threshold": 0.35,
    }
    settings |= {(name, "davis"): davis for name in ("sharp", "base")}
    if (variant, preset) not in settings:
        known = "variant 'sharp' or 'base', preset 'vot' or 'davis'"
        raise ValueError(f"variant and preset: expected {known}, got {variant!r} with {preset!r}")
    return SiamMask(variant=variant, **settings[variant, preset])


def siammask_lite() -> SiamMask:
    """Give the light SiamMask: EfficientNet-Lite0 to stride 16, heads of 96 channels.

    Its constants are the best of four settings by the masks' mean overlap over the 30 training
    videos of DAVIS-2016 (`experiments/siammask_lite.py`).
    """
    return SiamMask(
        backbone="efficientnet-lite0",
        layers=("block10",),
        features=(),
        hidden=96,
        stride=16,
        scales=(4.0,),
        penalty_k=0.05,
        window_influence=0.3,
        lr=0.6,
        mask_threshold=0.3,
    )


def anchorfree() -> AnchorFree:
    """Give the light anchor-free tracker whose weights come with the package.

    EfficientNet-Lite0 to stride 16, every template position a kernel, and the template told where
    its target's box lies (`experiments/default.py`). Its constants are the best of 24 drawn by
    `siamjax tune` on the 30 training videos of DAVIS-2016.
    """
    return AnchorFree(box_aware=True, penalty_k=0.06, window_influence=0.46, lr=0.53)
