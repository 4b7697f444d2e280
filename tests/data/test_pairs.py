import math

import cv2
import numpy as np
import pytest

from siamjax.data import pairs
from siamjax.data.media import Picture, PictureFolder
from siamjax.data.segmentation import PictureMasks
from siamjax.data.sources import SIAMFC_FILTER
from siamjax.data.tracks import Track


def clip(name, place, boxes, **more):
    media = PictureFolder(tuple(place / f"{name}{i}.png" for i in range(len(boxes))))
    return Track(name, media, np.asarray(boxes, np.float32), **more)


def line(name, place, count=60, absent=()):
    boxes = [[np.nan] * 4 if i in absent else [i, 0, 10, 10] for i in range(count)]
    return clip(name, place, boxes)


def test_draw_depends_on_seed_and_index_alone(tmp_path):
    source = pairs.Source([line(name, tmp_path) for name in "abc"], frame_range=5)
    config = pairs.PairConfig(negative=0.3)

    def key(*arguments):
        pair = pairs.draw([source], config, *arguments)
        return (pair.template.track.name, pair.template.frame, pair.search.frame, pair.positive)

    first = [key(7, i) for i in range(50)]
    assert [key(7, i) for i in reversed(range(50))] == first[::-1]
    assert len(set(first)) > 40
    assert sum(a == b for a, b in zip(first, [key(8, i) for i in range(50)], strict=True)) < 5
    assert key(7, 3, 1) != key(7, 3, 0)


def test_frames_stay_within_range_of_visible_ones(tmp_path):
    # Frames 20..39 are absent: frame 40 is one visible frame after 19.
    source = pairs.Source([line("a", tmp_path, 60, range(20, 40))], frame_range=3)
    distances = set()
    for i in range(800):
        pair = pairs.draw([source], pairs.PairConfig(), 0, i)
        places = [f if f < 20 else f - 20 for f in (pair.template.frame, pair.search.frame)]
        assert not 20 <= pair.search.frame < 40
        distances.add(places[1] - places[0])
    assert distances == set(range(-3, 4))


def test_sources_are_drawn_by_weight_and_tracks_alike(tmp_path):
    sources = [
        pairs.Source([line("a", tmp_path)], weight=1.0),
        pairs.Source([line("b", tmp_path), line("c", tmp_path, 5)], weight=3.0),
        pairs.Source([line("d", tmp_path)], weight=0.0),
    ]
    names = [pairs.draw(sources, pairs.PairConfig(), 0, i).template.track.name for i in range(2000)]
    share = {name: names.count(name) / 2000 for name in "abcd"}
    assert share == pytest.approx({"a": 0.25, "b": 0.375, "c": 0.375, "d": 0}, abs=0.03)


def test_negative_pairs_come_from_another_clip(tmp_path):
    shared = Picture(tmp_path / "p.png")
    box = np.asarray([[1, 1, 9, 9]], np.float32)
    tracks = [Track("p1", shared, box), Track("p2", shared, box), line("a", tmp_path, 3)]
    source = pairs.Source(tracks)
    drawn = [pairs.draw([source], pairs.PairConfig(negative=0.4), 0, i) for i in range(1000)]
    negative = [pair for pair in drawn if not pair.positive]
    assert len(negative) / 1000 == pytest.approx(0.4, abs=0.05)
    assert all(p.template.track.media != p.search.track.media for p in negative)
    assert all(p.template.track is p.search.track for p in drawn if p.positive)
    with pytest.raises(ValueError, match=r"gave no clip but .*p\.png"):
        pairs.draw([pairs.Source(tracks[:2])], pairs.PairConfig(negative=1.0), 0, 0)


def test_still_pictures_are_pairs_of_one_frame(tmp_path):
    track = Track("p", Picture(tmp_path / "p.png"), np.asarray([[1, 1, 9, 9]], np.float32))
    pair = pairs.draw([pairs.Source([track])], pairs.PairConfig(), 0, 0)
    assert (pair.template, pair.positive) == (pair.search, True)


