"""Readers of sets for metric learning, on files that the tests write."""

import gzip
import inspect
import json
import zipfile

import cv2
import numpy as np
import pytest

from siamjax.data.readers import digits, emoji, faces, omniglot


def drawing(seed):
    """105 x 105 bits, True where there is ink."""
    return np.random.default_rng(seed).random((105, 105)) < 0.1


def png(ink):
    return cv2.imencode(".png", np.where(ink, 0, 255).astype(np.uint8))[1].tobytes()


@pytest.fixture
def characters(tmp_path):
    """Two characters by three people, in both layouts."""
    names = ["Greek/character01", "Latin/character02"]
    ink = np.stack([np.stack([drawing(10 * c + p) for p in range(3)]) for c in range(2)])
    for name, drawings in zip(names, ink, strict=True):
        folder = tmp_path / "plain" / "images_background" / name
        folder.mkdir(parents=True)
        for number, one in enumerate(drawings):
            (folder / f"0001_{number:02}.png").write_bytes(png(one))
    (tmp_path / "packed").mkdir()
    np.savez(
        tmp_path / "packed" / omniglot.PACKED,
        images_background=np.packbits(ink, axis=-1),
        images_background_names=np.asarray(names),
    )
    return tmp_path


def test_omniglots_two_layouts_hold_the_same(characters):
    plain, packed = (omniglot.read(characters / kind, "background") for kind in ("plain", "packed"))
    np.testing.assert_array_equal(plain.pictures, packed.pictures)
    assert plain.pictures.shape == (6, 105, 105, 1)
    np.testing.assert_array_equal(plain.pictures[4, ..., 0] == 0, drawing(11))
    for got in (plain, packed):
        assert got.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert got.names == ("Greek/character01", "Latin/character02")
        assert got.groups == ("Greek", "Latin")
    assert omniglot.read(characters / "packed", "background", 28).pictures.shape[1:] == (28, 28, 1)


def test_omniglot_refusals(characters, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected omniglot_full_packbits\.npz"):
        omniglot.read(tmp_path, "background")
    with pytest.raises(ValueError, match="expected 'background' or 'evaluation', got 'test'"):
        inspect.unwrap(omniglot.read)(characters / "plain", "test")
    (
        characters / "plain" / "images_background" / "Greek" / "character01" / "0001_00.png"
    ).write_bytes(b"")
    with pytest.raises(ValueError, match=r"0001_00\.png: not a picture"):
        omniglot.read(characters / "plain", "background")


@pytest.fixture
def runs(tmp_path):
    """One run of three characters, packed and not."""
    files = {f"run01/training/class0{n}.png": png(drawing(n)) for n in (1, 2, 3)}
    files |= {f"run01/test/item0{n}.png": png(drawing(10 + n)) for n in (1, 2, 3)}
    pairs = ((1, 3), (2, 1), (3, 2))
    lines = (f"run01/test/item0{a}.png run01/training/class0{b}.png\n" for a, b in pairs)
    files["run01/class_labels.txt"] = "".join(lines).encode()
    with zipfile.ZipFile(tmp_path / "all_runs.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
            path = tmp_path / "unpacked" / "all_runs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("where", [".", "unpacked"])
def test_omniglots_runs(runs, where):
    (run,) = omniglot.runs(runs / where)
    assert run.answer.tolist() == [2, 0, 1]
    assert run.support.shape == run.query.shape == (3, 105, 105, 1)
    np.testing.assert_array_equal(run.support[2, ..., 0] == 0, drawing(3))
    np.testing.assert_array_equal(run.query[0, ..., 0] == 0, drawing(11))


def test_no_runs(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected all_runs\.zip"):
        omniglot.runs(tmp_path)


def test_the_shared_omniglot(shared):
    """964 and 659 characters by 20 people are the published numbers."""
    root = shared / "data" / "metric" / "omniglot"
    if not root.is_dir():
        pytest.skip("needs ../shared/data/metric/omniglot")
    evaluation = omniglot.read(root, "evaluation", 16)
    assert (len(evaluation), len(evaluation.names), len(set(evaluation.groups))) == (13180, 659, 20)
    runs = omniglot.runs(root, 16)
    assert len(runs) == 20
    assert all(sorted(run.answer.tolist()) == list(range(20)) for run in runs)


def test_faces(tmp_path):
    for person, level in (("s1", 30), ("s2", 90)):
        (tmp_path / person).mkdir()
        for number in (1, 2, 10):
            picture = np.full((12, 10), level + number, np.uint8)
            cv2.imwrite(str(tmp_path / person / f"{number}.pgm"), picture)
    (tmp_path / "README").write_text("faces")
    got = faces.read(tmp_path, 8)
    assert got.pictures.shape == (6, 8, 8, 1)
    assert got.pictures[:, 0, 0, 0].tolist() == [31, 32, 40, 91, 92, 100]
    assert got.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert got.names == ("s1", "s2")
    with pytest.raises(FileNotFoundError, match="a folder of pictures for each person"):
        faces.read(tmp_path / "s1")


def test_emoji(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / "images" / name), np.full((6, 6, 4), 255, np.uint8))
    records = [
        {"image": "a.png", "name": "hash key", "annotation": "keycap: #", "tags": ["key", "key"]},
        {"image": "b.png", "name": "red apple"},
    ]
    (tmp_path / "pairs.json").write_text(json.dumps(records))
    got = emoji.read(tmp_path, 4)
    assert got.pictures.shape == (2, 4, 4, 3)
    assert got.titles == (("keycap: #", "hash key"), ("red apple",))
    assert got.words == (("key",), ())
    assert got.names == ("a.png", "b.png")


@pytest.mark.parametrize("text", ["{", "[]", '[{"name": "x"}]', '["x"]'])
def test_lists_of_pictograms_that_are_none(tmp_path, text):
    (tmp_path / "pairs.json").write_text(text)
    with pytest.raises(ValueError, match=r"pairs\.json: "):
        emoji.read(tmp_path)


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.tobytes()


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_mnists_files(tmp_path, ending):
    pack = gzip.compress if ending else bytes
    pictures = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    (tmp_path / f"t10k-images-idx3-ubyte{ending}").write_bytes(pack(idx(pictures)))
    (tmp_path / f"t10k-labels-idx1-ubyte{ending}").write_bytes(pack(idx(np.uint8([7, 2]))))
    got = digits.read(tmp_path, 4)
    np.testing.assert_array_equal(got.pictures[..., 0], 255 - pictures)
    assert got.labels.tolist() == [7, 2]
    assert got.names == tuple("0123456789")
    with pytest.raises(FileNotFoundError, match="expected train-images-idx3-ubyte or"):
        digits.read(tmp_path, 4, "train")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\0\0\x08\x01", "with 3 axes"), (idx(np.zeros((2, 2, 2), np.uint8))[:-1], "8 bytes")],
)
def test_damaged_idx_files(tmp_path, content, message):
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        digits.read(tmp_path)


def test_scikit_learns_digits():
    pytest.importorskip("sklearn")
    got = digits.read(size=8)
    assert got.pictures.shape == (1797, 8, 8, 1)
    assert np.bincount(got.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert got.pictures[0, 0, :, 0].tolist() == [255, 255, 175, 48, 112, 239, 255, 255]
