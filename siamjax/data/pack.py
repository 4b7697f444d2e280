"""Pack sources once, so that training reads them faster: context crops or frames as array records.

Every target's context crop in every frame where it is seen (`store="crops"`: what training cuts,
and no more), or the frames themselves (`"frames"`: picture files keep their bytes). Shards are made
side by side, each is written under a temporary name and renamed; a packing that was killed goes on
with those that are missing. `siamjax.data.packed` describes the folder and reads it.
"""

import dataclasses
import importlib.util
import io
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from siamjax.data import pack_plan, packed, shards
from siamjax.data.pack_plan import PackConfig, Plan
from siamjax.data.sources import Filter, Source
from siamjax.weights import npz

Progress = Callable[[int, int], None]
"""Called with the number of records done, and of all."""


def write(
    sources: Sequence[Source],
    folder: str | Path,
    config: PackConfig | None = None,
    *,
    threads: int = 2,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Pack sources into a folder, or go on where a packing of the same was killed.

    Args:
        sources: what to pack, whole: filters are kept beside the tracks and applied when drawing.
        folder: empty, missing, or of the same packing.
        config: what is stored; None for the defaults.
        threads: that make shards.
        on_progress: is told how far it is.

    Returns:
        The manifest: `sources`, `shards`, `damaged` (how often each file could not be decoded),
        `records`, `bytes`.

    Raises:
        ValueError: no sources, a folder of something else, or array_record is not installed.
        OSError: the folder cannot be written.
    """
    if not sources:
        raise ValueError("sources: expected at least one")
    if threads < 1:
        raise ValueError(f"threads: expected at least 1, got {threads}")
    folder = Path(folder)
    plan = pack_plan.make(sources, PackConfig() if config is None else config)
    begun = _begin(folder, plan)
    if begun is not None:
        return begun
    about = _write_shards(folder, plan, threads, on_progress or (lambda done, total: None))
    data = _index(plan, {k: tuple(v) for shard in about for k, v in shard.pop("sizes").items()})
    npz.write(folder / packed.TRACKS, data)
    damaged = plan.damaged.copy()
    for shard in about:
        damaged.update(shard.pop("damaged"))
    manifest = _head(plan) | {
        "complete": True,
        "records": plan.records,
        "bytes": sum(shard["bytes"] for shard in about),
        "tracks": shards.sha256(folder / packed.TRACKS),
        "damaged": dict(damaged),
        "sources": [_settings(*pair) for pair in zip(sources, plan.counts, strict=True)],
        "shards": about,
    }
    _write_json(folder / packed.MANIFEST, manifest)
    for number in range(len(about)):
        _aside(folder, number).unlink(missing_ok=True)
    return manifest


def _head(plan: Plan) -> dict[str, Any]:
    return {
        "format": packed.FORMAT,
        "version": packed.VERSION,
        "plan": plan.digest(),
        "settings": dataclasses.asdict(plan.config),
    }


def _begin(folder: Path, plan: Plan) -> dict[str, Any] | None:
    """Prepare the folder; gives the manifest where everything is there already."""
    if importlib.util.find_spec("array_record") is None:
        raise ValueError("packing needs array_record: pip install 'siamjax[train]'")
    folder.mkdir(parents=True, exist_ok=True)
    head = _head(plan)
    if (folder / packed.MANIFEST).exists():
        found = packed.read_manifest(folder)
        if found["settings"] != head["settings"]:
            raise ValueError(f"{folder}: packed with other settings: {found['settings']}")
        if found["plan"] != head["plan"]:
            raise ValueError(f"{folder}: a pack of other data; name another folder")
        if found["complete"]:
            return found
    elif any(folder.iterdir()):
        raise ValueError(f"{folder}: expected an empty folder or one of `siamjax pack`")
    else:
        _write_json(folder / packed.MANIFEST, head | {"complete": False})
    for left in folder.glob("*.partial"):
        left.unlink()
    return None


def _write_json(path: Path, content: Any) -> None:
    npz.write(path, f"{json.dumps(content, indent=1, allow_nan=False)}\n".encode())


def _aside(folder: Path, number: int) -> Path:
    """Give the file that says that a shard is finished, while others are not."""
    return folder / f"{number:05d}.json"


def _write_shards(
    folder: Path, plan: Plan, threads: int, on_progress: Progress
) -> list[dict[str, Any]]:
    about: list[dict[str, Any]] = [_finished(folder, number) for number in range(len(plan.shards))]
    lock, stop = threading.Lock(), threading.Event()
    done, total = sum(shard.get("records", 0) for shard in about), plan.records
    on_progress(done, total)

    def tick() -> None:
        nonlocal done
        if stop.is_set():
            raise InterruptedError("another shard could not be written")
        with lock:
            done += 1
            on_progress(done, total)

    def make(number: int) -> None:
        path = folder / f"{number:05d}.array_record"
        about[number] = shards.write(plan, number, path, tick)
        _write_json(_aside(folder, number), about[number])

    cv2.setNumThreads(0)  # the threads of the pool are the parallel ones
    with ThreadPoolExecutor(threads) as pool:
        tasks = [pool.submit(make, number) for number, shard in enumerate(about) if not shard]
        try:
            for task in as_completed(tasks):
                task.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return about


def _finished(folder: Path, number: int) -> dict[str, Any]:
    """Give what was noted of a finished shard; nothing where it is not, or not as noted."""
    note = _aside(folder, number)
    if not note.is_file():
        return {}
    shard = json.loads(note.read_text())
    path = folder / shard["file"]
    return shard if path.is_file() and path.stat().st_size == shard["bytes"] else {}


def _settings(source: Source, count: int) -> dict[str, Any]:
    """Give a source without its tracks; of the filter what is not the default, to be JSON."""
    given, usual = dataclasses.asdict(source.filter), dataclasses.asdict(Filter())
    about = {
        field.name: getattr(source, field.name)
        for field in dataclasses.fields(source)
        if field.init and field.name not in ("tracks", "filter")
    }
    kept = {name: value for name, value in given.items() if value != usual[name]}
    return about | {"filter": kept, "tracks": count}


def _index(plan: Plan, sizes: dict[str, tuple[int, int]]) -> bytes:
    """Make the bytes of tracks.npz."""
    frames = [np.full(len(clip.media), -1, np.int64) for clip in plan.clips]
    crops = [np.full(len(track), -1, np.int64) for track in plan.tracks]
    masks = [np.full(len(track), -1, np.int64) for track in plan.tracks]
    for clip, numbers in zip(plan.clips, frames, strict=True):
        for record, shot in enumerate(clip.shots, clip.first):
            if shot.mask:
                masks[shot.track][shot.frame] = record
            elif shot.track < 0:
                numbers[shot.frame] = record
            else:
                crops[shot.track][shot.frame] = record
    tags = sorted({tag for track in plan.tracks for tag in track.tags})
    absent = lambda track, kind: np.zeros(len(track), kind)
    text = {
        "clips": [clip.media.name for clip in plan.clips],
        "tracks": [
            {
                "name": track.name,
                "category": track.category,
                "size": track.frame_size or sizes.get(str(clip)),
                "cover": track.cover is not None,
                "masks": track.masks is not None,
                "tags": list(track.tags),
            }
            for track, clip in zip(plan.tracks, plan.clip_of, strict=True)
        ],
    }
    arrays = {
        "text": np.frombuffer(json.dumps(text).encode(), np.uint8),
        "lengths": np.asarray([len(track) for track in plan.tracks]),
        "clip": np.asarray(plan.clip_of),
        "clip_lengths": np.asarray([len(clip.media) for clip in plan.clips]),
        "boxes": np.concatenate([track.boxes for track in plan.tracks]),
        "cover": np.concatenate(
            [absent(t, np.int64) if t.cover is None else t.cover for t in plan.tracks]
        ),
        "frames": np.concatenate(frames),
        "crops": np.concatenate(crops),
        "masks": np.concatenate(masks),
    }
    for tag in tags:
        flags = [track.tags.get(tag, absent(track, np.bool_)) for track in plan.tracks]
        arrays[f"tag {tag}"] = np.concatenate(flags)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def check(folder: str | Path, on_progress: Progress | None = None) -> list[str]:
    """Compare every byte of a finished pack with its manifest.

    Args:
        folder: of the pack.
        on_progress: is told how many files are done.

    Returns:
        What is wrong, a line each, naming the file, and the record where one can be told.

    Raises:
        ValueError: no manifest, or an unfinished pack.
    """
    folder = Path(folder)
    manifest = packed.read_manifest(folder)
    if not manifest["complete"]:
        raise ValueError(f"{folder}: not finished; run the same `siamjax pack` again")
    files = [(packed.TRACKS, manifest["tracks"], 0)]
    files += [(shard["file"], shard["sha256"], shard["records"]) for shard in manifest["shards"]]
    wrong = []
    for done, (name, expected, records) in enumerate(files, 1):
        path = folder / name
        if not path.is_file():
            wrong.append(f"{path}: missing")
        elif shards.sha256(path) != expected:
            wrong += [f"{path}, {about}" for about in _damaged_records(path, records)] or [
                f"{path}: not the bytes that were written"
            ]
        if on_progress is not None:
            on_progress(done, len(files))
    return wrong


def _damaged_records(path: Path, records: int) -> list[str]:
    found = []
    if not records:
        return found
    try:
        reader = packed.open_records(path)
    except RuntimeError as error:
        return [f"cannot be opened: {error}"]
    for number in range(records):
        try:
            reader.read([number])
        except (RuntimeError, ValueError, IndexError) as error:
            found.append(f"record {number}: {error}")
    return found
