"""The log: means, skipped steps, resuming, truncated files."""

import json

import numpy as np

from siamjax.train import log
from siamjax.train.log import Log, Window


def metrics(loss, skipped=0.0, **more):
    return {"loss": loss, "skipped": skipped, **more}


def test_window_takes_means_of_what_was_not_skipped():
    window = Window()
    window.add(metrics(1.0, error=4.0))
    window.add(metrics(float("nan"), 1.0, error=100.0))
    window.add(metrics(2.0, error=8.0))
    assert window.take() == {"loss": 1.5, "error": 6.0, "skipped": 1}
    assert window.take() == {"loss": None, "skipped": 0}
    window.add(metrics(float("nan"), 1.0))
    window.add(metrics(float("nan"), 1.0))
    assert window.skipped_in_row == 2
    assert window.take() == {"loss": None, "skipped": 2}
    assert window.skipped_in_row == 2


def test_window_travels_through_json():
    whole, first = Window(), Window()
    for loss in (0.1, 0.2):
        whole.add(metrics(loss))
        first.add(metrics(loss))
    second = Window(json.loads(json.dumps(first.state())))
    whole.add(metrics(0.3))
    second.add(metrics(0.3))
    assert second.take() == whole.take()


def test_lines_after_the_resumed_step_go(tmp_path):
    with Log(tmp_path, 0) as one:
        for step in (2, 4, 6):
            one.write(step, {"loss": step / 2})
    path = tmp_path / log.FILE
    with path.open("a") as stream:
        stream.write('{"step": 8, "lo')
    assert [line["step"] for line in log.read(path)] == [2, 4, 6]
    with Log(tmp_path, 4) as two:
        two.write(6, {"loss": 9.0})
    assert [(line["step"], line["loss"]) for line in log.read(path)] == [(2, 1), (4, 2), (6, 9)]
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_host_that_is_not_the_first_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with log.Log(None, 0) as silent:
        silent.start_clock()
        silent.count(4)
        line = silent.write(1, {"loss": 0.5})
        silent.picture(1, np.zeros((2, 2, 3), np.uint8))
    assert (line["step"], line["loss"]) == (1, 0.5)
    assert not list(tmp_path.iterdir())
