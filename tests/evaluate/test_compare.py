import json

import numpy as np
import pytest

from siamjax.evaluate import compare

NAMES = "abcdefgh"


def _shifts(*values):
    return dict(zip(NAMES, values, strict=False))


def test_ranking_with_intervals(evaluated):
    # Boxes 20 px wide, moved by d: overlap (20 - d) / (20 + d), the same in every frame.
    folders = [
        evaluated("far", _shifts(10, 11, 12, 13)),
        evaluated("models/near.npz", _shifts(0, 1, 2, 3)),
    ]
    places = compare.rank(compare.load(folders))
    assert [place.entry.name for place in places] == ["near", "far"]
    near, far = places
    # Success AUC: thresholds of 21 below the overlap; 1, 0.905, 0.818, 0.739 give 20, 19, 17, 15.
    assert near.entry.summary["success_auc"] == pytest.approx((20 + 19 + 17 + 15) / 84)
    found = near.intervals["success_auc"]
    assert found is not None
    assert found.mean == pytest.approx((20 + 19 + 17 + 15) / 84)
    assert 15 / 21 < found.low < found.mean < found.high < 20 / 21
    assert near.entry.summary["intervals"]["success_auc"] == [found.low, found.high]
    assert near.intervals["precision_20"] == (1, 1, 1)
    # 1/3, 0.290, 0.25, 0.212 give 7, 6, 5, 5.
    assert far.behind is not None
    assert far.behind.mean == pytest.approx((71 - 23) / 84)
    assert (near.behind, compare.separate(far.behind)) == (None, True)
    assert compare.verdicts(places)[1] == (
        "Only 4 sequences: intervals over so few are too narrow to rely on."
    )
    assert compare.verdicts(places)[0].startswith("near is ahead of far: +0.571, 95 % interval [0.")


def test_a_difference_within_its_interval_is_no_result(evaluated):
    one = evaluated("one", _shifts(0, 9, 2, 8, 1, 7))
    other = evaluated("other", _shifts(9, 1, 8, 2, 7, 1))
    places = compare.rank(compare.load([one, other], ("A", "B")))
    assert compare.verdicts(places)[0].startswith("A and B cannot be told apart: +0.008, ")
    assert compare.verdicts(places)[0].endswith("which holds 0; not taken for a result.")


def test_a_lone_sequence_has_no_interval(evaluated):
    folders = [evaluated("one", _shifts(1)), evaluated("two", _shifts(2))]
    places = compare.rank(compare.load(folders))
    assert places[0].intervals["success_auc"] is None
    assert places[0].entry.summary["intervals"]["success_auc"] is None
    assert places[1].behind is None
    assert compare.verdicts(places) == [
        "one and two: one sequence tells nothing of how sure a difference is."
    ]


def test_pooled_overlap_weighs_by_frames():
    sequences = {
        "a": {"mean_iou": 0.2, "frames": 10},
        "b": {"mean_iou": 0.6, "frames": 30},
    }
    found = compare.interval(sequences, compare.POOLED)
    assert found is not None
    assert found.mean == pytest.approx(0.5)
    assert (found.low, found.high) == (pytest.approx(0.2), pytest.approx(0.6))
    assert compare.mean(sequences, compare.POOLED) == pytest.approx(0.5)
    assert compare.mean(sequences, compare.MEASURES[-1]) == pytest.approx(0.4)


def test_got10k_ranks_by_average_overlap(evaluated):
    folder = evaluated("one", _shifts(0, 4), "got10k-val")
    place = compare.rank(compare.load([folder]))[0]
    assert compare.measures(place.entry.summary)[0].key == "ao"
    found = place.intervals["ao"]
    assert found is not None
    assert found.mean == pytest.approx(place.entry.summary["ao"])
    assert place.entry.summary["ao"] == pytest.approx((1 + 16 / 24) / 2)


def test_names_and_refusals(evaluated, tmp_path):
    first = evaluated("first", _shifts(0, 1))
    same = evaluated("deep/first.npz", _shifts(1, 1))
    assert [one.name for one in compare.load([first, same])] == ["first", "deep_first.npz"]
    other = evaluated("other", {"a": 0, "c": 1})
    pysot = evaluated("pysot", _shifts(0, 1), "pysot")
    refused = {
        "folders: expected at least one folder": lambda: compare.load([]),
        "names: expected 1, one for each folder, got 2": lambda: compare.load([first], ("a", "b")),
        "names: two trackers have one name: a, a": lambda: compare.load([first, same], ("a", "a")),
        "other sequences than .*: b, c in one alone": lambda: compare.load([first, other]),
        "convention 'pysot', but 'visible' in": lambda: compare.load([first, pysot]),
        r"results\.json: cannot be read": lambda: compare.load([tmp_path]),
    }
    for message, load in refused.items():
        with pytest.raises(ValueError, match=message):
            load()


def test_another_truth_and_other_files_are_refused(evaluated):
    first, second = evaluated("first", _shifts(0, 1)), evaluated("second", _shifts(0, 1))
    path = second / "trajectories.npz"
    with np.load(path) as file:
        parts = dict(file)
    np.savez(path, **{**parts, "truth": parts["truth"] + 1})
    with pytest.raises(ValueError, match="second: another truth of 'a' than"):
        compare.load([first, second])
    np.savez(path, **{**parts, "names": np.array(["a", "z"])})
    with pytest.raises(ValueError, match=r"second: results\.json and trajectories\.npz hold other"):
        compare.load([first, second])
    summary = json.loads((second / "results.json").read_text())
    del summary["attributes"]
    (second / "results.json").write_text(json.dumps(summary))
    with pytest.raises(ValueError, match=r"results\.json: holds no 'attributes'"):
        compare.load([first, second])
    (second / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"results\.json: not JSON"):
        compare.load([first, second])
