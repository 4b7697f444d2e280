"""Put trained weights into the package: `python scripts/bundle.py runs/siamfc_lite/weights.npz`.

Kernels are stored as float16; tracking constants chosen by `scripts/tune.py` go into the file.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

import siamjax
from siamjax import weights


@dataclass(frozen=True)
class Bundle:
    """Store weights in half precision among the package's assets, with these constants."""

    trained: Annotated[Path, tyro.conf.Positional]
    """weights file that `siamjax train` wrote"""
    name: str = "siamfc-lite"
    """of the bundled weights"""
    scale_penalty: float | None = None
    """constants, where they differ from those in the file"""
    scale_lr: float | None = None
    window_influence: float | None = None


def main(options: Bundle) -> None:
    """Write `siamjax/assets/NAME.npz`."""
    tracker, variables = weights.load(str(options.trained))
    header, _ = weights.read(options.trained)
    names = ("scale_penalty", "scale_lr", "window_influence")
    chosen = {name: getattr(options, name) for name in names}
    changes = {name: value for name, value in chosen.items() if value is not None}
    path = Path(siamjax.__file__).parent / "assets" / f"{options.name}.npz"
    weights.save(
        path,
        dataclasses.replace(tracker, **changes),
        variables,
        source=header["source"],
        licence=header["licence"],
        dtype="float16",
        training=header.get("training"),
    )
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(tyro.cli(Bundle))
