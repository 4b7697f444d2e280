"""OpenCV's side of `bench crop` and of the PyTorch tracker: the crops of siamfc-pytorch."""

from collections.abc import Sequence

import cv2
import numpy as np

from siamjax.bench.timing import threads


def pyramid(
    frame: np.ndarray, center: np.ndarray, sides: Sequence[float], size: int, fill: np.ndarray
) -> np.ndarray:
    """Cut windows of several sides around one point, uint8 [n, size, size, 3].

    Args:
        frame: uint8 [H, W, 3].
        center: (x, y), frame pixels.
        sides: of the windows, frame pixels.
        size: of the results, pixels.
        fill: colour outside the frame.
    """
    cv2.setNumThreads(threads())
    return np.stack([window(frame, center, side, size, fill) for side in sides])


def window(
    frame: np.ndarray, center: np.ndarray, side: float, size: int, fill: np.ndarray
) -> np.ndarray:
    """Cut one square window, padding only what lies outside, and resize it."""
    height, width = frame.shape[:2]
    whole = round(float(side))
    left, top = (round(float(c) - (whole - 1) / 2) for c in center)
    # Clipped twice: a window wholly outside the frame reads an empty part and is all fill.
    x0, x1 = np.clip((left, left + whole), 0, width)
    y0, y1 = np.clip((top, top + whole), 0, height)
    patch = frame[y0:y1, x0:x1]
    if patch.shape[:2] != (whole, whole):
        canvas = np.empty((whole, whole, 3), np.uint8)
        canvas[:] = np.round(fill).astype(np.uint8)
        canvas[y0 - top : y1 - top, x0 - left : x1 - left] = patch
        patch = canvas
    return cv2.resize(patch, (size, size), interpolation=cv2.INTER_LINEAR)
