"""A tracker as the GOT-10k toolkit drives it: `init(image, box)`, `update(image)`, `track(files)`.

`ExperimentOTB(root).run(GotTracker("default"))` and its other experiments take it as one of their
own. Boxes are (x, y, width, height) in pixels, 1-based as in the files of OTB, LaSOT, UAV123,
TColor128 and DTB70; those of GOT-10k, NfS and VOT are 0-based (`origin=0`).
Source: the interface of the toolkit's `got10k.trackers.Tracker`.
"""

import importlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float64, UInt8

from siamjax import geometry
from siamjax.data.media import read_picture
from siamjax.evaluate import drive, store
from siamjax.typing import Variables


class GotTracker:
    """One of siamjax's trackers behind the toolkit's interface.

    Attributes:
        name: under which the toolkit keeps results.
        is_deterministic: True, so that the toolkit runs it once.
    """

    is_deterministic = True

    def __init__(
        self,
        model: str = "default",
        *,
        name: str = "",
        tracker: drive.Tracker | None = None,
        variables: Variables | None = None,
        origin: int = 1,
    ):
        """Load a model, or take a tracker with its variables.

        Args:
            model: weights file (.npz) or the name of bundled weights.
            name: the model's by default.
            tracker: with `init` and `step`, in place of the model; with `variables`.
            variables: the tracker's.
            origin: coordinate of the first pixel in the toolkit's boxes, 0 or 1.

        Raises:
            ValueError: another origin, a tracker without variables, no such model.
        """
        if origin not in (0, 1):
            raise ValueError(f"origin: expected 0 or 1, got {origin}")
        if (tracker is None) != (variables is None):
            raise ValueError("tracker, variables: expected both or neither")
        from siamjax import weights

        chosen = weights.load(model) if tracker is None else (tracker, variables)
        self.name = name or Path(model).name.removesuffix(".npz")
        self._tracker: Any = chosen[0]
        self._variables, self._origin = chosen[1], origin
        self._state: Any = None
        self._box = np.zeros(4, np.float32)

    def init(self, image: Any, box: Any) -> None:
        """Start on a target.

        Args:
            image: a PIL picture or uint8[H, W, 3] RGB.
            box: four numbers, of the target.

        Raises:
            ValueError: an image of another kind, or a box that cannot be tracked.
        """
        frame = _frame(image)
        given = np.asarray(box, np.float64).reshape(-1)
        shown = np.asarray(geometry.from_one_based(given)) if self._origin else given
        height, width = frame.shape[:2]
        self._box = geometry.check_box(shown.astype(np.float32), width, height, "box")
        self._state = jax.block_until_ready(
            self._tracker.init(self._variables, frame, self._box.copy())
        )

    def update(self, image: Any) -> Float64[np.ndarray, "4"]:
        """Find the target in the next frame.

        Args:
            image: as `init`, of the same size.

        Returns:
            Its box; the last valid one where there is none.

        Raises:
            ValueError: before `init`, or an image of another kind.
        """
        if self._state is None:
            raise ValueError("update: expected init before it")
        self._state, out = self._tracker.step(self._variables, self._state, _frame(image))
        if bool(out.valid):
            self._box = np.asarray(out.box)
        found = store.rounded(self._box[None])[0].astype(np.float64)
        return np.asarray(geometry.to_one_based(found)) if self._origin else found

    def track(
        self, img_files: Sequence[str | Path], box: Any, visualize: bool = False
    ) -> tuple[Float64[np.ndarray, "T 4"], Float64[np.ndarray, " T"]]:
        """Follow a target through picture files, as the toolkit's experiments ask.

        Args:
            img_files: of the frames, in order.
            box: of the first frame.
            visualize: show every frame, by the toolkit.

        Returns:
            A box a frame, the first as given, and the seconds of each call, decoding left out.

        Raises:
            ValueError: as `init`, or a file that cannot be decoded.
        """
        boxes, times = np.empty((len(img_files), 4)), np.empty(len(img_files))
        boxes[:1] = box
        show = importlib.import_module("got10k.utils.viz").show_frame if visualize else None
        with drive.opened(map(read_picture, map(Path, img_files))) as frames:
            for index, frame in enumerate(frames):
                began = time.perf_counter()
                if index:
                    boxes[index] = self.update(frame)
                else:
                    self.init(frame, box)
                times[index] = time.perf_counter() - began
                if show:
                    show(frame, boxes[index])
        return boxes, times


def _frame(image: Any) -> UInt8[np.ndarray, "H W 3"]:
    """Take a picture as an array; grey ones are given three channels."""
    if getattr(image, "mode", "RGB") != "RGB":
        image = image.convert("RGB")
    frame = np.asarray(image)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(
            f"image: expected a picture or uint8[H, W, 3], got {frame.dtype}{list(frame.shape)}"
        )
    return frame
