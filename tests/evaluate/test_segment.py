import json
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.data import labels
from siamjax.data.readers.davis import Scene
from siamjax.data.readers.masks import mask_box
from siamjax.data.tracks import Track
from siamjax.evaluate import scenes, segment, vos
from siamjax.track.region import RegionTracker
from siamjax.track.state import Out

SIZE = (24, 40)
VARIABLES = {"gain": np.float32(1)}


class Frames:
    """Pictures in memory."""

    name = "frames"

    def __init__(self, frames):
        self.frames = frames

    def __len__(self):
        return len(self.frames)

    def frame(self, i):
        return self.frames[i]

    def __iter__(self):
        return iter(self.frames)


class Drawn:
    """Masks in memory."""

    def __init__(self, masks):
        self.masks = masks

    def __len__(self):
        return len(self.masks)

    def mask(self, i):
        return self.masks[i]


@dataclass(frozen=True)
class ByColor(RegionTracker):
    """Finds what has the colour of the middle of the first box; invalid where nothing has.

    `cut` rows at the top of the mask are missing; the box keeps them.
    """

    draws: bool = True
    cut: int = 0

    @property
    def net(self):
        raise NotImplementedError

    def proposals(self, raw):
        raise NotImplementedError

    def init(self, variables, frame, box, hyper=None):
        x, y = jnp.asarray(box)[:2] + jnp.asarray(box)[2:] / 2
        return jnp.asarray(frame)[y.astype(int), x.astype(int)]

    def step(self, variables, state, frame, hyper=None):
        same = jnp.all(jnp.asarray(frame) == state[None, None], axis=-1)
        y, x = jnp.any(same, axis=1), jnp.any(same, axis=0)
        valid = jnp.any(same)
        start = jnp.stack([jnp.argmax(x), jnp.argmax(y)])
        size = jnp.stack([jnp.sum(x), jnp.sum(y)])
        box = jnp.where(valid, jnp.concatenate([start, size]).astype(jnp.float32), jnp.nan)
        # The lighter an object the surer: the red channel is its score.
        score = variables["gain"] * state[0] / 255.0
        out = Out(box, score, valid, jnp.zeros((), bool))
        if not self.draws:
            return state, out
        below = jnp.arange(same.shape[0])[:, None] >= start[1] + self.cut
        mask = jnp.where(same & below, score, 0.0)
        return state, out._replace(mask=mask, mask_threshold=jnp.float32(0.25))


def corner(x, y):
    """Half of a 12 x 12 square, along its diagonal: 78 pixels."""
    row, column = np.mgrid[: SIZE[0], : SIZE[1]]
    inside = (row >= y) & (row < y + 12) & (column >= x) & (column < x + 12)
    return inside & (column - x <= row - y)


def make(name="pair", count=2, frames=6):
    """A corner that moves right and a 10 x 8 block that stands still, both wholly visible."""
    block = np.zeros(SIZE, bool)
    block[14:22, 28:38] = True
    objects = [[corner(2 + i, 1) for i in range(frames)], [block] * frames][:count]
    pictures = []
    for i in range(frames):
        picture = np.full((*SIZE, 3), 10, np.uint8)
        for color, masks in zip((200, 120), objects, strict=False):
            picture[masks[i]] = color
        pictures.append(picture)
    media = Frames(pictures)
    tracks = []
    for k, masks in enumerate(objects, 1):
        boxes = np.array([mask_box(mask) for mask in masks], np.float32)
        label = f"{name}.{k}" if count > 1 else name
        tracks.append(Track(label, media, boxes, masks=Drawn(masks)))
    return Scene(name, tuple(tracks))


