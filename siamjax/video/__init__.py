"""Frames in and video out: files, picture folders, webcams, network streams; H.264 for browsers.

Frames are `uint8[H, W, 3]` RGB, upright (rotation of phone videos applied), counted from 0, with
their time in seconds. The only place of PyAV; pictures are read by OpenCV.
"""

from siamjax.video.frame import Frame, VideoInfo
from siamjax.video.pictures import PICTURE_RATE, PICTURES
from siamjax.video.source import Source, frames, info, is_live
from siamjax.video.writer import VideoWriter

__all__ = [
    "PICTURES",
    "PICTURE_RATE",
    "Frame",
    "Source",
    "VideoInfo",
    "VideoWriter",
    "frames",
    "info",
    "is_live",
]
