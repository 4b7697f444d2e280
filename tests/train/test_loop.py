"""The loop in this process: outputs, resuming, fallback, several devices, refusals."""

import dataclasses
import json

import jax
import numpy as np
import optax
import pytest
import tiny
from rich.console import Console

from siamjax import weights
from siamjax.data.media import read_picture
from siamjax.track.siamrpn import SiamRPN
from siamjax.train import log
from siamjax.train.freeze import Unfreeze
from siamjax.train.loop import train
from siamjax.train.optimizer import Optimizer
from siamjax.train.recipe import Recipe, load
from siamjax.train.schedule import Constant


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged(Recipe):
    """A recipe whose validation gives what is written down, and whose pictures are grey."""

    scores: tuple[float, ...] = (0.25, 0.5, 0.75, 0.625)

    def validation(self, shard=(0, 1)):
        left = list(self.scores)
        return lambda variables: {"one": left.pop(0), "two": 0.25}

    def painter(self):
        return lambda variables, batch, key: np.full((2, 3, 3), len(batch["index"]), np.uint8)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Recipe:
    path = tiny.write(tmp_path_factory.mktemp("recipe"))
    read = load(str(path))
    fields = {field.name: getattr(read, field.name) for field in dataclasses.fields(read)}
    changes = {"steps": 6, "checkpoint_every": 2, "log_every": 3}
    return Judged(**fields | changes | {"validate_every": 2, "pictures_every": 4})


@pytest.fixture(scope="module")
def done(recipe, tmp_path_factory):
    """A training to its end: its folder and summary."""
    out = tmp_path_factory.mktemp("done") / "out"
    return out, train(recipe, out, devices=1, console=Console(quiet=True))


def arrays(out):
    return weights.read(out / "weights.npz")[1]


def lines(out, what="loss"):
    """The lines of the log that tell of training, or of validation, without times."""
    found = [line for line in log.read(out / log.FILE) if what in line]
    times = ("samples_per_second", "validation_seconds")
    return [{k: v for k, v in line.items() if k not in times} for line in found]


def equal(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, got, wanted)


def test_outputs(recipe, done):
    out, summary = done
    assert summary["steps"] == 6
    assert summary["samples"] == 24
    assert summary["continued_from"] is None
    assert summary["skipped"] == 0
    assert json.loads(json.dumps(summary)) == summary
    assert [line["step"] for line in lines(out)] == [3, 6]
    assert lines(out, "validation") == [
        {"step": 0, "validation": 0.25},
        {"step": 2, "validation": 0.375},
        {"step": 4, "validation": 0.5},
        {"step": 6, "validation": 0.4375},
    ]
    best = str(out / "best.npz")
    assert summary["best"] == {"step": 4, "score": 0.5, "weights": best}
    header, kept = weights.read(best)
    assert header["training"]["best"] == {"step": 4, "score": 0.5}
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), kept["params"], arrays(out)["params"])
    assert max(jax.tree.leaves(moved)) > 1e-4
    assert [path.name for path in (out / log.PICTURES).iterdir()] == ["0000004.png"]
    picture = read_picture(out / log.PICTURES / "0000004.png")
    np.testing.assert_array_equal(picture, np.full((2, 3, 3), 4))
    assert set(lines(out)[0]) == {
        "step", "loss", "grad_norm", "skipped", "center_error", "learning_rate",
    }  # fmt: skip
    assert lines(out)[1]["learning_rate"] == pytest.approx(1e-2 * 0.5 * (1 + np.cos(5 / 6 * np.pi)))
    assert sorted(p.name for p in (out / "checkpoints").iterdir() if p.is_dir()) == ["2", "4", "6"]
    tracker, variables = weights.load(out / "weights.npz")
    assert tracker == recipe.tracker
    fresh = recipe.tracker.init_variables(jax.random.split(jax.random.key(recipe.seed))[0])
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), variables["params"], fresh["params"])
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_a_finished_training_is_only_exported_again(recipe, done):
    out, _ = done
    before = arrays(out)
    (out / "weights.npz").unlink()
    summary = train(recipe, out, devices=1, console=Console(quiet=True))
    assert summary["samples"] == 0
    assert summary["continued_from"] == 6
    equal(arrays(out), before)
    assert [line["step"] for line in lines(out)] == [3, 6]


