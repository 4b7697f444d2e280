"""Siamese visual tracking and metric learning as pure functions on JAX."""

from siamjax import geometry, losses, xcorr
from siamjax.crop import crop
from siamjax.track.many import init_many, step_many
from siamjax.track.siamfc import SiamFC
from siamjax.track.state import Out
from siamjax.track.zoo import siamfc

__version__ = "0.1.0"

__all__ = [
    "Out",
    "SiamFC",
    "crop",
    "geometry",
    "init_many",
    "losses",
    "siamfc",
    "step_many",
    "xcorr",
]