@pytest.mark.parametrize(
    ("box", "accepted"),
    [
        ([0, 0, 40, 40], True),
        ([0, 0, 19.5, 40], False),  # side under 20
        ([0, 0, 501, 200], False),  # side over 500
        ([0, 0, 340, 320], True),
        ([0, 0, 100, 401], False),  # more than half of 800
        ([0, 0, 20, 81], False),  # aspect under .25
        ([0, 0, 20, 80], True),
        ([0, 0, 84, 20], False),  # aspect over 4
    ],
)
def test_siamfc_filter(tmp_path, box, accepted):
    track = clip("a", tmp_path, [box], frame_size=(1000, 800))
    assert len(SIAMFC_FILTER.accept(track)) == accepted


def test_siamfc_filter_of_covers_and_relative_sides(tmp_path):
    boxes = [[0, 0, 40, 40]] * 5
    covers = np.asarray([0, 1, 2, 3, 8])
    track = clip("a", tmp_path, boxes, frame_size=(1000, 800), cover=covers)
    assert SIAMFC_FILTER.accept(track).tolist() == [3, 4]  # cover > 0.3 * 8
    track = clip("a", tmp_path, boxes, frame_size=(4100, 800))
    assert SIAMFC_FILTER.accept(track).tolist() == []  # 40 / 4100 < .01
    cv2.imwrite(str(tmp_path / "b0.png"), np.zeros((100, 79, 3), np.uint8))
    assert SIAMFC_FILTER.accept(clip("b", tmp_path, boxes)).tolist() == []  # 40 / 79 > .5


def test_nothing_to_draw(tmp_path):
    tiny = clip("a", tmp_path, [[0, 0, 1, 1], [0, 0, 0, 9]])
    with pytest.raises(ValueError, match="from 'small' have no box that the filter accepts"):
        pairs.draw([pairs.Source([tiny], name="small")], pairs.PairConfig(), 0, 0)
    with pytest.raises(ValueError, match="weight over 0"):
        pairs.draw([pairs.Source([tiny], weight=0.0)], pairs.PairConfig(), 0, 0)
    with pytest.raises(ValueError, match="at least one track in source 'none'"):
        pairs.Source([], name="none")
    with pytest.raises(ValueError, match="weight: expected a finite number"):
        pairs.Source([tiny], weight=math.nan)
    with pytest.raises(ValueError, match="frame_range"):
        pairs.Source([tiny], frame_range=-1)
    with pytest.raises(ValueError, match="negative: expected a probability"):
        pairs.PairConfig(negative=1.5)
    with pytest.raises(ValueError, match="search_size"):
        pairs.PairConfig(search_size=0)


def bilinear(image, x, y, fill):
    """Read image [H, W, 3] at a point, pixels outside being `fill`."""
    left, top = math.floor(x), math.floor(y)
    total = np.zeros(3)
    for j, i in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        inside = 0 <= i < image.shape[1] and 0 <= j < image.shape[0]
        weight = (1 - abs(x - i)) * (1 - abs(y - j))
        total += weight * (image[j, i] if inside else fill)
    return total


@pytest.mark.parametrize("box", [[30.0, 20, 12, 8], [0, 0, 3, 5], [40, 30, 50, 60], [5, 5, 50, 2]])
def test_context_crop_against_bilinear_sampling(box):
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (60, 80, 3), np.uint8), (0, 0), 2)
    fill = image.mean(axis=(0, 1))
    x, y, w, h = box
    step = math.sqrt((w + (w + h) / 2) * (h + (w + h) / 2)) / 31
    crop, inside = pairs.context_crop(image, np.asarray(box, np.float32), 51, exemplar=31)
    for v, u in ((25, 25), (0, 0), (50, 3), (17, 40), (30, 20)):
        at = x + (w - 1) / 2 + (u - 25) * step, y + (h - 1) / 2 + (v - 25) * step
        # cv2 5 rounds to the nearest level after its own interpolation weights
        assert crop[v, u] == pytest.approx(bilinear(image, *at, fill), abs=2.5)
    assert inside[2:] == pytest.approx([w / step, h / step])
    assert inside[:2] + (inside[2:] - 1) / 2 == pytest.approx([25, 25], abs=1e-4)


