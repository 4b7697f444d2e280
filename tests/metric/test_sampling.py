"""Batches: what they hold, that they are pure functions, and that a stopped iterator continues."""

import numpy as np
import pytest

from siamjax.data.examples import Captioned, Examples
from siamjax.metric.sampling import Batches, ByClass, Captions, Twins

CLASSES, EACH = 12, 4


@pytest.fixture(scope="module")
def data():
    """Pictures that say their class and number: 12 classes in three groups of four."""
    labels = np.repeat(np.arange(CLASSES), EACH)
    pictures = np.zeros((len(labels), 2, 2, 1), np.uint8)
    pictures[:, 0, 0, 0] = 10 * labels + np.tile(np.arange(EACH), CLASSES) + 1
    groups = tuple("uvw"[c // 4] for c in range(CLASSES))
    return Examples(pictures, labels, tuple(map(str, range(CLASSES))), groups)


def class_of(pictures):
    """Read the class, and by how many quarter turns the mark has moved."""
    corners = pictures[:, [0, 1, 1, 0], [0, 0, 1, 1], 0]  # the path of the mark when turned
    return (corners.max(axis=1) - 1) // 10, corners.argmax(axis=1)


def test_by_class(data):
    batch = ByClass(per_class=3).draw(data, 5, 0, 12)
    assert batch["a"].shape == (12, 2, 2, 1)
    assert batch["label"].dtype == np.int32
    rows = batch["label"].reshape(4, 3)
    assert (rows == rows[:, :1]).all()
    assert len(set(rows[:, 0].tolist())) == 4
    found, turn = class_of(batch["a"])
    np.testing.assert_array_equal(found, batch["label"])
    assert not turn.any()
    assert len(np.unique(batch["a"][:, 0, 0, 0])) == 12


def test_turned_classes(data):
    batch = ByClass(per_class=1, turns=True).draw(data, 0, 0, 48)
    assert sorted(batch["label"].tolist()) == list(range(48))
    found, turn = class_of(batch["a"])
    np.testing.assert_array_equal(found + CLASSES * turn, batch["label"])


@pytest.mark.parametrize(("groups", "count"), [(1, 4), (2, 8), (1, 6)])
def test_classes_of_few_groups(data, groups, count):
    """Four classes in a group: as many groups as asked for, or as the batch needs."""
    seen = set()
    for first in range(8):
        labels = Twins(groups=groups).draw(data, 1, first, count)["label"]
        assert len(set(labels.tolist())) == count
        chosen = set((labels // 4).tolist())
        assert len(chosen) == max(groups, -(-count // 4))
        seen |= chosen
    assert seen == {0, 1, 2}


def test_a_turned_group_is_another(data):
    labels = Twins(groups=1, turns=True).draw(data, 1, 0, 4)["label"]
    assert len(set((labels // 4).tolist())) == 1


def test_twins_share_their_class(data):
    batch = Twins().draw(data, 5, 0, 8)
    a, b = class_of(batch["a"])[0], class_of(batch["b"])[0]
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, batch["label"])
    assert batch["similar"].all()
    assert (batch["a"] != batch["b"]).any(axis=(1, 2, 3)).all()


def test_half_of_the_pairs_differ(data):
    batch = Twins(similar=0.5).draw(data, 5, 0, 8)
    same = class_of(batch["a"])[0] == class_of(batch["b"])[0]
    np.testing.assert_array_equal(same, batch["similar"])
    assert same.tolist() == [True] * 4 + [False] * 4


def test_few_classes_come_again(data):
    batch = Twins(similar=0.5).draw(data.choose([0, 1, 2]), 5, 0, 30)
    assert np.bincount(batch["label"]).tolist() == [10, 10, 10]
    same = class_of(batch["a"])[0] == class_of(batch["b"])[0]
    np.testing.assert_array_equal(same, batch["similar"])


def test_captions():
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    titles = tuple((f"t{n}", f"u{n}") for n in range(5))
    words = tuple((f"w{n}", f"v{n}") for n in range(5))
    data = Captioned(pictures, titles, words, tuple(map(str, range(5))))
    texts = set()
    for first in range(40):
        batch = Captions(length=12, words=2).draw(data, 3, first, 5)
        assert batch["a"].shape == (5, 12)
        assert sorted(batch["b"][:, 0, 0, 0].tolist()) == [0, 1, 2, 3, 4]
        for row, picture in zip(batch["a"], batch["b"], strict=True):
            text = row.tobytes().rstrip(b"\0").decode()
            assert {word[1] for word in text.split()} == {str(picture[0, 0, 0])}
            texts.add(text)
    assert {"t0", "u0", "t0 w0", "u0 v0", "t0 w0 v0", "t0 v0 w0"} <= texts
    with pytest.raises(ValueError, match="at most 5 pictures, got 6"):
        Captions().draw(data, 0, 0, 6)


@pytest.mark.parametrize(
    ("sampling", "size", "message"),
    [
        (ByClass(per_class=5), 12, "divisor of the batch size 12, got 5"),
        (ByClass(per_class=1), 13, "needs 13 different classes, the data has 12"),
        (ByClass(per_class=6), 12, "needs 6 pictures, has 4"),
        (Twins(similar=1.5), 12, "a share 0..1, got 1.5"),
    ],
)
def test_refusals(data, sampling, size, message):
    with pytest.raises(ValueError, match=message):
        sampling.draw(data, 0, 0, size)


def test_groups_that_the_data_lacks(data):
    plain = Examples(data.pictures, data.labels, data.names)
    with pytest.raises(ValueError, match="groups: the data has none, got 2"):
        Twins(groups=2).draw(plain, 0, 0, 4)


def test_batches_continue_where_they_stopped(data):
    whole = Batches(Twins(), data, 4, seed=7)
    wanted = [next(whole) for _ in range(4)]
    assert [batch["index"].tolist() for batch in wanted] == [
        list(range(4 * n, 4 * n + 4)) for n in range(4)
    ]
    assert (wanted[0]["a"] != wanted[1]["a"]).any()
    part = Batches(Twins(), data, 4, seed=7)
    next(part), next(part)
    state = part.get_state()
    part.close()
    other = Batches(Twins(), data, 4, seed=7)
    other.set_state(state)
    for batch in wanted[2:]:
        got = next(other)
        for name, value in batch.items():
            np.testing.assert_array_equal(got[name], value)
    with pytest.raises(ValueError, match="of seed 7, but the batches have 8"):
        Batches(Twins(), data, 4, seed=8).set_state(state)
    with pytest.raises(ValueError, match="expected what get_state gave"):
        other.set_state({"seed": 7})
