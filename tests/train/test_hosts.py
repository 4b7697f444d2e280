"""Two processes on loopback, two devices each, train as one process with one device does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from siamjax import weights
from siamjax.train import hosts, log

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"
STEPS = ("--steps", "5", "--checkpoint-every", "3", "--log-every", "1", "--pictures-every", "0")
RPN = 'SiamRPN(backbone="alexnet", width=1 / 48, hidden=4, instance=143, trained=None)'
DEADLINE = 900


def test_alone_a_value_is_its_own():
    assert hosts.count() == 1
    assert hosts.is_first()
    assert hosts.gather({"a": 1}) == [{"a": 1}]
    assert hosts.from_first(lambda: [1, 2]) == [1, 2]
    with pytest.raises(OSError, match="no such"):
        hosts.from_first(lambda: (_ for _ in ()).throw(FileNotFoundError("no such")))
    hosts.join(None, None, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("host:1", None, None), "expected HOST:PORT with processes and process"),
        (("auto", 2, 0), "'auto' alone"),
        ((None, 2, 0), "expected HOST:PORT"),
        (("host:1", 2, 2), "expected 0 <= process < 2"),
    ],
)
def test_joining_refused(given, message):
    with pytest.raises(ValueError, match=message):
        hosts.join(*given)


def recipe(folder: Path, family: str) -> Path:
    """Write the tiny recipe with SGD, whose update is proportional to the gradient."""
    path = tiny.write(folder)
    text = path.read_text()
    rate = {"siamfc": 0.1, "siamrpn": 1e-3}[family]
    changes = {
        "ema=0.9": "ema=0.0",
        '"adamw", WarmupCosine(peak=1e-2)': f'"sgd", Constant({rate})',
        "import WarmupCosine": "import Constant",
    }
    if family == "siamrpn":
        changes |= {
            text[text.index("SiamFC(") : text.index(",\n    sources")]: RPN,
            "siamfc import SiamFC": "siamrpn import SiamRPN",
            # With seeds 7 and 8 parameters agree within 7e-8. With 5 and 6 rounding puts an
            # activation near 0 on the other side in the fifth and the third step: 2e-5 and more.
            "seed=5": "seed=7",
        }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def start(recipe: Path, out: Path, *more: str, devices: int) -> subprocess.Popen:
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(recipe.parent / "cache"),
    }
    command = [sys.executable, str(SCRIPT), str(recipe), "--out", str(out), *STEPS, *more]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def end(processes: list[subprocess.Popen]) -> list[str]:
    try:
        said = [process.communicate(timeout=DEADLINE)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


def together(recipe: Path, out: Path, *more: str) -> list[str]:
    """Run both processes, the second in a folder of its own that must stay empty."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    joined = ("--coordinator", address, "--processes", "2")
    folders = (out, out.with_name(out.name + "-other"))
    said = end([
        start(recipe, folder, *joined, "--process", str(number), *more, devices=2)
        for number, folder in enumerate(folders)
    ])  # fmt: skip
    assert not folders[1].exists()
    return said


@pytest.mark.multi
@pytest.mark.slow
@pytest.mark.parametrize("family", ["siamfc", "siamrpn"])
def test_two_processes_train_alike(family, tmp_path):
    path = recipe(tmp_path, family)
    end([start(path, tmp_path / "one", devices=1)])
    one = weights.read(tmp_path / "one" / "weights.npz")[1]["params"]
    modes = ("jit", "shard_map", "pmap") if family == "siamfc" else ("jit",)
    for mode in modes:
        out = tmp_path / mode
        together(path, out, "--parallel", mode)
        got = weights.read(out / "weights.npz")[1]["params"]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=0), got, one)
        assert [line["step"] for line in log.read(out / log.FILE)] == [1, 2, 3, 4, 5]
        assert (out / "checkpoints" / "3.sha256.json").exists()

    if family == "siamrpn":
        return
    # A checkpoint that was not finished gives way for both.
    (tmp_path / "jit" / "weights.npz").unlink()
    (tmp_path / "jit" / "checkpoints" / "5.sha256.json").unlink()
    said = together(path, tmp_path / "jit")
    assert "5 is not used" in said[0]
    assert "continuing after step 3 of 5" in said[0]
    got = weights.read(tmp_path / "jit" / "weights.npz")[1]["params"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=0), got, one)
