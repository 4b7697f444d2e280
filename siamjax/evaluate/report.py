"""One page that shows an evaluation: curves, numbers, and where each sequence was lost."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from siamjax.evaluate import ope, page, vos

_POOLED = {"ao": "average overlap (AO)", "sr_50": "success at 0.5", "sr_75": "success at 0.75"}


def render(summary: Mapping[str, Any], scores: Mapping[str, ope.Scores]) -> str:
    """Make the page of a one-pass evaluation, `run.evaluate`.

    Args:
        summary: what `results.json` holds.
        scores: of each sequence, by name.

    Returns:
        HTML that needs no other file.
    """
    curves, sequences = summary["curves"], summary["sequences"]
    headline = page.tiles(
        [
            (summary["success_auc"], 3, "success AUC"),
            (summary["precision_20"], 3, f"precision at {ope.HEADLINE_PIXELS} px"),
            (summary["normalised_auc"], 3, "normalised precision, area"),
            *((summary[key], 3, text) for key, text in _POOLED.items() if key in summary),
            (summary["mean_iou"], 3, "mean overlap (IoU)"),
            (summary["fps"], 1, "frames/s, with decoding"),
        ]
    )
    success = page.plot(
        curves["overlaps"],
        np.array(curves["success"]),
        {name: one.success for name, one in scores.items()},
        "overlap threshold",
    )
    precision = page.plot(
        curves["pixels"],
        np.array(curves["precision"]),
        {name: one.precision for name, one in scores.items()},
        "centre error threshold, pixels",
        float(ope.HEADLINE_PIXELS),
    )
    columns = (("precision_20", 3), ("mean_iou", 3), ("frames", 0), ("fps", 1))
    rows = []
    for name in sorted(sequences, key=lambda name: -sequences[name]["success_auc"]):
        numbers = sequences[name]
        others = [(numbers[field], digits) for field, digits in columns]
        rows.append(page.row(name, numbers["success_auc"], others, scores[name].overlap))
    heads = ("sequence", "success AUC", "precision", "mean IoU", "frames", "frames/s")
    body = f"""{headline}{page.plots({"Success": success, "Precision": precision})}
<h2>Sequences</h2>{page.KEY}{page.table(heads, rows)}"""
    return page.page(summary, page.counted(len(sequences), "sequence"), body)


def render_masks(summary: Mapping[str, Any], scores: Mapping[str, vos.Scores]) -> str:
    """Make the page of `segment.evaluate`.

    Args:
        summary: what `results.json` holds.
        scores: of each object, by name; of the masks, or of filled boxes where there are none.

    Returns:
        HTML that needs no other file.
    """
    kind = "masks" if summary["masks"] else "filled_boxes"
    shown, filled = summary[kind], summary["filled_boxes"]
    means = "mean over objects of the tracker's masks" if summary["masks"] else "boxes filled"
    values = [
        (shown["j_and_f"], 3, f"J&F, {means}"),
        (shown["j_mean"], 3, "J, overlap of regions"),
        (shown["f_mean"], 3, "F, agreement of contours"),
        (summary["success_auc"], 3, "success AUC of the boxes"),
        (summary["fps"], 1, "frames/s, with decoding"),
    ]
    if summary["masks"]:
        values.insert(3, (filled["j_and_f"], 3, "J&F of the same boxes, filled"))
    each = {name: (one.region[1:-1], one.contour[1:-1]) for name, one in scores.items()}
    curves = [{name: _above(pair[k]) for name, pair in each.items()} for k in (0, 1)]
    drawn = {
        title: page.plot(ope.OVERLAPS.tolist(), np.mean(list(curve.values()), axis=0), curve, label)
        for title, label, curve in zip(
            ("Regions", "Contours"), ("threshold on J", "threshold on F"), curves, strict=True
        )
    }
    objects = {
        name: {**one, "fps": sequence["fps"], "frames": sequence["frames"]}
        for sequence in summary["sequences"].values()
        for name, one in sequence["objects"].items()
    }
    rows = []
    for name in sorted(objects, key=lambda name: -objects[name][kind]["j_and_f"]):
        numbers, other = objects[name][kind], objects[name]
        fields = ("j_mean", "j_recall", "j_decay", "f_mean", "f_recall", "f_decay")
        others: list[Any] = [(numbers[field], 3) for field in fields]
        others.append((other["filled_boxes"]["j_and_f"], 3))
        others += [(other["success_auc"], 3), (other["frames"], 0), (other["fps"], 1)]
        rows.append(page.row(name, numbers["j_and_f"], others, scores[name].region))
    heads = ("object", "J&F", "J", "J recall", "J decay", "F", "F recall", "F decay")
    heads += ("boxes filled, J&F", "success AUC", "frames", "frames/s")
    body = f"""{page.tiles(values)}{page.plots(drawn)}
<h2>Objects</h2>{page.KEY}{page.table(heads, rows)}"""
    count = page.counted(len(summary["sequences"]), "sequence")
    return page.page(summary, f"{count}, {page.counted(len(objects), 'object')}", body)


def _above(values: np.ndarray) -> np.ndarray:
    return (values[:, None] > ope.OVERLAPS[None]).mean(axis=0)
