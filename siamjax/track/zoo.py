"""The named trackers, and how a weights file says which one it holds."""

import dataclasses
import difflib
from typing import Any, Literal

from siamjax.models.siamfc import LITE
from siamjax.track.siamfc import SiamFC

Tracker = SiamFC
"""Every tracker's class, one union for signatures."""

FAMILIES: dict[str, type[Tracker]] = {"siamfc": SiamFC}


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


_NAMED = {
    "siamfc-alexnet-v1": lambda: siamfc("alexnet-v1"),
    "siamfc-alexnet-v1-5s": lambda: siamfc("alexnet-v1", scales=5),
    "siamfc-alexnet-v2": lambda: siamfc("alexnet-v2"),
    "siamfc-alexnet-v3": lambda: siamfc("alexnet-v3"),
    "siamfc-lite": siamfc_lite,
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
    return kind(**settings)


def _read(value: Any) -> Any:
    """Undo `describe`'s writing of infinity, which JSON does not have."""
    return float("inf") if value == "inf" else value
