"""Decoded pictures and clips kept in memory under one byte budget.

Least recently used entries leave first. Threads that ask for the same key wait for one decoding
instead of repeating it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import numpy as np

DEFAULT_BUDGET = 4 * 2**30


class Cache:
    """A thread-safe map from keys to decoded frames, bounded by their bytes.

    Args:
        budget: most bytes kept; 0 keeps nothing.

    Raises:
        ValueError: a negative budget.
    """

    def __init__(self, budget: int = DEFAULT_BUDGET):
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[Sequence[np.ndarray], int]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._bytes = 0
        self.resize(budget)

    @property
    def budget(self) -> int:
        """Most bytes kept."""
        return self._budget

    @property
    def bytes(self) -> int:
        """Bytes kept now."""
        return self._bytes

    def resize(self, budget: int) -> None:
        """Set the budget in bytes, dropping entries until it holds."""
        if budget < 0:
            raise ValueError(f"budget: expected at least 0 bytes, got {budget}")
        with self._lock:
            self._budget = budget
            self._shrink()

    def clear(self) -> None:
        """Drop every entry."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def peek(self, key: Hashable) -> Sequence[np.ndarray] | None:
        """Give the frames of `key` where they are kept, else None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def get(self, key: Hashable, make: Callable[[], Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
        """Give the frames of `key`, calling `make` where they are not kept.

        Args:
            key: equal keys share one entry.
            make: decodes the frames; called by one thread at a time for one key.

        Returns:
            What `make` returned, its arrays read-only.
        """
        frames = self.peek(key)
        if frames is not None:
            return frames
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            frames = self.peek(key)
            if frames is not None:
                return frames
            try:
                frames = make()
                for frame in frames:
                    frame.setflags(write=False)
                size = sum(frame.nbytes for frame in frames)
                with self._lock:
                    if size <= self._budget:
                        self._entries[key] = (frames, size)
                        self._bytes += size
                        self._shrink()
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return frames

    def _shrink(self) -> None:
        while self._bytes > self._budget:
            _, (_, size) = self._entries.popitem(last=False)
            self._bytes -= size


shared = Cache()
