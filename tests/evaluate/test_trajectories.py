import numpy as np
import pytest

from siamjax.evaluate import trajectories
from siamjax.evaluate.trajectories import Trajectory


def _two():
    boxes = np.arange(20, dtype=np.float32).reshape(5, 4)
    truth = boxes.copy()
    truth[1] = np.nan
    overlap = np.array([1.0, np.nan, 0.0, 0.25, 0.5])
    return [
        Trajectory("a b", (64, 48), truth[:3], boxes[:3], overlap[:3]),
        Trajectory("ü", (1920, 1080), truth[3:], boxes[3:], overlap[3:]),
    ]


def test_what_is_written_is_read(tmp_path):
    trajectories.write(tmp_path / "new", _two())
    for found, expected in zip(trajectories.read(tmp_path / "new"), _two(), strict=True):
        assert found[:2] == expected[:2]
        for one, other in zip(found[2:], expected[2:], strict=True):
            np.testing.assert_array_equal(one, other)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["trajectories.npz"]


def test_missing_and_damaged(tmp_path):
    with pytest.raises(ValueError, match=r"trajectories\.npz: no such file; expected a folder of"):
        trajectories.read(tmp_path)
    trajectories.write(tmp_path, _two())
    path = tmp_path / "trajectories.npz"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"no archive", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"trajectories\.npz: cannot be read"):
            trajectories.read(tmp_path)
    np.savez(path, names=np.array(["a"]))
    with pytest.raises(ValueError, match=r"cannot be read .*frames"):
        trajectories.read(tmp_path)
