import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time

import numpy as np
import pytest

from siamjax.data.tracks import Track
from siamjax.evaluate import compare_report

WATCH = "<script>window.errors = []; onerror = text => { errors.push(String(text)); };</script>"
KEYS = {"End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, " ": 32, "]": 221}


class Browser:
    """Headless Chromium with one page, driven by its DevTools protocol over a pipe."""

    def __init__(self, address, profile):
        self.numbers = itertools.count(1)
        self.session = None
        ours, theirs = os.pipe(), os.pipe()
        command = (
            f"exec chromium --headless --no-sandbox --disable-gpu --user-data-dir='{profile}'"
            " --window-size=1280,1000 --remote-debugging-pipe about:blank"
            f" 3<&{theirs[0]} 4>&{ours[1]}"
        )
        self.process = subprocess.Popen(
            ["bash", "-c", command],
            pass_fds=(theirs[0], ours[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs[0])
        os.close(ours[1])
        self.incoming, self.outgoing = ours[0], theirs[1]
        self.left = b""
        target = self.call("Target.createTarget", url=address)["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = found["sessionId"]
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def close(self):
        with contextlib.suppress(OSError):
            self.call("Browser.close")
        self.process.wait(30)
        os.close(self.incoming)
        os.close(self.outgoing)

    def call(self, method, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.outgoing, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.left:
                data = os.read(self.incoming, 65536)
                if not data:
                    raise OSError("chromium has ended")
                self.left += data
            text, _, self.left = self.left.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def get(self, expression):
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression, seconds=20):
        end = time.monotonic() + seconds
        while not self.get(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def click(self, element):
        """Click with the mouse in the middle of what an expression gives."""
        place = self.get(
            f"(() => {{ const one = {element}; one.scrollIntoView({{block: 'center'}});"
            " const area = one.getBoundingClientRect();"
            " return [area.x + area.width / 2, area.y + area.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            where = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **where)

    def press(self, key):
        for kind in ("rawKeyDown", "keyUp"):
            code = {"key": key, "windowsVirtualKeyCode": KEYS[key]}
            self.call("Input.dispatchKeyEvent", type=kind, **code)


class Still:
    name = "clip"

    def __init__(self, frames):
        self.frames = frames

    def __len__(self):
        return self.frames

    def frame(self, i):
        return np.zeros((48, 64, 3), np.uint8)

    def __iter__(self):
        return (self.frame(i) for i in range(self.frames))


def _moving(name, frames, speed=0.2):
    boxes = np.tile(np.array([[2, 5, 12, 10]], np.float32), (frames, 1))
    boxes[:, 0] += speed * np.arange(frames, dtype=np.float32)
    return Track(name, Still(frames), boxes)


@pytest.fixture
def browser(evaluated, tmp_path):
    tracks = [_moving("moving", 200), _moving("Beta", 10), _moving("alpha", 20)]
    folders = [
        evaluated("first", {"moving": 0.0, "Beta": 1.0, "alpha": 2.0}, tracks=tracks),
        evaluated("other", {"moving": 30.0, "Beta": 4.0, "alpha": 5.0}, tracks=tracks),
    ]
    compare_report.write(folders, tmp_path / "out")
    path = tmp_path / "out" / "report.html"
    path.write_text(path.read_text().replace("<head>", f"<head>{WATCH}"))
    driven = Browser(path.as_uri(), tmp_path / "profile")
    yield driven
    driven.close()


NAMES = "[...document.querySelectorAll('#sequences [data-open]')].map(b => b.innerText).join()"
FRAME = "Number(document.getElementById('frame').value)"
VIEW = "document.getElementById('view').toDataURL()"
OPENED = "document.getElementById('sequence').selectedOptions[0].text"


def _text(element):
    return f"document.getElementById('{element}').innerText"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")
def test_a_person_sorts_and_plays(browser):
    head = (
        "[...document.querySelectorAll('#sequences th button')].find(b => b.innerText === '{}')"
    ).format
    assert browser.get(NAMES) == "moving,Beta,alpha"
    for column, first, second in (
        ("sequence", "alpha,Beta,moving", "moving,Beta,alpha"),
        ("other", "Beta,alpha,moving", "moving,alpha,Beta"),
        ("frames", "moving,alpha,Beta", "Beta,alpha,moving"),
    ):
        browser.click(head(column))
        assert browser.get(NAMES) == first
        browser.click(head(column))
        assert browser.get(NAMES) == second
    browser.get(
        "(() => { const choice = document.querySelector('[data-for=sequences]');"
        " choice.value = 'precision_20'; choice.dispatchEvent(new Event('change')); })()"
    )
    numbers = "[...document.querySelectorAll('#sequences .number')].map(b => b.innerText).join()"
    assert browser.get(numbers) == "1.000,1.000,1.000,1.000,1.000,0.000"

    browser.click("document.querySelector('[data-open=\"0\"]')")
    assert browser.get(OPENED) == "moving"
    assert browser.get("[view.width, view.height]") == [64, 48]
    assert browser.get("document.querySelectorAll('#timeline .failure').length") == 1
    assert browser.get(_text("overlap-0")) == "1.00"
    assert browser.get(_text("overlap-1")) == "lost"
    start = browser.get(VIEW)
    browser.click("document.getElementById('play')")
    assert browser.get(_text("play")) == "Pause"
    browser.wait(f"{FRAME} >= 5")
    assert browser.get(VIEW) != start
    browser.click("document.getElementById('play')")
    assert browser.get(_text("play")) == "Play"
    stopped = browser.get(FRAME)
    assert 5 <= stopped < 199
    time.sleep(0.2)
    assert browser.get(FRAME) == stopped


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")
def test_keys_slider_timeline_and_boxes(browser):
    browser.click("document.getElementById('view')")
    browser.get("document.getElementById('view').focus()")
    start = browser.get(VIEW)
    browser.press("End")
    assert browser.get(_text("number")) == "frame 199 of 199"
    browser.press("ArrowLeft")
    assert browser.get(FRAME) == 198
    browser.press("Home")
    assert (browser.get(FRAME), browser.get(VIEW)) == (0, start)
    browser.press(" ")
    browser.wait(f"{FRAME} > 2")
    browser.press(" ")
    assert browser.get(_text("play")) == "Play"
    browser.click("document.getElementById('frame')")
    assert 95 <= browser.get(FRAME) <= 104
    browser.click("document.querySelector('#timeline .failure')")
    assert 95 <= browser.get(FRAME) <= 104
    shown = browser.get(VIEW)
    browser.click("document.querySelectorAll('#legend input')[0]")
    assert browser.get(VIEW) != shown
    browser.get("document.getElementById('view').focus()")
    browser.press("]")
    assert browser.get(OPENED) == "Beta"
    assert browser.get(_text("number")) == "frame 0 of 9"
    assert browser.get("errors.join()") == ""
