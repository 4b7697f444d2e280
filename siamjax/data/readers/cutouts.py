"""Cut-out objects pasted over photos: made-up clips with exact boxes and full surroundings.

Still pictures filled by their object teach a tracker that targets lie where the padding does not;
here the target is small in a whole photo, and other cut-outs stand beside it as distractors.
Objects are RGBA pictures; `NAME_oOBJECT_VIEW` of one `NAME_oOBJECT` are views of one object
(ETH-80), every other file is an object of its own.
"""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from siamjax.data import cache
from siamjax.data.media import DamagedMediaError, Frame, list_pictures, read_picture
from siamjax.data.tracks import Mask, Track

CANVAS = (480, 360)
_VIEW = re.compile(r"(.+_o\d+)_(.+)")
_CATEGORY = re.compile(r"(c\d+)_o\d+_|_(c\d+)$")


def read_cutout(path: Path) -> np.ndarray:
    """Decode an RGBA picture, cut to its opaque part: uint8[H, W, 4].

    Raises:
        DamagedMediaError: not a picture with an alpha channel that shows something.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (OSError, cv2.error) as error:
        raise DamagedMediaError(path, f"cannot be read ({error})") from error
    if image is None or image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
        raise DamagedMediaError(path, "expected a picture of 8-bit RGBA")
    x, y, width, height = cv2.boundingRect((image[..., 3] > 127).astype(np.uint8))
    if not width:
        raise DamagedMediaError(path, "its alpha channel shows nothing")
    return cv2.cvtColor(image[y : y + height, x : x + width], cv2.COLOR_BGRA2RGBA)


def _kept_cutout(path: Path) -> np.ndarray:
    return cache.shared.get((path, "cutout"), lambda: (read_cutout(path),))[0]


def _cover(path: Path) -> np.ndarray:
    """Give a photo scaled and cut so that it fills the canvas."""
    photo = read_picture(path)
    height, width = photo.shape[:2]
    scale = max(CANVAS[0] / width, CANVAS[1] / height)
    size = (max(CANVAS[0], round(width * scale)), max(CANVAS[1], round(height * scale)))
    resized = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else 1)
    left, top = (size[0] - CANVAS[0]) // 2, (size[1] - CANVAS[1]) // 2
    return np.ascontiguousarray(resized[top : top + CANVAS[1], left : left + CANVAS[0]])


def _paste(canvas: np.ndarray, cutout: np.ndarray, box: np.ndarray) -> None:
    """Blend a cut-out into a whole-pixel box that lies inside the canvas."""
    x, y, width, height = (int(value) for value in box)
    alpha = cutout[..., 3:].astype(np.float32) / 255
    weighted = np.concatenate([cutout[..., :3] * alpha, alpha], axis=2)
    shrinks = width < cutout.shape[1] and height < cutout.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    weighted = cv2.resize(weighted, (width, height), interpolation=method)
    place = canvas[y : y + height, x : x + width]
    place[:] = np.rint(weighted[..., :3] + place * (1 - weighted[..., 3:]))


@dataclass(frozen=True)
class Pasted:
    """A clip whose frame `i` shows view `i % len(views)` of an object over a photo.

    Attributes:
        views: cut-outs of the object.
        photo: behind it.
        others: cut-outs of other objects, behind the target.
        aspects: width / height of the views.
        count: frames.
        seed: of the places and sizes.
    """

    views: tuple[Path, ...]
    photo: Path
    others: tuple[Path, ...]
    aspects: tuple[float, ...]
    count: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.views[0]} over {self.photo}"

    def __len__(self) -> int:
        return self.count

    def _rng(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *numbers])

    def _side(self) -> float:
        """Draw the object's typical side, pixels: sqrt(width * height)."""
        return float(np.exp(self._rng(0).uniform(np.log(20), np.log(110))))

    def box(self, i: int) -> np.ndarray:
        """Give the target's box float32[4] in frame `i`, whole pixels inside the canvas."""
        return self._place(self._rng(1, i), self.aspects[i % len(self.aspects)])

    def _place(self, rng: np.random.Generator, aspect: float) -> np.ndarray:
        side = self._side() * np.exp(rng.uniform(-0.25, 0.25))
        size = side * np.asarray([aspect**0.5, aspect**-0.5])
        size *= min(1.0, *(0.8 * np.asarray(CANVAS) / size))
        size = np.maximum(4, np.rint(size))
        start = np.floor(rng.random(2) * (np.asarray(CANVAS) - size + 1))
        return np.concatenate([start, size]).astype(np.float32)

    def frame(self, i: int) -> Frame:
        """Compose frame `i`."""
        if not 0 <= i < self.count:
            raise IndexError(f"{self.name}: frame {i} of {self.count}")
        photo = cache.shared.get((self.photo, "cover"), lambda: (_cover(self.photo),))[0]
        canvas = photo.copy()
        rng = self._rng(2, i)
        for path in self.others:
            other = _kept_cutout(path)
            _paste(canvas, other, self._place(rng, other.shape[1] / other.shape[0]))
        _paste(canvas, _kept_cutout(self.views[i % len(self.views)]), self.box(i))
        return canvas

    def mask(self, i: int) -> Mask:
        """Give the target's mask in frame `i`: where its alpha, as pasted, is over a half."""
        if not 0 <= i < self.count:
            raise IndexError(f"{self.name}: frame {i} of {self.count}")
        canvas = np.zeros((CANVAS[1], CANVAS[0], 3), np.uint8)
        shape = _kept_cutout(self.views[i % len(self.views)]).copy()
        shape[..., :3] = 255
        _paste(canvas, shape, self.box(i))
        return canvas[..., 0] > 127

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(i) for i in range(self.count))


