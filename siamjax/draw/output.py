"""Where a drawn picture goes: a window on the screen, or the bytes of a PNG."""

import os
import sys

import cv2
import numpy as np
from jaxtyping import UInt8


class Window:
    """A window on the screen, where OpenCV's GUI build and a screen are there.

    Raises:
        ValueError: there is no screen or no GUI build; names the remedy.
    """

    def __init__(self, title: str = "siamjax") -> None:
        if sys.platform == "linux" and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            # OpenCV's Qt would end the process here, so this is asked first.
            raise ValueError("show: there is no screen (DISPLAY is not set); leave --show out")
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL)
        except cv2.error:
            raise ValueError(
                "show: this OpenCV is built without windows; install the other build: "
                "pip uninstall opencv-python-headless && pip install opencv-python"
            ) from None
        self._title = title

    def show(self, frame: UInt8[np.ndarray, "H W 3"]) -> bool:
        """Show an RGB frame; answers False when q or Escape was pressed or the window closed."""
        cv2.imshow(self._title, frame[..., ::-1])
        key = cv2.waitKey(1) & 0xFF
        visible = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        return key not in (27, ord("q")) and visible

    def ask_boxes(self, frame: UInt8[np.ndarray, "H W 3"]) -> list[list[float]]:
        """Let boxes be drawn by mouse: Enter after each, Escape after the last."""
        drawn = cv2.selectROIs(self._title, np.ascontiguousarray(frame[..., ::-1]), False)
        return [[float(side) for side in box] for box in drawn]

    def close(self) -> None:
        """Close the window."""
        cv2.destroyWindow(self._title)


def png(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Encode an RGB picture."""
    done, data = cv2.imencode(".png", picture[..., ::-1])
    if not done:
        raise ValueError(f"picture: cannot be encoded, {picture.dtype}{list(picture.shape)}")
    return data.tobytes()
