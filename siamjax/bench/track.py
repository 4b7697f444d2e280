"""The whole SiamFC tracker, AlexNetV1 at full width, beside the same in PyTorch and OpenCV."""

from collections.abc import Iterator

import jax
import numpy as np

from siamjax import weights
from siamjax.bench.timing import Row, compare
from siamjax.track.siamfc import SiamFC

FRAMES = 6
FRAME = (270, 480)
BOX = (200.0, 100.0, 60.0, 44.0)

_PIXELS = 0.5
"""Boxes of the two sides may differ by one cell of the upsampled response."""


def clip(frames: int = FRAMES, frame_size: tuple[int, int] = FRAME) -> list[np.ndarray]:
    """Make frames of smooth noise in which a textured patch moves by (3, 2) pixels a frame."""
    random = np.random.default_rng(0)
    height, width = frame_size
    coarse = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    ground = np.kron(coarse, np.ones((8, 8, 1), np.int64))[:height, :width].astype(np.uint8)
    x, y, w, h = (int(v) for v in BOX)
    patch = np.kron(random.integers(0, 256, (h // 4, w // 4, 3)), np.ones((4, 4, 1), np.int64))
    out = []
    for step in range(frames + 1):
        frame = ground.copy()
        frame[y + 2 * step : y + 2 * step + h, x + 3 * step : x + 3 * step + w] = patch
        out.append(frame)
    return out


def rows(against_torch: bool, repeats: int = 10) -> Iterator[Row]:
    """Measure a step of three scales at 255 px, crops included, over a short synthetic clip.

    Raises:
        ValueError: the PyTorch tracker gives other boxes.
    """
    tracker = SiamFC("alexnet-v1")
    variables = tracker.init_variables(jax.random.key(0))
    first, *rest = clip()
    start = tracker.init(variables, first, np.array(BOX, np.float32))

    def ours() -> np.ndarray:
        state, boxes = start, []
        for frame in rest:
            state, out = tracker.step(variables, state, frame)
            boxes.append(np.asarray(out.box))
        return np.stack(boxes)

    other = None
    if against_torch:
        from siamjax.bench.torch_siamfc import TorchSiamFC

        peer = TorchSiamFC(weights.to_torch(variables, tracker))
        begin = peer.init(first, np.array(BOX))

        def theirs() -> np.ndarray:
            state, boxes = begin, []
            for frame in rest:
                state, box = peer.step(state, frame)
                boxes.append(box)
            return np.stack(boxes)

        other = theirs
        difference = np.abs(ours() - other()).max()
        if not difference <= _PIXELS:
            raise ValueError(f"bench track: boxes differ by {difference:.2f} px; nothing was timed")
    height, width = FRAME
    case = f"siamfc-alexnet-v1 {width}x{height}, 3 scales, 255 px"
    yield compare(case, 1, "forward", ours, other, repeats, calls=len(rest))
