"""The named trackers, and how a weights file says which one it holds."""

import dataclasses
import difflib
from typing import Any

from siamjax.track.anchorfree import AnchorFree
from siamjax.track.dasiamrpn import DaSiamRPN
from siamjax.track.distractors import Aware
from siamjax.track.nanotrack import NanoTrack
from siamjax.track.presets import (
    anchorfree,
    dasiamrpn,
    nanotrack,
    siamfc,
    siamfc_lite,
    siammask,
    siammask_lite,
    siamrpn,
    siamrpnpp,
)
from siamjax.track.region import RegionTracker
from siamjax.track.siamfc import SiamFC
from siamjax.track.siammask import SiamMask
from siamjax.track.siamrpn import SiamRPN

Tracker = SiamFC | RegionTracker
"""Every tracker's class, one union for signatures."""

FAMILIES: dict[str, type[Tracker]] = {
    "siamfc": SiamFC,
    "siamrpn": SiamRPN,
    "dasiamrpn": DaSiamRPN,
    "nanotrack": NanoTrack,
    "siammask": SiamMask,
    "anchorfree": AnchorFree,
}

_NAMED = {
    "siamfc-alexnet-v1": lambda: siamfc("alexnet-v1"),
    "siamfc-alexnet-v1-5s": lambda: siamfc("alexnet-v1", scales=5),
    "siamfc-alexnet-v2": lambda: siamfc("alexnet-v2"),
    "siamfc-alexnet-v3": lambda: siamfc("alexnet-v3"),
    "siamfc-lite": siamfc_lite,
    "siamrpn-alexnet-up": lambda: siamrpn("up"),
    "siamrpn-alexnet-dw": lambda: siamrpn("depthwise"),
    "siamrpnpp-resnet50": siamrpnpp,
    "siamrpnpp-resnet50-otb": lambda: siamrpnpp(preset="otb"),
    "siamrpnpp-resnet50-longterm": lambda: siamrpnpp(preset="longterm"),
    "siamrpnpp-mobilenetv2": lambda: siamrpnpp("mobilenetv2"),
    "dasiamrpn-vot": lambda: dasiamrpn("vot"),
    "dasiamrpn-otb": lambda: dasiamrpn("otb"),
    "dasiamrpn-big": lambda: dasiamrpn("big"),
    "nanotrack-v2": lambda: nanotrack(2),
    "nanotrack-v3": lambda: nanotrack(3),
    "siammask-sharp": siammask,
    "siammask-base": lambda: siammask("base"),
    "siammask-lite": siammask_lite,
    "anchorfree-lite": anchorfree,
}


def names() -> list[str]:
    """List the named trackers, as `--arch` takes them."""
    return list(_NAMED)


def unknown(kind: str, name: str, known: list[str]) -> ValueError:
    """Make the error for a name that does not exist, with the closest ones that do."""
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return ValueError(f"unknown {kind} {name!r}: {hint}known are {', '.join(known)}")


def tracker(name: str) -> Tracker:
    """Give the tracker of this name.

    Raises:
        ValueError: unknown; the message suggests the closest.
    """
    if name not in _NAMED:
        raise unknown("tracker", name, names())
    return _NAMED[name]()


def describe(tracker: Tracker) -> tuple[str, dict[str, Any]]:
    """Give a tracker's family and configuration, JSON-ready: what `build` takes."""
    for family, kind in FAMILIES.items():
        if type(tracker) is kind:
            config = dataclasses.asdict(tracker)
            return family, {k: "inf" if v == float("inf") else v for k, v in config.items()}
    raise ValueError(f"tracker: expected one of {sorted(FAMILIES)}, got {type(tracker).__name__}")


def build(family: str, config: dict[str, Any]) -> Tracker:
    """Make the tracker that `describe` described.

    Raises:
        ValueError: unknown family, or settings that it does not have.
    """
    if family not in FAMILIES:
        raise unknown("tracker family", family, list(FAMILIES))
    kind = FAMILIES[family]
    fields = {field.name for field in dataclasses.fields(kind)}
    strange = sorted(set(config) - fields)
    if strange:
        raise ValueError(f"config: {family} has no setting {', '.join(strange)}")
    settings: dict[str, Any] = {k: _read(v) for k, v in config.items()}
    if settings.get("aware") is not None:
        settings["aware"] = Aware(*settings["aware"])
    return kind(**settings)


def _read(value: Any) -> Any:
    """Undo what JSON does to a setting: infinity as a word, tuples as lists."""
    if isinstance(value, list):
        return tuple(_read(one) for one in value)
    return float("inf") if value == "inf" else value
