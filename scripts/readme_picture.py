"""Draw README.md's pictures, `docs/*.jpg`, from a tracker's own result on the bundled clip.

`python scripts/readme_picture.py` tracks the clip and sets frames, evenly spaced in time from the
start frame to the last one, beside each other. They are not chosen by how well they went. The
masks: `--model siammask-lite --frames 3 --start 90 --box 165 25 150 310 --out docs/masks.jpg`.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro

from siamjax import draw, follow, weights

GAP = 6


@dataclass(frozen=True)
class Picture:
    """Write a sheet of tracked frames."""

    out: Path = Path(__file__).parents[1] / "docs" / "track.jpg"
    """picture file"""
    model: str = "default"
    """name of bundled weights, or a weights file"""
    frames: int = 6
    """frames to show"""
    columns: int = 3
    """frames in a row"""
    width: int = 900
    """of the picture, pixels"""
    start: int | None = None
    """frame to start in; the clip's own by default"""
    box: tuple[float, float, float, float] | None = None
    """target in that frame, x y width height; the clip's own by default"""


def sheet(pictures: list[np.ndarray], columns: int, width: int) -> np.ndarray:
    """Set pictures of one size in rows with white gaps; the result is `width` pixels wide."""
    side = (width - GAP * (columns - 1)) // columns
    tall = round(side * pictures[0].shape[0] / pictures[0].shape[1])
    rows = -(-len(pictures) // columns)
    canvas = np.full((rows * (tall + GAP) - GAP, width, 3), 255, np.uint8)
    for n, picture in enumerate(pictures):
        top, left = n // columns * (tall + GAP), n % columns * (side + GAP)
        small = cv2.resize(picture, (side, tall), interpolation=cv2.INTER_AREA)
        canvas[top : top + tall, left : left + side] = small
    return canvas


def main(options: Picture) -> None:
    """Track the bundled clip and write the picture."""
    tracker, variables = weights.load(options.model)
    clip = follow.bundled_clip()
    start = clip.frames[0] if options.start is None else options.start
    box = clip.boxes[0] if options.box is None else options.box
    results = list(follow.follow(clip.path, box, tracker=tracker, variables=variables, start=start))
    overlay, drawn = draw.Overlay(), []
    for result in results:
        drawn.append(
            overlay(
                result.image,
                result.boxes,
                result.scores,
                result.valid,
                result.labels,
                result.rotated_boxes,
            )
        )
    chosen = np.linspace(0, len(drawn) - 1, options.frames).round().astype(int)
    picture = sheet([drawn[n] for n in chosen], options.columns, options.width)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(options.out), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88]):
        raise OSError(f"out: cannot write {options.out}")
    numbers = ", ".join(str(results[n].frame) for n in chosen)
    print(f"{options.out}: frames {numbers}, {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main(tyro.cli(Picture))
