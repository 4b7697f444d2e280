import threading
import time
from pathlib import Path

import numpy as np
import pytest

from siamjax.data.cache import Cache
from siamjax.data.media import DamagedMediaError


def test_cache_drops_the_least_recently_used():
    kept = Cache(250)
    made = []

    def make(key):
        return kept.get(key, lambda: (made.append(key), (np.zeros(100, np.uint8),))[1])

    for key in "abacab":  # c displaces b, b displaces c
        make(key)
    assert made == ["a", "b", "c", "b"]
    assert kept.bytes == 200
    kept.resize(100)
    assert (kept.bytes, kept.peek("a"), kept.peek("b") is None) == (100, None, False)
    kept.resize(0)
    make("a")
    assert kept.bytes == 0
    with pytest.raises(ValueError, match="budget"):
        kept.resize(-1)


def test_cache_makes_once_for_many_threads():
    kept, made = Cache(1000), []

    def make():
        made.append(1)
        time.sleep(0.05)
        return (np.zeros(10, np.uint8),)

    threads = [threading.Thread(target=kept.get, args=("k", make)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_cache_forgets_a_failure():
    kept = Cache(1000)

    def fail():
        raise DamagedMediaError(Path("x"), "broken")

    with pytest.raises(DamagedMediaError):
        kept.get("k", fail)
    assert len(kept.get("k", lambda: (np.zeros(10, np.uint8),))) == 1
