"""Packed sources: what `siamjax.data.pack` wrote, read back as tracks.

A pack is a folder of array records (encoded pictures, one a record), `tracks.npz` with boxes and
the numbers of the records, and `pack.json`, which names all files with their SHA-256. A record that
stands for a picture which could not be decoded tells its name. Uses array_record, which grain
brings along; imported when a pack is opened.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from siamjax.data import cache, pairs
from siamjax.data.media import DamagedMediaError, Frame, decode_picture
from siamjax.data.sources import Filter, Source
from siamjax.data.tracks import Mask, Track

FORMAT = "siamjax-pack"
VERSION = 1
MANIFEST = "pack.json"
TRACKS = "tracks.npz"
DAMAGED = b"damaged: "
"""Begins the record of a picture that could not be decoded; its path follows."""


class Records:
    """The records of a pack, by number.

    Args:
        folder: of the pack.
        shards: file and number of records of each, in order.
    """

    def __init__(self, folder: Path, shards: Sequence[tuple[str, int]]):
        self.folder = folder
        self._files = [file for file, _ in shards]
        self._starts = np.cumsum([0, *(count for _, count in shards)]).tolist()
        self._readers: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._starts[-1]

    def place(self, number: int) -> tuple[Path, int]:
        """Give the file of a record, and its number there."""
        shard = bisect_right(self._starts, number) - 1
        return self.folder / self._files[shard], number - self._starts[shard]

    def read(self, number: int) -> bytes:
        """Read a record; its bytes are checked on the way.

        Raises:
            DamagedMediaError: naming the file and record where bytes are not those written; or
                the picture of which it holds the place.
        """
        path, inside = self.place(number)
        shard = bisect_right(self._starts, number) - 1
        try:
            reader = self._readers.get(shard)
            if reader is None:
                reader = self._readers.setdefault(shard, open_records(path))
            (data,) = reader.read([inside])
        except (RuntimeError, ValueError, IndexError) as error:
            raise DamagedMediaError(path, f"record {inside}: {error}") from error
        if data.startswith(DAMAGED):
            raise DamagedMediaError(Path(data[len(DAMAGED) :].decode()), "damaged when packed")
        return data


def open_records(path: Path):
    """Open a file of array records for random access.

    Raises:
        ValueError: array_record is not installed.
        RuntimeError: no such file, or a damaged one.
    """
    try:
        from array_record.python.array_record_module import ArrayRecordReader
    except ModuleNotFoundError as error:
        raise ValueError(f"{path}: needs array_record: pip install 'siamjax[train]'") from error
    return ArrayRecordReader(str(path), "readahead_buffer_size:0,max_parallelism:0")


def _numbered(numbers: np.ndarray, i: int, what: str) -> int:
    if not 0 <= i < len(numbers):
        raise IndexError(f"{what}: frame {i} of {len(numbers)}")
    if numbers[i] < 0:
        raise ValueError(f"{what}: frame {i} was not packed")
    return int(numbers[i])


@dataclass(frozen=True, eq=False)
class PackedFrames:
    """The frames of a clip: those in which some target is seen, where whole frames were packed.

    Attributes:
        records: of the pack.
        number: of the clip in the pack.
        name: of the clip before it was packed.
        numbers: int64[T], record of each frame; -1 where it was not packed.
    """

    records: Records
    number: int
    name: str
    numbers: np.ndarray

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedFrames) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Path, int]:
        return self.records.folder, self.number

    def __len__(self) -> int:
        return len(self.numbers)

    def frame(self, i: int) -> Frame:
        """Decode frame `i`. Raises ValueError where it was not packed."""
        return _picture(self.records, _numbered(self.numbers, i, self.name))

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(i) for i in range(len(self)))


def _picture(records: Records, number: int) -> Frame:
    make = lambda: (decode_picture(records.read(number), records.place(number)[0]),)
    return cache.shared.get((records.folder, number), make)[0]


def _grey(records: Records, number: int) -> np.ndarray:
    data = records.read(number)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        path, inside = records.place(number)
        raise DamagedMediaError(path, f"record {inside}: not a picture that can be decoded")
    return image


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """The masks of a target, where whole frames were packed; of its crops otherwise.

    Attributes:
        records: of the pack.
        numbers: int64[T], record of each frame's mask; -1 where it was not packed.
        whole: the masks are of whole frames.
    """

    records: Records
    numbers: np.ndarray
    whole: bool

    def __len__(self) -> int:
        return len(self.numbers)

    def mask(self, i: int) -> Mask:
        """Decode the mask of frame `i`. Raises ValueError where crops were packed."""
        if not self.whole:
            raise ValueError(f"{self.records.folder}: holds crops of masks, not whole masks")
        number = _numbered(self.numbers, i, str(self.records.folder))
        return _grey(self.records, number) > 127


@dataclass(frozen=True, eq=False)
class PackedCrops:
    """The context crops of a target.

    Attributes:
        records: of the pack.
        numbers: int64[T], record of each frame's crop; -1 where the target is not seen.
        masks: int64[T], record of each crop's mask, or None.
        side: of the crops, pixels.
        exemplar: side of the target's context square in them.
    """

    records: Records
    numbers: np.ndarray
    masks: np.ndarray | None
    side: int
    exemplar: int

    def cut(
        self, i: int, box: np.ndarray, size: int, exemplar: int, out: np.ndarray | None
    ) -> np.ndarray:
        """Give the crop of `size` pixels a side around the target in frame `i`.

        Raises:
            ValueError: a larger crop than was packed, at this scale.
            DamagedMediaError: the record is damaged.
        """
        self._check(size, exemplar)
        crop = _picture(self.records, _numbered(self.numbers, i, str(self.records.folder)))
        if self._fits(size, exemplar):
            return _middle(crop, size, out)
        inside = pairs.box_inside(box, self.side, self.exemplar)
        return pairs.context_crop(crop, inside, size, exemplar, out)[0]

    def cut_mask(
        self, i: int, box: np.ndarray, size: int, exemplar: int, out: np.ndarray | None
    ) -> np.ndarray:
        """Give the mask's crop as `cut` gives the picture's."""
        self._check(size, exemplar)
        if self.masks is None:
            raise ValueError(f"{self.records.folder}: no mask was packed")
        mask = _grey(self.records, _numbered(self.masks, i, str(self.records.folder)))
        if self._fits(size, exemplar):
            return _middle(mask, size, out)
        inside = pairs.box_inside(box, self.side, self.exemplar)
        return pairs.context_mask(mask > 127, inside, size, exemplar, out)

    def _fits(self, size: int, exemplar: int) -> bool:
        return exemplar == self.exemplar and (self.side - size) % 2 == 0

    def _check(self, size: int, exemplar: int) -> None:
        if size * self.exemplar > self.side * exemplar:
            raise ValueError(
                f"{self.records.folder}: holds crops of {self.side} px at an exemplar of"
                f" {self.exemplar}; a crop of {size} at {exemplar} needs a new pack"
            )


def _middle(image: np.ndarray, size: int, out: np.ndarray | None) -> np.ndarray:
    start = (len(image) - size) // 2
    middle = image[start : start + size, start : start + size]
    if out is None:
        return np.ascontiguousarray(middle)
    out[:] = middle
    return out


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read `pack.json`.

    Raises:
        ValueError: naming the file: missing, no manifest, newer, or of an unfinished pack.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{path}: not the manifest of a pack")
    if manifest["version"] != VERSION:
        raise ValueError(f"{path}: version {manifest['version']}, this siamjax reads {VERSION}")
    return manifest


def read(folder: str | Path) -> list[Source]:
    """Read the sources of a pack, each with the weight, range and filter that it was packed with.

    Raises:
        ValueError: naming the file: missing, unfinished, or an index that is not the one written.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if not manifest["complete"]:
        raise ValueError(f"{folder}: not finished; run the same `siamjax pack` again")
    data = (folder / TRACKS).read_bytes() if (folder / TRACKS).is_file() else b""
    if hashlib.sha256(data).hexdigest() != manifest["tracks"]:
        raise ValueError(f"{folder / TRACKS}: missing or damaged: not the SHA-256 of {MANIFEST}")
    with np.load(folder / TRACKS, allow_pickle=False) as arrays:
        tracks = _tracks(folder, manifest, {name: arrays[name] for name in arrays.files})
    sources, first = [], 0
    for about in manifest["sources"]:
        count, kept = about.pop("tracks"), about.pop("filter")
        if "without" in kept:
            kept["without"] = tuple(kept["without"])
        sources.append(Source(tracks[first : first + count], filter=Filter(**kept), **about))
        first += count
    return sources


