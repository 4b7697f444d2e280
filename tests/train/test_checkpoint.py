"""Checkpoints: exact, damaged, unfinished, foreign."""

import json
import shutil
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from siamjax.train.checkpoint import Checkpoints
from siamjax.train.step import init_state

KERNEL = jnp.linspace(0, 1, 3000).reshape(30, 100)
VARIABLES = {
    "params": {"backbone": {"kernel": KERNEL}, "gain": jnp.ones(())},
    "batch_stats": {"mean": jnp.zeros(4), "count": jnp.asarray(3, jnp.int32)},
}
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))


def state(number):
    made = init_state(VARIABLES, OPTIMIZER, ema=True)
    return jax.tree.map(lambda leaf: leaf + number, made)


def equal(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, got, wanted)
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.dtype, b.dtype), got, wanted)


def largest_file(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return max(files, key=lambda path: path.stat().st_size)


@pytest.fixture
def saved(tmp_path):
    with Checkpoints(tmp_path / "c", keep=3) as checkpoints:
        for number in (1, 2, 3, 4):
            checkpoints.save(number, state(number), {"data": {"next": number}, "loss": 0.1 + 0.2})
    return tmp_path / "c"


def test_newest_comes_back_exactly_and_old_ones_go(saved):
    like = jax.eval_shape(state, 0)
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.steps() == [2, 3, 4]
        step, got, meta = checkpoints.restore(like)
    assert step == 4
    equal(got, state(4))
    assert meta == {"data": {"next": 4}, "loss": 0.1 + 0.2}
    assert sorted(p.name for p in saved.glob("*.json")) == [f"{n}.sha256.json" for n in (2, 3, 4)]


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damage_bytes(folder):
    flip(largest_file(folder / "4"))


def damage_metadata(folder):
    flip(folder / "4" / "meta" / "metadata")


def truncate(folder):
    path = largest_file(folder / "4")
    path.write_bytes(path.read_bytes()[:-50])


def delete(folder):
    largest_file(folder / "4").unlink()


def lose_manifest(folder):
    (folder / "4.sha256.json").unlink()


def spoil_manifest(folder):
    (folder / "4.sha256.json").write_text("{")


def empty_folder(folder):
    shutil.rmtree(folder / "4")
    (folder / "4").mkdir()


def unreadable_though_sealed(folder):
    """A file that its manifest agrees with, but orbax cannot read."""
    import hashlib

    path = folder / "4" / "state" / "_METADATA"
    path.write_text("{}")
    manifest = folder / "4.sha256.json"
    hashes = json.loads(manifest.read_text())
    hashes["state/_METADATA"] = hashlib.sha256(b"{}").hexdigest()
    manifest.write_text(json.dumps(hashes))


@pytest.mark.parametrize(
    "harm",
    [
        damage_bytes,
        damage_metadata,
        truncate,
        delete,
        lose_manifest,
        spoil_manifest,
        empty_folder,
        unreadable_though_sealed,
    ],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(saved, harm):
    harm(saved)
    said = []
    with Checkpoints(saved) as checkpoints:
        step, got, meta = checkpoints.restore(jax.eval_shape(state, 0), said.append)
        assert step == 3
        equal(got, state(3))
        assert meta["data"] == {"next": 3}
        assert len(said) == 1
        assert str(saved / "4") in said[0]
        checkpoints.save(4, state(5), {})  # training comes by again
    with Checkpoints(saved) as checkpoints:
        equal(checkpoints.restore(jax.eval_shape(state, 0))[1], state(5))
        assert checkpoints.steps() == [2, 3, 4]


def test_nothing_sound_is_nothing(tmp_path):
    with Checkpoints(tmp_path / "new" / "c") as checkpoints:
        assert checkpoints.restore(state(0)) is None
        (checkpoints.folder / "7").mkdir()
        said = []
        assert checkpoints.restore(state(0), said.append) is None
        assert "not finished" in said[0]


def test_leftovers_of_a_killed_save_are_removed(saved):
    leftover = saved / "5.orbax-checkpoint-tmp"
    (leftover / "state").mkdir(parents=True)
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.restore(jax.eval_shape(state, 0)).step == 4
        checkpoints.save(5, state(5), {})
        assert checkpoints.steps() == [3, 4, 5]
    assert not leftover.exists()


class Other(NamedTuple):
    params: dict


@pytest.mark.parametrize(
    "like",
    [
        Other(VARIABLES["params"]),
        state(0)._replace(ema=None),
        state(0)._replace(step=jnp.zeros(2, jnp.int32)),
        state(0)._replace(step=jnp.zeros((), jnp.float32)),
    ],
)
def test_another_trainings_checkpoint_is_refused_and_kept(saved, like):
    with Checkpoints(saved) as checkpoints:
        with pytest.raises(ValueError, match="another training"):
            checkpoints.restore(like)
        assert checkpoints.steps() == [2, 3, 4]
        assert checkpoints.restore(state(0)).step == 4


def test_keep_is_at_least_two(tmp_path):
    with pytest.raises(ValueError, match="keep"):
        Checkpoints(tmp_path, keep=1)
