"""Siamese visual tracking and metric learning as pure functions on JAX."""

import importlib
from typing import TYPE_CHECKING

from siamjax import anchors, geometry, losses, masks, targets, weights, xcorr
from siamjax.crop import crop
from siamjax.metric.model import PseudoSiamese, Siamese
from siamjax.metric.zoo import pseudo_siamese, siamese
from siamjax.track.anchorfree import AnchorFree
from siamjax.track.dasiamrpn import DaSiamRPN
from siamjax.track.many import init_many, step_many
from siamjax.track.nanotrack import NanoTrack
from siamjax.track.presets import (
    anchorfree,
    dasiamrpn,
    nanotrack,
    siamfc,
    siammask,
    siamrpn,
    siamrpnpp,
)
from siamjax.track.siamfc import SiamFC
from siamjax.track.siammask import SiamMask
from siamjax.track.siamrpn import SiamRPN
from siamjax.track.state import Out
from siamjax.weights import load

if TYPE_CHECKING:
    from siamjax import draw as draw
    from siamjax import evaluate as evaluate
    from siamjax import rotated as rotated
    from siamjax import video as video
    from siamjax.follow import track_video as track_video

__version__ = "0.1.0"

__all__ = [
    "AnchorFree",
    "DaSiamRPN",
    "NanoTrack",
    "Out",
    "PseudoSiamese",
    "SiamFC",
    "SiamMask",
    "SiamRPN",
    "Siamese",
    "anchorfree",
    "anchors",
    "crop",
    "dasiamrpn",
    "draw",
    "evaluate",
    "geometry",
    "init_many",
    "load",
    "losses",
    "masks",
    "nanotrack",
    "pseudo_siamese",
    "rotated",
    "siamese",
    "siamfc",
    "siammask",
    "siamrpn",
    "siamrpnpp",
    "step_many",
    "targets",
    "track_video",
    "video",
    "weights",
    "xcorr",
]


def __getattr__(name: str):
    """Import what reads files and pictures (OpenCV, PyAV) when it is first used."""
    if name in ("draw", "evaluate", "rotated", "video"):
        return importlib.import_module(f"siamjax.{name}")
    if name == "track_video":
        return importlib.import_module("siamjax.follow").track_video
    raise AttributeError(f"module 'siamjax' has no attribute {name!r}")
