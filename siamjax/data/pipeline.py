"""Batches of pairs for training, made by threads ahead of their use.

Batch number and seed decide the pixels: threads, hosts and restarts do not. Uses grain, which is
imported when the first batch is asked for.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from siamjax.data import pairs
from siamjax.data.layers import Stock
from siamjax.data.media import DamagedMediaError

Batch = dict[str, np.ndarray]

REPLACEMENTS = 100
_ENDLESS = 2**31 - 1


class Batches:
    """An endless iterator of batches that can be saved and continued; see `batches`.

    Attributes:
        damaged: how often each file that could not be decoded was skipped so far, by its path.
            Counts cover the batches handed out, not those prepared ahead.
    """

    def __init__(
        self,
        sources: Sequence[pairs.Source],
        config: pairs.PairConfig,
        batch_size: int,
        seed: int,
        start: int,
        threads: int,
        shard: tuple[int, int],
        stock: Stock | None,
    ):
        self.damaged: Counter[str] = Counter()
        self._sources = tuple(sources)
        self._config = config
        self._batch_size = batch_size
        self._seed = seed
        self._threads = threads
        self._shard = shard
        self._stock = stock
        self._next = start
        self._iterator: Iterator[tuple[Batch, list[str]]] | None = None

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Batch:
        if self._iterator is None:
            self._iterator = self._start()
        batch, damaged = next(self._iterator)
        self._next += self._batch_size
        self.damaged.update(damaged)
        return batch

    def get_state(self) -> dict[str, Any]:
        """Give what `set_state` needs to continue with the next batch; JSON holds it."""
        return {"next": self._next, "seed": self._seed, "damaged": dict(self.damaged)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `get_state` was called, with any number of threads and hosts.

        Raises:
            ValueError: the state is of another seed, or no state.
        """
        if not isinstance(state.get("next"), int) or "seed" not in state:
            raise ValueError(f"state: expected what get_state gave, got {state}")
        if state["seed"] != self._seed:
            raise ValueError(f"state: of seed {state['seed']}, but the pipeline has {self._seed}")
        self.close()
        self._next = state["next"]
        self.damaged = Counter(state.get("damaged", {}))

    def close(self) -> None:
        """Forget the batches prepared ahead; the next call prepares them again."""
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()
        self._iterator = None

    def _start(self) -> Iterator[tuple[Batch, list[str]]]:
        import grain

        cv2.setNumThreads(0)  # the threads of this pipeline are the parallel ones
        first = self._next
        numbers = grain.MapDataset.range(_ENDLESS)
        made = numbers.map(lambda number: self._make(first + int(number) * self._batch_size))
        options = grain.ReadOptions(
            num_threads=self._threads, prefetch_buffer_size=self._threads + 1
        )
        return iter(made.to_iter_dataset(options))

    def _make(self, first: int) -> tuple[Batch, list[str]]:
        """Make this host's part of the global batch that begins at sample index `first`."""
        host, hosts = self._shard
        count = self._batch_size // hosts
        out = pairs.empty_batch(count, self._config)
        if self._stock is not None:
            out |= self._stock.empty(count)
        damaged: list[str] = []
        for row in range(count):
            index = first + host * count + row
            self._fill(out, row, index, damaged)
        return out, damaged

    def _fill(self, out: Batch, row: int, index: int, damaged: list[str]) -> None:
        for attempt in range(REPLACEMENTS):
            try:
                pair = pairs.draw(self._sources, self._config, self._seed, index, attempt)
                pairs.read(pair, self._config, out, row)
                if self._stock is not None:
                    self._stock.read(pair, (self._seed, index, attempt), out, row)
            except DamagedMediaError as error:
                damaged.append(str(error.path))
                continue
            out["index"][row] = index
            return
        raise ValueError(
            f"sources: {REPLACEMENTS} draws in a row for sample {index} could not be decoded,"
            f" the last being {damaged[-1]}"
        )


def batches(
    sources: Sequence[pairs.Source],
    config: pairs.PairConfig | None = None,
    *,
    batch_size: int,
    seed: int = 0,
    start: int = 0,
    threads: int | None = None,
    shard: tuple[int, int] = (0, 1),
    stock: Stock | None = None,
) -> Batches:
    """Make batches of template and search crops, without end.

    Args:
        sources: where pairs are drawn from.
        config: sizes of the crops, probability of negative pairs; None for the defaults.
        batch_size: B, pairs of one global batch, over all hosts.
        seed: of the run.
        start: global sample index of the first pair.
        threads: that decode and cut; None takes one for each core. Each holds a batch or two.
        shard: (i, n), this host's number and the number of hosts; it gets the i-th B / n pairs of
            every global batch.
        stock: of what may be pasted; None for nothing.

    Returns:
        An iterator of dicts: `template` uint8[B/n, K, K, 3], `template_box` float32[B/n, 4] in
        crop pixels, `search` uint8[B/n, S, S, 3], `search_box`, `positive` bool[B/n], `index`
        uint32[B/n], the global sample indices; with `config.masks` also `search_mask` uint8[B/n, S,
        S], 255 on the target, and `has_mask` bool[B/n]; with a stock what `Stock.empty` lists. A
        pair whose file cannot be decoded is replaced by another that (seed, index) decides, and
        counted in `damaged`.

    Raises:
        ValueError: no sources, or a number out of its range.
    """
    if not sources:
        raise ValueError("sources: expected at least one")
    host, hosts = shard
    if not 0 <= host < hosts:
        raise ValueError(f"shard: expected (i, n) with 0 <= i < n, got {shard}")
    if batch_size < 1 or batch_size % hosts:
        raise ValueError(f"batch_size: expected a multiple of {hosts} hosts, got {batch_size}")
    if seed < 0 or start < 0:
        raise ValueError(f"seed, start: expected at least 0, got {seed}, {start}")
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    if threads < 1:
        raise ValueError(f"threads: expected at least 1, got {threads}")
    config = pairs.PairConfig() if config is None else config
    return Batches(sources, config, batch_size, seed, start, threads, shard, stock)
