"""Clips shared between processes of one machine, and between machines.

A process asks for a clip, runs a tracker over it, keeps the answers in the folder of the evaluation
and asks for the next. Nothing is scored here: an evaluation that follows finds all clips finished.
Processes end with the one that started them, however that ends. On CPUs each keeps to its part of
the cores; XLA sums in another order on another number of cores, so that answers may differ from
those of a lone process by rounding, and where responses tie by more.
"""

import multiprocessing
import os
import re
import signal
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any, TypeVar

import jax

from siamjax.evaluate import benchmarks, protocols, provenance
from siamjax.evaluate.drive import OnFrame
from siamjax.evaluate.protocols import Plan
from siamjax.memory import keep_memory

Clip = TypeVar("Clip")

_SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


def frames_of(clip: Any) -> int:
    """Give the number of frames of a track or a scene."""
    return len(getattr(clip, "tracks", (clip,))[0])


def share(clips: Sequence[Clip], part: str) -> list[Clip]:
    """Take the clips that one of several machines runs, about as many frames each.

    Args:
        clips: of the whole evaluation, the same on every machine.
        part: "2/3" for the second of three.

    Raises:
        ValueError: not such a part.
    """
    words = re.fullmatch(r"(\d+)/(\d+)", part)
    mine, count = (int(words[1]), int(words[2])) if words else (0, 0)
    if not 1 <= mine <= count:
        raise ValueError(f"shard: expected a part like 1/2 or 2/2, got {part!r}")
    frames, taken = [0] * count, []
    for clip in sorted(clips, key=lambda clip: -frames_of(clip)):
        least = frames.index(min(frames))
        frames[least] += frames_of(clip)
        if least == mine - 1:
            taken.append(clip)
    return [clip for clip in clips if clip in taken]


def follow(
    plan: Plan,
    clips: Sequence[Any],
    model: str,
    out: Path,
    processes: int,
    on_frame: OnFrame | None = None,
) -> None:
    """Run a tracker over clips in several processes and keep its answers.

    Args:
        plan: of the evaluation.
        clips: from `plan.clips`, or some of them.
        model: as `siamjax.weights.load` takes it.
        out: folder of the evaluation.
        processes: how many; each takes its part of the cores.
        on_frame: told after every frame.

    Raises:
        ValueError: fewer than one process, and as the protocol of the evaluation.
        OSError: the folder cannot be written, or a process ended early.
    """
    if processes < 1:
        raise ValueError(f"processes: expected at least 1, got {processes}")
    kind = plan.kind(clips)
    names = iter([clip.name for clip in sorted(clips, key=lambda clip: -frames_of(clip))])
    settings = {name: jax.config.values[name] for name in _SETTINGS}
    context = multiprocessing.get_context("spawn")
    started, pipes = [], []
    try:
        for number in range(min(processes, len(clips))):
            here, there = context.Pipe()
            part = (number, min(processes, len(clips)))
            given = (there, part, plan, kind, model, out, settings)
            one = context.Process(target=_work, args=given, daemon=True)
            one.start()
            there.close()
            started.append(one)
            pipes.append(here)
        hand_out(pipes, names, on_frame)
    finally:
        for one in started:
            one.terminate()
            one.join()


def hand_out(
    pipes: list[connection.Connection], names: Iterator[str], on_frame: OnFrame | None
) -> None:
    """Give everyone who asks a name, until none is left and all are done.

    Args:
        pipes: to `serve`.
        names: of clips.
        on_frame: told after every frame.

    Raises:
        ValueError: what one of them tells; OSError likewise.
        ChildProcessError: one of them ended early.
    """
    asking = list(pipes)
    while asking:
        ready = connection.wait(asking)
        for pipe in [one for one in asking if one in ready]:
            try:
                told = pipe.recv()
            except EOFError:
                raise ChildProcessError("processes: one of them ended early") from None
            if isinstance(told, Exception):
                raise told
            if told is not None:
                if on_frame:
                    on_frame(*told)
                continue
            name = next(names, None)
            pipe.send(name)
            if name is None:
                asking.remove(pipe)


def _work(
    pipe: connection.Connection,
    part: tuple[int, int],
    plan: Plan,
    kind: str,
    model: str,
    out: Path,
    settings: dict[str, Any],
) -> None:
    """Set a process up and serve in it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _take_cores(*part)
    keep_memory()
    for name, value in settings.items():
        jax.config.update(name, value)
    serve(pipe, plan, kind, model, out)


def serve(pipe: connection.Connection, plan: Plan, kind: str, model: str, out: Path) -> None:
    """Ask for clips and run them until there are none, or nobody is at the other end.

    Args:
        pipe: sends None for the next clip, (name, frames done, frames) after every frame, and an
            error in place of either; receives names, and None for the end.
        plan: of the evaluation.
        kind: from `plan.kind` of all clips.
        model: as `siamjax.weights.load` takes it.
        out: folder of the evaluation.
    """
    from siamjax import weights

    try:
        try:
            tracker, variables = weights.load(model)
            made = provenance.maker(tracker, variables)
            clips = {clip.name: clip for clip in plan.clips()}
            tell = lambda *event: pipe.send(event)
            pipe.send(None)
            while (name := pipe.recv()) is not None:
                label = benchmarks.tracker_name(model)
                given = (clips[name], kind, tracker, variables, made, out, label)
                protocols.follow(plan, *given, on_frame=tell)
                pipe.send(None)
        except ValueError as error:
            pipe.send(ValueError(str(error)))
        except OSError as error:
            pipe.send(OSError(str(error)))
    except (EOFError, BrokenPipeError):
        return


def _take_cores(number: int, count: int) -> None:
    """Keep to a part of the cores, and on an accelerator to a part of its memory."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.75 / count:.3f}")
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[number % len(cores) :: count] or cores)
