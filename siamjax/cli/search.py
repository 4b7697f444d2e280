"""`siamjax search QUERY BANK`: the nearest of many pictures or texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro


@dataclass(frozen=True)
class Command:
    """Find what is nearest to a picture or text."""

    query: Annotated[str, tyro.conf.Positional]
    """Picture, or text."""
    bank: Annotated[str, tyro.conf.Positional]
    """Bank written by siamjax embed (.npz), folder of pictures, or .txt file of one text a line."""
    model: str
    """Weights file (.npz) of a Siamese or pseudo-Siamese model."""
    top: int = 10
    """How many to show."""
    json: bool = False
    """Print one JSON object on the last line of standard output."""

    def run(self) -> dict[str, Any]:
        """Search.

        Returns:
            `query` and `results`, the nearest first, each with `name` and `distance`.

        Raises:
            ValueError: an input, the bank or the model cannot be used.
            OSError: a file cannot be read.
        """
        from siamjax.metric import bank

        if self.top < 1:
            raise ValueError(f"top: expected at least 1, got {self.top}")
        model, variables = bank.load_model(self.model)
        query = bank.embed(model, variables, [self.query], bank.side_of(model, self.query))
        if len(query.names) != 1:
            raise ValueError(f"query: expected one picture or text, got {len(query.names)}")
        if Path(self.bank).suffix == ".npz":
            stored = bank.load(self.bank)
            if stored.weights != query.weights:
                raise ValueError(f"bank: {self.bank} was made with other weights than {self.model}")
        else:
            side = bank.side_of(model, self.bank, "b")
            stored = bank.embed(model, variables, [self.bank], side)
        distances = np.asarray(model.distances(variables, query.embeddings, stored.embeddings))[0]
        nearest = np.argsort(distances, kind="stable")[: self.top]
        results = [
            {"name": stored.names[place], "distance": float(distances[place])} for place in nearest
        ]
        if not self.json:
            for result in results:
                print(f"{result['distance']:.4f}  {result['name']}")
        return {"query": self.query, "results": results}
