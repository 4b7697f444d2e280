"""What is pasted into training crops: other objects, and photos to stand before.

The host's half of `siamjax.data.compose`: for every pair of a batch it cuts the objects and the
photo that the compositor may use, a pure function of (seed, global sample index).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from siamjax.data import cache
from siamjax.data.media import Media
from siamjax.data.pairs import Pair, PairConfig, Shot, Source, cut, cut_mask
from siamjax.data.tracks import Track


@dataclass(frozen=True)
class LayerConfig:
    """What a pair's layers are.

    Attributes:
        others: N, other objects a pair.
        other_size: L, side of their crops; an object's context square is `PairConfig.exemplar`.
        photo_size: P, side of the photo.
        kin: probability that another object is of the target's category, where that is known.
    """

    others: int = 3
    other_size: int = 160
    photo_size: int = 384
    kin: float = 0.5

    def __post_init__(self):
        for name in ("others", "other_size", "photo_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if not 0 <= self.kin <= 1:
            raise ValueError(f"kin: expected a probability 0..1, got {self.kin}")


class Stock:
    """All objects that have masks, by category too, and photos.

    Args:
        sources: whose tracks with masks are the objects.
        photos: to stand before; a random frame of each.
        config: how many, and how large.
        pairs: scale of the crops, and whether they are kept.

    Raises:
        ValueError: no track has masks, or there are no photos.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        photos: Sequence[Media],
        config: LayerConfig,
        pairs: PairConfig,
    ):
        self._tracks: list[tuple[Track, np.ndarray]] = []
        self._kin: dict[str, list[int]] = defaultdict(list)
        for source in sources:
            for number, track in enumerate(source.tracks):
                frames = source.accepted(number)
                if track.masks is None or not len(frames):
                    continue
                if track.category is not None:
                    self._kin[track.category].append(len(self._tracks))
                self._tracks.append((track, frames))
        if not self._tracks:
            raise ValueError("sources: expected tracks with masks, to be pasted")
        if not photos:
            raise ValueError("photos: expected at least one")
        self._photos = tuple(photos)
        self._config = config
        self._pairs = pairs

    def empty(self, count: int) -> dict[str, np.ndarray]:
        """Allocate the layers of `count` pairs, uninitialised.

        Returns:
            `others` uint8[B, N, L, L, 3], `other_masks` uint8[B, N, L, L], 255 on the object;
            `photo` uint8[B, P, P, 3]; `template_mask` uint8[B, K, K]; `bare` bool[B, 2], whether
            template and search stand before nothing.
        """
        n, l, p = self._config.others, self._config.other_size, self._config.photo_size
        k = self._pairs.template_size
        return {
            "others": np.empty((count, n, l, l, 3), np.uint8),
            "other_masks": np.empty((count, n, l, l), np.uint8),
            "photo": np.empty((count, p, p, 3), np.uint8),
            "template_mask": np.empty((count, k, k), np.uint8),
            "bare": np.empty((count, 2), np.bool_),
        }

    def read(self, pair: Pair, seed: Sequence[int], out: dict[str, Any], row: int) -> None:
        """Write the layers of a pair into row `row` of the arrays of a batch.

        Args:
            pair: from `siamjax.data.pairs.draw`.
            seed: numbers that decide what is drawn.
            out: with the arrays of `empty`.
            row: in them.

        Raises:
            DamagedMediaError: a picture or clip cannot be decoded.
        """
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([*seed, 1])))
        for number in range(self._config.others):
            shot = self._draw(rng, pair.template.track.category)
            size, picture = self._config.other_size, out["others"][row, number]
            cut(shot, size, self._pairs, picture)
            cut_mask(shot, size, self._pairs, out["other_masks"][row, number])
        media = self._photos[rng.integers(len(self._photos))]
        out["photo"][row] = self._photo(media, int(rng.integers(len(media))))
        k = self._pairs.template_size
        cut_mask(pair.template, k, self._pairs, out["template_mask"][row])
        out["bare"][row] = pair.bare_template, pair.bare_search

    def _draw(self, rng: np.random.Generator, category: str | None) -> Shot:
        kin = self._kin.get(category or "", ())
        known = len(kin) > 1 and rng.random() < self._config.kin
        among = kin if known else range(len(self._tracks))
        track, frames = self._tracks[among[int(rng.integers(len(among)))]]
        return Shot(track, int(frames[rng.integers(len(frames))]))

    def _photo(self, media: Media, number: int) -> np.ndarray:
        """Give the middle square of a photo."""
        size = self._config.photo_size

        def make():
            photo = media.frame(number)
            side = min(photo.shape[:2])
            top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
            middle = photo[top : top + side, left : left + side]
            method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
            return (cv2.resize(middle, (size, size), interpolation=method),)

        return cache.shared.get((media, number, size, "photo"), make)[0]
