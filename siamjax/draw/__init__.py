"""Boxes, masks, labels, trails and response maps drawn on frames.

Frames are `uint8[H, W, 3]` RGB and are not changed: every function answers with a new picture.
Boxes are (x, y, width, height) in frame pixels, rotated boxes their corners [4, 2]. Needs no screen
and no plotting library.
"""

from siamjax.draw.areas import heatmap, masks
from siamjax.draw.output import Window, png
from siamjax.draw.overlay import Overlay, trail
from siamjax.draw.strokes import LOST, PALETTE, Color, color, line_width
from siamjax.draw.targets import boxes

__all__ = [
    "LOST",
    "PALETTE",
    "Color",
    "Overlay",
    "Window",
    "boxes",
    "color",
    "heatmap",
    "line_width",
    "masks",
    "png",
    "trail",
]
