"""Put trained weights into the package: `python scripts/bundle.py runs/default/weights.npz`.

Kernels are stored as float16; the tracking constants are those of the named tracker today.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

import siamjax
from siamjax import weights
from siamjax.track import zoo


@dataclass(frozen=True)
class Bundle:
    """Store weights in half precision among the package's assets."""

    trained: Annotated[Path, tyro.conf.Positional]
    """weights file that `siamjax train` wrote"""
    name: str = "anchorfree-lite"
    """the tracker, and what the bundled weights will be called"""
    source: str | None = None
    """where the weights come from; the trained file's own words by default"""


def main(options: Bundle) -> None:
    """Write `siamjax/assets/NAME.npz`."""
    _, variables = weights.load(str(options.trained))
    header, _ = weights.read(options.trained)
    path = Path(siamjax.__file__).parent / "assets" / f"{options.name}.npz"
    weights.save(
        path,
        zoo.tracker(options.name),
        variables,
        source=header["source"] if options.source is None else options.source,
        licence="MIT; its training data is for research, see the model card",
        dtype="float16",
        training=header.get("training"),
    )
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(tyro.cli(Bundle))
