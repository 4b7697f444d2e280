import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import torch_writer as tw
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siamjax.weights import torch_file
from siamjax.weights.torch_file import read_file, read_torch, strip_prefix

GOLDEN = Path(__file__).parents[1] / "golden"
SHARED = Path(__file__).parents[3] / "shared" / "weights" / "nanotrack"
BYTES = {"zip": tw.zip_bytes, "legacy": tw.legacy_bytes}
both = pytest.mark.parametrize("form", ["zip", "legacy"])


def put(tmp_path, data):
    path = tmp_path / "file.pth"
    path.write_bytes(data)
    return path


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@both
def test_file_written_by_torch(form):
    """Files of torch 2.13 with views, shared storages, eleven dtypes and an optimizer."""
    path = GOLDEN / f"torch_{form}.pth"
    expected = {
        "a.weight": np.float32([[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]),
        "b": np.float32([4, 5, 6, 7]),
        "half": np.float16([1.5, -2, 65504]),
        "bf": np.array([1, -3.5], jnp.bfloat16),
        "n": np.array(7, np.int64),
        "flag": np.array([True, False, True]),
        "u8": np.uint8([[1, 2], [250, 255]]),
        "p": np.float32([[0.25], [0.25]]),
        "empty": np.zeros((0, 3), np.float32),
        "c": np.complex64([1 + 2j]),
        "u16": np.uint16([1, 65535]),
    }
    got = read_torch(path)
    assert list(got) == list(expected)
    assert all(same(got[key], expected[key]) for key in expected)
    assert all(a.flags.writeable and a.flags.c_contiguous for a in got.values())
    whole = read_file(path)
    beside = {"epoch": 3, "lr": 0.01, "name": "x", "none": None, "flags": [True, False]}
    beside |= {"size": (2, 3), "dtype": "torch.float16", "device": "cpu"}
    assert {key: whole[key] for key in beside} == beside
    assert whole["optimizer"]["state"][0] == {"step": 2.0, "momentum_buffer": None}
    assert type(whole["state_dict"]) is dict
    assert same(whole["state_dict"]["module.a.weight"], expected["a.weight"])


dtypes = st.sampled_from(sorted(set(tw.NAMES) - {"bfloat16"}))


@both
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_array_comes_back(form, tmp_path_factory, data):
    arrays = data.draw(
        st.dictionaries(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
                lambda name: not name.startswith("module.") and name not in torch_file.WRAPPERS
            ),
            dtypes.flatmap(
                lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_side=4, min_side=0))
            ),
            min_size=1,
            max_size=4,
        )
    )
    path = put(tmp_path_factory.mktemp("any"), BYTES[form](tw.tensors(arrays)))
    got = read_torch(path)
    assert list(got) == list(arrays)
    assert all(same(got[key], np.asarray(arrays[key])) for key in arrays)


@both
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_views_read_within_their_storage_and_never_beyond(form, tmp_path_factory, data):
    size = data.draw(st.integers(1, 24))
    shape = tuple(data.draw(st.lists(st.integers(1, 4), max_size=3)))
    strides = tuple(data.draw(st.integers(0, 8)) for _ in shape)
    offset = data.draw(st.integers(0, 30))
    base = np.arange(size, dtype=np.int32) * 3 - 7
    tree = {"v": tw.Tensor(tw.Storage("0", base), shape, strides, offset)}
    path = put(tmp_path_factory.mktemp("view"), BYTES[form](tree))
    index = offset + sum(
        (np.indices(shape)[axis] * step for axis, step in enumerate(strides)),
        np.zeros(shape, int),
    )
    if index.max() < size:
        np.testing.assert_array_equal(read_torch(path)["v"], base[index])
    else:
        with pytest.raises(ValueError, match="reaches element"):
            read_torch(path)


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64", "complex64", "uint8", "bool"])
def test_big_endian_archive(tmp_path, dtype):
    array = np.array([1, 0, 1, 200]).astype(dtype)
    data = tw.zip_bytes(tw.tensors({"a": array}), order=b"big", root="some_name")
    assert same(read_torch(put(tmp_path, data))["a"], array)


