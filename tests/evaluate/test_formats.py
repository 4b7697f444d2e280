import zipfile

import numpy as np
import pytest

from siamjax.evaluate import formats, longterm, ope, vot, vot_files

BOXES = np.array([[0.0, 1, 10, 20], [1.5, 2.25, 10, 20], [-3, 4, 10.125, 20]])


def test_otb_and_lasot_are_one_based(tmp_path):
    formats.write_otb(tmp_path, "Car", BOXES)
    assert (tmp_path / "Car.txt").read_text().splitlines()[:2] == [
        "1.000,2.000,10.000,20.000",
        "2.500,3.250,10.000,20.000",
    ]
    np.testing.assert_array_equal(formats.read_otb(tmp_path, "Car", 3), BOXES)
    formats.write_lasot(tmp_path, "default", "dog-1", BOXES)
    assert (tmp_path / "default_tracking_result" / "dog-1.txt").is_file()
    np.testing.assert_array_equal(formats.read_lasot(tmp_path, "default", "dog-1", 3), BOXES)


def test_frames_without_an_answer_are_misses(tmp_path):
    boxes = BOXES.copy()
    boxes[1] = np.nan
    formats.write_otb(tmp_path, "Car", boxes)
    found = formats.read_otb(tmp_path, "Car", 3)
    np.testing.assert_array_equal(found, boxes)
    assert ope.score(BOXES, found).success[0] == 2 / 3


@pytest.mark.parametrize("separator", [",", "\t", " ", ", ", ";"])
def test_separators_of_other_trackers(tmp_path, separator):
    lines = (separator.join(map(str, row)) for row in BOXES.tolist())
    (tmp_path / "a.txt").write_text("\r\n".join(lines) + "\n\n")
    np.testing.assert_array_equal(formats.read_boxes(tmp_path / "a.txt", 3), BOXES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,4\n1,2,3\n", r"a\.txt, line 2: expected four numbers, got '1,2,3'"),
        ("1,2,3,4\n1|2|3|4\n", r"a\.txt, line 2: expected four numbers, got '1.2.3.4'"),
        ("1,2,3,4\n\n1,2,3,4\n", r"a\.txt, line 2: expected four numbers, got ''"),
        ("1,2,3,4\n1,2,-3,4\n", r"a\.txt, line 2: not a box, \[1.0, 2.0, -3.0, 4.0\]"),
        ("1,2,3,4\n1,inf,3,4\n", r"a\.txt, line 2: not a box"),
        ("1,2,3,4\n1,2,3,4\n", r"a\.txt, line 3: missing, expected 3 lines"),
        ("1,2,3,4\n" * 5, r"a\.txt, line 4: expected 3 lines, got 5"),
        ("", r"a\.txt: holds no annotation"),
    ],
)
def test_broken_files(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        formats.read_boxes(tmp_path / "a.txt", 3)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(ValueError, match=r"a\.txt: cannot be read \(No such file"):
        formats.read_boxes(tmp_path / "a.txt", 3)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValueError, match=r"a\.txt: not a text file"):
        formats.read_boxes(tmp_path / "a.txt", 3)


def test_results_shorter_than_the_sequence(tmp_path):
    # The GOT-10k toolkit cuts an OTB sequence to them; others refuse.
    formats.write_otb(tmp_path, "Car", BOXES[:2])
    found = formats.read_otb(tmp_path, "Car", 3, shorter=True)
    assert ope.score(BOXES, found, "got10k").frames == 2
    with pytest.raises(ValueError, match="boxes: expected 3"):
        ope.score(BOXES, found, "pysot")


