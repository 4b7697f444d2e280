"""`siamjax train RECIPE`: train or fine-tune a recipe; the same command continues it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from siamjax.train import recipe as recipes
from siamjax.train.parallel import Mode
from siamjax.train.training import Training

USAGE = """usage: siamjax train RECIPE [--out DIR] [--FIELD VALUE ...]

Train or fine-tune a recipe; the same command continues a training that was stopped or killed.
RECIPE is a name in experiments/ or the path of a .py file that defines RECIPE.
`siamjax train RECIPE --help` lists the fields of a recipe with their values.
"""


Kind = TypeVar("Kind", bound=Training)


@dataclass(frozen=True)
class Command(Generic[Kind]):
    """Train or fine-tune a recipe; the same command continues it."""

    recipe: Annotated[Kind, tyro.conf.arg(name="")]
    """the recipe, with its fields as options"""
    out: Path | None = None
    """folder of this training; runs/NAME by default"""
    devices: int | None = None
    """local devices over which batches are split; all by default"""
    parallel: Mode = "jit"
    """how the step runs on several devices: jit with sharded arrays, shard_map, or pmap"""
    coordinator: str | None = None
    """HOST:PORT of process 0 of a training on several hosts, with --processes and --process;
    "auto" where the cluster tells (TPU pods, Slurm, Open MPI)"""
    processes: int | None = None
    """processes of the training, one a host; each runs this command"""
    process: int | None = None
    """number of this one, from 0; process 0 writes the folder of the training"""
    json: bool = False
    """print the summary as one JSON object on the last line of standard output"""

    def run(self) -> dict[str, Any]:
        """Train, and return the summary."""
        from siamjax.train import hosts
        from siamjax.train.loop import train

        hosts.join(self.coordinator, self.processes, self.process)
        out = Path("runs") / self.recipe.name if self.out is None else self.out
        return train(self.recipe, out, devices=self.devices, parallel=self.parallel)


def parse(args: Sequence[str]) -> Command:
    """Read the command line behind `siamjax train`: which fields there are, the recipe decides.

    Raises:
        ValueError: no recipe is named, or there is none of that name.
        SystemExit: help was asked for, or a field does not exist.
    """
    if any(arg in ("-h", "--help") for arg in args[:1]):
        print(f"{USAGE}\nrecipes: {', '.join(recipes.names())}")
        sys.exit(0)
    if not args or args[0].startswith("-"):
        raise ValueError(f"train: name a recipe first; known are {', '.join(recipes.names())}")
    recipe = recipes.load(args[0])
    default = Command(recipe)
    return tyro.cli(
        Command[type(recipe)],
        default=default,
        args=list(args[1:]),
        prog=f"siamjax train {args[0]}",
    )
