import base64
import json
import re

import numpy as np
import pytest

from siamjax.evaluate import compare, figure, page, player, plots, report
from siamjax.evaluate.trajectories import Trajectory


def _unpack(text):
    return np.frombuffer(base64.b64decode(text), "<i2").tolist()


def test_packed_numbers():
    values = np.array([[1.25, -3.0, np.nan, 1e9]])
    assert _unpack(player.pack(values, 10.0)) == [12, -30, -32768, 32767]
    assert player.scale((640, 480)) == 10
    assert player.scale((3840, 2160)) == pytest.approx(16000 / 3840)


def test_every_nth_frame_fits_the_budget():
    # 4 + 5 * 3 numbers of two bytes a frame, four letters for three bytes.
    assert player.stride(5137, 3) == 1
    assert player.stride(1000, 3, budget=50_667) == 1
    assert player.stride(1000, 3, budget=50_666) == 2
    assert player.stride(700_000, 3) == 12


def _entries(evaluated, **shifts):
    return compare.load([evaluated(name, found) for name, found in shifts.items()])


def test_contents_of_the_player(evaluated):
    found = player.contents(
        _entries(evaluated, near={"a": 0.0, "b": 20.0}, far={"a": 4.0, "b": 40.0}),
        {"b": {0: "frames/b/00000.jpg"}},
    )
    assert [one["name"] for one in found["trackers"]] == ["near", "far"]
    first, second = found["sequences"]
    assert (first["name"], first["size"], first["frames"]) == ("a", [64, 48], 8)
    assert _unpack(first["truth"])[:4] == [40, 50, 200, 100]
    assert _unpack(first["boxes"][1])[:4] == [80, 50, 200, 100]
    # An overlap of 16 / 24 in thousandths; none, which alone is 0.
    assert _unpack(first["overlap"][1])[0] == 667
    assert _unpack(second["overlap"][0])[0] == 0
    assert (first["pictures"], second["pictures"]) == ({}, {"0": "frames/b/00000.jpg"})
    json.dumps(found, allow_nan=False)


def test_a_small_overlap_is_no_failure():
    boxes = np.zeros((3, 4), np.float32)
    one = Trajectory("a", (64, 48), boxes, boxes, np.array([1e-5, 0.0, np.nan]))
    entry = compare.Entry("t", {}, {"a": one})
    overlap = player.contents([entry], {})["sequences"][0]["overlap"][0]
    assert _unpack(overlap) == [1, 0, player.ABSENT]


def _cells(text, name):
    row = next(part for part in text.split("<tr>") if f'data-v="{name}"' in part)
    return re.findall(r'<td[^>]* data-v="([^"]*)"', row)


def test_page_of_two_trackers(evaluated):
    entries = _entries(
        evaluated, far={"a": 10.0, "b": 0.0, "c": 11}, near={"a": 0.0, "b": 1.0, "c": 0.0}
    )
    text = report.render(entries)
    assert "<h1>2 trackers on made</h1>" in text
    # Sorted by the first of the ranking; sorting goes by data-v: name, frames, trackers, spread.
    rows = re.findall(r'data-open="(\d)">(\w)</button>', text)
    assert rows == [("0", "a"), ("2", "c"), ("1", "b")]
    name, frames, near, far, spread = _cells(text, "a")
    assert (name, frames) == ("a", "8")
    assert [float(near), float(far)] == [pytest.approx(20 / 21), pytest.approx(7 / 21)]
    assert float(spread) == pytest.approx(13 / 21)
    heads = re.findall(r'<th scope="col"([^>]*)><button type="button">([^<]+)<', text)
    assert [head for _, head in heads] == ["sequence", "frames", "near", "far", "spread"]
    assert [mark for mark, _ in heads][:3] == [' data-kind="words"', "", ' aria-sort="descending"']
    assert text.count('class="best"') == 3
    assert text.count('data-numbers="{&quot;success_auc&quot;: ') == 6
    assert "near and far cannot be told apart" in text or "near is ahead of far" in text
    for outside in ("http://", "https://", "src=", "<link", "@import", "url("):
        assert outside not in text.replace("http://www.w3.org/2000/svg", "")


