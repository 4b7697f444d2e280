"""Clips in several processes, on several machines, and after a kill: none is run twice."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import jax
import numpy as np
import pytest

from siamjax import cli, weights
from siamjax.evaluate import parallel
from siamjax.evaluate.protocols import Plan
from siamjax.track.siamfc import SiamFC
from siamjax.track.state import Out

DEADLINE = 300


class Noting:
    """Stays where it began; notes in a file every sequence that it starts; takes its time."""

    def __init__(self, log, pause=0.0):
        self.log, self.pause = Path(log), pause

    def __repr__(self):
        return "Noting()"

    def init(self, variables, frame, box, hyper=None):
        with self.log.open("a") as file:
            file.write(f"{box[0]:g}\n")
        return np.asarray(box)

    def step(self, variables, state, frame, hyper=None):
        time.sleep(self.pause)
        return state, Out(state, np.float32(0.5), np.bool_(True), np.bool_(False))


NAMES = ("a", "b", "c", "d")
FRAMES = 8


@pytest.fixture
def data(tmp_path, write_pictures):
    """Four sequences; the box of number k starts at k."""
    for number, name in enumerate(NAMES):
        write_pictures(tmp_path / "data" / name, FRAMES + number)
        lines = "".join(f"{number},5,20,{10 + i}\n" for i in range(FRAMES + number))
        (tmp_path / "data" / name / "groundtruth.txt").write_text(lines)
    return tmp_path / "data"


def _fake(monkeypatch, log):
    monkeypatch.setattr(weights, "load", lambda model: (Noting(log), {"gain": np.zeros(1)}))
    monkeypatch.setattr(cli, "enable_compile_cache", lambda: None)


def _run(*arguments):
    assert cli.main(["evaluate", *map(str, arguments), "--json"]) == 0


def _started(log):
    return [NAMES[int(line)] for line in log.read_text().split()]


def _results(out):
    """What `results.json` holds but for the times, in which no two runs are alike."""

    def without(found):
        if not isinstance(found, dict):
            return found
        return {key: without(value) for key, value in found.items() if not key.startswith("fps")}

    return without(json.loads((out / "results.json").read_text()))


def test_shards(data, tmp_path, monkeypatch, capsys):
    log = tmp_path / "log"
    _fake(monkeypatch, log)
    for part in ("1/2", "2/2"):
        _run(data, "--shard", part, "--out", tmp_path / part[0])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    # The longest first, each to the part with fewer frames: d 11, c 10, b 9, a 8.
    assert told == [
        {"shard": "1/2", "sequences": ["a", "d"]},
        {"shard": "2/2", "sequences": ["b", "c"]},
    ]
    assert not (tmp_path / "1" / "results.json").exists()
    for path in (tmp_path / "2").rglob("*.*"):
        path.rename(tmp_path / "1" / path.relative_to(tmp_path / "2"))
    _run(data, "--out", tmp_path / "1")
    assert sorted(_started(log)) == list(NAMES)
    _run(data, "--out", tmp_path / "whole")
    assert _results(tmp_path / "1") == _results(tmp_path / "whole")


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "1/0", "a/b"])
def test_what_is_no_shard(data, tmp_path, monkeypatch, capsys, part):
    _fake(monkeypatch, tmp_path / "log")
    assert cli.main(["evaluate", str(data), "--shard", part]) == 2
    assert f"shard: expected a part like 1/2 or 2/2, got '{part}'" in capsys.readouterr().err


class Server(NamedTuple):
    here: multiprocessing.connection.Connection
    thread: threading.Thread


def _serve(plan, model, out):
    here, there = multiprocessing.Pipe()

    def work():
        with there:
            parallel.serve(there, plan, "boxes", model, out)

    thread = threading.Thread(target=work)
    thread.start()
    return Server(here, thread)


def test_names_are_handed_out_once(data, tmp_path, monkeypatch):
    log, told = tmp_path / "log", []
    _fake(monkeypatch, log)
    plan = Plan("folder", data)
    servers = [_serve(plan, "x", tmp_path / "out") for _ in range(2)]
    pipes = [one.here for one in servers]
    parallel.hand_out(pipes, iter(NAMES), lambda *event: told.append(event))
    for one in servers:
        one.thread.join(DEADLINE)
        assert not one.thread.is_alive()
    assert sorted(_started(log)) == list(NAMES)
    assert sorted(name for name, done, total in told if done == total) == list(NAMES)
    assert len(told) == 4 * FRAMES + 6
    _run(data, "--out", tmp_path / "out", "--model", "x")
    assert sorted(_started(log)) == list(NAMES)  # the evaluation finds them finished


def test_a_server_tells_errors_and_ends_with_the_other_end(data, tmp_path, monkeypatch):
    _fake(monkeypatch, tmp_path / "log")
    (data / "c" / "groundtruth.txt").write_text("nan,5,20,10\n" * (FRAMES + 2))
    plan = Plan("folder", data)
    server = _serve(plan, "x", tmp_path / "out")
    with pytest.raises(ValueError, match="c: the first frame has no truth"):
        parallel.hand_out([server.here], iter(NAMES), None)
    server.thread.join(DEADLINE)
    server = _serve(plan, "x", tmp_path / "out")
    assert server.here.recv() is None  # it asks
    server.here.close()
    server.thread.join(DEADLINE)
    assert not server.thread.is_alive()
    here, there = multiprocessing.Pipe()
    there.close()
    with pytest.raises(ChildProcessError, match="one of them ended early"):
        parallel.hand_out([here], iter(NAMES), None)


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, test_processes
from siamjax import cli, weights
cli.enable_compile_cache = lambda: None
tracker = test_processes.Noting(sys.argv[2], pause=0.03)
weights.load = lambda model: (tracker, {"gain": np.zeros(1)})
sys.exit(cli.main(["evaluate", *sys.argv[3:]]))
"""


