import dataclasses
import inspect
import json

import jax
import numpy as np
import pytest
from small import TRACKER, draw, equal

import siamjax
from siamjax import weights
from siamjax.track import zoo
from siamjax.weights import npz, store


@pytest.fixture
def saved(tmp_path):
    variables = draw(TRACKER)
    path = tmp_path / "w.npz"
    weights.save(path, TRACKER, variables, source="drawn", licence="MIT", card={"ao": 0.5})
    return path, variables


def test_save_and_load_give_the_same_tracker_and_bits(saved):
    path, variables = saved
    tracker, loaded = weights.load(path)
    assert tracker == TRACKER
    assert equal(loaded, variables)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(loaded))
    assert equal(weights.load(str(path))[1], variables)


def test_header(saved):
    path, variables = saved
    header, read = weights.read(path)
    assert equal(read, variables)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    wanted = {"format": "siamjax-weights", "version": 1, "siamjax": siamjax.__version__}
    wanted |= {"name": "siamfc (alexnet-v1)", "tracker": "siamfc", "source": "drawn"}
    wanted |= {"licence": "MIT", "dtype": "float32", "parameters": parameters, "card": {"ao": 0.5}}
    assert {key: header[key] for key in wanted} == wanted
    assert header["config"] == zoo.describe(TRACKER)[1]
    assert header["sha256"] == npz.digest(npz.read(path)[1])


def test_same_contents_same_bytes(saved, tmp_path):
    path, variables = saved
    other = tmp_path / "other.npz"
    device = jax.tree.map(jax.numpy.asarray, variables)
    weights.save(other, TRACKER, device, source="drawn", licence="MIT", card={"ao": 0.5})
    assert other.read_bytes() == path.read_bytes()


def test_infinite_settings_survive(tmp_path):
    tracker = dataclasses.replace(TRACKER, max_scale=float("inf"), scales=5)
    path = tmp_path / "w.npz"
    weights.save(path, tracker, draw(tracker), source="", licence="")
    assert weights.load(path)[0] == tracker


def test_half_precision_files(saved, tmp_path):
    path, variables = saved
    half = tmp_path / "half.npz"
    weights.save(half, TRACKER, variables, source="", licence="", dtype="float16")
    assert half.stat().st_size < 0.7 * path.stat().st_size
    header, loaded = weights.read(half)
    assert header["dtype"] == "float16"

    def rounded(leaf):
        kernel = leaf.dtype == np.float32 and leaf.ndim >= 2
        return leaf.astype(np.float16).astype(np.float32) if kernel else leaf

    assert equal(loaded, jax.tree.map(rounded, variables))
    assert equal(weights.load(half)[1], loaded)


def test_loaded_variables_run(saved):
    path, _ = saved
    tracker, variables = weights.load(path)
    frame = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    state = tracker.init(variables, frame, np.float32([40, 30, 20, 20]))
    _, out = tracker.step(variables, state, frame)
    assert bool(out.valid)


def test_variables_that_do_not_fit_are_not_saved(tmp_path):
    variables = draw(TRACKER)
    path = tmp_path / "w.npz"
    del variables["params"]["backbone"]["conv2"]
    variables["params"]["extra"] = np.zeros(2, np.float32)
    with pytest.raises(
        ValueError, match=r"do not fit siamfc \(alexnet-v1\): 4 missing: .*conv2"
    ) as e:
        weights.save(path, TRACKER, variables, source="", licence="")
    assert "1 unexpected: params/extra" in str(e.value)
    variables = draw(TRACKER)
    variables["params"]["backbone"]["conv1"]["conv"]["bias"][0] = np.nan
    with pytest.raises(
        ValueError, match="NaN or infinite values in params/backbone/conv1/conv/bias"
    ):
        weights.save(path, TRACKER, variables, source="", licence="")
    variables = draw(TRACKER)
    plain = inspect.unwrap(weights.save)  # without the tests' own type check
    with pytest.raises(ValueError, match="dtype is 'bfloat16', expected 'float32' or 'float16'"):
        plain(path, TRACKER, variables, source="", licence="", dtype="bfloat16")
    with pytest.raises(ValueError, match="extra holds 'sha256', which the header already has"):
        weights.save(path, TRACKER, variables, source="", licence="", sha256="x")
    with pytest.raises(ValueError, match=r"path of weights is .*w\.bin', expected .*\.npz"):
        weights.save(tmp_path / "w.bin", TRACKER, variables, source="", licence="")
    assert not path.exists()


def test_a_file_of_another_shape_than_its_config(tmp_path):
    other = dataclasses.replace(TRACKER, width=0.1)
    path = tmp_path / "w.npz"
    weights.save(path, TRACKER, draw(TRACKER), source="", licence="")
    header, arrays = npz.read(path)
    header["config"] = zoo.describe(other)[1]
    path.write_bytes(npz.encode(header, arrays))
    with pytest.raises(ValueError, match=r"w\.npz does not fit its tracker .*of wrong shape: "):
        weights.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tracker": "transt"}, "unknown tracker family 'transt'"),
        ({"config": {"colour": 1}}, "has no setting colour"),
        ({"config": {"backbone": "vgg"}}, "got 'vgg'"),
    ],
)
def test_a_file_of_an_unknown_tracker(tmp_path, change, message):
    path = tmp_path / "w.npz"
    weights.save(path, TRACKER, draw(TRACKER), source="", licence="")
    header, arrays = npz.read(path)
    path.write_bytes(npz.encode(header | change, arrays))
    with pytest.raises(ValueError, match=rf"w\.npz describes no tracker.*{message}"):
        weights.load(path)


def test_bundled_names(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "ASSETS", tmp_path)
    with pytest.raises(ValueError, match="unknown model 'default'"):
        weights.load("default")
    variables = draw(TRACKER)
    weights.save(tmp_path / "anchorfree-lite.npz", TRACKER, variables, source="", licence="")
    assert weights.bundled() == ["anchorfree-lite"]
    for name in ("default", "anchorfree-lite"):
        assert equal(weights.load(name)[1], variables)
    assert equal(weights.load()[1], variables)
    with pytest.raises(ValueError, match=r"model 'anchorfree_lite'; did you mean anchorfree-lite"):
        weights.load("anchorfree_lite")
    with pytest.raises(ValueError, match=r"'defualt'; did you mean default\?.*bundled: anchor"):
        weights.load("defualt")
    with pytest.raises(ValueError, match="no weights of siamfc-alexnet-v3 are bundled; convert"):
        weights.load("siamfc-alexnet-v3")


@pytest.mark.parametrize("name", weights.bundled())
def test_bundled_weights_are_of_the_tracker_they_name(name):
    header, variables = weights.read(weights.locate(name))
    assert zoo.build(header["tracker"], header["config"]) == zoo.tracker(name)
    assert header["parameters"] == sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert weights.locate(name).stat().st_size < 6e6
    assert weights.locate(name).with_suffix(".md").is_file()


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such weights file: .*nothing\.npz"):
        weights.load(tmp_path / "nothing.npz")
    with pytest.raises(
        ValueError, match=r"is a PyTorch checkpoint; .* siamjax convert .*a\.pth OUT"
    ):
        weights.load(tmp_path / "a.pth")


def test_a_damaged_file_is_not_loaded(saved):
    path, _ = saved
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"w\.npz is damaged"):
        weights.load(path)


def test_header_is_json_as_stored(saved):
    path, _ = saved
    with np.load(path) as file:
        assert json.loads(file["header"].tobytes()) == weights.read(path)[0]
