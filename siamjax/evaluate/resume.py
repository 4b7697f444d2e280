"""A run over a clip that is made once: finished and kept, it is read back, not run again."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from siamjax.evaluate import store
from siamjax.evaluate.drive import OnFrame

Answers = TypeVar("Answers")


@dataclass(frozen=True)
class Files(Generic[Answers]):
    """Where the answers of one run are kept.

    Attributes:
        load: gives them; None where they are missing, damaged or made with something else.
        save: keeps them, so that `load` gives them from then on.
    """

    load: Callable[[], Answers | None]
    save: Callable[[Answers], None]


def sealed(folder: Path, label: str, path: Path, made_with: str) -> Files[Mapping[str, Any]]:
    """Keep what is told of a run beside the seal of a file, which the run itself writes.

    Args:
        folder: of the evaluation.
        label: of the run, no other's there.
        path: of the file.
        made_with: from `provenance.Maker.key`.
    """
    place = (folder, label, path, made_with)
    return Files(functools.partial(store.sealed, *place), functools.partial(store.seal, *place))


def once(
    name: str,
    frames: int,
    run: Callable[[], Answers],
    files: Files[Answers] | None,
    on_frame: OnFrame | None = None,
) -> Answers:
    """Give the answers of a finished run; where there are none, run and keep them.

    Args:
        name: of the clip.
        frames: of the clip.
        run: gives the answers, and tells `on_frame` of every frame itself.
        files: where they are kept; None keeps nothing.
        on_frame: told (name, frames, frames) at once of a run that was finished.

    Raises:
        ValueError: as `run`.
        OSError: the answers cannot be written.
    """
    found = files.load() if files else None
    if found is None:
        found = run()
        if files:
            files.save(found)
    elif on_frame:
        on_frame(name, frames, frames)
    return found
