"""Annotated targets: one target through one clip, with all that is known of it.

Boxes are `float32[T, 4] = (x, y, width, height)`, pixels, 0-based; NaN where the target is absent.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from siamjax.data.media import Media

Mask = Bool[np.ndarray, "H W"]

OUT_OF_SIGHT = ("full_occlusion", "out_of_view")


@runtime_checkable
class Masks(Protocol):
    """The target's mask in every frame; see `siamjax.data.segmentation`."""

    def __len__(self) -> int: ...

    def mask(self, i: int) -> Mask:
        """Give the mask of frame `i`. Raises IndexError or DamagedMediaError."""
        ...


@runtime_checkable
class Crops(Protocol):
    """The target's context crops, cut already; see `siamjax.data.packed`."""

    def cut(
        self, i: int, box: np.ndarray, size: int, exemplar: int, out: np.ndarray | None
    ) -> np.ndarray:
        """Give the context crop uint8[size, size, 3] of frame `i`. Raises DamagedMediaError."""
        ...

    def cut_mask(
        self, i: int, box: np.ndarray, size: int, exemplar: int, out: np.ndarray | None
    ) -> np.ndarray:
        """Give the mask's crop uint8[size, size], greys at its edge. Raises DamagedMediaError."""
        ...


@dataclass(frozen=True, eq=False)
class Track:
    """One target through one clip.

    Attributes:
        name: of the sequence or the annotation.
        media: the frames.
        boxes: float32[T, 4], T = len(media); NaN where the target is absent.
        category: of the object, where the dataset tells it.
        cover: GOT-10k's visible part of the target in eighths, int[T], where told.
        frame_size: (width, height) in pixels, where told; read from the first frame otherwise.
        masks: of the target in each frame, where there are any.
        regions: float32[T, 2 n], polygons (x1, y1, x2, y2, ...) that `boxes` lie around, where the
            dataset draws polygons; NaN where the target is absent.
        tags: for each attribute of the dataset, the frames that have it, bool[T].
        crops: context crops that are at hand in place of frames and masks.
    """

    name: str
    media: Media
    boxes: np.ndarray
    category: str | None = None
    cover: np.ndarray | None = None
    frame_size: tuple[int, int] | None = None
    masks: Masks | None = None
    regions: np.ndarray | None = None
    tags: Mapping[str, np.ndarray] = field(default_factory=dict)
    crops: Crops | None = None

    def __post_init__(self):
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4 or self.boxes.dtype != np.float32:
            raise ValueError(
                f"boxes: expected float32[T, 4], got {self.boxes.dtype}{list(self.boxes.shape)}"
                f" ({self.name})"
            )
        if self.cover is not None and self.cover.shape != (len(self.boxes),):
            raise ValueError(
                f"cover: expected [{len(self.boxes)}], got {list(self.cover.shape)} ({self.name})"
            )
        if self.masks is not None and len(self.masks) != len(self.boxes):
            raise ValueError(
                f"masks: expected {len(self.boxes)}, got {len(self.masks)} ({self.name})"
            )
        for what, values in {"regions": self.regions, **self.tags}.items():
            if values is not None and len(values) != len(self.boxes):
                raise ValueError(
                    f"{what}: expected {len(self.boxes)}, got {len(values)} ({self.name})"
                )

    def __len__(self) -> int:
        return len(self.boxes)

    @functools.cached_property
    def visible(self) -> np.ndarray:
        """Frame numbers, int[n], whose box is finite and not empty."""
        finite = np.isfinite(self.boxes).all(axis=1)
        return np.flatnonzero(finite & (np.nan_to_num(self.boxes[:, 2:]) > 0).all(axis=1))

    @property
    def shown(self) -> np.ndarray:
        """Frames, bool[T], of which the dataset does not say that the target is out of sight.

        It says so by a cover of 0 (GOT-10k) or the tags `OUT_OF_SIGHT` (LaSOT), beside a box.
        """
        seen = np.ones(len(self.boxes), np.bool_) if self.cover is None else self.cover > 0
        for tag in OUT_OF_SIGHT:
            seen = seen & ~self.tags.get(tag, np.zeros_like(seen))
        return seen

    def size(self) -> tuple[int, int]:
        """Give (width, height) of the frames, decoding the first where the reader did not know."""
        if self.frame_size is not None:
            return self.frame_size
        height, width = self.media.frame(0).shape[:2]
        return width, height


def check_counts(where: Path, frames: int, boxes: int) -> None:
    """Refuse a sequence whose frames and annotations differ in number.

    Raises:
        ValueError: naming `where`, both counts and the first line without its fellow.
    """
    if frames != boxes:
        line = min(frames, boxes) + 1
        raise ValueError(
            f"{where}: {frames} frames but {boxes} annotations; expected as many (line {line})"
        )
