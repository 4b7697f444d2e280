import pytest
from video.clips import encode, gradient


@pytest.fixture
def clip(tmp_path):
    return encode(tmp_path / "clip.mp4", [gradient(i) for i in range(20)])
