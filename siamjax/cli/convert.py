"""`siamjax convert`: a published PyTorch checkpoint to one safe `.npz`, without PyTorch."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console

from siamjax import weights
from siamjax.track import zoo


@dataclass(frozen=True)
class Command:
    """Convert a published PyTorch checkpoint to one safe .npz; PyTorch is not needed."""

    checkpoint: tyro.conf.Positional[Path]
    """File written by torch.save. Nothing inside it is run."""
    out: tyro.conf.Positional[Path]
    """Weights file to write, ending in .npz."""
    arch: str
    """Name of the tracker; `siamjax info --list` shows them."""
    licence: str = "unknown"
    """Licence of the weights, kept in the file."""
    source: str | None = None
    """Where the weights come from, kept in the file; the checkpoint's name by default."""
    dtype: Literal["float32", "float16"] = "float32"
    """float16 stores kernels rounded, in half the bytes."""
    json: bool = False
    """Print one JSON object on the last line of standard output."""

    def run(self) -> dict[str, Any]:
        """Convert and write.

        Returns:
            `out`, `arch`, `arrays`, `parameters`, `bytes`, `sha256` (of the arrays, in the header).

        Raises:
            ValueError: unknown tracker, or the checkpoint is unsafe, damaged or does not fit.
            OSError: a file cannot be read or written.
        """
        tracker = zoo.tracker(self.arch)
        if self.out.suffix != ".npz":
            raise ValueError(f"out is {str(self.out)!r}, expected a name ending in .npz")
        if not self.out.parent.is_dir():
            raise FileNotFoundError(f"cannot write {self.out}: no folder {self.out.parent}")
        state_dict = weights.read_torch(self.checkpoint)
        try:
            variables = weights.from_torch(state_dict, tracker)
            layout = weights.layout_of(state_dict, tracker)
        except ValueError as error:
            raise ValueError(f"{self.checkpoint}: {error}") from error
        original = hashlib.sha256(self.checkpoint.read_bytes()).hexdigest()
        weights.save(
            self.out,
            tracker,
            variables,
            source=self.source or self.checkpoint.name,
            licence=self.licence,
            dtype=self.dtype,
            original={"file": self.checkpoint.name, "sha256": original, "layout": layout},
        )
        header, _ = weights.read(self.out)
        summary = {
            "out": str(self.out),
            "arch": self.arch,
            "arrays": len(state_dict),
            "parameters": header["parameters"],
            "bytes": self.out.stat().st_size,
            "sha256": header["sha256"],
        }
        Console(stderr=self.json, highlight=False, soft_wrap=True).print(
            f"{self.checkpoint} -> {self.out}: {self.arch}, {summary['parameters']:,} parameters,"
            f" {summary['bytes'] / 1e6:.1f} MB, licence: {self.licence}",
            markup=False,
        )
        return summary
