import json
import os

import numpy as np
import pytest
import torch_writer as tw
import tyro
from small import TRACKER, draw
from test_convert import shapes, state_dict

from siamjax import weights
from siamjax.cli import convert, info
from siamjax.weights import store


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "siamfc_v1.pth"
    path.write_bytes(tw.zip_bytes(tw.tensors(state_dict(shapes("alexnet-v1")))))
    return path


def run(command, *arguments):
    return tyro.cli(command, args=[str(argument) for argument in arguments]).run()


def test_convert(tmp_path, checkpoint, capsys):
    out = tmp_path / "v1.npz"
    text = ("--licence", "MIT", "--source", "a paper")
    summary = run(convert.Command, checkpoint, out, "--arch", "siamfc-alexnet-v1", *text, "--json")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "2,336,320 parameters" in printed.err
    json.dumps(summary)
    assert summary["parameters"] == 2336320
    assert summary["arrays"] == 30
    assert summary["bytes"] == out.stat().st_size
    tracker, variables = weights.load(out)
    after = weights.to_torch(variables, tracker)
    assert all(np.array_equal(after[k], v) for k, v in weights.read_torch(checkpoint).items())
    header = weights.read(out)[0]
    assert (header["licence"], header["source"]) == ("MIT", "a paper")
    assert header["original"]["file"] == "siamfc_v1.pth"
    assert len(header["original"]["sha256"]) == 64


def test_convert_to_half_precision(tmp_path, checkpoint, capsys):
    out = tmp_path / "half.npz"
    run(convert.Command, checkpoint, out, "--arch", "siamfc-alexnet-v1", "--dtype", "float16")
    assert "siamfc_v1.pth -> " in capsys.readouterr().out
    header, _ = weights.read(out)
    assert (header["dtype"], header["source"], header["licence"]) == (
        "float16",
        "siamfc_v1.pth",
        "unknown",
    )
    assert out.stat().st_size < 5e6


