import json

import cv2
import numpy as np
import pytest

from siamjax.data import segmentation
from siamjax.data.media import DamagedMediaError
from siamjax.data.readers import coco, cutouts, folder, masks
from siamjax.data.tracks import Masks, Track

RING = np.zeros((5, 7), bool)
RING[1:4, 2:6] = True
RING[2, 3:5] = False


def pack(path, frames, **changes):
    arrays = {"bits": np.packbits(frames, axis=2), "shape": np.array(frames.shape)} | changes
    np.savez(path, **arrays)


def test_packed_masks(tmp_path):
    frames = np.random.default_rng(0).random((3, 5, 11)) > 0.5
    pack(tmp_path / "masks.npz", frames)
    found = segmentation.packed(tmp_path / "masks.npz")
    assert isinstance(found, Masks)
    assert len(found) == 3
    for i in range(3):
        assert found.mask(i).dtype == np.bool_
        np.testing.assert_array_equal(found.mask(i), frames[i])
    with pytest.raises(IndexError):
        found.mask(3)


def test_packed_masks_that_do_not_fit(tmp_path):
    frames = np.zeros((3, 5, 11), bool)
    pack(tmp_path / "a.npz", frames, shape=np.array([3, 5, 19]))
    with pytest.raises(DamagedMediaError, match=r"expected uint8\[3, 5, 3\], got uint8\(3, 5, 2\)"):
        segmentation.packed(tmp_path / "a.npz").mask(0)
    pack(tmp_path / "b.npz", frames, shape=np.array([3, 5]))
    with pytest.raises(DamagedMediaError, match=r"expected \(frames, height, width\)"):
        segmentation.packed(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(b"PK no")
    with pytest.raises(DamagedMediaError, match=r"c\.npz: not masks packed"):
        segmentation.packed(tmp_path / "c.npz")


def test_picture_masks(tmp_path):
    colours = np.zeros((5, 7, 3), np.uint8)
    colours[RING] = (0, 0, 128)
    colours[0, 0] = 127
    cv2.imwrite(str(tmp_path / "0.png"), RING.astype(np.uint8) * 255)
    cv2.imwrite(str(tmp_path / "1.png"), colours)
    found = segmentation.PictureMasks((tmp_path / "0.png", tmp_path / "1.png"))
    assert len(found) == 2
    for i in range(2):
        np.testing.assert_array_equal(found.mask(i), RING)


def test_polygons():
    # Pixels 2, 3 and 4 of rows 1 and 2: COCO counts from the pixel's edge.
    square = [2.0, 1.0, 5.0, 1.0, 5.0, 3.0, 2.0, 3.0]
    filled = segmentation.fill([square], (5, 7))
    expected = np.zeros((5, 7), bool)
    expected[1:3, 2:5] = True
    # OpenCV draws the outline too, half a pixel to the right of and below the edge.
    assert filled[expected].all()
    assert filled.sum() <= 12
    big = [
        [10.0, 20.0, 110.0, 20.0, 110.0, 80.0, 10.0, 80.0],
        [150.0, 10.0, 190.0, 10.0, 170.0, 60.0],
    ]
    area = segmentation.fill(big, (100, 200)).sum()
    assert area == pytest.approx(100 * 60 + 40 * 50 / 2, rel=0.04)
    both = segmentation.fill([big[0]], (100, 200)) | segmentation.fill([big[1]], (100, 200))
    np.testing.assert_array_equal(segmentation.fill(big, (100, 200)), both)
    with pytest.raises(ValueError, match="expected x, y of three or more vertices"):
        segmentation.fill([[1.0, 2.0, 3.0, 4.0]], (5, 7))


def compress(runs):
    """COCO's own writer of run lengths, from its format's description."""
    text = ""
    for place, run in enumerate(runs):
        value = run - (runs[place - 2] if place > 2 else 0)
        more = True
        while more:
            digit = value & 31
            value >>= 5
            more = value != (-1 if digit & 16 else 0)
            text += chr(48 + digit + 32 * more)
    return text


def runs_of(mask):
    flat = np.concatenate([[False], mask.T.ravel()])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def test_run_lengths():
    assert runs_of(RING) == [11, 3, 2, 1, 1, 1, 2, 1, 1, 1, 2, 3, 6]
    for mask in (RING, ~RING, np.random.default_rng(1).random((90, 70)) > 0.9):
        size, runs = list(mask.shape), runs_of(mask)
        for counts in (runs, compress(runs), compress(runs).encode()):
            found = segmentation.CocoMask({"size": size, "counts": counts}, mask.shape)
            np.testing.assert_array_equal(found.mask(0), mask)
    # By hand: runs 29, 3, 6, 3, 6, 3, 6, 3, 31, of which the last differs by 25 from the 6 before.
    square = segmentation.CocoMask({"size": [9, 10], "counts": "m03600000i0"}, (9, 10)).mask(0)
    expected = np.zeros((9, 10), bool)
    expected[2:5, 3:7] = True
    np.testing.assert_array_equal(square, expected)


def test_run_lengths_that_do_not_fit():
    for counts, size in (([3, 4], [5, 7]), ([35], [7, 5]), ([40, -5], [5, 7])):
        with pytest.raises(ValueError, match=r"do not fit a picture of 5x7"):
            segmentation.CocoMask({"size": size, "counts": counts}, (5, 7)).mask(0)
    with pytest.raises(IndexError, match="mask 1 of 1"):
        segmentation.CocoMask([[0, 0, 1, 0, 1, 1]], (5, 7)).mask(1)


def test_tracks_refuse_another_count(tmp_path):
    pack(tmp_path / "masks.npz", np.zeros((3, 5, 11), bool))
    found = segmentation.packed(tmp_path / "masks.npz")
    with pytest.raises(ValueError, match=r"masks: expected 2, got 3 \(t\)"):
        Track("t", folder.PictureFolder(()), np.ones((2, 4), np.float32), masks=found)


def write_sequence(place, masks_of):
    place.mkdir()
    for i in range(2):
        cv2.imwrite(str(place / f"{i}.png"), np.zeros((5, 7, 3), np.uint8))
    (place / "groundtruth.txt").write_text("1,1,3,3\n1,1,3,3\n")
    masks_of(place)


def test_readers_find_masks(tmp_path):
    def pictures(place):
        (place / "masks").mkdir()
        for i in range(2):
            cv2.imwrite(str(place / "masks" / f"{i:05d}.png"), RING.astype(np.uint8) * 255)

    write_sequence(tmp_path / "a", lambda place: pack(place / "masks.npz", np.stack([RING, RING])))
    write_sequence(tmp_path / "b", pictures)
    write_sequence(tmp_path / "c", lambda place: None)
    first, second, third = folder.read(tmp_path)
    for track in (first, second):
        np.testing.assert_array_equal(track.masks.mask(1), RING)
    assert third.masks is None

    images = tmp_path / "photos" / "images"
    images.mkdir(parents=True)
    cv2.imwrite(str(images / "x.png"), np.zeros((5, 7, 3), np.uint8))
    (tmp_path / "photos" / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "masks" / "x.png"), RING.astype(np.uint8) * 255)
    (photo,) = masks.read(tmp_path / "photos")
    np.testing.assert_array_equal(photo.masks.mask(0), RING)

    polygon = [[2.0, 1, 6, 1, 6, 4, 2, 4]]
    runs = {"size": [5, 7], "counts": runs_of(RING)}
    more = [{"segmentation": polygon}, {"segmentation": runs}, {}]
    found = [
        {"id": i, "image_id": 1, "bbox": [2, 1, 4, 3], "iscrowd": 0} | extra
        for i, extra in enumerate(more)
    ]
    content = {"images": [{"id": 1, "file_name": "x.png", "width": 7, "height": 5}]}
    (tmp_path / "c.json").write_text(json.dumps(content | {"annotations": found}))
    drawn, unrolled, bare = coco.read(tmp_path / "c.json", images, min_side=1.0)
    assert drawn.masks.mask(0)[1:4, 2:6].all()
    np.testing.assert_array_equal(unrolled.masks.mask(0), RING)
    assert bare.masks is None


def test_masks_of_pasted_cutouts(tmp_path):
    for name in ("cutouts", "photos"):
        (tmp_path / name).mkdir()
    disk = np.zeros((60, 60, 4), np.uint8)
    cv2.circle(disk, (30, 30), 29, (0, 255, 0, 255), -1)
    cv2.imwrite(str(tmp_path / "cutouts" / "disk.png"), disk)
    cv2.imwrite(str(tmp_path / "photos" / "p.png"), np.full((90, 120, 3), 200, np.uint8))
    (track,) = cutouts.read([tmp_path / "cutouts"], [tmp_path / "photos"], copies=1, count=3)
    for i in range(3):
        mask, frame = track.masks.mask(i), track.media.frame(i)
        assert mask.shape == frame.shape[:2]
        # Green on light grey: the object is where red falls below its half.
        assert np.mean((frame[..., 0] < 100) == mask) > 0.999
        x, y, w, h = track.boxes[i]
        assert masks.mask_box(mask) == pytest.approx([x, y, w, h], abs=1)
        assert mask.sum() == pytest.approx(np.pi / 4 * w * h, rel=0.08)
    with pytest.raises(IndexError, match="frame 3 of 3"):
        track.masks.mask(3)
