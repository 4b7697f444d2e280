"""`siamjax embed`: pictures or texts to a bank of embeddings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


@dataclass(frozen=True)
class Command:
    """Embed pictures or texts by a trained tower, and keep them as a bank.

    The bank is a .npz with names, embeddings (float32, a row each) and a digest of the weights.
    """

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Pictures, folders of pictures, texts, or .txt files of one text a line."""
    model: str
    """Weights file (.npz) of a Siamese or pseudo-Siamese model."""
    out: Path = Path("siamjax-out/bank.npz")
    """The bank to write."""
    side: Literal["auto", "a", "b"] = "auto"
    """Tower of a pseudo-Siamese model; by default the one that takes the first input."""
    json: bool = False
    """Print one JSON object on the last line of standard output."""

    def run(self) -> dict[str, Any]:
        """Embed and write.

        Returns:
            `out`, `count`, `dim`, `side`.

        Raises:
            ValueError: nothing to embed, an input or the model cannot be used.
            OSError: a file cannot be read or written.
        """
        from rich.console import Console
        from rich.progress import Progress

        from siamjax.metric import bank

        if not self.inputs:
            raise ValueError("inputs: expected at least one picture, folder or text")
        model, variables = bank.load_model(self.model)
        side = bank.side_of(model, self.inputs[0]) if self.side == "auto" else self.side
        console = Console(stderr=True, quiet=self.json, highlight=False, soft_wrap=True)
        shown = console.is_terminal and not self.json
        with Progress(console=console, transient=True, disable=not shown) as progress:
            task = progress.add_task("embedding", total=None)
            made = bank.embed(
                model,
                variables,
                self.inputs,
                side,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        if self.out == Command.out:
            self.out.parent.mkdir(exist_ok=True)
        bank.save(self.out, made)
        count, dim = made.embeddings.shape
        console.print(f"{self.out}: {count} embeddings of {dim} numbers", markup=False)
        return {"out": str(self.out), "count": count, "dim": dim, "side": side}
