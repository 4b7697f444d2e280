"""Sources to inputs and embeddings, and banks as files."""

import cv2
import jax
import numpy as np
import pytest

from siamjax import weights
from siamjax.metric import bank, text
from siamjax.metric.model import PseudoSiamese, Siamese
from siamjax.metric.towers import ConvTower, MlpTower, NgramTower
from siamjax.track.siamfc import SiamFC

PICTURES = ConvTower(size=8, channels=1, features=(4,), dim=3)
TEXTS = NgramTower(length=16, buckets=16, width=4, dim=3)
SIAMESE = Siamese(PICTURES)
PSEUDO = PseudoSiamese(TEXTS, PICTURES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures, and a file of texts."""
    root = tmp_path_factory.mktemp("sources")
    (root / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for name in ("10.png", "9.png", "11.png"):
        image = rng.integers(0, 255, (8, 8), dtype=np.uint8)
        cv2.imwrite(str(root / "pictures" / name), image)
    (root / "texts.txt").write_text("red apple\n\n  Blue sky \n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def variables():
    return SIAMESE.init_variables(jax.random.key(0))


def test_what_a_source_stands_for(folder):
    pictures = [str(folder / "pictures" / name) for name in ("9.png", "10.png", "11.png")]
    assert bank.names_of(str(folder / "pictures")) == pictures
    assert bank.names_of(pictures[0]) == pictures[:1]
    assert bank.names_of(str(folder / "texts.txt")) == ["red apple", "Blue sky"]
    assert bank.names_of("a text") == ["a text"]
    (folder / "empty").mkdir(exist_ok=True)
    with pytest.raises(ValueError, match="found none"):
        bank.names_of(str(folder / "empty"))


def test_which_side_takes_it(folder):
    picture, texts = str(folder / "pictures" / "9.png"), str(folder / "texts.txt")
    assert bank.side_of(PSEUDO, "red apple") == "a"
    assert bank.side_of(PSEUDO, texts, "b") == "a"
    assert bank.side_of(PSEUDO, picture) == "b"
    assert bank.side_of(PSEUDO, str(folder / "pictures")) == "b"
    assert bank.side_of(SIAMESE, picture) == "a"
    assert bank.side_of(SIAMESE, picture, "b") == "b"
    with pytest.raises(FileNotFoundError, match="no such picture: red apple"):
        bank.side_of(SIAMESE, "red apple")
    with pytest.raises(ValueError, match="the model takes no pictures"):
        bank.side_of(Siamese(TEXTS), picture)


def test_embeddings_are_the_models(folder, variables):
    pictures = [cv2.imread(str(folder / "pictures" / f"{n}.png"), 0) for n in (9, 10, 11)]
    wanted = SIAMESE.embed(variables, np.stack(pictures)[..., None])
    seen = []
    made = bank.embed(
        SIAMESE, variables, [str(folder / "pictures")], on_progress=lambda *n: seen.append(n)
    )
    np.testing.assert_allclose(made.embeddings, wanted, atol=1e-6)
    assert [name[-6:] for name in made.names] == ["/9.png", "10.png", "11.png"]
    assert seen == [(3, 3)]


def test_batches_are_filled_up(folder, variables, monkeypatch):
    monkeypatch.setattr(bank, "BATCH", 2)
    sources = [str(folder / "pictures")]
    made = bank.embed(SIAMESE, variables, sources)
    monkeypatch.undo()
    whole = bank.embed(SIAMESE, variables, sources)
    np.testing.assert_allclose(made.embeddings, whole.embeddings, atol=1e-6)


def test_inputs_of_texts_and_of_neither():
    np.testing.assert_array_equal(bank.load_inputs(TEXTS, ["Red"]), text.encode(["Red"], 16))
    with pytest.raises(ValueError, match="pictures or texts, got MlpTower"):
        bank.load_inputs(MlpTower(inputs=3), ["x"])


def test_a_bank_is_kept(tmp_path):
    made = bank.Bank(("a", "ü/b.png"), np.array([[1, 2], [3, 4]], np.float32), "digest")
    bank.save(tmp_path / "bank.npz", made)
    got = bank.load(tmp_path / "bank.npz")
    assert (got.names, got.weights) == (made.names, made.weights)
    np.testing.assert_array_equal(got.embeddings, made.embeddings)
    with pytest.raises(ValueError, match="ending in"):
        bank.save(tmp_path / "bank", made)
    (tmp_path / "other.npz").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match=r"other\.npz is no bank"):
        bank.load(tmp_path / "other.npz")
    np.savez(tmp_path / "less.npz", names=np.array(["a"]))
    with pytest.raises(ValueError, match=r"less\.npz is no bank"):
        bank.load(tmp_path / "less.npz")


def test_weights_of_a_tracker_are_refused(monkeypatch):
    monkeypatch.setattr(weights, "load", lambda source: (SiamFC("alexnet-v1"), {}))
    with pytest.raises(ValueError, match=r"x\.npz holds siamfc-alexnet-v1, expected towers"):
        bank.load_model("x.npz")


def test_a_digest_is_of_the_weights(variables):
    other = SIAMESE.init_variables(jax.random.key(1))
    assert bank.digest(variables) == bank.digest(SIAMESE.init_variables(jax.random.key(0)))
    assert bank.digest(variables) != bank.digest(other)