def test_got10k_folders_and_zip(tmp_path):
    runs = [
        formats.Result(BOXES, np.array([0.5, 0.0125, 0.25])),
        formats.Result(BOXES + 1, np.array([0.5, 0.5, 0.5])),
    ]
    folder = tmp_path / "default"
    formats.write_got10k(folder, "GOT-10k_Test_000001", runs)
    place = folder / "GOT-10k_Test_000001"
    assert sorted(path.name for path in place.iterdir()) == [
        "GOT-10k_Test_000001_001.txt",
        "GOT-10k_Test_000001_002.txt",
        "GOT-10k_Test_000001_time.txt",
    ]
    assert (place / "GOT-10k_Test_000001_time.txt").read_text().splitlines()[1] == (
        "0.01250000,0.50000000"
    )
    again = formats.read_got10k(folder, "GOT-10k_Test_000001", 3)
    for one, other in zip(runs, again, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        assert one.seconds is not None
        assert other.seconds is not None
        np.testing.assert_array_equal(one.seconds, other.seconds)
    formats.zip_got10k(folder, tmp_path / "submission.zip")
    first = (tmp_path / "submission.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        assert "GOT-10k_Test_000001/GOT-10k_Test_000001_001.txt" in archive.namelist()
        assert len(archive.namelist()) == 3
    formats.zip_got10k(folder, tmp_path / "submission.zip")
    assert (tmp_path / "submission.zip").read_bytes() == first
    (place / "GOT-10k_Test_000001_time.txt").write_text("0.5\n0.5\n0.5\n")
    with pytest.raises(ValueError, match=r"time\.txt: expected 2 columns, got 1"):
        formats.read_got10k(folder, "GOT-10k_Test_000001", 3)
    with pytest.raises(ValueError, match=r"b_001\.txt: no such file"):
        formats.read_got10k(folder, "b", 3)
    with pytest.raises(ValueError, match=r"runs: b has no seconds in run 1"):
        formats.write_got10k(folder, "b", [formats.Result(BOXES)])
    with pytest.raises(ValueError, match=r"expected SEQ/SEQ_001\.txt, found none"):
        formats.zip_got10k(tmp_path / "empty", tmp_path / "b.zip")


def test_trackingnet_zip(tmp_path):
    path = tmp_path / "submission.zip"
    formats.write_trackingnet(path, {"b_0": BOXES[:2], "a_0": BOXES})
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["a_0.txt", "b_0.txt"]
    found = formats.read_trackingnet(path, {"a_0": 3, "b_0": 2})
    np.testing.assert_array_equal(found["a_0"], BOXES)
    np.testing.assert_array_equal(found["b_0"], BOXES[:2])
    with pytest.raises(ValueError, match=r"b_0\.txt, line 3: missing, expected 3 lines"):
        formats.read_trackingnet(path, {"b_0": 3})
    with pytest.raises(ValueError, match=r"c_0\.txt: no such file"):
        formats.read_trackingnet(path, {"c_0": 3})
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"submission\.zip: not a zip that can be read"):
        formats.read_trackingnet(path, {"a_0": 3})


CODES = np.array([1, -1, -1, 2, 0, 1])


def test_vot_codes_and_regions(tmp_path):
    boxes = np.tile(np.array([[1.0, 2, 30, 40]]), (6, 1))
    turned = np.tile(np.array([[5.0, 0, 10, 5, 5, 10, 0, 5.5]]), (6, 1))
    runs = [vot.Answers(CODES, boxes), vot.Answers(CODES, turned)]
    vot_files.write_supervised(tmp_path, "ants1", runs)
    assert (tmp_path / "baseline/ants1/ants1_001.txt").read_text().splitlines() == [
        "1",
        "1.0000,2.0000,30.0000,40.0000",
        "1.0000,2.0000,30.0000,40.0000",
        "2",
        "0",
        "1",
    ]
    again = vot_files.read_supervised(tmp_path, "ants1", 6)
    assert len(again) == 2
    for one, other in zip(runs, again, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
        there = CODES == vot.REGION
        np.testing.assert_array_equal(one.regions[there], other.regions[there])
    assert again[0].failures.tolist() == [3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n3\n", r"a_001\.txt, line 2: expected a code 0, 1 or 2, got 3.0"),
        ("1\n1,2,3,nan\n", r"a_001\.txt, line 2: not a region"),
        ("1\n1,2\n", r"a_001\.txt, line 2: expected a code, four numbers or eight"),
        ("1,2,3,4\n1,2,3,4\n", r"a_001\.txt, line 1: expected the code of a start, 1"),
        ("1\n", r"a_001\.txt, line 2: missing, expected 2 lines"),
    ],
)
def test_broken_vot_files(tmp_path, text, message):
    (tmp_path / "baseline" / "a").mkdir(parents=True)
    (tmp_path / "baseline" / "a" / "a_001.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        vot_files.read_supervised(tmp_path, "a", 2)


def test_boxes_among_polygons_become_polygons(tmp_path):
    (tmp_path / "baseline" / "a").mkdir(parents=True)
    (tmp_path / "baseline" / "a" / "a_001.txt").write_text("1\n1,2,3,4\n0,0,1,0,1,1,0,1\n")
    (run,) = vot_files.read_supervised(tmp_path, "a", 3)
    assert run.regions[1].tolist() == [1, 2, 4, 2, 4, 6, 1, 6]


def test_long_term(tmp_path):
    boxes, confidence = BOXES.copy(), np.array([0.9, 0.25, 0.5])
    boxes[2] = np.nan
    vot_files.write_longterm(tmp_path, "ballet", boxes, confidence)
    place = tmp_path / "longterm" / "ballet"
    assert (place / "ballet_001.txt").read_text().splitlines()[0] == "1"
    assert (place / "ballet_001_confidence.value").read_text() == "\n0.250000\n0.500000\n"
    found = vot_files.read_longterm(tmp_path, "ballet", 3)
    assert found.confidence is not None
    assert np.isnan(found.boxes[[0, 2]]).all()
    np.testing.assert_array_equal(found.boxes[1], boxes[1])
    np.testing.assert_array_equal(found.confidence[1:], confidence[1:])
    run = longterm.Run("ballet", BOXES, found.boxes, found.confidence, (90, 90))
    # Two answers, one of them without a box.
    assert longterm.analyse([run]).precision == 0.5
    (place / "ballet_001_confidence.value").write_text("\n0.25\n")
    with pytest.raises(ValueError, match=r"confidence\.value, line 3: missing, expected 3"):
        vot_files.read_longterm(tmp_path, "ballet", 3)
    (place / "ballet_001_confidence.value").write_text("\n\n0.25\n")
    with pytest.raises(ValueError, match=r"confidence\.value, line 2: expected a confidence"):
        vot_files.read_longterm(tmp_path, "ballet", 3)
    (place / "ballet_001.txt").write_text("1\n2\n1,2,3,4\n")
    with pytest.raises(ValueError, match=r"ballet_001\.txt, line 2: expected four numbers"):
        vot_files.read_longterm(tmp_path, "ballet", 3)
