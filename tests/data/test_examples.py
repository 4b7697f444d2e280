import cv2
import numpy as np
import pytest

from siamjax.data.examples import Captioned, Examples, fit, read_fit
from siamjax.data.media import DamagedMediaError


def examples():
    pictures = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    return Examples(pictures, np.array([0, 1, 2, 0, 2, 2]), ("x", "y", "z"), ("g", "h", "h"))


def test_members_are_the_pictures_of_each_class():
    assert [list(found) for found in examples().members] == [[0, 3], [1], [2, 4, 5]]


def test_chosen_classes_are_numbered_anew():
    chosen = examples().choose([2, 0])
    assert chosen.pictures[:, 0, 0, 0].tolist() == [0, 2, 3, 4, 5]
    assert chosen.labels.tolist() == [1, 0, 1, 0, 0]
    assert chosen.names == ("z", "x")
    assert chosen.groups == ("h", "g")


def test_taken_pictures_keep_their_classes():
    taken = examples().take([5, 1])
    assert taken.pictures[:, 0, 0, 0].tolist() == [5, 1]
    assert taken.labels.tolist() == [2, 1]
    assert taken.names == ("x", "y", "z")


def test_captions_are_taken_with_their_pictures():
    pictures = np.zeros((3, 2, 2, 3), np.uint8)
    all_of = Captioned(pictures, (("a",), ("b", "c"), ("d",)), ((), ("w",), ()), ("1", "2", "3"))
    taken = all_of.take([1])
    assert (len(taken), taken.titles, taken.words, taken.names) == (
        1, (("b", "c"),), (("w",),), ("2",),
    )  # fmt: skip


def test_refusals():
    pictures = np.zeros((2, 2, 2, 1), np.uint8)
    with pytest.raises(ValueError, match="numbers of 1 names"):
        Examples(pictures, np.array([0, 1]), ("x",))
    with pytest.raises(ValueError, match="groups: expected one for each of 1"):
        Examples(pictures, np.array([0, 0]), ("x",), ("g", "h"))
    with pytest.raises(ValueError, match="2 has none"):
        Captioned(pictures, (("a",), ()), ((), ()), ("1", "2"))
    with pytest.raises(ValueError, match="words: expected one for each of 2"):
        Captioned(pictures, (("a",), ("b",)), ((),), ("1", "2"))


def test_what_is_transparent_is_white():
    picture = np.zeros((2, 2, 4), np.uint8)
    picture[0, 0] = (10, 20, 30, 255)
    picture[0, 1] = (100, 200, 0, 128)
    got = fit(picture, 2, 3)
    assert got[0, 0].tolist() == [10, 20, 30]
    assert got[0, 1].tolist() == [177, 227, 127]  # 255 + (v - 255) * 128 / 255
    assert got[1].tolist() == [[255] * 3] * 2


@pytest.mark.parametrize(
    ("shape", "channels", "wanted"),
    [((4, 6), 1, (3, 3, 1)), ((4, 6, 3), 1, (3, 3, 1)), ((2, 2), 3, (3, 3, 3))],
)
def test_any_picture_gets_the_towers_form(shape, channels, wanted):
    got = fit(np.full(shape, 70, np.uint8), 3, channels)
    assert got.shape == wanted
    assert (got == 70).all()


def test_shrinking_averages():
    picture = np.array([[0, 100], [200, 100]], np.uint8)
    assert fit(picture, 1, 1).tolist() == [[[100]]]


def test_files_are_read_as_rgb(tmp_path):
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[..., 2] = 200  # OpenCV writes BGR: red
    cv2.imwrite(str(tmp_path / "red.png"), picture)
    assert read_fit(tmp_path / "red.png", 4, 3)[0, 0].tolist() == [200, 0, 0]
    assert read_fit(tmp_path / "red.png", 4, 1)[0, 0].tolist() == [60]  # 0.299 * 200
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 4), 257 * 90, np.uint16))
    assert read_fit(tmp_path / "deep.png", 4, 1)[0, 0].tolist() == [90]
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DamagedMediaError, match=r"bad\.png: not a picture"):
        read_fit(tmp_path / "bad.png", 4, 1)
    with pytest.raises(DamagedMediaError, match="No such file"):
        read_fit(tmp_path / "none.png", 4, 1)