def _objects(folders: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    objects: dict[str, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder")
        for path in list_pictures(folder):
            match = _VIEW.fullmatch(path.stem)
            objects.setdefault(match[1] if match else path.stem, []).append(path)
    if not objects:
        raise ValueError(f"{', '.join(map(str, folders))}: no cut-outs")
    return {name: tuple(paths) for name, paths in objects.items()}


def read(
    folders: Sequence[str | Path],
    photos: Sequence[str | Path],
    *,
    copies: int = 2,
    count: int = 20,
    others: int = 2,
    seed: int = 0,
) -> list[Track]:
    """Make clips of cut-outs over photos.

    Args:
        folders: of cut-outs.
        photos: folders of background photos.
        copies: clips of each object, each over another photo.
        count: frames of a clip.
        others: distractors in each frame.
        seed: of everything drawn.

    Returns:
        `copies` tracks for each object; unreadable cut-outs are left out.

    Raises:
        ValueError: naming the path: a folder missing or without pictures.
    """
    objects = _objects([Path(folder) for folder in folders])
    backgrounds = []
    for folder in map(Path, photos):
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder")
        backgrounds += list_pictures(folder)
    if not backgrounds:
        raise ValueError(f"photos: no pictures in {', '.join(map(str, photos))}")
    paths = [path for views in objects.values() for path in views]
    aspects = {path: width / height for path, (width, height) in _sizes(paths).items()}
    tracks = []
    for number, (name, all_views) in enumerate(objects.items()):
        views = tuple(path for path in all_views if path in aspects)
        rest = [path for path in aspects if path not in all_views]
        for copy in range(copies if views else 0):
            rng = np.random.default_rng([seed, number, copy])
            chosen = rng.choice(len(rest), min(others, len(rest)), replace=False) if rest else ()
            media = Pasted(
                views,
                backgrounds[rng.integers(len(backgrounds))],
                tuple(rest[i] for i in chosen),
                tuple(aspects[path] for path in views),
                count,
                int(rng.integers(2**31)),
            )
            boxes = np.stack([media.box(i) for i in range(count)])
            tracks.append(Track(f"{name}-{copy}", media, boxes, frame_size=CANVAS, masks=media))
    return tracks


@dataclass(frozen=True)
class Views:
    """Cut-outs of one object, as they are: frames that end where the object does, and its masks."""

    paths: tuple[Path, ...]

    @property
    def name(self) -> str:
        return str(self.paths[0])

    def __len__(self) -> int:
        return len(self.paths)

    def frame(self, i: int) -> Frame:
        """Give the colours of view `i`; those of what is transparent mean nothing."""
        return np.ascontiguousarray(_kept_cutout(self.paths[i])[..., :3])

    def mask(self, i: int) -> Mask:
        """Give where view `i` is opaque by more than a half."""
        return _kept_cutout(self.paths[i])[..., 3] > 127

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(i) for i in range(len(self)))


def views(folders: Sequence[str | Path]) -> list[Track]:
    """Read cut-outs without any surroundings, for a `Source` that is `bare`.

    Args:
        folders: of cut-outs; a name that begins `cN_oM_` or ends `_cN` tells the category N.

    Returns:
        One track for each object, a frame a view; unreadable cut-outs are left out.

    Raises:
        ValueError: naming the path: a folder missing or without pictures.
    """
    objects = _objects([Path(folder) for folder in folders])
    sizes = _sizes([path for paths in objects.values() for path in paths])
    tracks = []
    for name, all_paths in objects.items():
        paths = tuple(path for path in all_paths if path in sizes)
        if paths:
            media = Views(paths)
            boxes = np.asarray([(0, 0, *sizes[path]) for path in paths], np.float32)
            named = _CATEGORY.search(paths[0].stem)
            category = named and (named[1] or named[2])
            tracks.append(Track(name, media, boxes, category, masks=media))
    return tracks


def _sizes(paths: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Give (width, height) of the cut-outs that can be read."""
    with ThreadPoolExecutor() as pool:
        return {p: size for p, size in zip(paths, pool.map(_size, paths), strict=True) if size}


def _size(path: Path) -> tuple[int, int] | None:
    try:
        height, width = _kept_cutout(path).shape[:2]
    except DamagedMediaError:
        return None
    return width, height
