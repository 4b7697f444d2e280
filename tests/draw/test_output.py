import cv2
import pytest

from siamjax import draw


def test_window_without_a_screen_names_the_remedy(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ValueError, match="show: there is no screen"):
        draw.Window()


def test_window_without_a_gui_build_names_the_remedy(monkeypatch):
    def fail(*_):
        raise cv2.error("The function is not implemented")

    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(cv2, "namedWindow", fail)
    with pytest.raises(ValueError, match="pip install opencv-python"):
        draw.Window()
