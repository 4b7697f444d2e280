"""The GOT-10k toolkit's interface: a loop as its experiments have it, and the toolkit itself.

The latter where it is installed (`pip install got10k`), with one of ../shared/data/dev as OTB.
"""

import builtins
import json

import cv2
import numpy as np
import pytest

from siamjax import cli, geometry, weights
from siamjax.adapters.got10k import GotTracker
from siamjax.data.readers import folder
from siamjax.track.state import Out

FRAMES = 6


class Follow:
    """Moves by the brightness of the frame's first pixel; no valid answer in a black one."""

    def __repr__(self):
        return "Follow()"

    def init(self, variables, frame, box, hyper=None):
        return np.asarray(box)

    def step(self, variables, state, frame, hyper=None):
        state = state + np.array([frame[0, 0, 0] / 30, 0, 0, 0], np.float32)
        valid = bool(frame.any())
        return state, Out(
            state if valid else np.full(4, np.nan, np.float32),
            np.float32(0.5),
            np.bool_(valid),
            np.bool_(False),
        )


VARIABLES = {"gain": np.zeros(1, np.float32)}
GREYS = (90, 10, 0, 40, 200, 30)


@pytest.fixture
def sequence(tmp_path):
    """A sequence in OTB's layout; the third frame is black."""
    place = tmp_path / "data" / "Car" / "img"
    place.mkdir(parents=True)
    for i, grey in enumerate(GREYS):
        cv2.imwrite(str(place / f"{i + 1:04d}.png"), np.full((40, 60, 3), grey, np.uint8))
    (place.parent / "groundtruth_rect.txt").write_text("11,6,20,10\n" * FRAMES)
    return place


class Picture:
    """What the toolkit gives: PIL's pictures, of which `mode` and `convert` are asked."""

    def __init__(self, path):
        self.mode, self.values = "L", cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)

    def convert(self, mode):
        assert mode == "RGB"
        return np.repeat(self.values[..., None], 3, axis=2)


def _by_hand(tracker, files, box):
    """The toolkit's own loop."""
    boxes = np.zeros((len(files), 4))
    boxes[0] = box
    for index, path in enumerate(files):
        if index == 0:
            tracker.init(Picture(path), box)
        else:
            boxes[index, :] = tracker.update(Picture(path))
    return boxes


def test_boxes_are_those_of_an_evaluation(sequence, tmp_path, monkeypatch):
    tracker = GotTracker(name="mine", tracker=Follow(), variables=VARIABLES)
    assert (tracker.name, tracker.is_deterministic) == ("mine", True)
    files, box = sorted(map(str, sequence.glob("*.png"))), np.array([11.0, 6, 20, 10])
    by_hand = _by_hand(tracker, files, box)
    lefts = 11 + np.cumsum([0, *GREYS[1:]]) / 30
    lefts[2] = lefts[1]  # the last valid box counts in the black frame
    np.testing.assert_allclose(by_hand[:, 0], lefts, atol=1e-4)
    boxes, times = tracker.track(files, box)
    np.testing.assert_array_equal(boxes, by_hand)
    assert times.shape == (FRAMES,)
    monkeypatch.setattr(weights, "load", lambda model: (Follow(), VARIABLES))
    monkeypatch.setattr(cli, "enable_compile_cache", lambda: None)
    out = tmp_path / "out"
    data = (str(tmp_path / "data"), "--format", "otb", "--out", str(out), "--model", "mine")
    assert cli.main(["evaluate", *data, "--json"]) == 0
    record = tmp_path / "Car.txt"
    np.savetxt(record, boxes, fmt="%.3f", delimiter=",")  # as the toolkit records them
    assert record.read_text() == (out / "results" / "mine" / "Car.txt").read_text()


def test_zero_based_boxes():
    tracker = GotTracker(tracker=Follow(), variables=VARIABLES, origin=0)
    assert tracker.name == "default"
    frame = np.full((40, 60, 3), 30, np.uint8)
    tracker.init(frame, [10, 5, 20, 10])
    assert tracker.update(frame).tolist() == [11, 5, 20, 10]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GotTracker(origin=2), "origin: expected 0 or 1, got 2"),
        (lambda: GotTracker(tracker=Follow()), "tracker, variables: expected both or neither"),
        (lambda: GotTracker("defualt"), "defualt"),
        (lambda: _tracker().update(np.zeros((4, 4, 3), np.uint8)), "update: expected init"),
        (lambda: _tracker().init(np.zeros((4, 4), np.uint8), [1, 1, 2, 2]), r"got uint8\[4, 4\]"),
        (lambda: _tracker().init(np.zeros((4, 4, 3), np.uint8), [9, 9, 2, 2]), "wholly outside"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def _tracker():
    return GotTracker(tracker=Follow(), variables=VARIABLES)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_toolkit_drives_the_default(shared, tmp_path, monkeypatch):
    for name in ("float", "int", "bool", "object"):  # asked of NumPy, which has them no more
        monkeypatch.setattr(np, name, getattr(builtins, name), raising=False)
    experiments = pytest.importorskip("got10k.experiments")
    root, results = tmp_path / "data", tmp_path / "results"
    names = ("Car4", "Crossing")
    for name in names:
        (track,) = folder.read(shared / "data" / "dev" / f"OTB_{name}")
        (root / name / "img").mkdir(parents=True)
        for i in range(40):
            picture = cv2.cvtColor(track.media.frame(i), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(root / name / "img" / f"{i + 1:04d}.jpg"), picture)
        rows = np.asarray(geometry.to_one_based(track.boxes[:40]), np.float64)
        np.savetxt(root / name / "groundtruth_rect.txt", rows, fmt="%.3f", delimiter=",")
    places = {"result_dir": str(results), "report_dir": str(tmp_path / "reports")}
    monkeypatch.setattr(experiments.otb.OTB, "_check_integrity", lambda *_: True)
    monkeypatch.setattr(experiments.otb.OTB, "_download", lambda *_: True)
    experiment = experiments.ExperimentOTB(str(root), version=2013, **places)
    experiment.run(GotTracker("default"))
    scores = experiment.report(["default"])["default"]["overall"]
    data = (str(root), "--format", "otb", "--convention", "got10k", "--out", str(tmp_path / "out"))
    assert cli.main(["evaluate", *data, "--json"]) == 0
    for name in names:
        mine = tmp_path / "out" / "results" / "default" / f"{name}.txt"
        assert (results / "OTB2013" / "default" / f"{name}.txt").read_text() == mine.read_text()
    summary = json.loads((tmp_path / "out" / "results.json").read_text())
    assert scores["success_score"] == pytest.approx(summary["success_auc"])
    assert scores["precision_score"] == pytest.approx(summary["precision_20"])