def test_perfect_masks_and_their_boxes_filled(tmp_path):
    told = []
    tracker = ByColor()
    summary = segment.evaluate(
        [make("pair"), make("alone", count=1, frames=4)],
        tracker,
        VARIABLES,
        tmp_path,
        model="by <colour>",
        on_frame=lambda *event: told.append(event),
    )
    assert (summary["objects"], summary["frames"]) == (3, 10)
    assert summary["masks"] == {
        "j_and_f": 1, "j_mean": 1, "j_recall": 1, "j_decay": 0,
        "f_mean": 1, "f_recall": 1, "f_decay": 0,
    }  # fmt: skip
    assert summary["success_auc"] == pytest.approx(20 / 21)
    # The corner fills 78 of 144 pixels of its box, the block all of its own.
    pair = summary["sequences"]["pair"]
    filled = {name: one["filled_boxes"]["j_mean"] for name, one in pair["objects"].items()}
    assert filled == {"pair.1": pytest.approx(78 / 144), "pair.2": 1}
    assert pair["filled_boxes"]["j_mean"] == pytest.approx((78 / 144 + 1) / 2)
    assert summary["filled_boxes"]["j_mean"] == pytest.approx((2 * 78 / 144 + 1) / 3)
    square = np.zeros(SIZE, bool)
    square[1:13, 3:15] = True
    contour = vos.contour(square, corner(3, 1))
    assert pair["objects"]["pair.1"]["filled_boxes"]["f_mean"] == pytest.approx(contour)
    assert pair["frames"] == 6
    assert summary["intervals"] == {"j_and_f": [1, 1]}
    assert summary["fps"] > 0
    assert told[0] == ("pair", 1, 6)
    assert told[-1] == ("alone", 4, 4)

    assert json.loads((tmp_path / "results.json").read_text()) == summary
    found = labels.read(tmp_path / "masks" / "pair" / "00003.png")
    np.testing.assert_array_equal(found == 1, corner(5, 1))
    assert (found == 2).sum() == 80
    # Of the first frame the box alone is known.
    first = labels.read(tmp_path / "masks" / "pair" / "00000.png")
    assert ((first == 1).sum(), (first == 2).sum()) == (144, 80)
    assert len(list((tmp_path / "masks" / "alone").iterdir())) == 4
    page = (tmp_path / "report.html").read_text()
    assert "by &lt;colour&gt;" in page
    assert page.count("<tr>") == 4
    assert page.count('<polyline class="each"') == 6
    assert "J&amp;F of the same boxes, filled" in page


def test_half_a_mask():
    """Six of the twelve rows of the corner, 57 of its 78 pixels, are left."""
    summary = segment.evaluate([make(count=1)], ByColor(cut=6), VARIABLES)
    assert summary["masks"]["j_mean"] == pytest.approx(57 / 78)
    assert summary["filled_boxes"]["j_mean"] == pytest.approx(78 / 144)


def test_trackers_without_masks(tmp_path):
    summary = segment.evaluate([make()], ByColor(draws=False), VARIABLES, tmp_path)
    assert summary["masks"] is None
    assert summary["filled_boxes"]["j_mean"] == pytest.approx((78 / 144 + 1) / 2)
    assert not (tmp_path / "masks").exists()
    page = (tmp_path / "report.html").read_text()
    assert "boxes filled" in page
    assert "of the same boxes" not in page


def test_an_object_that_is_not_found():
    scene = make(count=1)
    scene.tracks[0].media.frames[3] = np.zeros((*SIZE, 3), np.uint8)
    found = scenes.run_scene(scene, ByColor(), VARIABLES)
    np.testing.assert_array_equal(found.runs[0].boxes[:, 0], [2, 3, 4, 4, 6, 7])
    assert [int((one == 1).sum()) for one in found.maps] == [144, 78, 78, 0, 78, 78]
    assert found.runs[0].timed == 4


def test_low_probabilities_are_background():
    # 200 / 255 and 120 / 255 times 0.5: above and below the threshold of 0.25.
    found = scenes.run_scene(make(), ByColor(), {"gain": np.float32(0.5)})
    assert [int((found.maps[2] == k).sum()) for k in (1, 2)] == [78, 0]


