"""`siamjax verify A B`: how far apart two pictures or texts are."""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro


@dataclass(frozen=True)
class Command:
    """Compare two pictures or texts by a trained model."""

    a: Annotated[str, tyro.conf.Positional]
    """Picture, or text."""
    b: Annotated[str, tyro.conf.Positional]
    """Picture, or text."""
    model: str
    """Weights file (.npz) of a Siamese or pseudo-Siamese model."""
    threshold: float | None = None
    """Answer whether the distance is below this. A model of loss "logistic" has learnt one; others
    only measure without it."""
    json: bool = False
    """Print one JSON object on the last line of standard output."""

    def run(self) -> dict[str, Any]:
        """Compare.

        Returns:
            `distance`, and `threshold` and `same`, None where there is no threshold.

        Raises:
            ValueError: an input or the model cannot be used.
            OSError: a file cannot be read.
        """
        from siamjax.metric import bank

        model, variables = bank.load_model(self.model)
        a, b = (
            bank.embed(model, variables, [source], bank.side_of(model, source, otherwise))
            for source, otherwise in ((self.a, "a"), (self.b, "b"))
        )
        if len(a.names) != 1 or len(b.names) != 1:
            raise ValueError("verify: expected one picture or text on each side, not many")
        distance = float(model.distance(variables, a.embeddings, b.embeddings)[0])
        threshold = self.threshold
        if threshold is None and "threshold" in variables["params"].get("head", {}):
            threshold = float(variables["params"]["head"]["threshold"])
        same = None if threshold is None else distance < threshold
        if not self.json:
            words = {None: "", True: ": the same", False: ": not the same"}[same]
            bound = "" if threshold is None else f" (threshold {threshold:.4f})"
            print(f"distance {distance:.4f}{words}{bound}")
        return {"distance": distance, "threshold": threshold, "same": same}