def test_archive_without_byteorder_is_little_endian(tmp_path):
    data = tw.zip_bytes(tw.tensors({"a": np.float32([1, 2])}), order=None)
    np.testing.assert_array_equal(read_torch(put(tmp_path, data))["a"], [1, 2])


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict", "net"])
def test_wrappers_and_prefix(tmp_path, wrapper):
    inner = tw.tensors({"module.x": np.float32([5])})
    tree = {"epoch": 1, "optimizer": {"state": [None, 0.5]}, wrapper: inner}
    got = read_torch(put(tmp_path, tw.zip_bytes(tree)))
    assert list(got) == ["x"]
    assert got["x"].tolist() == [5.0]


def test_a_prefix_that_makes_two_names_one_is_refused():
    with pytest.raises(ValueError, match=r"'x' both with and without 'module\.'"):
        strip_prefix({"module.x": 1, "x": 2})


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"epoch": 3}, r"holds no state dict \(its keys: 'epoch'\)"),
        ([1, 2], "object of type list, not a dict"),
        (tw.Tensor(tw.Storage("0", np.float32([1])), (1,)), "holds a tensor, not a dict"),
        ({3: tw.Tensor(tw.Storage("0", np.float32([1])), (1,))}, "under the key 3"),
    ],
)
@both
def test_files_without_a_state_dict(tmp_path, form, tree, message):
    with pytest.raises(ValueError, match=message):
        read_torch(put(tmp_path, BYTES[form](tree)))


# --- files that run code -------------------------------------------------------------------


def attacks(marker):
    """Pickles that write `marker` when loaded by pickle itself, with the name to be refused."""
    touch = f"open({str(marker)!r}, 'w').close()"
    text = b"X" + len(touch).to_bytes(4, "little") + touch.encode()
    shell = f"touch {marker}"
    command = b"X" + len(shell).to_bytes(4, "little") + shell.encode()
    exec4 = b"\x8c\x08builtins\x8c\x04exec\x93"
    return {
        "os.system": (b"\x80\x02cos\nsystem\n" + command + b"\x85R.", "refused os.system"),
        "posix.system": (b"\x80\x02cposix\nsystem\n" + command + b"\x85R.", "refused posix.system"),
        "eval": (b"\x80\x02cbuiltins\neval\n" + text + b"\x85R.", "refused builtins.eval"),
        "python 2 name": (
            b"\x80\x02c__builtin__\neval\n" + text + b"\x85R.",
            "refused __builtin__.eval",
        ),
        "stack global": (b"\x80\x04" + exec4 + text + b"\x85R.", "refused builtins.exec"),
        "inst": (b"\x80\x02(" + text + b"ibuiltins\nexec\n.", "refused pickle opcode INST"),
        "obj": (b"\x80\x02(cbuiltins\nexec\n" + text + b"o.", "refused builtins.exec"),
        "in a dict": (
            b"\x80\x02}X\x01\x00\x00\x00acbuiltins\neval\n" + text + b"\x85Rs.",
            "refused builtins.eval",
        ),
    }


@both
@pytest.mark.parametrize("name", list(attacks("")))
def test_code_in_a_checkpoint_is_refused_and_never_runs(tmp_path, name, form):
    marker = tmp_path / "ran"
    data, message = attacks(marker)[name]
    pickle.loads(data)
    assert marker.exists(), "the attack itself must work"
    marker.unlink()
    content = tw.archive(data, {}) if form == "zip" else tw.legacy_bytes({}, data)
    path = put(tmp_path, content)
    for reader in (read_torch, read_file):
        with pytest.raises(ValueError, match=message) as caught:
            reader(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("torch.storage", "_load_from_bytes"),
        ("torch.hub", "load"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("builtins", "getattr"),
        ("collections", "OrderedDict.fromkeys"),
        ("copyreg", "_reconstructor"),
        ("functools", "partial"),
        ("siamfc.net", "FloatStorage"),
        ("torch", "load"),
    ],
)
@both
def test_other_names_are_refused(tmp_path, module, name, form):
    tree = {"a": tw.Call(tw.Global(module, name), ("x",))}
    with pytest.raises(ValueError, match=f"refused {module}.{name}: only tensors"):
        read_file(put(tmp_path, BYTES[form](tree)))


