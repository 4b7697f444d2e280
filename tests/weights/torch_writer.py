"""Writes the files of `torch.save` byte by byte, so that the tests need no torch."""

import io
import pickle
import zipfile
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

NAMES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}


class Global(NamedTuple):
    """A name in the pickle, which need not exist here."""

    module: str
    name: str

    def __call__(self):
        raise AssertionError


class Storage:
    def __init__(self, key, array, length=None):
        self.key, self.array = key, np.ascontiguousarray(array)
        self.length = array.size if length is None else length


class Tensor:
    def __init__(self, storage, shape, strides=None, offset=0):
        self.storage, self.shape, self.offset = storage, tuple(shape), offset
        self.strides = strides
        if strides is None:
            self.strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))


class Call(NamedTuple):
    """A function applied by the pickle while loading."""

    function: Global
    arguments: tuple


class _Pickler(pickle._Pickler):
    def __init__(self, file, view):
        super().__init__(file, 2)
        self.view, self.storages = view, {}

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        self.storages[obj.key] = obj
        name = Global("torch", NAMES[obj.array.dtype.name])
        return ("storage", name, obj.key, "cpu", obj.length, *self.view)

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save_reduce(obj.function, obj.arguments)
        elif isinstance(obj, Tensor):
            rebuild = Global("torch._utils", "_rebuild_tensor_v2")
            parts = (obj.storage, obj.offset, obj.shape, obj.strides, False, OrderedDict())
            self.save_reduce(rebuild, parts)
        else:
            super().save(obj, save_persistent_id)


def _pickle(tree, view=()):
    stream = io.BytesIO()
    pickler = _Pickler(stream, view)
    pickler.dump(tree)
    return stream.getvalue(), pickler.storages


def archive(data, storages, root="archive", order=b"little", compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        file.writestr(f"{root}/data.pkl", data)
        if order is not None:
            file.writestr(f"{root}/byteorder", order)
        for key, array in storages.items():
            if order == b"big":
                array = array.astype(array.dtype.newbyteorder(">"))
            file.writestr(f"{root}/data/{key}", array.tobytes())
        file.writestr(f"{root}/version", b"3\n")
    return stream.getvalue()


def zip_bytes(tree, **settings):
    data, storages = _pickle(tree)
    return archive(data, {key: s.array for key, s in storages.items()}, **settings)


def legacy_bytes(tree, data=None):
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    pickled, storages = _pickle(tree, (None,))
    head = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, system)]
    body = [data or pickled, pickle.dumps(list(storages), 2)]
    raw = [s.array.size.to_bytes(8, "little") + s.array.tobytes() for s in storages.values()]
    return b"".join([*head, *body, *raw])


def tensors(arrays):
    """Wrap a dict of arrays, each with its own storage."""
    return OrderedDict(
        (name, Tensor(Storage(str(i), np.asarray(a).reshape(-1)), np.shape(a)))
        for i, (name, a) in enumerate(arrays.items())
    )
