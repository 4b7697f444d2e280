import numpy as np
import pytest

from siamjax.data.tracks import Track
from siamjax.evaluate import attributes
from siamjax.evaluate.compare import POOLED, SUCCESS

NAN = np.nan


def _derived(rows, size=(100, 80)):
    found = attributes.derive(np.array(rows, np.float32), size)
    return {name.removesuffix(" (derived)"): frames.tolist() for name, frames in found.items()}


def test_fast_motion_is_over_20_pixels_of_the_centre():
    # Centres at 20 (start), 40 (20 px on), 61 (21 px on), absent, 20 (nothing to compare with).
    rows = [[10, 10, 21, 41], [30, 10, 21, 41], [51, 10, 21, 41], [NAN] * 4, [10, 10, 21, 41]]
    assert _derived(rows)["fast motion"] == [False, False, True, False, False]


def test_low_resolution_is_under_400_pixels():
    rows = [[10, 10, 20, 20], [10, 10, 20, 19.5], [NAN] * 4]
    assert _derived(rows)["low resolution"] == [False, True, False]


def test_scale_and_aspect_change_beyond_twice_the_first():
    sides = [[20, 20], [40, 20], [41, 20], [20, 9], [9, 45], [20, 10], [10, 20]]
    found = _derived([[10, 10, *each] for each in sides])
    # Areas 1, 2, 2.05, 0.45, 1.0125, 0.5, 0.5 and aspects 1, 2, 2.05, 2.2, 0.2, 2, 0.5.
    assert found["scale change"] == [False, False, True, True, False, False, False]
    assert found["aspect change"] == [False, False, True, True, True, False, False]


def test_the_first_box_is_the_first_with_a_truth():
    assert _derived([[NAN] * 4, [10, 10, 20, 20], [10, 10, 20, 50]])["scale change"] == [0, 0, 1]


def test_leaving_the_view():
    rows = [[1, 1, 20, 20], [0, 1, 20, 20], [80, 1, 20, 20], [79, 59, 20, 20], [79, 61, 20, 20]]
    assert _derived([*rows, [NAN] * 4])["leaves the view"] == [0, 1, 1, 0, 1, 1]


class Clip:
    name = "clip"

    def __len__(self):
        return 2

    def frame(self, i):
        return np.zeros((80, 100, 3), np.uint8)

    def __iter__(self):
        return (self.frame(i) for i in range(2))


def _track(name, box, **tags):
    boxes = np.array([[10, 10, 20, 20], box], np.float32)
    return Track(name, Clip(), boxes, tags={k: np.array(v, bool) for k, v in tags.items()})


def test_tags_of_the_data_come_before_derived_ones():
    sizes = {"a": (100, 80), "b": (100, 80)}
    plain = [_track("a", [50, 10, 20, 20]), _track("b", [50, 10, 20, 50])]
    assert attributes.having(plain, sizes) == {
        "aspect change (derived)": ["b"],
        "fast motion (derived)": ["a", "b"],
        "scale change (derived)": ["b"],
    }
    tagged = [plain[0], _track("b", [50, 10, 20, 50], occlusion=[0, 1], blur=[0, 0])]
    assert attributes.having(tagged, sizes) == {"occlusion": ["b"]}
    untagged = [_track("a", [50, 10, 20, 20], occlusion=[0, 0])]
    assert attributes.having(untagged, sizes) == {}


def test_means_over_the_sequences_that_have_it():
    sequences = {
        "a": {"success_auc": 0.2, "mean_iou": 0.2, "frames": 10},
        "b": {"success_auc": 0.6, "mean_iou": 0.6, "frames": 30},
        "c": {"success_auc": 1.0, "mean_iou": 1.0, "frames": 99},
    }
    having = {"blur": ["a", "b"], "night": ["c", "unknown"], "rain": ["unknown"]}
    found = attributes.summarise(sequences, having, (SUCCESS, POOLED))
    assert list(found) == ["blur", "night"]
    assert found["blur"]["sequences"] == ["a", "b"]
    assert found["blur"]["success_auc"] == pytest.approx(0.4)
    assert found["blur"]["ao"] == pytest.approx(0.5)  # (10 * 0.2 + 30 * 0.6) / 40
    assert found["night"] == {"sequences": ["c"], "success_auc": 1.0, "ao": 1.0}
