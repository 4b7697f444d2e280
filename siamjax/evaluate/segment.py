"""Semi-supervised video object segmentation: a first box each, masks of all frames scored.

The tracker starts on the box of each object's first mask, sees nothing else of it, and is never
helped again. Masks are scored as DAVIS scores them (`siamjax.evaluate.vos`); so are the boxes of
the same run, filled, which is what masks have to beat.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from siamjax import masks
from siamjax.data.readers.davis import Scene
from siamjax.evaluate import aggregate, ope, provenance, report, resume, store, vos
from siamjax.evaluate.drive import OnFrame, Tracker
from siamjax.evaluate.onepass import check_names, check_tracks
from siamjax.evaluate.run import evaluate_boxes
from siamjax.evaluate.scenes import Followed, fill, run_scene, truth
from siamjax.evaluate.store import Run
from siamjax.typing import Variables


class Scored(NamedTuple):
    """One object, scored: its masks, where there are any, its boxes filled, and its boxes."""

    masks: vos.Scores | None
    filled: vos.Scores
    boxes: ope.Scores


def score(
    scene: Scene,
    found: Followed,
    *,
    bound: float | int = vos.BOUND,
    places: vos.Places = "exact",
) -> list[Scored]:
    """Score a scene's objects: their masks, their boxes filled, and their boxes.

    Args:
        scene: with its masks.
        found: from `run_scene`.
        bound: see `vos.contour`.
        places: see `vos.statistics`.

    Raises:
        ValueError: fewer than three frames, or masks that do not fit.
    """
    boxes = np.stack([run.boxes for run in found.runs], axis=1)
    scores = np.stack([run.scores.round(4) for run in found.runs], axis=1)  # as files keep them
    shape = truth(scene.tracks[0], 0).shape
    filled = [fill(*pair, *shape) for pair in zip(boxes, scores, strict=True)]
    result = []
    for k, track in enumerate(scene.tracks):
        truths = [truth(track, i) for i in range(len(track))]
        judge = functools.partial(vos.score, truths=truths, bound=bound, places=places)
        drawn = judge([one == k + 1 for one in found.maps]) if found.maps else None
        boxed = judge([one == k + 1 for one in filled])
        result.append(Scored(drawn, boxed, evaluate_boxes(track, found.runs[k].boxes)))
    return result


def _load(folder: Path, scene: Scene, made_with: str) -> Followed | None:
    runs = [store.load(folder, track.name, made_with) for track in scene.tracks]
    maps = store.load_maps(folder, scene.name, made_with)
    found = tuple(run for run in runs if run is not None)
    return None if maps is None or len(found) < len(runs) else Followed(found, maps)


def _save(folder: Path, scene: Scene, found: Followed, made_with: str) -> None:
    for track, run in zip(scene.tracks, found.runs, strict=True):
        store.save(folder, track.name, run, made_with)
    store.save_maps(folder, scene.name, found.maps, made_with)


def follow(
    scene: Scene,
    tracker: Tracker,
    variables: Variables,
    made: provenance.Maker,
    folder: Path | None = None,
    *,
    on_frame: OnFrame | None = None,
) -> Followed:
    """Run a tracker over one scene; a finished one is read from the folder.

    Args:
        scene: from `siamjax.data.readers.davis`.
        tracker: with `init` and `step`.
        variables: the tracker's.
        made: of tracker and variables.
        folder: of the evaluation; None keeps nothing.
        on_frame: told after every frame.

    Raises:
        ValueError: as `run_scene`.
        OSError: the folder cannot be written.
    """
    total = len(scene.tracks[0])
    boxes = [track.boxes[0].tolist() for track in scene.tracks]
    made_with = made.key("masks", scene.name, total, boxes)
    run = functools.partial(run_scene, scene, tracker, variables, on_frame=on_frame)
    files = folder and resume.Files(
        functools.partial(_load, folder, scene, made_with),
        functools.partial(_save, folder, scene, made_with=made_with),
    )
    return resume.once(scene.name, total, run, files, on_frame)


def evaluate(
    scenes: Sequence[Scene],
    tracker: Tracker,
    variables: Variables,
    out: str | Path | None = None,
    *,
    bound: float | int = vos.BOUND,
    places: vos.Places = "exact",
    on_frame: OnFrame | None = None,
    **about: Any,
) -> dict[str, Any]:
    """Run a tracker over every scene, score its masks, and keep the results in a folder.

    A scene whose files are complete and were made with the same variables, configuration, constants
    and first boxes is not run again (the pictures themselves are not compared).

    Args:
        scenes: from `siamjax.data.readers.davis`.
        tracker: with `init` and `step`; without masks its filled boxes alone are scored.
        variables: the tracker's.
        out: folder for `results.json`, `report.html`, `masks/SEQ/00000.png` (indexed, i + 1 for
            object i), `boxes/`, `scores/` and `timing/`; None keeps nothing.
        bound: see `vos.contour`.
        places: see `vos.statistics`.
        on_frame: told after every frame.
        about: `model`, `data` and `format`, for the report.

    Returns:
        What `results.json` holds: means over objects in `masks` (None from a tracker without
        masks) and `filled_boxes`, `success_auc` and `mean_iou` of the boxes, `fps`, and in
        `sequences` the same for each scene and its objects.

    Raises:
        ValueError: no scenes, names that are no file names or not unique, fewer than three frames,
            no masks, a first frame without an object, a clip that ends early.
        OSError: the folder cannot be written.
    """
    _check(scenes)
    folder = None if out is None else Path(out)
    made = provenance.maker(tracker, variables)
    found = {
        scene.name: follow(scene, tracker, variables, made, folder, on_frame=on_frame)
        for scene in scenes
    }
    return score_all(scenes, found, folder, made=made, bound=bound, places=places, **about)


def score_all(
    scenes: Sequence[Scene],
    found: Mapping[str, Followed],
    out: str | Path | None = None,
    *,
    made: provenance.Maker | None = None,
    bound: float | int = vos.BOUND,
    places: vos.Places = "exact",
    **about: Any,
) -> dict[str, Any]:
    """Score answers over scenes.

    Args:
        scenes: as `evaluate`.
        found: answers by the name of the scene, from `follow` or `scenes.read_maps`.
        out: folder for `results.json` and `report.html`; None keeps nothing.
        made: of the tracker, where it is known.
        bound: see `vos.contour`.
        places: see `vos.statistics`.
        about: `model`, `data` and `format`, for the report.

    Returns:
        As `evaluate`.

    Raises:
        ValueError: as `evaluate`, of the scenes.
        OSError: the folder cannot be written.
    """
    _check(scenes)
    scored = {
        scene.name: score(scene, found[scene.name], bound=bound, places=places) for scene in scenes
    }
    runs = {name: one.runs[0] for name, one in found.items()}
    summary = provenance.described(_summary(scenes, scored, runs, bound, places), made, **about)
    if out is not None:
        objects = {
            track.name: one.filled if one.masks is None else one.masks
            for scene in scenes
            for track, one in zip(scene.tracks, scored[scene.name], strict=True)
        }
        store.write_summary(Path(out), summary, report.render_masks(summary, objects))
    return summary


def _check(scenes: Sequence[Scene]) -> None:
    check_tracks([track for scene in scenes for track in scene.tracks])
    check_names([scene.name for scene in scenes], "scenes")
    for scene in scenes:
        if len(scene.tracks) > masks.MOST:
            raise ValueError(f"{scene.name}: expected {masks.MOST} objects at most")
        if len(scene.tracks[0]) < 3:
            raise ValueError(f"{scene.name}: expected at least 3 frames, as two do not count")
        for track in scene.tracks:
            truth(track, 0)


def _numbers(scored: Sequence[Scored]) -> dict[str, Any]:
    drawn = [one.masks for one in scored if one.masks is not None]
    boxes = ope.mean([one.boxes for one in scored])
    return {
        "masks": vos.summary(vos.mean(drawn)) if drawn else None,
        "filled_boxes": vos.summary(vos.mean([one.filled for one in scored])),
        "success_auc": boxes.success_auc,
        "mean_iou": boxes.mean_iou,
    }


def _interval(sequences: Mapping[str, Any]) -> aggregate.Interval | None:
    """Give J&F, of filled boxes where there are no masks, the mean over objects, with its interval.

    Sequences are drawn, not objects: those of one sequence are easy or hard together.
    """
    objects = [list(one["objects"].values()) for one in sequences.values()]
    found = [[(one["masks"] or one["filled_boxes"])["j_and_f"] for one in each] for each in objects]
    totals = np.array([[sum(each)] for each in found], np.float64)
    return aggregate.mean_ratio_interval(totals, np.array([[float(len(one))] for one in found]))


def _summary(
    scenes: Sequence[Scene],
    scored: dict[str, list[Scored]],
    runs: dict[str, Run],
    bound: float | int,
    places: vos.Places,
) -> dict[str, Any]:
    """Average over objects, and say how."""
    sequences = {
        scene.name: {
            **_numbers(scored[scene.name]),
            "fps": runs[scene.name].fps,
            "fps_tracker": runs[scene.name].fps_tracker,
            "frames": len(scene.tracks[0]),
            "objects": {
                track.name: _numbers([one])
                for track, one in zip(scene.tracks, scored[scene.name], strict=True)
            },
        }
        for scene in scenes
    }
    return {
        **_numbers([one for each in scored.values() for one in each]),
        "fps": store.rate(list(runs.values())),
        "fps_tracker": store.rate_alone(list(runs.values())),
        "frames": sum(len(scene.tracks[0]) for scene in scenes),
        "objects": sum(len(scene.tracks) for scene in scenes),
        "intervals": {"j_and_f": aggregate.told(_interval(sequences))},
        "sequences": sequences,
        "conventions": {
            "name": "davis",
            "given": "the box of each object's mask in the first frame, nothing else",
            "frames": "the first and the last do not count for J and F",
            "j": "intersection over union of masks; 1 where both are empty",
            "f": f"agreement of contours within {bound:g} of the diagonal, rounded up"
            if bound < 1
            else f"agreement of contours within {bound:g} pixels",
            "recall": "part of the frames above 0.5",
            "decay": "mean of the first quarter of the frames less that of the last"
            + (", limits kept in 8 bits as the official code does" if places == "uint8" else ""),
            "mean": "over objects, each with the same weight",
            "masks": "each pixel to the most probable object above its threshold",
            "filled_boxes": "the boxes of the same run as masks; the higher score in front",
            "success_auc": ope.CONVENTIONS["visible"].text,
            "intervals": aggregate.TEXT,
            "fps": "tracker, merging and decoding, all objects, from the answer for frame 1 on",
            "fps_tracker": "the same frames, tracker and merging alone",
        },
    }