def test_resuming_from_an_older_checkpoint_gives_the_same(recipe, done, tmp_path, capsys):
    """An empty folder, a flipped byte, a lost file: training goes on from the one before these."""
    import shutil

    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    (out / "weights.npz").unlink()
    data = max((out / "checkpoints" / "6").rglob("*"), key=lambda p: p.is_file() * p.stat().st_size)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 4
    data.write_bytes(content)
    (out / "checkpoints" / "4" / "state" / "_METADATA").unlink()
    (out / "checkpoints" / "8").mkdir()
    summary = train(dataclasses.replace(recipe, scores=recipe.scores[2:]), out, devices=1)
    said = capsys.readouterr().err
    told = [line for line in said.splitlines() if "is not used" in line]
    assert len(told) == 3
    assert "8 is not used: it was not finished" in told[0]
    assert "6 is not used: state/" in told[1]
    assert told[1].endswith("differs from its SHA-256 manifest")
    assert "4 is not used: state/_METADATA differs" in told[2]
    assert "continuing after step 2 of 6" in said
    assert summary["continued_from"] == 2
    assert summary["samples"] == 16
    equal(arrays(out), arrays(done[0]))
    assert lines(out) == lines(done[0])
    assert lines(out, "validation") == lines(done[0], "validation")
    assert summary["best"]["step"] == 4
    assert summary["best"]["score"] == 0.5


@pytest.mark.slow
def test_four_devices_train_alike(recipe, tmp_path):
    """With SGD: Adam's first steps turn rounding errors of small gradients into whole steps."""
    sgd = Optimizer("sgd", Constant(0.1), clip=10.0)
    recipe = dataclasses.replace(recipe, optimizer=sgd, ema=0.0)
    quiet = Console(quiet=True)
    summary = train(recipe, tmp_path / "4", devices=4, console=quiet)
    assert summary["device"].startswith("4 x")
    train(recipe, tmp_path / "1", devices=1, console=quiet)
    four, one = arrays(tmp_path / "4")["params"], arrays(tmp_path / "1")["params"]
    fresh = recipe.tracker.init_variables(jax.random.split(jax.random.key(recipe.seed))[0])
    distance = lambda a, b: float(optax.tree.norm(jax.tree.map(np.subtract, a, b)))
    assert distance(one, fresh["params"]) > 1e-3
    assert distance(four, one) < 1e-3 * distance(one, fresh["params"])


@pytest.fixture(scope="module")
def staged(recipe) -> Recipe:
    """A recipe whose backbone is frozen for two steps; then its last stage moves as well."""
    return dataclasses.replace(
        recipe,
        tracker=SiamRPN(backbone="alexnet", width=1 / 48, hidden=4, instance=143),
        optimizer=Optimizer("sgd", Constant(0.05), clip=10.0),
        unfreeze=(Unfreeze(2, ("conv5",), 0.5),),
        steps=4,
        ema=0.0,
    )


@pytest.mark.slow
def test_a_backbone_is_unfrozen_in_the_midst_of_a_training_and_of_a_resumed_one(staged, tmp_path):
    import shutil

    quiet = Console(quiet=True)
    summary = train(staged, tmp_path / "whole", devices=1, console=quiet)
    assert summary["skipped"] == 0
    whole = arrays(tmp_path / "whole")
    fresh = staged.tracker.init_variables(jax.random.split(jax.random.key(staged.seed))[0])
    for number in range(1, 5):
        for kind in ("params", "batch_stats"):
            now, then = (tree[kind]["backbone"][f"conv{number}"] for tree in (whole, fresh))
            jax.tree.map(np.testing.assert_array_equal, now, then)
    now, then = (tree["params"]["backbone"]["conv5"]["conv"]["kernel"] for tree in (whole, fresh))
    assert np.abs(now - np.asarray(then)).max() > 0
    assert whole["batch_stats"]["backbone"]["conv5"]["bn"]["count"] == 2 * 2  # two steps, twice
    branch = whole["batch_stats"]["rpn_head"]["level_0"]["cls"]
    assert branch["conv_search"]["bn"]["count"] == 4

    broken = tmp_path / "broken"
    shutil.copytree(tmp_path / "whole", broken)
    (broken / "weights.npz").unlink()
    (broken / "checkpoints" / "4.sha256.json").unlink()
    assert train(staged, broken, devices=1, console=quiet)["continued_from"] == 2
    equal(arrays(broken), whole)
    assert lines(broken) == lines(tmp_path / "whole")