def test_stand_ins_can_neither_be_changed_nor_misused(tmp_path):
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    change = b"\x80\x02" + rebuild + b"}X\x05\x00\x00\x00_callNsb."
    with pytest.raises(ValueError, match=r"sets attributes of torch\._utils\._rebuild_tensor_v2"):
        read_file(put(tmp_path, tw.archive(change, {})))
    call = b"\x80\x02ctorch\nfloat32\n)R."
    with pytest.raises(ValueError, match=r"calls torch\.float32, which is only a name"):
        read_file(put(tmp_path, tw.archive(call, {})))
    fake = {"a": tw.Call(tw.Global("torch._utils", "_rebuild_tensor_v2"), ("s", 0, (1,), (1,)))}
    with pytest.raises(ValueError, match="something that is no storage"):
        read_file(put(tmp_path, tw.zip_bytes(fake)))


def test_attributes_of_an_ordered_dict_are_dropped(tmp_path):
    """A state dict carries `_metadata` as an attribute."""
    data = b"\x80\x02ccollections\nOrderedDict\n)R}X\x09\x00\x00\x00_metadataK\x01sb."
    result = read_file(put(tmp_path, tw.archive(data, {})))
    assert result == {}
    assert type(result) is dict


def test_numpy_numbers_beside_the_weights(tmp_path):
    scalar = tw.Global("numpy.core.multiarray", "scalar")
    dtype = tw.Call(tw.Global("numpy", "dtype"), ("f8", 0, 1))
    raw = tw.Call(
        tw.Global("_codecs", "encode"), (np.float64(0.375).tobytes().decode("latin1"), "latin1")
    )
    tree = {"best": tw.Call(scalar, (dtype, raw))}
    assert read_file(put(tmp_path, tw.zip_bytes(tree))) == {"best": 0.375}
    text = tw.Call(tw.Global("numpy", "dtype"), ("O8", 0, 1))
    tree = {"best": tw.Call(scalar, (text, raw))}
    with pytest.raises(ValueError, match="NumPy scalar that is no number"):
        read_file(put(tmp_path, tw.zip_bytes(tree)))


# --- damaged and hostile sizes ---------------------------------------------------------------


def test_storage_shorter_than_the_pickle_says(tmp_path):
    tree = {"a": tw.Tensor(tw.Storage("0", np.float32([1, 2]), length=10**12), (2,))}
    with pytest.raises(ValueError, match="has 8 bytes in storage '0', expected 4000000000000"):
        read_torch(put(tmp_path, tw.zip_bytes(tree)))


@both
@pytest.mark.parametrize(
    ("shape", "strides", "offset", "message"),
    [
        ((3,), (1,), 0, r"tensor \(3,\) that reaches element 2 of storage '0', which has 2"),
        ((2,), (1,), 1, "reaches element 2"),
        ((2,), (5,), 0, "reaches element 5"),
        ((2,), (-1,), 1, "malformed shape"),
        ((-2,), (1,), 0, "malformed shape"),
        ((2,), (1, 1), 0, "malformed shape"),
        ((2,), (1,), -1, "malformed shape"),
        ((2.0,), (1,), 0, "malformed shape"),
        ((10**6, 10**6), (0, 0), 0, "more than 4294967296 bytes in total"),
    ],
)
def test_views_that_do_not_fit(tmp_path, form, shape, strides, offset, message):
    tree = {"a": tw.Tensor(tw.Storage("0", np.float32([1, 2])), shape, strides, offset)}
    with pytest.raises(ValueError, match=message):
        read_torch(put(tmp_path, BYTES[form](tree)))


def test_one_storage_described_twice(tmp_path):
    one = tw.Tensor(tw.Storage("0", np.float32([1, 2])), (2,))
    two = tw.Tensor(tw.Storage("0", np.int32([1, 2])), (2,))
    with pytest.raises(ValueError, match="describes storage '0' in two ways"):
        read_torch(put(tmp_path, tw.zip_bytes({"a": one, "b": two})))


def test_memo_bomb(tmp_path):
    """An index that would make the unpickler's memo take 64 GB."""
    with pytest.raises(ValueError, match="memo is larger"):
        read_file(put(tmp_path, tw.archive(b"\x80\x02Nr\xff\xff\xff\xff.", {})))


def test_nesting_and_sharing_bombs(tmp_path):
    deep = b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b"."
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        read_file(put(tmp_path, tw.archive(deep, {})))
    lists = [[]]
    for _ in range(60):
        lists.append([lists[-1], lists[-1]])
    result = read_file(put(tmp_path, tw.zip_bytes(lists[-1])))
    assert result[0] is result[1]
    shape = {"a": tw.Tensor(tw.Storage("0", np.float32([1])), lists[-1], (1,))}
    with pytest.raises(ValueError, match="malformed shape"):
        read_file(put(tmp_path, tw.zip_bytes(shape)))


