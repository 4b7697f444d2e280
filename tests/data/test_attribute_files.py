import cv2
import numpy as np
import pytest

from siamjax.data.readers import lasot, otb
from siamjax.evaluate import aggregate


def _sequence(place, truth, name, lines=3):
    (place / "img").mkdir(parents=True)
    for i in range(lines):
        cv2.imwrite(str(place / "img" / f"{i + 1:04d}.jpg"), np.zeros((8, 8, 3), np.uint8))
    (place / name).write_text(truth * lines)


def test_otb(tmp_path):
    _sequence(tmp_path / "CarDark", "1,1,5,5\n", "groundtruth_rect.txt")
    _sequence(tmp_path / "Jogging", "1,1,5,5\n", "groundtruth_rect.1.txt")
    (tmp_path / "Jogging" / "groundtruth_rect.2.txt").write_text("2,2,5,5\n" * 3)
    assert [one.tags for one in otb.read(tmp_path)] == [{}, {}, {}]
    described = tmp_path / "anno" / "att"
    described.mkdir(parents=True)
    (described / "carDark.txt").write_text("1,0,0,0,0,0,0,0,0,1,0\n")
    (described / "jogging-2.txt").write_text("0\t1\t0\t1\t1\t0\t0\t0\t0\t0\t1\n")
    tracks = otb.read(tmp_path)
    assert [one.name for one in tracks] == ["CarDark", "Jogging.1", "Jogging.2"]
    assert aggregate.attributes(tracks) == {
        "BC": ["CarDark"],
        "DEF": ["Jogging.2"],
        "IV": ["CarDark"],
        "LR": ["Jogging.2"],
        "OCC": ["Jogging.2"],
        "OPR": ["Jogging.2"],
    }
    assert tracks[0].tags["IV"].tolist() == [True, True, True]
    assert tracks[0].tags["LR"].tolist() == [False, False, False]


def test_lasot(tmp_path):
    _sequence(tmp_path / "dog" / "dog-2", "1,1,5,5\n", "groundtruth.txt")
    (tmp_path / "dog" / "dog-2" / "out_of_view.txt").write_text("0,1,0\n")
    (tmp_path / "att").mkdir()
    (tmp_path / "att" / "dog-2.txt").write_text("0,0,0,0,0,0,0,1,0,0,0,0,0,1")
    (track,) = lasot.read(tmp_path)
    assert aggregate.attributes([track]) == {
        "ARC": ["dog-2"],
        "VC": ["dog-2"],
        "out_of_view": ["dog-2"],
    }
    assert track.shown.tolist() == [True, False, True]


@pytest.mark.parametrize("text", ["1,0\n", "1,0,0,0,0,0,0,0,0,2,0\n", "1," * 12 + "1\n", "IV\n"])
def test_damaged_files_are_named(tmp_path, text):
    _sequence(tmp_path / "Car4", "1,1,5,5\n", "groundtruth_rect.txt")
    (tmp_path / "att").mkdir()
    (tmp_path / "att" / "Car4.txt").write_text(text)
    with pytest.raises(ValueError, match=r"att.Car4\.txt.*: expected .*zeros and ones"):
        otb.read(tmp_path)
