import inspect

import pytest

from siamjax.track import presets, zoo


def test_three_scales_of_siamfc_pytorch():
    assert presets.siamfc().hyper() == (1.0375, 0.9745, 0.59, 0.176, 0.0, float("inf"))
    assert (presets.siamfc().scales, presets.siamfc().upsampling) == (3, 16)


def test_five_scales_of_the_authors():
    tracker = presets.siamfc(scales=5)
    assert tracker.hyper() == (1.0255, 0.962, 0.34, 0.168, 0.2, 5.0)
    assert tracker.scales == 5
    assert tracker == zoo.tracker("siamfc-alexnet-v1-5s")


def test_wrong_number_of_scales():
    with pytest.raises(ValueError, match="scales: expected 3 or 5, got 7"):
        inspect.unwrap(presets.siamfc)(scales=7)
