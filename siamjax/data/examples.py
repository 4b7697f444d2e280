"""Sets of pictures for metric learning, small enough to be held in memory.

`Examples` are pictures with a class each; `Captioned` are pictures with texts each. Pictures are
`uint8[N, size, size, channels]` as they look on paper or screen: dark ink on white, RGB or grey.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int, UInt8

from siamjax.data.media import DamagedMediaError

Pictures = UInt8[np.ndarray, "N size size channels"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Pictures with a class each.

    Attributes:
        pictures: of one size.
        labels: the class of each picture, a number in `names`.
        names: of the classes.
        groups: to which group each class belongs, as the alphabet of a character; empty where there
            are none.
    """

    pictures: Pictures
    labels: Int[np.ndarray, " N"]
    names: tuple[str, ...]
    groups: tuple[str, ...] = ()

    def __post_init__(self):
        if len(self.pictures) != len(self.labels):
            raise ValueError(
                f"labels: expected one for each of {len(self.pictures)} pictures, got"
                f" {len(self.labels)}"
            )
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.names):
            raise ValueError(f"labels: expected numbers of {len(self.names)} names")
        if self.groups and len(self.groups) != len(self.names):
            raise ValueError(f"groups: expected one for each of {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def members(self) -> tuple[np.ndarray, ...]:
        """The numbers of the pictures of each class."""
        order = np.argsort(self.labels, kind="stable")
        counts = np.bincount(self.labels, minlength=len(self.names))
        return tuple(np.split(order, np.cumsum(counts)[:-1]))

    def take(self, numbers: Sequence[int] | Int[np.ndarray, " M"]) -> "Examples":
        """Keep some pictures, in the order given; the classes stay."""
        chosen = np.asarray(numbers, np.int64)
        return dataclasses.replace(self, pictures=self.pictures[chosen], labels=self.labels[chosen])

    def choose(self, classes: Sequence[int] | Int[np.ndarray, " M"]) -> "Examples":
        """Keep some classes, numbered anew in the order given."""
        chosen = np.asarray(classes, np.int64)
        number = np.full(len(self.names), -1)
        number[chosen] = np.arange(len(chosen))
        kept = number[self.labels] >= 0
        return Examples(
            self.pictures[kept],
            number[self.labels[kept]],
            tuple(self.names[one] for one in chosen),
            tuple(self.groups[one] for one in chosen) if self.groups else (),
        )


@dataclass(frozen=True, eq=False)
class Captioned:
    """Pictures with texts each.

    Attributes:
        pictures: of one size.
        titles: of each picture, one or more texts that say what it shows.
        words: of each picture, further words about it, perhaps none.
        names: of the pictures, as their files are called.
    """

    pictures: Pictures
    titles: tuple[tuple[str, ...], ...]
    words: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]

    def __post_init__(self):
        for field in ("titles", "words", "names"):
            if len(getattr(self, field)) != len(self.pictures):
                raise ValueError(
                    f"{field}: expected one for each of {len(self.pictures)} pictures, got"
                    f" {len(getattr(self, field))}"
                )
        bare = [name for name, titles in zip(self.names, self.titles, strict=True) if not titles]
        if bare:
            raise ValueError(f"titles: expected at least one for each picture, {bare[0]} has none")

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, numbers: Sequence[int] | Int[np.ndarray, " M"]) -> "Captioned":
        """Keep some pictures with their texts, in the order given."""
        chosen = [int(one) for one in numbers]
        return Captioned(
            self.pictures[chosen],
            tuple(self.titles[one] for one in chosen),
            tuple(self.words[one] for one in chosen),
            tuple(self.names[one] for one in chosen),
        )


def fit(
    picture: UInt8[np.ndarray, "H W"] | UInt8[np.ndarray, "H W C"], size: int, channels: int
) -> UInt8[np.ndarray, "size size channels"]:
    """Bring a decoded picture to the form of a tower's inputs.

    Args:
        picture: grey, RGB or RGBA; what is transparent becomes white.
        size: side of the result; pictures that are not square are stretched.
        channels: 1 for grey, 3 for RGB.

    Raises:
        ValueError: another number of channels.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels: expected 1 or 3, got {channels}")
    if picture.ndim == 2:
        picture = picture[..., None]
    if picture.shape[2] == 4:
        alpha = picture[..., 3:].astype(np.float32) / 255
        mixed = picture[..., :3] * alpha + 255 * (1 - alpha)
        picture = np.round(mixed).astype(np.uint8)
    if picture.shape[2] not in (1, 3):
        raise ValueError(f"picture: expected 1, 3 or 4 channels, got {picture.shape[2]}")
    if picture.shape[2] > channels:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
    shrinks = size <= min(picture.shape[:2])
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    if picture.shape[:2] != (size, size):
        picture = cv2.resize(picture, (size, size), interpolation=method)
        picture = picture.reshape(size, size, -1)
    return np.repeat(picture, channels // picture.shape[2], axis=2)


def decode(data: bytes, path: Path) -> np.ndarray:
    """Decode a picture file's bytes: grey, RGB or RGBA as it is stored, 8 bits.

    Raises:
        DamagedMediaError: no picture; `path` is what the message names.
    """
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        picture = None
    if picture is None:
        raise DamagedMediaError(path, f"not a picture that can be decoded ({len(data)} bytes)")
    if picture.dtype == np.uint16:
        picture = (picture // 256).astype(np.uint8)
    if picture.ndim == 2 or picture.shape[2] == 1:
        return picture
    swap = cv2.COLOR_BGR2RGB if picture.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return cv2.cvtColor(picture, swap)


def read_fit(path: Path, size: int, channels: int) -> UInt8[np.ndarray, "size size channels"]:
    """Read a picture file in the form of a tower's inputs; see `fit`.

    Raises:
        DamagedMediaError: the file cannot be read, is no picture or ends early.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedMediaError(path, error.strerror or "cannot be read") from error
    return fit(decode(data, path), size, channels)
