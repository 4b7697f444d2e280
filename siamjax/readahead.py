"""Items made ahead of their use by a thread: decoding beside tracking."""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

Item = TypeVar("Item")

PREFETCH = 3
"""Items that wait at most."""


def read_ahead(items: Iterator[Item], depth: int = PREFETCH) -> Generator[Item, None, None]:
    """Take items in a thread, some ahead of their use; errors arrive in their place.

    The thread begins with the first item asked for and ends when this is closed or used up; items
    that can be closed (generators) are.

    Args:
        items: in order.
        depth: how many wait at most; one more may be in the making.
    """
    ready: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(depth)
    stopping = threading.Event()

    def put(item: tuple[Item] | BaseException | None) -> bool:
        while not stopping.is_set():
            try:
                ready.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            with contextlib.ExitStack() as stack:
                if isinstance(items, Generator):
                    stack.enter_context(contextlib.closing(items))
                for item in items:
                    if not put((item,)):
                        return
            put(None)
        except Exception as error:
            put(error)

    thread = threading.Thread(target=make, name="decode-ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stopping.set()
        thread.join()