def test_fill_puts_the_higher_score_in_front():
    boxes = np.array([[1, 1, 4, 4], [3, 3, 4, 4], [20, 20, 9, 9]], np.float32)
    drawn = scenes.fill(boxes, np.array([0.2, 0.9, 0.5]), 10, 12)
    assert [(drawn == k).sum() for k in (1, 2, 3)] == [12, 16, 0]
    drawn = scenes.fill(boxes[:2], np.array([0.5, 0.5]), 10, 12)
    assert (drawn == 1).sum() == 16
    # Edges go to the nearest pixel; what hangs over is cut; NaN is nothing.
    rows = [[0.4, 1.6, 2.2, 2], [-5, -5, 6.6, 7.4], [np.nan] * 4]
    sums = [scenes.fill(np.array([row], np.float32), np.ones(1), 10, 12).nonzero() for row in rows]
    assert [(len(y), set(x.tolist()), set(y.tolist())) for y, x in sums] == [
        (6, {0, 1, 2}, {2, 3}),
        (4, {0, 1}, {0, 1}),
        (0, set(), set()),
    ]


@pytest.fixture
def runs(monkeypatch):
    """Names of the scenes that are run, not taken from files."""
    names, honest = [], segment.run_scene

    def counted(scene, *arguments, **settings):
        names.append(scene.name)
        return honest(scene, *arguments, **settings)

    monkeypatch.setattr(segment, "run_scene", counted)
    return names


def test_resume(tmp_path, runs):
    clips = [make("a"), make("b", count=1)]

    def again(tracker=ByColor(), variables=VARIABLES, clips=clips, **settings):
        runs.clear()
        summary = segment.evaluate(clips, tracker, variables, tmp_path, **settings)
        return list(runs), summary

    first = again()
    assert first[0] == ["a", "b"]
    assert again() == ([], first[1])  # frames/s from the files
    ran, other = again(bound=0.2)  # a matter of scoring alone
    assert ran == []
    assert other["filled_boxes"]["f_mean"] > first[1]["filled_boxes"]["f_mean"]
    assert again(variables={"gain": np.float32(0.9)})[0] == ["a", "b"]
    assert again(ByColor(cut=1))[0] == ["a", "b"]
    assert again(ByColor(draws=False))[0] == ["a", "b"]
    assert not list((tmp_path / "masks").rglob("*.png"))  # those of before are gone
    assert again(ByColor(draws=False))[0] == []
    assert again()[0] == ["a", "b"]
    assert again(clips=[make("a", frames=7), clips[1]])[0] == ["a"]
    assert again()[0] == ["a"]
    picture = tmp_path / "masks" / "a" / "00002.png"
    picture.write_bytes(labels.encode(np.zeros(SIZE, np.uint8)))
    assert again()[0] == ["a"]
    (tmp_path / "masks" / "b" / "00001.png").unlink()
    assert again()[0] == ["b"]
    (tmp_path / "boxes" / "a.2.txt").unlink()
    assert again()[0] == ["a"]
    (tmp_path / "timing" / "b.masks.json").write_text("{")
    assert again()[0] == ["b"]
    assert again() == ([], again()[1])


def test_refusals():
    short = make(frames=2)
    bare = Scene("bare", (Track("bare", short.tracks[0].media, short.tracks[0].boxes),))
    other = make(count=1)
    other.tracks[0].media.frames[0] = np.zeros((20, 30, 3), np.uint8)
    cases = {
        "tracks: expected at least one sequence": [],
        "pair: expected at least 3 frames": [short],
        "two sequences have the name 'pair'": [make(count=1), make(count=1)],
        "scenes: two sequences have the name 'pair'": [make(), make(count=1)],
        r"the name '\.\./a' cannot be a file's name": [make("../a", count=1)],
        "masks of 40x24 pixels for frames of 30x20": [other],
    }
    for message, clips in cases.items():
        with pytest.raises(ValueError, match=message):
            segment.evaluate(clips, ByColor(), VARIABLES)
    with pytest.raises(ValueError, match="bare: expected masks to score against, got none"):
        scenes.run_scene(bare, ByColor(), VARIABLES)
    cut = make(count=1)
    cut.tracks[0].media.frames.pop()
    with pytest.raises(ValueError, match="pair: ends before frame 5 of 6"):
        segment.evaluate([cut], ByColor(), VARIABLES)
