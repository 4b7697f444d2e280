import struct

import numpy as np
import pytest

from siamjax.data.readers.vot import RunLengths, run_lengths
from siamjax.evaluate import regions, vot_files
from siamjax.evaluate.regions import Drawn

SIZE = (50, 40)
MASK = np.zeros((40, 50), np.bool_)
MASK[10:20, 8:30] = True
MASK[14, 12] = False
MASK[2, 45] = True
REGIONS = {
    "polygon": np.array([5.0, 5, 20, 8, 17, 25, 3, 19.4]),
    "triangle": np.array([12.3, 2, 30, 14, 11, 30.6]),
    "box": np.array([4.4, 6.5, 10.2, 12.5]),
    "outside in part": np.array([-6.0, -3, 20, 14]),
    "mask": regions.from_mask(MASK),
}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("polygon", "triangle", 0.33573141486810554),
        ("polygon", "box", 0.45),
        ("polygon", "outside in part", 0.1322314049586777),
        ("polygon", "mask", 0.31043956043956045),
        ("triangle", "box", 0.09375),
        ("triangle", "outside in part", 0.05827505827505827),
        ("triangle", "mask", 0.45251396648044695),
        ("box", "outside in part", 0.22321428571428573),
        ("box", "mask", 0.16040955631399317),
        ("outside in part", "mask", 0.016304347826086956),
    ],
)
def test_overlaps_are_those_of_the_toolkit(a, b, expected):
    """Numbers of the VOT toolkit 0.9.0's `calculate_overlap`."""
    first, second = REGIONS[a], REGIONS[b]
    assert regions.overlap(first, second, SIZE) == pytest.approx(expected, abs=1e-12)
    assert regions.overlap(second, first, SIZE) == pytest.approx(expected, abs=1e-12)
    assert regions.overlap(first, first, SIZE) == 1


def test_empty_and_distant_regions():
    nothing, box = 0, np.array([1.0, 1, 5, 5])
    assert regions.overlap(nothing, np.array([np.nan] * 4), SIZE) == 1  # both are empty
    assert regions.overlap(nothing, box, SIZE) == 0
    assert regions.overlap(box, np.array([20.0, 20, 5, 5]), SIZE) == 0
    beyond = np.array([60.0, 60, 5, 5])
    assert regions.overlap(beyond, beyond, SIZE) == 0
    # An L of 10 x 10 with a box in its corner of 5 x 5: a mask is compared pixel by pixel.
    shape = np.ones((10, 10), np.bool_)
    shape[5:, 5:] = False
    assert regions.overlap(Drawn(0, 0, shape), np.array([5.0, 5, 5, 5]), SIZE) == 0
    assert regions.overlap(Drawn(0, 0, shape), np.array([0.0, 0, 5, 5]), SIZE) == 25 / 75


def test_lines_are_read_back():
    lines = {
        "1": 1,
        "5.0000,5.0000,20.0000,8.0000,17.0000,25.0000,3.0000,19.4000": REGIONS["polygon"],
        "4.4000,6.5000,10.2000,12.5000": REGIONS["box"],
    }
    for line, region in lines.items():
        assert regions.shown(region) == line
        np.testing.assert_array_equal(regions.parse(line), region)
    line = regions.shown(REGIONS["mask"])
    assert line.startswith("m8,2,38,18,37,1,")  # one pixel at the end of the first row
    drawn = regions.parse(line)
    assert (drawn.left, drawn.top) == (8, 2)
    np.testing.assert_array_equal(drawn.inside, MASK[2:20, 8:46])
    assert regions.shown(regions.from_mask(np.zeros((4, 4), np.bool_))) == "m0,0,0,0,0"
    assert regions.parse("nan,nan,nan,nan") == 0
    wide = Drawn(3, 4, np.pad(np.ones((2, 2), np.bool_), 1))
    assert regions.shown(wide) == "m4,5,2,2,0,4"


