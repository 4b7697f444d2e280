"""One pure step on all devices: by `jit` with sharded arrays, by `shard_map`, or by `pmap`.

The data axis is the only one: every device holds all parameters and an equal share of the batch.
The three ways give the same parameters (`tests/train/test_parallel.py`); `jit` is the default, the
others write the collectives out. Hosts, where there are several, each bring their own share.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from siamjax.train.step import Batch, Step

Mode = Literal["jit", "shard_map", "pmap"]
AXIS = "data"


class Parallel:
    """The devices of a training and the way to use them.

    Attributes:
        mesh: of all devices, host by host.
        shard: (this host's number, number of hosts), as `recipe.batches` takes it.

    Args:
        mode: which transformation runs the step.
        devices: of each host; all of them by default.

    Raises:
        ValueError: no such mode, or fewer devices than asked for.
    """

    def __init__(self, mode: Mode = "jit", devices: int | None = None):
        if mode not in get_args(Mode):
            raise ValueError(f"parallel must be one of {get_args(Mode)}, got {mode!r}")
        local = jax.local_devices()
        count = len(local) if devices is None else devices
        if not 1 <= count <= len(local):
            raise ValueError(f"devices must be 1 to {len(local)} here, got {count}")
        if mode == "pmap" and jax.process_count() > 1 and count < len(local):
            raise ValueError(f"devices: pmap on several hosts takes all {len(local)}, got {count}")
        self.mode = mode
        self.shard = jax.process_index(), jax.process_count()
        self._local = local[:count]
        chosen = [_of_host(host)[:count] for host in range(jax.process_count())]
        self.mesh = Mesh(np.array(chosen).ravel(), (AXIS,), axis_types=(AxisType.Auto,))

    @property
    def size(self) -> int:
        """Number of devices, those of all hosts."""
        return self.mesh.size

    @property
    def platform(self) -> str:
        """Platform of the devices, as "cpu"."""
        return self._local[0].platform

    def describe(self) -> str:
        """Say how many devices of which kind there are."""
        return f"{self.size} x {self._local[0].device_kind}"

    def compile(self, make: Callable[[str | None], Step]) -> Step:
        """Compile a step; the state that it is given is consumed.

        Args:
            make: builds the pure step for the name of the axis that it is mapped over, None where
                it is not mapped.
        """
        whole, split = PartitionSpec(), PartitionSpec(AXIS)
        if self.mode == "jit":
            return jax.jit(make(None), donate_argnums=0, out_shardings=self._sharding(whole))
        if self.mode == "shard_map":
            specs = (whole, split, whole)
            step = jax.shard_map(make(AXIS), mesh=self.mesh, in_specs=specs, out_specs=whole)
            return jax.jit(step, donate_argnums=0)
        devices = self._local if self.shard[1] == 1 else None
        return jax.pmap(
            make(AXIS), AXIS, in_axes=(None, 0, None), out_axes=(None, None), devices=devices
        )

    def replicate(self, tree: Any) -> Any:
        """Put copies of arrays, those of host 0 where there are several, on all devices."""
        tree = jax.tree.map(np.asarray, tree)
        # As pmap's results are: a state from elsewhere would compile the step once more.
        mesh = Mesh(np.array(self._local), (AXIS,)) if self.mode == "pmap" else self.mesh
        return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()), may_alias=False)

    def split(self, batch: Mapping[str, np.ndarray]) -> Batch:
        """Put this host's share of a batch on its devices, an equal part on each."""
        if self.mode == "pmap":
            parts = len(self._local)
            return {k: v.reshape(parts, -1, *v.shape[1:]) for k, v in batch.items()}
        sharding = self._sharding(PartitionSpec(AXIS))
        if self.shard[1] == 1:
            return {k: jax.device_put(v, sharding) for k, v in batch.items()}
        return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}

    def _sharding(self, spec: PartitionSpec) -> NamedSharding:
        return NamedSharding(self.mesh, spec)


def _of_host(host: int) -> list[Any]:
    devices = [device for device in jax.devices() if device.process_index == host]
    return sorted(devices, key=lambda device: device.id)
