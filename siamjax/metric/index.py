"""Search in a bank of embeddings: on the device, or by faiss where the bank is large."""

import importlib.util
from typing import Any, Literal, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from siamjax.metric.distances import DISTANCES, nearest
from siamjax.typing import AnyArray

LARGE = 1_000_000
"""Rows from which on `open_index` takes faiss."""

Found = tuple[Float[np.ndarray, "Q k"], Int[np.ndarray, "Q k"]]


@runtime_checkable
class Index(Protocol):
    """A bank that can be searched."""

    def search(self, query: Float[AnyArray, "Q D"], k: int) -> Found: ...

    def __len__(self) -> int: ...


class DeviceIndex:
    """Exact search by `siamjax.metric.distances.nearest`, the bank kept on the device."""

    def __init__(
        self, bank: Float[AnyArray, "N D"], distance: str = "euclidean", block: int = 1024
    ):
        _check(bank, distance)
        self.bank, self.distance, self.block = jnp.asarray(bank), distance, block

    def search(self, query: Float[AnyArray, "Q D"], k: int) -> Found:
        """Give the `k` least distances of each query, from small to large, and the bank's rows.

        Raises:
            ValueError: `k` is not 1 to the bank's size, or widths differ.
        """
        _check_query(query, self.bank.shape[1])
        found = nearest(query, self.bank, k, self.distance, block=self.block)
        return np.asarray(found[0]), np.asarray(found[1])

    def __len__(self) -> int:
        return self.bank.shape[0]


class FaissIndex:
    """Search by faiss (the extra `search`), exact or by an approximation of its own.

    Args:
        bank: the embeddings, float32.
        distance: as in `siamjax.metric.distances`.
        factory: faiss's description of an index; "Flat" is exact, "HNSW32" a graph that finds most
            of the nearest many times faster in a large bank, "IVF4096,Flat" lists by clusters.

    Raises:
        ValueError: faiss is not installed, or does not know `factory` for this distance.

    Source: Johnson, Douze and Jegou, "Billion-scale similarity search with GPUs", 2017.
    """

    def __init__(
        self, bank: Float[AnyArray, "N D"], distance: str = "euclidean", factory: str = "Flat"
    ):
        _check(bank, distance)
        faiss = _faiss()
        self.distance = distance
        rows = self._rows(bank)
        metrics = {"cosine": faiss.METRIC_INNER_PRODUCT, "manhattan": faiss.METRIC_L1}
        metric = metrics.get(distance, faiss.METRIC_L2)
        try:
            index = faiss.index_factory(rows.shape[1], factory, metric)
            index.train(rows)
            index.add(rows)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1]
            raise ValueError(
                f"factory: faiss makes no {factory!r} for {distance!r}: {reason}"
            ) from error
        self.index: Any = index

    def search(self, query: Float[AnyArray, "Q D"], k: int) -> Found:
        """Give the `k` least distances of each query, from small to large, and the bank's rows.

        Where an approximate index finds fewer, the rest are infinite and -1.

        Raises:
            ValueError: `k` is not 1 to the bank's size, or widths differ.
        """
        _check_query(query, self.index.d)
        if not 1 <= k <= len(self):
            raise ValueError(f"k: expected 1 to the bank's {len(self)} rows, got {k}")
        values, rows = self.index.search(self._rows(query), k)
        if self.distance == "cosine":
            values = 1 - values
        elif self.distance == "euclidean":
            values = np.sqrt(np.maximum(values, 0))
        return np.where(rows < 0, np.float32(np.inf), values), rows

    def __len__(self) -> int:
        return self.index.ntotal

    def _rows(self, vectors: AnyArray) -> np.ndarray:
        rows = np.ascontiguousarray(vectors, np.float32)
        if self.distance != "cosine":
            return rows
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.where(lengths > 0, lengths, 1)


def open_index(
    bank: Float[AnyArray, "N D"],
    distance: str = "euclidean",
    backend: Literal["auto", "device", "faiss"] = "auto",
) -> Index:
    """Give a bank that can be searched.

    Args:
        bank: the embeddings.
        distance: as in `siamjax.metric.distances`.
        backend: "device"; "faiss"; or "auto", which is faiss from `LARGE` rows on where it is
            installed.

    Raises:
        ValueError: no such backend, or faiss is wanted and not installed.
    """
    if backend not in ("auto", "device", "faiss"):
        raise ValueError(f"backend: expected 'auto', 'device' or 'faiss', got {backend!r}")
    if backend == "auto" and bank.shape[0] >= LARGE and importlib.util.find_spec("faiss"):
        backend = "faiss"
    return FaissIndex(bank, distance) if backend == "faiss" else DeviceIndex(bank, distance)


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise ValueError(
            "faiss is not installed: pip install 'siamjax[search]', or search on the device"
            " (backend='device')"
        ) from error
    return faiss


def _check(bank: AnyArray, distance: str) -> None:
    if distance not in DISTANCES:
        raise ValueError(f"distance: expected one of {DISTANCES}, got {distance!r}")
    if bank.ndim != 2 or 0 in bank.shape:
        raise ValueError(f"bank: expected [N, D] of some rows, got shape {bank.shape}")


def _check_query(query: AnyArray, width: int) -> None:
    if query.ndim != 2 or query.shape[1] != width:
        raise ValueError(f"query: expected [Q, {width}], got shape {query.shape}")
