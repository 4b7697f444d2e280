"""What a training shows on the terminal, and how Ctrl-C reaches it."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from siamjax.train.training import Training


@contextmanager
def stop() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into an event; a second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handle(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()
        print("stopping after this step ...", file=sys.stderr)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress(
    console: Console, recipe: Training, first: int
) -> Iterator[Callable[[int, dict[str, Any]], None]]:
    """Show a bar on a terminal, plain lines elsewhere."""
    console.print(f"compiling {recipe.name} ...", highlight=False)
    shown: dict[str, Any] = {}

    def text(line: dict[str, Any]) -> str:
        loss = line.get("loss")
        loss = "not finite" if loss is None else f"{loss:.4f}"
        return f"loss {loss}, {line['samples_per_second']:.1f} samples/s"

    if not console.is_terminal:

        def plain(number: int, line: dict[str, Any]) -> None:
            if line and line.get("step") != shown.get("step"):
                shown.update(line)
                console.print(f"step {number}/{recipe.steps}: {text(line)}", highlight=False)

        yield plain
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(recipe.name, total=recipe.steps, completed=first)

        def draw(number: int, line: dict[str, Any]) -> None:
            bar.update(task, completed=number, description=text(line) if line else recipe.name)

        yield draw
