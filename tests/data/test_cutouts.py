import cv2
import numpy as np
import pytest

from siamjax.data import cache
from siamjax.data.readers import cutouts


@pytest.fixture
def folders(tmp_path):
    cache.shared.clear()
    for name, color in (("red", (0, 0, 255)), ("c1_o2_a", (0, 255, 0)), ("c1_o2_b", (0, 255, 0))):
        image = np.zeros((30, 50, 4), np.uint8)
        image[5:25, 5:45] = (*color, 255)
        (tmp_path / "cut").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "cut" / f"{name}.png"), image)
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "blue.png"), np.full((90, 70, 3), (255, 0, 0), np.uint8))
    return tmp_path


def test_boxes_sit_on_the_pasted_objects(folders):
    tracks = cutouts.read([folders / "cut"], [folders / "photos"], copies=2, count=5, others=0)
    assert [track.name for track in tracks] == ["c1_o2-0", "c1_o2-1", "red-0", "red-1"]
    for track, channel in zip(tracks, (1, 1, 0, 0), strict=True):
        assert len(track.media) == 5
        for image, box in zip(track.media, track.boxes, strict=True):
            assert image.shape == (360, 480, 3)
            rows, columns = np.where(image[..., channel] > 127)
            found = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert found == pytest.approx(box.tolist(), abs=1)
            assert box[2] / box[3] == pytest.approx(2, rel=0.1)
        assert len({tuple(box) for box in track.boxes.tolist()}) == 5


def test_same_seed_same_frames_and_target_in_front(folders):
    first, again = (
        cutouts.read([folders / "cut"], [folders / "photos"], others=1, seed=4) for _ in "ab"
    )
    np.testing.assert_array_equal(first[0].media.frame(3), again[0].media.frame(3))
    assert first[0].media == again[0].media
    other = cutouts.read([folders / "cut"], [folders / "photos"], others=1, seed=5)
    assert (other[0].boxes != first[0].boxes).any()
    assert all(path.stem == "red" for path in first[0].media.others)
    for i, box in enumerate(first[0].boxes.astype(int)):
        x, y, w, h = box
        assert first[0].media.frame(i)[y + h // 2, x + w // 2].tolist() == [0, 255, 0]


def test_bad_folders(folders):
    with pytest.raises(ValueError, match="gone: no such folder"):
        cutouts.read([folders / "gone"], [folders / "photos"])
    with pytest.raises(ValueError, match="gone: no such folder"):
        cutouts.read([folders / "cut"], [folders / "gone"])
    (folders / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no cut-outs"):
        cutouts.read([folders / "empty"], [folders / "photos"])
    with pytest.raises(ValueError, match=r"photos: no pictures in .*empty"):
        cutouts.read([folders / "cut"], [folders / "empty"])
    (folders / "cut" / "red.png").write_bytes(b"x")
    cache.shared.clear()
    tracks = cutouts.read([folders / "cut"], [folders / "photos"])
    assert {track.name for track in tracks} == {"c1_o2-0", "c1_o2-1"}
