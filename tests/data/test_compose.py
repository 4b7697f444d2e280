import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.data import compose, pipeline
from siamjax.data.compose import Compose
from siamjax.data.layers import LayerConfig, Stock
from siamjax.data.media import Picture, list_pictures
from siamjax.data.pairs import PairConfig, Source
from siamjax.data.readers import cutouts

OFF = Compose(paste=0.0, others=0.0, twin=0.0, occlude=0.0)
CONFIG = PairConfig(template_size=47, search_size=95, exemplar=31, masks=True)
LAYERS = LayerConfig(others=2, other_size=39, photo_size=80)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three objects, two of one category, the first with two views; a photo in pieces."""
    root = tmp_path_factory.mktemp("stills")
    (root / "cutouts").mkdir()
    (root / "photos").mkdir()
    colors = {"c1_o1_a": 250, "c1_o1_b": 200, "c1_o2_a": 150, "x_c2": 100}
    for name, value in colors.items():
        picture = np.zeros((20, 30, 4), np.uint8)
        picture[4:16, 3:27] = (value, value, value, 255)
        cv2.imwrite(str(root / "cutouts" / f"{name}.png"), picture)
    photo = np.random.default_rng(0).integers(0, 60, (90, 120, 3), np.uint8)
    cv2.imwrite(str(root / "photos" / "p.png"), photo)
    return root


@pytest.fixture(scope="module")
def batch(folder):
    source = Source(cutouts.views([folder / "cutouts"]), frame_range=1, bare=True)
    photos = [Picture(path) for path in list_pictures(folder / "photos")]
    stock = Stock([source], photos, LAYERS, CONFIG)
    return next(pipeline.batches([source], CONFIG, batch_size=3, seed=5, threads=1, stock=stock))


def one(batch, row=0, **changed):
    return {name: array[row] for name, array in batch.items() if name != "index"} | changed


def test_views_are_tracks_of_bare_objects(folder):
    tracks = cutouts.views([folder / "cutouts"])
    assert [(t.name, len(t), t.category) for t in tracks] == [
        ("c1_o1", 2, "c1"), ("c1_o2", 1, "c1"), ("x_c2", 1, "c2"),
    ]  # fmt: skip
    assert tracks[0].boxes.tolist() == [[0, 0, 24, 12]] * 2
    assert tracks[0].media.frame(1)[0, 0].tolist() == [200, 200, 200]
    assert tracks[0].masks.mask(0).all()


def test_stock_gives_layers_of_every_pair(batch):
    assert batch["others"].shape == (3, 2, 39, 39, 3)
    assert batch["other_masks"].max() == 255
    assert batch["photo"].shape == (3, 80, 80, 3)
    assert batch["photo"].max() < 60
    assert batch["bare"].all()
    # The cut-out fills its box: 24 x 12 px at a context of 42 * 30 ** 0.5 / 31 px a crop pixel.
    step = (42 * 30) ** 0.5 / 31
    assert abs(batch["template_mask"][0].sum() / 255 - 288 / step**2) < 12


def test_kept_crops_equal_fresh_ones(folder, batch):
    kept = PairConfig(template_size=47, search_size=95, exemplar=31, masks=True, keep=True)
    source = Source(cutouts.views([folder / "cutouts"]), frame_range=1, bare=True)
    photos = [Picture(path) for path in list_pictures(folder / "photos")]
    for _ in range(2):
        stock = Stock([source], photos, LAYERS, kept)
        again = pipeline.batches([source], kept, batch_size=3, seed=5, threads=1, stock=stock)
        got = next(again)
        assert all((got[name] == batch[name]).all() for name in batch)


def test_place_turns_clockwise_about_the_middle():
    picture = np.zeros((5, 5, 1), np.float32)
    picture[2, 4] = 1.0  # right of the middle
    same = compose.place(picture, 5, jnp.array([2.0, 2.0]), jnp.ones(2))
    np.testing.assert_allclose(same, picture, atol=1e-6)
    turned = compose.place(picture, 5, jnp.array([2.0, 2.0]), jnp.ones(2), np.pi / 2)
    assert np.argwhere(np.asarray(turned)[..., 0] > 0.9).tolist() == [[4, 2]]  # below it
    wide = compose.place(picture, 9, jnp.array([4.0, 4.0]), jnp.array([2.0, 1.0]))
    assert np.argwhere(np.asarray(wide)[..., 0] > 0.9).tolist() == [[4, 8]]


def test_extent_is_the_box_of_what_is_covered():
    cover = jnp.zeros((9, 12)).at[2:5, 3:10].set(0.6).at[0, 0].set(0.5)
    box, found = compose.extent(cover)
    assert box.tolist() == [3, 2, 7, 3]
    assert found
    assert not compose.extent(jnp.zeros((4, 4)))[1]


def test_nothing_asked_changes_nothing(batch):
    pair = one(batch, bare=np.zeros(2, bool))
    out = jax.jit(lambda key, pair: compose.compose_pair(key, pair, OFF))(jax.random.key(0), pair)
    for name in ("template", "search"):
        np.testing.assert_allclose(out[name], pair[name], atol=1e-3)
    assert out["search_box"].tolist() == pair["search_box"].tolist()
    assert (np.asarray(out["search_mask"]) == pair["search_mask"]).all()
    assert set(out) == set(pair) - {"template_mask", "others", "other_masks", "photo", "bare"}


def test_bare_targets_stand_before_the_photo_in_their_box(batch):
    still = Compose(0.0, 0.0, 0.0, 0.0, turn=0.0, scale=0.0, light=0.0)
    out = compose.compose_pair(jax.random.key(1), one(batch), still)
    search, (x, y, w, h) = np.asarray(out["search"]), np.asarray(out["search_box"]).astype(int)
    inside = search[y + 1 : y + h - 1, x + 1 : x + w - 1]
    assert inside.min() > 95
    outside = search.copy()
    outside[y - 1 : y + h + 1, x - 1 : x + w + 1] = 0
    assert outside.max() < 60
    assert np.abs(np.asarray(out["search_box"]) - batch["search_box"][0]).max() < 1.5


def test_an_occluder_hides_a_part_but_the_box_stays(batch):
    hidden = Compose(0.0, 0.0, 0.0, occlude=1.0, visible=0.3, turn=0.0, scale=0.0, light=0.0)
    plain = Compose(0.0, 0.0, 0.0, occlude=0.0, turn=0.0, scale=0.0, light=0.0)
    parts = []
    for seed in range(6):
        a, b = (compose.compose_pair(jax.random.key(seed), one(batch), c) for c in (plain, hidden))
        assert a["search_box"].tolist() == b["search_box"].tolist()
        parts.append(float(b["search_mask"].sum() / a["search_mask"].sum()))
    assert min(parts) < 0.95
    assert min(parts) >= 0.29


def test_batches_compose_pair_by_pair(batch):
    config = Compose(paste=1.0, others=1.0)
    mapped = jax.jit(lambda key, batch: compose.compose_batch(key, batch, config))
    whole = mapped(jax.random.key(3), batch)
    turned = mapped(jax.random.key(3), {name: array[[2, 0, 1]] for name, array in batch.items()})
    for name in ("template", "search", "search_box"):
        np.testing.assert_allclose(whole[name][2], turned[name][0], atol=2e-3)
    assert (whole["index"] == batch["index"]).all()


@pytest.mark.parametrize("wrong", [{"paste": 1.5}, {"light": 1.0}, {"turn": -1.0}])
def test_impossible_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Compose(**wrong)