def test_convert_says_what_is_wrong(tmp_path, checkpoint):
    out = tmp_path / "v.npz"
    cases = [
        ((checkpoint, out, "--arch", "siamfc-alexnet-v4"), ValueError, "siamfc-alexnet-v[123]"),
        (
            (checkpoint, out, "--arch", "siamfc-alexnet-v2"),
            ValueError,
            r"siamfc_v1\.pth: checkpoint does not fit siamfc-alexnet-v2.*like siamfc-alexnet-v1",
        ),
        (
            (checkpoint, out, "--arch", "siamfc-lite"),
            ValueError,
            "siamfc-lite has no PyTorch names",
        ),
        (
            (checkpoint, tmp_path / "v.pkl", "--arch", "siamfc-alexnet-v1"),
            ValueError,
            r"expected a name ending in \.npz",
        ),
        (
            (checkpoint, tmp_path / "no" / "v.npz", "--arch", "siamfc-alexnet-v1"),
            FileNotFoundError,
            "cannot write .*: no folder",
        ),
        (
            (tmp_path / "none.pth", out, "--arch", "siamfc-alexnet-v1"),
            FileNotFoundError,
            "no such checkpoint file",
        ),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            run(convert.Command, *arguments)
    assert not out.exists()


def test_convert_with_a_full_disk_leaves_nothing(tmp_path, checkpoint, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        run(convert.Command, checkpoint, tmp_path / "v.npz", "--arch", "siamfc-alexnet-v1")
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_convert_refuses_code(tmp_path):
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    touch = f"open({str(marker)!r}, 'w')".encode()
    data = b"\x80\x02cbuiltins\neval\nX" + len(touch).to_bytes(4, "little") + touch + b"\x85R."
    path.write_bytes(tw.archive(data, {}))
    with pytest.raises(ValueError, match=r"evil\.pth refused builtins\.eval"):
        run(convert.Command, path, tmp_path / "v.npz", "--arch", "siamfc-alexnet-v1")
    assert not marker.exists()


def test_info_of_a_tracker(capsys):
    summary = run(info.Command, "siamfc-alexnet-v1")
    printed = capsys.readouterr().out
    assert summary["parameters"] == 2336320
    assert summary["modules"] == {
        "backbone/conv1": 35136,
        "backbone/conv2": 307968,
        "backbone/conv3": 885888,
        "backbone/conv4": 664704,
        "backbone/conv5": 442624,
    }
    assert summary["shapes"] == {
        "template crop": [1, 127, 127, 3],
        "template": [1, 6, 6, 256],
        "search crop": [1, 255, 255, 3],
        "response": [1, 17, 17],
    }
    assert summary["header"] is None
    assert "backbone/conv3  885,888     37.9 %" in printed
    assert "1 x 17 x 17" in printed


def test_shapes_of_nested_arrays_are_named_by_their_place():
    kernels = ({"cls": np.zeros((1, 4)), "mask": np.zeros((1, 5))}, np.zeros((2, 3)))
    assert info._shapes("template", kernels) == {
        "template/0/cls": (1, 4),
        "template/0/mask": (1, 5),
        "template/1": (2, 3),
    }
    assert info._shapes("template", kernels[1]) == {"template": (2, 3)}


def test_flops_are_those_of_the_convolutions():
    """Two operations a product; convolutions of one 127 px exemplar, of three 255 px searches."""
    widths, kernels, inputs = (96, 256, 384, 384, 256), (11, 5, 3, 3, 3), (3, 48, 256, 192, 192)

    def count(sides):
        rows = zip(sides, widths, kernels, inputs, strict=True)
        return sum(2 * s * s * w * k * k * i for s, w, k, i in rows)

    flops = run(info.Command, "siamfc-alexnet-v1", "--json")["flops"]
    template, search = count((59, 25, 10, 8, 6)), count((123, 57, 26, 24, 22))
    assert flops["template"] == pytest.approx(template, rel=0.02)
    assert flops["respond"] == pytest.approx(search + 2 * 17 * 17 * 36 * 256, rel=0.02)
    assert flops["step"] == pytest.approx(3 * flops["respond"], rel=0.02)


def test_info_of_a_weights_file(tmp_path, capsys):
    path = tmp_path / "w.npz"
    weights.save(path, TRACKER, draw(TRACKER), source="drawn", licence="MIT")
    summary = run(info.Command, path, "--json")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "licence: MIT" in printed.err
    assert "source: drawn" in printed.err
    assert summary["header"]["sha256"] in printed.err
    assert summary["config"]["width"] == 0.05
    json.dumps(summary)


def test_info_of_a_checkpoint(checkpoint, capsys):
    summary = run(info.Command, checkpoint)
    printed = capsys.readouterr().out
    assert summary["keys"]["backbone.conv2.0.weight"] == [[256, 48, 5, 5], "float32"]
    assert summary["keys"]["backbone.conv1.1.num_batches_tracked"] == [[], "int64"]
    assert len(summary["keys"]) == 30
    lines = [line.split() for line in printed.splitlines()]
    assert ["backbone.conv1.1.num_batches_tracked", "()", "int64"] in lines


def test_info_list(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(store, "ASSETS", tmp_path)
    weights.save(tmp_path / "anchorfree-lite.npz", TRACKER, draw(TRACKER), source="", licence="")
    summary = run(info.Command, "--list")
    assert summary["bundled"] == ["anchorfree-lite"]
    assert "siamfc-alexnet-v3" in summary["trackers"]
    assert "siamfc-alexnet-v3" in summary["convertible"]
    assert "siamfc-alexnet-v3" in capsys.readouterr().out
    assert run(info.Command)["header"]["name"] == "siamfc (alexnet-v1)"


def test_info_of_nothing_known():
    with pytest.raises(ValueError, match="unknown model 'siamfc-alexnet-v9'; did you mean siamfc-"):
        run(info.Command, "siamfc-alexnet-v9")
