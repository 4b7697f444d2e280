"""A frame with its number and time, and what is known of a source before it is read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One frame; unpacks as `index, time, image`."""

    index: int
    """Number of the frame in its source, from 0."""
    time: float
    """Seconds since the first frame of the source."""
    image: UInt8[np.ndarray, "H W 3"]
    """RGB, upright."""

    def __iter__(self) -> Iterator[Any]:
        return iter((self.index, self.time, self.image))


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Size in pixels (upright), frames per second, number of frames (None when not stated)."""

    width: int
    height: int
    rate: float
    count: int | None


def beyond(start: int, count: int, name: str) -> str:
    """Say that a first frame lies beyond the last one of `name`."""
    return f"start: frame {start} lies beyond the end of {name}, which has {count} frames"