def _until(condition, process):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, "it ended early"
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.002)


def test_killed_and_resumed(data, tmp_path, monkeypatch):
    log, out = tmp_path / "log", tmp_path / "out"
    given = (str(Path(__file__).parent), str(log), str(data), "--out", str(out), "--json")
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *given],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        _until(lambda: (out / "timing" / "b.json").exists() and len(_started(log)) > 2, process)
        process.kill()
        assert process.wait(DEADLINE) == -signal.SIGKILL
    assert _started(log) == ["a", "b", "c"]
    assert not (out / "results.json").exists()
    _fake(monkeypatch, log)
    _run(data, "--out", out)
    assert _started(log) == ["a", "b", "c", "c", "d"]  # c was not finished
    first = (out / "results.json").read_bytes()
    _run(data, "--out", out)
    assert (out / "results.json").read_bytes() == first
    assert len(_started(log)) == 5
    _run(data, "--out", tmp_path / "whole")
    assert _results(out) == _results(tmp_path / "whole")
    assert not list(out.rglob(".*"))  # no temporary file left


@pytest.fixture
def model(tmp_path):
    """A small model, as processes load it."""
    tracker = SiamFC("alexnet-v1", width=1 / 16)
    variables = tracker.init_variables(jax.random.key(0))
    path = tmp_path / "small.npz"
    weights.save(path, tracker, variables, source="a test", licence="MIT")
    return path


def _children(process):
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs Linux to see a process's children")
def test_processes_killed_and_resumed(data, tmp_path, model):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    for path in data.rglob("*.jpg"):  # on an even ground all places are alike
        left = int(path.stem)
        cv2.imwrite(str(path), noise[:48, left : left + 64])
    out, cache = tmp_path / "out", {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    command = (sys.executable, "-m", "siamjax", "evaluate", data, "--model", model)

    def run(*more):
        return subprocess.Popen(
            [*map(str, (*command, *more)), "--json"],
            env={**os.environ, **cache, "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    with run("--out", out, "--processes", 2) as process:
        _until(lambda: len(list(out.glob("timing/*.json"))) > 0, process)
        children = _children(process.pid)
        process.kill()
    assert len(children) >= 2
    end = time.monotonic() + DEADLINE
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < end, "children outlive the process that started them"
        time.sleep(0.05)
    finished = {path: path.stat().st_mtime_ns for path in out.glob("timing/*.json")}
    assert 0 < len(finished) < len(NAMES)
    for folder in (out, tmp_path / "whole"):
        with run("--out", folder, "--processes", 2) as process:
            assert process.wait(DEADLINE) == 0
    assert {path: path.stat().st_mtime_ns for path in finished} == finished  # not run again
    assert _results(out) == _results(tmp_path / "whole")