def test_box_sits_on_a_bright_rectangle():
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:100, 120:180] = 255
    crop, box = pairs.context_crop(image, np.float32([120, 60, 60, 40]), 431)
    rows, columns = np.where(crop[..., 0] > 127)
    found = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    assert found == pytest.approx(box.tolist(), abs=1.01)
    step = math.sqrt(110 * 90) / 127
    assert box[2] == pytest.approx(60 / step)


@pytest.mark.parametrize("box", [[np.nan, 0, 1, 1], [0, 0, 0, 5], [0, 0, -3, 5], [0, 0, np.inf, 5]])
def test_context_crop_refuses_degenerate_boxes(box):
    with pytest.raises(ValueError, match="box: expected finite numbers and sides over 0"):
        pairs.context_crop(np.zeros((9, 9, 3), np.uint8), np.float32(box), 15)


def test_sample(tmp_path):
    image = np.zeros((60, 80, 3), np.uint8)
    cv2.rectangle(image, (30, 20), (49, 39), (0, 0, 255), -1)
    cv2.imwrite(str(tmp_path / "p.png"), image)
    track = Track("p", Picture(tmp_path / "p.png"), np.float32([[30, 20, 20, 20]]))
    config = pairs.PairConfig(template_size=41, search_size=61, exemplar=31)
    out = pairs.sample([pairs.Source([track])], config, 3, 9)
    assert (out["template"].shape, out["search"].shape) == ((41, 41, 3), (61, 61, 3))
    assert out["search"][30, 30].tolist() == [255, 0, 0]
    assert out["search_box"] == pytest.approx([22.75, 22.75, 15.5, 15.5])
    assert out["template_box"] == pytest.approx([12.75, 12.75, 15.5, 15.5])
    assert (out["index"], out["positive"]) == (9, True)


def test_masks_are_cut_as_their_pictures(tmp_path):
    image = np.zeros((60, 80, 3), np.uint8)
    cv2.ellipse(image, (45, 30), (12, 7), 0, 0, 360, (255, 255, 255), -1)
    for name in ("p.png", "mask.png"):
        cv2.imwrite(str(tmp_path / name), image)
    drawn = PictureMasks((tmp_path / "mask.png",))
    box = np.float32([[33, 23, 25, 15]])
    tracks = [Track("p", Picture(tmp_path / "p.png"), box, masks=masks) for masks in (drawn, None)]
    config = pairs.PairConfig(template_size=41, search_size=61, exemplar=31, masks=True)
    out = pairs.sample([pairs.Source(tracks[:1])], config, 3, 9)
    assert bool(out["has_mask"])
    assert (out["search_mask"].dtype, out["search_mask"].shape) == (np.uint8, (61, 61))
    # Black and white, so that the picture is its own mask; outside, the picture has its mean.
    x, y, width, height = out["search_box"]
    assert 8 < x < y < 26
    rows, columns = slice(int(y) - 2, int(y + height) + 3), slice(int(x) - 2, int(x + width) + 3)
    inside = out["search_mask"][rows, columns]
    np.testing.assert_array_equal(inside, out["search"][rows, columns, 0])
    assert (inside == 255).mean() > 0.3
    assert not out["search_mask"][: rows.start].any()
    # Without masks: zeros, and nothing else changes.
    bare = pairs.sample([pairs.Source(tracks[1:])], config, 3, 9)
    assert not bare["has_mask"]
    assert not bare["search_mask"].any()
    plain = pairs.PairConfig(template_size=41, search_size=61, exemplar=31)
    before = pairs.sample([pairs.Source(tracks[:1])], plain, 3, 9)
    assert set(out) - set(before) == {"search_mask", "has_mask"}
    for name, array in before.items():
        np.testing.assert_array_equal(array, out[name])
