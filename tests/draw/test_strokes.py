import itertools

import numpy as np
import pytest

from siamjax import draw


def simulate(rgb, kind):
    """What a colour-blind viewer sees, in linear light (Viénot, Brettel & Mollon 1999)."""
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714],
                       [0.0299566, 0.184309, 1.46709]])  # fmt: skip
    seen = np.eye(3)
    seen[kind] = {0: [0, 2.02344, -2.52581], 1: [0.494207, 0, 1.24827]}[kind]
    linear = (np.asarray(rgb) / 255) ** 2.2
    return np.clip(np.linalg.inv(to_lms) @ seen @ to_lms @ linear, 0, 1) ** (1 / 2.2) * 255


@pytest.mark.parametrize("kind", [0, 1], ids=["protanopia", "deuteranopia"])
def test_the_palette_is_told_apart_by_colour_blind_viewers(kind):
    seen = [simulate(color, kind) for color in draw.PALETTE]
    for n, one in enumerate(seen):
        for other in seen[n + 1 :]:
            assert np.linalg.norm(one - other) > 35
    for one, other in itertools.combinations(seen[:4], 2):  # the first few, most used
        assert np.linalg.norm(one - other) > 60


def test_line_width_follows_the_frame():
    sizes = [(90, 160), (360, 640), (720, 1280), (1080, 1920)]
    assert [draw.line_width(*size) for size in sizes] == [1, 2, 3, 5]