@both
def test_every_truncation_is_an_error(tmp_path, form):
    data = BYTES[form](tw.tensors({"a": np.float32([1, 2, 3]), "b": np.int64(4)}))
    for length in range(0, len(data), 7):
        with pytest.raises(ValueError, match=r"file\.pth"):
            read_torch(put(tmp_path, data[:length]))


def test_a_flipped_byte_in_a_storage_fails_its_checksum(tmp_path):
    data = bytearray(tw.zip_bytes(tw.tensors({"a": np.float32([1, 2, 3])})))
    data[data.index(np.float32([1, 2, 3]).tobytes()) + 2] ^= 1
    with pytest.raises(ValueError, match="damaged or foreign checkpoint: Bad CRC-32"):
        read_torch(put(tmp_path, bytes(data)))


@both
@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
def test_damage_gives_an_error_or_arrays_but_nothing_else(form, tmp_path_factory, position, value):
    data = bytearray(BYTES[form](tw.tensors({"a": np.float32([1, 2, 3]), "b": np.int64(4)})))
    data[position % len(data)] = value
    path = put(tmp_path_factory.mktemp("fuzz"), bytes(data))
    try:
        result = read_torch(path)
    except ValueError:
        with pytest.raises(ValueError, match=r"\A[^\n]*file\.pth[^\n]*\Z"):
            read_torch(path)
    else:
        assert all(isinstance(array, np.ndarray) for array in result.values())


def test_other_files_are_refused_by_what_they_are(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a.npy", b"x")
    cases = {
        b"": "is no PyTorch checkpoint",
        b"hello": "is no PyTorch checkpoint",
        pickle.dumps({"a": 1}, 2): "is a pickle but no PyTorch checkpoint",
        stream.getvalue(): r"no PyTorch checkpoint \(no data.pkl\)",
        b"storages".ljust(257, b"\0") + b"ustar\0" + b"0" * 300: "tar format of torch < 0.1.10",
    }
    for data, message in cases.items():
        with pytest.raises(ValueError, match=message):
            read_torch(put(tmp_path, data))
    with pytest.raises(FileNotFoundError, match=r"no such checkpoint file: .*missing\.pth"):
        read_torch(tmp_path / "missing.pth")


def test_compressed_archives_are_refused(tmp_path):
    arrays = tw.tensors({"a": np.zeros(100_000, np.float32)})
    data = tw.zip_bytes(arrays, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="zip archive whose entries are larger than the file"):
        read_torch(put(tmp_path, data))
    noise = np.random.default_rng(0).integers(0, 256, 4000).astype(np.uint8)
    data = tw.zip_bytes(tw.tensors({"a": noise}), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is a compressed zip archive"):
        read_torch(put(tmp_path, data))


# --- against torch itself --------------------------------------------------------------------


@both
def test_equal_to_torch(tmp_path, form):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=generator)
    tree = OrderedDict(
        a=base, b=base[1:3, ::2], c=base.t(), d=base.double(), e=base.to(torch.bfloat16)
    )
    tree["f"] = torch.nn.Parameter(base)
    tree["g"] = torch.tensor(3, dtype=torch.int8)
    path = tmp_path / "a.pth"
    legacy = {"_use_new_zipfile_serialization": form == "zip"}
    torch.save({"state_dict": tree, "opt": {"lr": 0.1}}, path, **legacy)
    got = read_torch(path)
    for key, tensor in tree.items():
        if tensor.dtype == torch.bfloat16:
            assert got[key].view(np.int16).tobytes() == tensor.view(torch.int16).numpy().tobytes()
        else:
            assert same(got[key], tensor.detach().numpy())


@pytest.mark.parametrize("name", ["nanotrackv2", "nanotrackv3"])
def test_published_files_equal_torch_load(name):
    path = SHARED / f"{name}.pth"
    if not path.is_file():
        pytest.skip("the shared folder with published weights is absent")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    wanted = torch.load(path, map_location="cpu", weights_only=False)["state_dict"]
    wanted = {key.removeprefix("module."): value.numpy() for key, value in wanted.items()}
    got = read_torch(path)
    assert list(got) == list(wanted)
    assert all(same(got[key], wanted[key]) for key in wanted)