@pytest.mark.slow
def test_bfloat16_and_parts_leave_a_float32_tracker(staged, tmp_path):
    changes = {"unfreeze": (), "dtype": "bfloat16", "accumulate": 2, "steps": 2}
    losses = {}
    for dtype in ("bfloat16", "float32"):
        recipe = dataclasses.replace(staged, **changes | {"dtype": dtype}, pictures_every=0)
        summary = train(recipe, tmp_path / dtype, devices=1, console=Console(quiet=True))
        assert summary["skipped"] == 0
        losses[dtype] = summary["loss"]
        tracker, variables = weights.load(tmp_path / dtype / "weights.npz")
        assert tracker == staged.tracker
        assert tracker.dtype == "float32"
        assert {leaf.dtype.name for leaf in jax.tree.leaves(variables["params"])} == {"float32"}
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
    assert losses["bfloat16"] != losses["float32"]


def test_refusals_of_stages(recipe, staged, tmp_path):
    quiet = Console(quiet=True)
    plain = dataclasses.replace(recipe, unfreeze=(Unfreeze(2, ("conv5",)),))
    with pytest.raises(ValueError, match="SiamFC has no stages"):
        train(plain, tmp_path, devices=1, console=quiet)
    stages = (Unfreeze(2, ("conv5",)), Unfreeze(3, ("conv7",)))
    wrong = dataclasses.replace(staged, unfreeze=stages)
    with pytest.raises(ValueError, match=r"'\^backbone/conv7/' matches no parameter"):
        train(wrong, tmp_path, devices=1, console=quiet)


def test_refusals(recipe, done, tmp_path):
    out, _ = done
    quiet = Console(quiet=True)
    with pytest.raises(ValueError, match="devices must be 1 to 4"):
        train(recipe, tmp_path, devices=9)
    with pytest.raises(ValueError, match="batch_size must be a multiple of 3"):
        train(recipe, tmp_path, devices=3)
    with pytest.raises(ValueError, match="steps is 5, but 6 are done"):
        train(dataclasses.replace(recipe, steps=5), out, devices=1, console=quiet)
    with pytest.raises(ValueError, match="are of recipe 'tiny', not 'other'"):
        train(dataclasses.replace(recipe, name="other"), out, devices=1, console=quiet)
    with pytest.raises(ValueError, match="another training"):
        train(dataclasses.replace(recipe, ema=0.0), out, devices=1, console=quiet)
    with pytest.raises(ValueError, match="multiple of 4 devices times 2 parts, got 4"):
        train(dataclasses.replace(recipe, accumulate=2), tmp_path, console=quiet)
    with pytest.raises(ValueError, match="SiamFC computes in float32 alone"):
        train(dataclasses.replace(recipe, dtype="bfloat16"), tmp_path, console=quiet)
    with pytest.raises(ValueError, match="has no use for one"):
        train(
            dataclasses.replace(recipe, backbone=tmp_path / "x.pth"), tmp_path, devices=1,
            console=quiet,
        )  # fmt: skip
    wrong = dataclasses.replace(recipe, initial=lambda variables, path: {**variables, "more": {}})
    with pytest.raises(ValueError, match="changed names, shapes or dtypes"):
        train(wrong, tmp_path / "initial", devices=1, console=quiet)
