"""siamjax embed, verify and search on tiny models and files that the tests write."""

import json

import cv2
import jax
import numpy as np
import pytest

from siamjax import cli, weights
from siamjax.metric import bank, text
from siamjax.metric.model import PseudoSiamese, Siamese
from siamjax.metric.towers import ConvTower, NgramTower

PICTURES = ConvTower(size=8, channels=1, features=(4,), dim=3)
TEXTS = NgramTower(length=16, buckets=16, width=4, dim=3)
LOGISTIC = Siamese(PICTURES, loss_name="logistic", margin=0.5)
PSEUDO = PseudoSiamese(TEXTS, PICTURES, loss_name="info-nce", distance_name="cosine")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Weights of both models, four pictures, three texts."""
    root = tmp_path_factory.mktemp("metric")
    for name, model in (("same", LOGISTIC), ("pseudo", PSEUDO)):
        variables = model.init_variables(jax.random.key(3))
        weights.save(root / f"{name}.npz", model, variables, source="test", licence="MIT")
    (root / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        image = rng.integers(0, 255, (8, 8), dtype=np.uint8)
        cv2.imwrite(str(root / "pictures" / f"{number}.png"), image)
    (root / "texts.txt").write_text("one\ntwo\nthree\n")
    return root


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Run in an empty folder, without a compile cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "enable_compile_cache", lambda: None)


def run(capsys, *arguments):
    """Run a command with --json and give its summary."""
    assert cli.main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def pictures(root):
    return np.stack([cv2.imread(str(root / "pictures" / f"{n}.png"), 0) for n in range(4)])[
        ..., None
    ]


def test_embed(root, tmp_path, capsys):
    summary = run(capsys, "embed", root / "pictures", "--model", root / "pseudo.npz")
    assert summary == {"out": "siamjax-out/bank.npz", "count": 4, "dim": 3, "side": "b"}
    made = bank.load(tmp_path / "siamjax-out" / "bank.npz")
    wanted = PSEUDO.embed(weights.load(root / "pseudo.npz")[1], pictures(root), side="b")
    np.testing.assert_allclose(made.embeddings, wanted, atol=1e-6)
    summary = run(
        capsys, "embed", "one", "two", "--model", root / "pseudo.npz", "--out", "texts.npz"
    )
    assert (summary["count"], summary["side"]) == (2, "a")
    assert bank.load("texts.npz").names == ("one", "two")


def test_verify(root, capsys):
    both = [root / "pictures" / f"{n}.png" for n in (0, 1)]
    summary = run(capsys, "verify", *both, "--model", root / "same.npz")
    variables = weights.load(root / "same.npz")[1]
    a, b = LOGISTIC.embed(variables, pictures(root)[:2])
    distance = float(np.linalg.norm(a - b))
    assert summary["distance"] == pytest.approx(distance, abs=1e-5)
    assert summary["threshold"] == pytest.approx(0.5)
    assert summary["same"] is (distance < 0.5)
    own = ("--model", root / "same.npz", "--threshold")
    assert run(capsys, "verify", *both, *own, distance + 0.01)["same"] is True
    assert run(capsys, "verify", *both, *own, distance - 0.01)["same"] is False
    assert run(capsys, "verify", both[0], both[0], *own, 1e-3)["same"] is True


def test_verify_says_it_in_words(root, capsys):
    picture = root / "pictures" / "0.png"
    assert cli.main(["verify", str(picture), str(picture), "--model", str(root / "same.npz")]) == 0
    assert capsys.readouterr().out == "distance 0.0000: the same (threshold 0.5000)\n"
    summary = run(capsys, "verify", "one", picture, "--model", root / "pseudo.npz")
    assert (summary["threshold"], summary["same"]) == (None, None)
    variables = weights.load(root / "pseudo.npz")[1]
    a = PSEUDO.embed(variables, text.encode(["one"], 16), side="a")
    b = PSEUDO.embed(variables, pictures(root)[:1], side="b")
    assert summary["distance"] == pytest.approx(1 - float((a * b).sum()), abs=1e-5)


def test_search(root, capsys):
    model = ("--model", root / "pseudo.npz")
    variables = weights.load(root / "pseudo.npz")[1]
    query = np.asarray(PSEUDO.embed(variables, text.encode(["two"], 16), side="a"))
    distances = 1 - np.asarray(PSEUDO.embed(variables, pictures(root), side="b")) @ query[0]
    wanted = [str(root / "pictures" / f"{n}.png") for n in np.argsort(distances)]
    summary = run(capsys, "search", "two", root / "pictures", *model)
    assert [result["name"] for result in summary["results"]] == wanted
    got = [result["distance"] for result in summary["results"]]
    np.testing.assert_allclose(got, np.sort(distances), atol=1e-5)

    run(capsys, "embed", root / "pictures", *model, "--out", "bank.npz")
    stored = run(capsys, "search", "two", "bank.npz", *model, "--top", 2)
    assert [result["name"] for result in stored["results"]] == wanted[:2]

    picture = root / "pictures" / "0.png"
    back = run(capsys, "search", picture, root / "texts.txt", *model)
    assert sorted(result["name"] for result in back["results"]) == ["one", "three", "two"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("embed", "--model", "same.npz"), "expected at least one picture"),
        (("embed", "nothing.png", "--model", "same.npz"), "nothing.png: No such file"),
        (("embed", "a word", "--model", "same.npz"), "no such picture: a word"),
        (("verify", "pictures", "pictures", "--model", "same.npz"), "one picture or text on each"),
        (("search", "one", "pictures", "--model", "pseudo.npz", "--top", "0"), "at least 1, got 0"),
        (("search", "one", "same.npz", "--model", "pseudo.npz"), "same.npz is no bank"),
        (("search", "one", "other.npz", "--model", "pseudo.npz"), "made with other weights"),
        (("verify", "one", "two", "--model", "none.npz"), "no such weights file: none.npz"),
    ],
)
def test_errors(root, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(root)
    bank.save("other.npz", bank.Bank(("x",), np.zeros((1, 3), np.float32), "of others"))
    assert cli.main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