def test_names_cannot_break_the_page(evaluated):
    evil = '</script><script>alert("1")</script><b>'
    folder = evaluated('m"<i>', {"x": 0.0, "y": 2.0}, data=evil)
    entry = compare.load([folder])[0]
    one = entry.trajectories["x"]
    sequences = {evil: entry.summary["sequences"]["x"]}
    summary = {**entry.summary, "sequences": sequences, "attributes": {evil: _attribute(evil)}}
    text = report.render([compare.Entry(evil, summary, {evil: one._replace(name=evil)})])
    assert "<script>alert" not in text
    assert "</script><b>" not in text
    assert text.count("</script>") == 3  # the data, sorting, the player
    packed = re.search(r'id="frames">(.*?)</script>', text, re.DOTALL)
    assert packed is not None
    assert json.loads(packed[1])["sequences"][0]["name"] == evil


def _attribute(name):
    numbers = {one.key: 0.5 for one in compare.MEASURES}
    return {"sequences": [name], **numbers}


def test_one_tracker_and_one_sequence(evaluated):
    text = report.render(_entries(evaluated, alone={"a": 1.0}))
    assert "<h1>alone</h1>" in text
    assert "1 sequence,\n8 frames" in text
    assert "Brackets" not in text  # no interval of a lone sequence
    assert "data-spread" not in text.split("<tbody>")[-1].split("</tbody>")[0]
    assert "<details open>" in text


def test_curves_and_their_legend(evaluated):
    entries = _entries(evaluated, far={"a": 10.0}, near={"a": 0.0})
    drawn = plots.curves("success", entries)
    words = [mark.text for mark in drawn.marks if isinstance(mark, figure.Words)]
    assert words[-2:] == ["0.952  near", "0.333  far"]
    lines = [mark for mark in drawn.marks if isinstance(mark, figure.Stroke) and mark.name]
    # The best is drawn last; plotted from (32, 220) to (330, 10).
    assert [line.name for line in lines] == ["far", "near"]
    assert lines[1].points[0].tolist() == [32, 10]
    assert lines[1].points[-1].tolist() == [330, 220]
    assert "near 0.952, far 0.333" in drawn.label


def test_radar_needs_three_attributes(evaluated):
    entry = _entries(evaluated, one={"a": 0.0})[0]
    tables = {name: _attribute("a") for name in ("x", "y", "z")}
    entries = [entry._replace(summary={**entry.summary, "attributes": tables})]
    drawn = plots.radar(entries)
    assert drawn is not None
    shape = next(one for one in drawn.marks if isinstance(one, figure.Stroke) and one.filled)
    # 0.5 of a scale to 0.6 of 104 px, upward from (190, 136).
    np.testing.assert_allclose(shape.points[0], [190, 136 - 104 * 0.5 / 0.6])
    two = {name: tables[name] for name in ("x", "y")}
    entries = [entry._replace(summary={**entry.summary, "attributes": two})]
    assert plots.radar(entries) is None
    assert "radar" not in report.render(entries).lower()
    assert '<table id="attributes">' in report.render(entries)


def test_size_of_a_large_benchmark(evaluated):
    entry = _entries(evaluated, one={"a": 0.0})[0]
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 500, (150_000, 4)).astype(np.float32)
    overlap = rng.uniform(0, 1, 150_000)
    trajectories = {"a": Trajectory("a", (640, 480), boxes, boxes, overlap)}
    text = report.render([entry._replace(trajectories=trajectories, name=n) for n in ("p", "q")])
    assert 2_000_000 < len(text) < 5_000_000


def test_page_marks_what_the_player_fills():
    for name in ("view", "sequence", "frame", "play", "speed", "timeline", "legend", "number"):
        assert f'id="{name}"' in player.CONTROLS
    assert "var(--t0)" not in page.document("t", "", "table.js")


def test_got10k_is_ranked_by_its_average_overlap(evaluated):
    folder = evaluated("one", {"a": 0.0, "b": 4.0}, "got10k-val")
    other = evaluated("two", {"a": 8.0, "b": 5.0}, "got10k-val")
    text = report.render(compare.load([folder, other]))
    assert '<th scope="col">average overlap (AO)</th><th scope="col"><span' in text
    assert '<option value="mean_iou" selected>' in text
    assert [float(value) for value in _cells(text, "b")[2:4]] == [
        pytest.approx(16 / 24),
        pytest.approx(15 / 25),
    ]
    assert text.index('data-open="0"') < text.index('data-open="1"')


def test_many_trackers(evaluated):
    entry = _entries(evaluated, one={"a": 0.0})[0]
    text = report.render([entry._replace(name=f"tracker {i}") for i in range(12)])
    assert text.count("<details>") == 12
    assert "background:var(--t7)" in text
    assert "background:var(--t8)" not in text
