import numpy as np
import pytest

from siamjax.data.media import PictureFolder
from siamjax.data.tracks import Track, check_counts


def test_track_checks_its_boxes(tmp_path):
    media = PictureFolder((tmp_path / "a.jpg", tmp_path / "b.jpg"))
    boxes = np.asarray(
        [[1, 2, 3, 4], [np.nan] * 4, [1, 1, 0, 5], [0, 0, np.inf, 1], [9, 9, 9, 9]], np.float32
    )
    assert Track("t", media, boxes).visible.tolist() == [0, 4]
    with pytest.raises(ValueError, match=r"float32\[T, 4\], got float64\[5, 4\] \(t\)"):
        Track("t", media, boxes.astype(np.float64))
    with pytest.raises(ValueError, match=r"cover: expected \[5\]"):
        Track("t", media, boxes, cover=np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="2 frames but 5 annotations"):
        check_counts(tmp_path, len(media), len(boxes))
