"""Checkpoints of a training that survive kill -9 and notice damage.

One folder per step, written by orbax under a temporary name and renamed. `FOLDER/N.sha256.json`
lists the SHA-256 of every file of step N and is written last: a step without it, or with a file
that differs, is not used (orbax itself restores flipped bytes without a word). Arrays are stored
under their paths in nested dicts, so a part of a checkpoint, as a backbone, can be read alone. Of
several hosts the first writes and reads, and the others hear from it: no folder need be shared.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from siamjax.train import hosts
from siamjax.train.freeze import path_name

_STATE, _META = "state", "meta"


class Restored(NamedTuple):
    """A checkpoint read back: its step, the arrays in the asked structure (NumPy), the JSON."""

    step: int
    state: Any
    meta: dict[str, Any]


class DamagedError(ValueError):
    """A checkpoint that is incomplete, or differs from its manifest, or cannot be read."""


class Checkpoints:
    """The checkpoints of one training in one folder; a context manager.

    Args:
        folder: made if missing. Leftovers of a killed save are removed.
        keep: newest checkpoints kept, at least 2, so that one stays while the next is written.

    Raises:
        ValueError: `keep` is below 2.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: str | Path, keep: int = 3):
        if keep < 2:
            raise ValueError(f"keep must be at least 2 checkpoints, got {keep}")
        self.folder = Path(folder).absolute()
        if hosts.is_first():
            self.folder.mkdir(parents=True, exist_ok=True)
        self.keep = keep
        self._open: Any = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def steps(self) -> list[int]:
        """List the steps that have a folder, sound or not, oldest first."""
        return sorted(int(p.name) for p in self.folder.iterdir() if p.is_dir() and p.name.isdigit())

    def save(self, step: int, state: Any, meta: Mapping[str, Any]) -> None:
        """Write a checkpoint and return when it is on disk, manifest included.

        Args:
            step: its number; a checkpoint of the same step is replaced.
            state: pytree of arrays, on every device of every host.
            meta: anything JSON can hold (iterator state, settings).
        """
        if not hosts.is_first():
            return
        import orbax.checkpoint as ocp

        state = jax.tree.map(np.asarray, state)
        self._forget(step)
        with _quiet():
            manager = self._manager()
            manager.save(
                step,
                args=ocp.args.Composite(
                    **{
                        _STATE: ocp.args.PyTreeSave(_nest(state)),
                        _META: ocp.args.JsonSave(dict(meta)),
                    }
                ),
            )
            manager.wait_until_finished()
        _write_json(self._manifest(step), _hashes(self.folder / str(step)))
        kept = set(self.steps())
        for path in self.folder.glob("*.sha256.json"):
            if int(path.name.split(".")[0]) not in kept:
                path.unlink()

    def restore(
        self, like: Any, report: Callable[[str], None] = lambda message: None
    ) -> Restored | None:
        """Read the newest sound checkpoint; damaged newer ones are removed, and said so.

        Args:
            like: pytree of the shapes and dtypes expected (arrays or ShapeDtypeStruct).
            report: told one line for each damaged checkpoint.

        Returns:
            The checkpoint, or None where there is no sound one.

        Raises:
            ValueError: a sound checkpoint holds other arrays than `like`: it is another training's.
        """
        found: Restored | None = None

        def read() -> tuple[int, dict[str, Any]] | None:
            nonlocal found
            found = self._newest(like, report)
            return None if found is None else (found.step, found.meta)

        known = hosts.from_first(read)
        if known is None:
            return None
        if found is None:  # not the first host
            state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        else:
            state = found.state
        return Restored(known[0], hosts.arrays_from_first(state), known[1])

    def _newest(self, like: Any, report: Callable[[str], None]) -> Restored | None:
        for step in reversed(self.steps()):
            try:
                return self._read(step, like)
            except DamagedError as error:
                report(f"checkpoint {self.folder / str(step)} is not used: {error}")
                self._forget(step)
        return None

    def close(self) -> None:
        """Finish and release orbax's threads."""
        if self._open is not None:
            with _quiet():
                self._open.close()
            self._open = None

    def _manager(self) -> Any:
        import orbax.checkpoint as ocp

        if self._open is None:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=self.keep,
                cleanup_tmp_directories=True,
                create=False,
                multiprocessing_options=_alone(),
            )
            self._open = ocp.CheckpointManager(self.folder, options=options)
        return self._open

    def _manifest(self, step: int) -> Path:
        return self.folder / f"{step}.sha256.json"

    def _forget(self, step: int) -> None:
        """Remove a step, manifest first; the manager looks at the folder anew."""
        folder = self.folder / str(step)
        if folder.exists() or self._manifest(step).exists():
            self.close()
            self._manifest(step).unlink(missing_ok=True)
            if folder.exists():
                shutil.rmtree(folder)

    def _read(self, step: int, like: Any) -> Restored:
        import orbax.checkpoint as ocp

        folder = self.folder / str(step)
        try:
            expected = json.loads(self._manifest(step).read_text())
        except FileNotFoundError:
            raise DamagedError("it was not finished (no manifest)") from None
        except ValueError:
            raise DamagedError("its manifest is not JSON") from None
        found = _hashes(folder)
        if found != expected:
            names = [n for n in sorted({*found, *expected}) if found.get(n) != expected.get(n)]
            raise DamagedError(f"{names[0]} differs from its SHA-256 manifest")
        with _quiet():
            try:
                handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=_alone())
                with ocp.Checkpointer(handler, multiprocessing_options=_alone()) as reader:
                    tree = reader.metadata(folder / _STATE).item_metadata.tree
                    as_numpy = jax.tree.map(
                        lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree
                    )
                    tree = reader.restore(
                        folder / _STATE, args=ocp.args.PyTreeRestore(restore_args=as_numpy)
                    )
                handler = ocp.JsonCheckpointHandler(multiprocessing_options=_alone())
                with ocp.Checkpointer(handler, multiprocessing_options=_alone()) as reader:
                    meta = reader.restore(folder / _META, args=ocp.args.JsonRestore())
            except Exception as error:  # orbax raises bare Exception for unreadable arrays
                raise DamagedError(f"it cannot be read ({str(error).splitlines()[0]})") from error
        return Restored(step, _fill(like, tree, folder), meta)


def _alone() -> Any:
    """Give orbax's options by which one host of several does not wait for the others."""
    import orbax.checkpoint as ocp

    if hosts.count() == 1:
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})


def _nest(tree: Any) -> dict[str, Any]:
    """Give a pytree as nested dicts with text keys, without empty branches."""
    out: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        *above, last = path_name(path).split("/")
        node = out
        for name in above:
            node = node.setdefault(name, {})
        node[last] = leaf
    return out


def _fill(like: Any, nested: Mapping[str, Any], folder: Path) -> Any:
    """Put stored arrays into the structure of `like`, checking names, shapes and dtypes."""
    stored = {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(nested)}
    wanted = {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(like)}
    wrong = sorted({*stored} ^ {*wanted}) or [
        name
        for name, leaf in wanted.items()
        if (stored[name].shape, stored[name].dtype) != (leaf.shape, leaf.dtype)
    ]
    if wrong:
        raise ValueError(
            f"{folder} belongs to another training: {wrong[0]} and {len(wrong) - 1} more arrays"
            " are missing, additional or of another shape; give another output folder"
        )
    leaves = [np.asarray(stored[name]) for name in wanted]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _write_json(path: Path, content: Any) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as stream:
        json.dump(content, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep orbax's progress messages, which go through absl, out of the terminal."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
