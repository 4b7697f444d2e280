"""The README's Python runs as it stands, on the bundled clip."""

import re
from pathlib import Path

import numpy as np

from siamjax.follow import bundled_clip

README = Path(__file__).parents[1] / "README.md"


def test_quickstart_runs_and_tracks():
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert code.count('"video.mp4"') == 1
    names = {}
    exec(code.replace('"video.mp4"', repr(str(bundled_clip().path))), names)
    outs, frames = names["outs"], names["frames"]
    assert outs.box.shape == (len(frames) - 2, 4)
    assert np.asarray(outs.valid).all()
    assert names["states"].center.shape == (4, 2)


def test_files_it_links_exist():
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (README.parent / link).is_file()] == []