@pytest.mark.parametrize("seed", range(3))
def test_run_lengths_of_any_mask(seed):
    mask = np.random.default_rng(seed).random((7, 9)) < 0.4
    again = RunLengths([run_lengths(mask)], (7, 9)).mask(0)
    np.testing.assert_array_equal(again, mask)


@pytest.mark.parametrize("text", ["", "3", "1,2,3", "1;2;3;4", "a,b,c,d", "1,2,inf,4", "1,2,3,4,5"])
def test_what_is_no_region(text):
    with pytest.raises(ValueError, match="expected a code, four numbers, a polygon or a mask"):
        regions.parse(text)


@pytest.mark.parametrize("text", ["m", "m1,2,3", "m1,2,-3,4", "m1,2,x,4", "m0,0,2,2,1,4"])
def test_what_is_no_mask(text):
    with pytest.raises(ValueError, match="expected m and run lengths, got 'm"):
        regions.parse(text)


# A start, a box, a triangle and a mask as the VOT toolkit 0.9.0 packs them.
PACKED = bytes.fromhex(
    "0100040000000001000000010000c03f000000400000404000008040020300000000000000000000008040000000"
    "00000080400000804003feff05000300020004000000020001000300"
)


def test_the_toolkits_binary_file(tmp_path):
    place = tmp_path / "baseline" / "ants"
    place.mkdir(parents=True)
    (place / "ants_00000007.bin").write_bytes(PACKED)
    start, box, triangle, mask = vot_files.read_anchored(tmp_path, "ants_00000007", 4)
    assert start == 1
    assert box.tolist() == [1.5, 2, 3, 4]
    assert triangle.tolist() == [0, 0, 4, 0, 4, 4]
    assert (mask.left, mask.top) == (-2, 5)
    assert mask.inside.astype(int).tolist() == [[1, 1, 0], [1, 1, 1]]
    vot_files.write_anchored(tmp_path, "ants_00000007", [start, box, triangle, mask])
    again = vot_files.read_anchored(tmp_path, "ants_00000007", 4)  # the text comes first
    assert regions.shown(again[3]) == regions.shown(mask) == "m-2,5,3,2,0,2,1,3"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (PACKED[:-1], r"ants_00000007\.bin, region 4: not a result of the VOT toolkit"),
        (b"", "region 1: not a result"),
        (struct.pack("<hI", 2, 0), "version 2"),
        (struct.pack("<hIB", 1, 1, 9), "a region of kind 9"),
        (struct.pack("<hIBI", 1, 1, 0, 1), r"\.bin, line 2: missing, expected 4 lines"),
    ],
)
def test_damaged_binary_files(tmp_path, data, message):
    (tmp_path / "baseline" / "ants").mkdir(parents=True)
    (tmp_path / "baseline" / "ants" / "ants_00000007.bin").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        vot_files.read_anchored(tmp_path, "ants_00000007", 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n1,2,3,4\n", r"ants_00000007\.txt, line 3: missing, expected 3 lines"),
        ("1\n1,2,3,4\n" + "1,2,3,4\n" * 2, r"line 4: expected 3 lines, got 4"),
        ("1,2,3,4\n" * 3, "line 1: expected the code of a start, 1"),
        ("1\n1,2,3,4\n2\n", "line 3: expected a region, got the code 2"),
        ("1\n1|2|3|4\n0\n", r"ants_00000007\.txt, line 2: expected a code, four numbers"),
        ("1\nm1,2\n0\n", r"ants_00000007\.txt, line 2: expected m and run lengths, got 'm1,2'"),
    ],
)
def test_damaged_text_files(tmp_path, text, message):
    (tmp_path / "baseline" / "ants").mkdir(parents=True)
    (tmp_path / "baseline" / "ants" / "ants_00000007.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        vot_files.read_anchored(tmp_path, "ants_00000007", 3)
    with pytest.raises(ValueError, match=r"ants_00000008\.txt: cannot be read"):
        vot_files.read_anchored(tmp_path, "ants_00000008", 3)
