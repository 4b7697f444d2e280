"""Searching a bank: on the device and by faiss, with the same distances."""

import inspect
import sys
import warnings

import numpy as np
import pytest

from siamjax.metric import index
from siamjax.metric.distances import DISTANCES, pairs
from siamjax.metric.index import DeviceIndex, FaissIndex, open_index

rng = np.random.default_rng(4)
BANK = rng.normal(size=(40, 6)).astype(np.float32)
QUERY = (BANK[[3, 17, 30]] + 0.01 * rng.normal(size=(3, 6))).astype(np.float32)


@pytest.fixture(scope="module")
def faiss():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SWIG's types, while faiss is imported
        return pytest.importorskip("faiss")


def test_device_index():
    bank = open_index(BANK)
    assert isinstance(bank, DeviceIndex)
    assert len(bank) == 40
    distances, rows = bank.search(QUERY, 5)
    np.testing.assert_array_equal(rows[:, 0], [3, 17, 30])
    wanted = np.linalg.norm(QUERY[:, None] - BANK[None], axis=2)
    np.testing.assert_allclose(distances, np.sort(wanted, axis=1)[:, :5], rtol=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_faiss_agrees(faiss, distance):
    bank = FaissIndex(BANK, distance)
    assert len(bank) == 40
    distances, rows = bank.search(QUERY, 7)
    wanted = np.stack([pairs(np.tile(query, (40, 1)), BANK, distance) for query in QUERY])
    np.testing.assert_array_equal(rows, np.argsort(wanted, axis=1)[:, :7])
    np.testing.assert_allclose(distances, np.sort(wanted, axis=1)[:, :7], rtol=1e-4, atol=1e-5)


def test_faiss_approximations(faiss):
    bank = FaissIndex(BANK, factory="HNSW8")
    np.testing.assert_array_equal(bank.search(QUERY, 1)[1][:, 0], [3, 17, 30])
    lists = FaissIndex(BANK, factory="IVF8,Flat")  # one list of eight is searched
    distances, rows = lists.search(QUERY, 40)
    assert (rows < 0).any()
    assert np.isinf(distances[rows < 0]).all()
    with pytest.raises(ValueError, match="factory: faiss makes no 'Nonsense'"):
        FaissIndex(BANK, factory="Nonsense")


def test_large_banks_go_to_faiss(faiss, monkeypatch):
    monkeypatch.setattr(index, "LARGE", 40)
    assert isinstance(open_index(BANK), FaissIndex)
    assert isinstance(open_index(BANK[:39]), DeviceIndex)
    assert isinstance(open_index(BANK, backend="device"), DeviceIndex)


def test_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match=r"pip install 'siamjax\[search\]'"):
        open_index(BANK, backend="faiss")


def test_errors():
    with pytest.raises(ValueError, match=r"distance: .*'hamming'"):
        open_index(BANK, "hamming")
    with pytest.raises(ValueError, match=r"bank: .*\(0, 6\)"):
        open_index(BANK[:0])
    with pytest.raises(ValueError, match="k: expected 1 to the bank's 40 rows, got 41"):
        open_index(BANK).search(QUERY, 41)
    with pytest.raises(ValueError, match=r"query: expected \[Q, 6\], got shape \(3, 5\)"):
        open_index(BANK).search(QUERY[:, :5], 1)
    with pytest.raises(ValueError, match=r"backend: .*'disk'"):
        inspect.unwrap(open_index)(BANK, backend="disk")
