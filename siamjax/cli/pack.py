"""`siamjax pack RECIPE --out DIR`: pack the data of a recipe once, to train from the pack."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


@dataclass(frozen=True)
class Command:
    """Pack a recipe's sources into array records: crops as training cuts them, or whole frames.

    The same command goes on where one was killed. Train from it by `siamjax train RECIPE --packed
    DIR`: the pairs are those of the unpacked data.
    """

    recipe: Annotated[str, tyro.conf.Positional]
    """Name in experiments/, or path of a .py file that defines RECIPE."""
    out: Path
    """Folder of the pack."""
    data: Path | None = None
    """Folder of the data; the recipe's own by default."""
    store: Literal["crops", "frames"] = "crops"
    """crops: the square around every target, as large as the recipe cuts it; frames: whole frames,
    files of pictures as they are."""
    side: int | None = None
    """Side of the crops, pixels; what the recipe needs by default."""
    encoding: Literal["jpeg", "png"] = "jpeg"
    """Of crops and of frames of videos; png loses nothing."""
    quality: int = 95
    """Of JPEG, 1 to 100."""
    threads: int | None = None
    """That decode and encode; one for each core by default."""
    check: bool = False
    """Compare every byte of a finished pack with its checksums instead, and name what differs."""
    json: bool = False
    """Print the summary as one JSON object on the last line of standard output."""

    def run(self) -> dict[str, Any]:
        """Pack, or check.

        Returns:
            `out`, `records`, `bytes`, `seconds`, `damaged` (how often each file was skipped),
            `sources` (name and tracks of each).

        Raises:
            ValueError: no such recipe or data, another pack in `out`, or bytes that differ.
            OSError: `out` cannot be written.
        """
        import time

        from rich.console import Console

        from siamjax.bench import timing
        from siamjax.data import pack
        from siamjax.train import recipe as recipes

        console = Console(stderr=self.json, highlight=False)
        if self.check:
            with _bar("files") as progress:
                wrong = pack.check(self.out, progress)
            if wrong:
                raise ValueError("\n".join(wrong))
            console.print(f"{self.out}: every byte is as written", soft_wrap=True)
            return {"out": str(self.out), "damaged": {}}
        recipe = recipes.load(self.recipe)
        if not isinstance(recipe, recipes.Recipe):
            raise ValueError(f"pack: {self.recipe} does not train on pairs of crops")
        pairs = recipe.pairs
        side = max(pairs.search_size, pairs.template_size) if self.side is None else self.side
        config = pack.PackConfig(self.store, side, pairs.exemplar, self.encoding, self.quality)
        threads = timing.threads() if self.threads is None else self.threads
        start = time.perf_counter()
        sources = recipe.sources(recipe.data if self.data is None else self.data)
        with _bar("records") as progress:
            manifest = pack.write(sources, self.out, config, threads=threads, on_progress=progress)
        seconds = time.perf_counter() - start
        summary = {name: manifest[name] for name in ("records", "bytes", "damaged")}
        summary["sources"] = {one["name"]: one["tracks"] for one in manifest["sources"]}
        for path, count in manifest["damaged"].items():
            console.print(f"skipped {path}: cannot be decoded ({count} records)", soft_wrap=True)
        console.print(
            f"{self.out}: {manifest['records']:,} records, {manifest['bytes'] / 2**20:,.1f} MiB,"
            f" {seconds:.1f} s",
            soft_wrap=True,
        )
        return {"out": str(self.out), "seconds": seconds} | summary


@contextlib.contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on the terminal; gives the function that moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
