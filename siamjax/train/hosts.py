"""Several hosts: joining them, and what one of them knows told to all.

Every host runs the same program on its own devices and its own share of each batch. Host 0 alone
writes checkpoints, the log and weights. Values travel as JSON.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Join this process to the others of the training, before anything touches a device.

    Args:
        coordinator: HOST:PORT of process 0, or "auto" where the cluster tells (TPU pods, Slurm,
            Open MPI and others that `jax.distributed` knows); None does nothing.
        processes: how many there are.
        process: this one's number, from 0.

    Raises:
        ValueError: only a part of the three is given.
    """
    given = [value is not None for value in (coordinator, processes, process)]
    if coordinator == "auto" and not any(given[1:]):
        jax.distributed.initialize()
        return
    if not any(given):
        return
    if not all(given) or coordinator == "auto":
        raise ValueError(
            "coordinator: expected HOST:PORT with processes and process, or 'auto' alone, got"
            f" {coordinator!r}, {processes!r}, {process!r}"
        )
    if processes is None or process is None or not 0 <= process < processes:
        raise ValueError(f"process: expected 0 <= process < {processes} processes, got {process}")
    jax.distributed.initialize(coordinator, processes, process)


def count() -> int:
    """Give the number of hosts."""
    return jax.process_count()


def is_first() -> bool:
    """Tell whether this is host 0, the one that writes."""
    return jax.process_index() == 0


def gather(value: Any) -> list[Any]:
    """Give every host's value, by host; all hosts must call this together."""
    if count() == 1:
        return [value]
    from jax.experimental import multihost_utils

    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    lengths = np.ravel(multihost_utils.process_allgather(np.array([len(text)], np.int32)))
    padded = np.zeros(int(lengths.max()), np.uint8)
    padded[: len(text)] = text
    rows = np.reshape(multihost_utils.process_allgather(padded), (count(), -1))
    pairs = zip(rows, lengths, strict=True)
    return [json.loads(row[:length].astype(np.uint8).tobytes()) for row, length in pairs]


def from_first(make: Callable[[], Any]) -> Any:
    """Run `make` on host 0 and give its result, JSON, to all.

    Raises:
        ValueError: `make` raised one or an OSError, on whichever host this is.
    """
    outcome: dict[str, Any] = {}
    if is_first():
        try:
            outcome = {"value": make()}
        except (ValueError, OSError) as error:
            if count() == 1:
                raise
            outcome = {"error": str(error)}
    outcome = gather(outcome)[0]
    if "error" in outcome:
        raise ValueError(outcome["error"])
    return outcome["value"]


def arrays_from_first(tree: Any) -> Any:
    """Give host 0's arrays to all; the others pass arrays of the same shapes and dtypes."""
    if count() == 1:
        return tree
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(jax.tree.map(np.asarray, tree))