def _tracks(
    folder: Path, manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> list[Track]:
    records = Records(folder, [(shard["file"], shard["records"]) for shard in manifest["shards"]])
    text = json.loads(arrays["text"].tobytes())
    whole = manifest["settings"]["store"] == "frames"
    starts = np.cumsum([0, *arrays["lengths"]])
    frames = np.split(arrays["frames"], np.cumsum(arrays["clip_lengths"])[:-1])
    clips = [
        PackedFrames(records, number, name, numbers)
        for number, (name, numbers) in enumerate(zip(text["clips"], frames, strict=True))
    ]
    tracks = []
    for number, about in enumerate(text["tracks"]):
        here = slice(starts[number], starts[number + 1])
        masks = arrays["masks"][here] if about["masks"] else None
        crops = None
        if not whole:
            side, exemplar = (manifest["settings"][name] for name in ("side", "exemplar"))
            crops = PackedCrops(records, arrays["crops"][here], masks, side, exemplar)
        tracks.append(
            Track(
                about["name"],
                clips[arrays["clip"][number]],
                arrays["boxes"][here],
                about["category"],
                arrays["cover"][here] if about["cover"] else None,
                tuple(about["size"]) if about["size"] else None,
                None if masks is None else PackedMasks(records, masks, whole),
                tags={tag: arrays[f"tag {tag}"][here] for tag in about["tags"]},
                crops=crops,
            )
        )
    return tracks
