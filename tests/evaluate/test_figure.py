import cv2
import numpy as np

from siamjax.evaluate import figure
from siamjax.evaluate.figure import Figure, Stroke, Words


def test_dashes_run_round_corners():
    # An L of 4 + 4 px: dashes of 3, gaps of 2 lie at 0..3 and 5..8 along it.
    line = np.array([[0.0, 0], [4, 0], [4, 4]])
    found = figure.dashes(line, (3.0, 2.0))
    assert [part.tolist() for part in found] == [[[0, 0], [3, 0]], [[4, 1], [4, 4]]]
    round_corner = figure.dashes(line, (6.0, 9.0))
    assert [part.tolist() for part in round_corner] == [[[0, 0], [4, 0], [4, 2]]]
    assert figure.dashes(line, ())[0] is line


def _drawn():
    line = Stroke(np.array([[2.0, 5], [18, 5]]), "t1", 2.0, (4.0, 4.0), name='<a "b">')
    area = Stroke(
        np.array([[2.0, 12], [18, 12], [18, 18], [2, 18]]), "t0", 1.0, closed=True, filled=1.0
    )
    return Figure(40, 20, 'a "figure" & more', [line, area, Words(1.0, 10.0, "<b>", "end", "ink")])


def test_svg_on_a_page_takes_the_colours_of_the_page():
    text = figure.svg(_drawn(), page=True)
    assert text.startswith(
        '<svg viewBox="0 0 40 20" role="img" aria-label="a &quot;figure&quot; &am'
    )
    assert 'points="2.0,5.0 18.0,5.0" style="stroke:var(--t1);stroke-width:2;' in text
    assert "fill:none;stroke-dasharray:4 4" in text
    assert "<title>&lt;a &quot;b&quot;&gt;</title>" in text
    assert 'text-anchor="end" font-size="12" style="fill:var(--ink)">&lt;b&gt;</text>' in text
    assert "#" not in text


def test_svg_of_a_file_stands_for_itself():
    text = figure.svg(_drawn())
    assert 'xmlns="http://www.w3.org/2000/svg"' in text
    assert f"stroke:{figure.TRACKERS[1]}" in text
    assert f"fill:{figure.TRACKERS[0]};fill-opacity:1.0" in text
    assert "var(" not in text


def test_png_shows_the_same():
    data = figure.png(_drawn(), scale=2)
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert found.shape == (40, 80, 3)
    rgb = lambda color: list(bytes.fromhex(color[1:]))
    assert found[30, 20].tolist() == rgb(figure.TRACKERS[0])
    assert found[10, 6].tolist() == rgb(figure.TRACKERS[1])
    assert found[10, 16].tolist() == [255, 255, 255]  # a gap of the dashes
    assert found[38, 60].tolist() == [255, 255, 255]


def test_trackers_of_one_colour_differ_in_dashes():
    looks = {(figure.tracker(i), figure.dash(i)) for i in range(24)}
    assert len(looks) == 24
