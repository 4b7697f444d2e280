import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import torch_writer as tw
from small import TRACKER, draw, equal

from siamjax import weights
from siamjax.track import zoo
from siamjax.weights import names

GOLDEN = Path(__file__).parents[1] / "golden"
WIDTHS = {
    "alexnet-v1": (96, 256, 384, 384, 256),
    "alexnet-v2": (96, 256, 384, 384, 32),
    "alexnet-v3": (192, 512, 768, 768, 512),
}


def shapes(backbone):
    """Names and shapes of siamfc-pytorch's state dicts, from REFERENCE 1.2 and 1.9."""
    widths, groups = WIDTHS[backbone], 1 if backbone == "alexnet-v3" else 2
    kernels, grouped = (11, 5, 3, 3, 3), (1, groups, 1, groups, groups)
    result, inputs = {}, 3
    for i in range(5):
        name, size = f"backbone.conv{i + 1}", kernels[i]
        result[f"{name}.0.weight"] = (widths[i], inputs // grouped[i], size, size)
        result[f"{name}.0.bias"] = (widths[i],)
        if i < 4 or backbone == "alexnet-v3":
            for leaf in ("weight", "bias", "running_mean", "running_var"):
                result[f"{name}.1.{leaf}"] = (widths[i],)
            result[f"{name}.1.num_batches_tracked"] = ()
        inputs = widths[i]
    return result


def state_dict(spec, seed=0):
    generator = np.random.default_rng(seed)
    return {
        key: np.array(generator.integers(0, 10**6), np.int64)
        if key.endswith("tracked")
        else generator.standard_normal(shape).astype(np.float32)
        for key, shape in spec.items()
    }


def test_the_reference_names_are_those_of_the_golden_file():
    spec = json.loads((GOLDEN / "siamfc_alexnet_v1.keys.json").read_text())
    assert {key: tuple(shape) for key, shape in spec.items()} == shapes("alexnet-v1")


@pytest.mark.parametrize("backbone", list(WIDTHS))
def test_round_trip_is_bit_identical(backbone):
    tracker = zoo.tracker(f"siamfc-{backbone}")
    before = state_dict(shapes(backbone))
    variables = weights.from_torch(before, tracker)
    after = weights.to_torch(variables, tracker)
    assert list(after) == list(before)
    for key, array in before.items():
        assert after[key].dtype == array.dtype
        assert after[key].shape == array.shape
        assert after[key].tobytes() == array.tobytes()
        assert after[key].flags.c_contiguous
    assert equal(weights.from_torch(after, tracker), variables)


def test_layout():
    spec = shapes("alexnet-v1")
    before = state_dict(spec)
    variables = weights.from_torch(before, zoo.tracker("siamfc-alexnet-v1"))
    params, stats = variables["params"]["backbone"], variables["batch_stats"]["backbone"]
    kernel = params["conv2"]["conv"]["kernel"]
    assert kernel.shape == (5, 5, 48, 256)
    assert float(kernel[1, 4, 7, 200]) == before["backbone.conv2.0.weight"][200, 7, 1, 4]
    for leaf, path in (("weight", "scale"), ("bias", "bias")):
        wanted = before[f"backbone.conv3.1.{leaf}"]
        np.testing.assert_array_equal(params["conv3"]["bn"][path], wanted)
    for leaf, path in (("running_mean", "mean"), ("running_var", "var")):
        wanted = before[f"backbone.conv3.1.{leaf}"]
        np.testing.assert_array_equal(stats["conv3"]["bn"][path], wanted)
    count = stats["conv3"]["bn"]["count"]
    assert count.dtype == np.int32
    assert int(count) == int(before["backbone.conv3.1.num_batches_tracked"])


def test_missing_counts_are_zero_and_the_parallel_prefix_is_dropped():
    spec = shapes("alexnet-v1")
    before = state_dict(spec)
    short = {f"module.{k}": v for k, v in before.items() if not k.endswith("tracked")}
    tracker = zoo.tracker("siamfc-alexnet-v1")
    variables = weights.from_torch(short, tracker)
    assert int(variables["batch_stats"]["backbone"]["conv1"]["bn"]["count"]) == 0
    after = weights.to_torch(variables, tracker)
    assert after["backbone.conv4.1.num_batches_tracked"].dtype == np.int64
    assert sorted(after) == sorted(before)


@pytest.mark.parametrize("loss", ["balanced", "ghm"])
def test_narrow_trackers_and_every_loss(loss):
    tracker = dataclasses.replace(TRACKER, loss_name=loss)
    variables = draw(tracker)
    back = weights.from_torch(weights.to_torch(variables, tracker), tracker)
    own = variables["batch_stats"].pop("ghm", None)
    if own is not None:
        assert not np.asarray(back["batch_stats"].pop("ghm")).any()
    assert (own is None) == (loss == "balanced")
    assert equal(back, variables)


def message(spec, tracker):
    with pytest.raises(ValueError, match="checkpoint does not fit") as caught:
        weights.from_torch(state_dict(spec), tracker)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("got", list(WIDTHS))
@pytest.mark.parametrize("asked", list(WIDTHS))
def test_the_wrong_version_is_named(got, asked):
    if got == asked:
        return
    text = message(shapes(got), zoo.tracker(f"siamfc-{asked}"))
    assert text.startswith(f"checkpoint does not fit siamfc-{asked}: ")
    assert text.endswith(f"; looks like siamfc-{got}")


def test_first_differences_are_named():
    spec = shapes("alexnet-v1")
    for i in range(1, 6):
        del spec[f"backbone.conv{i}.0.bias"]
    spec |= {"head.a": (1,), "head.b": (2,)}
    spec["backbone.conv1.0.weight"] = (96, 3, 7, 7)
    assert message(spec, zoo.tracker("siamfc-alexnet-v1")) == (
        "checkpoint does not fit siamfc-alexnet-v1: 5 missing: backbone.conv1.0.bias,"
        " backbone.conv2.0.bias, backbone.conv3.0.bias, ...; 2 unexpected: head.a, head.b;"
        " 1 of wrong shape: backbone.conv1.0.weight (got (96, 3, 7, 7), expected (96, 3, 11, 11));"
        " looks like a siamfc-pytorch checkpoint"
    )


@pytest.mark.parametrize(
    ("key", "origin"),
    [
        ("ban_head.cls_pred.99.weight", "a NanoTrack or SiamBAN checkpoint"),
        ("rpn_head.rpn7.cls.head.3.weight", "a PySOT checkpoint"),
        ("features.features.layer1.0.conv1.weight", "a SiamMask checkpoint"),
        ("featureExtract.99.weight", "a DaSiamRPN checkpoint"),
        ("_blocks.3._bn0.weight", "an EfficientNet checkpoint"),
        ("layer1.0.conv1.weight", "a ResNet checkpoint"),
    ],
)
def test_foreign_checkpoints_are_named(key, origin):
    text = message({key: (2,)}, TRACKER)
    assert text.endswith(f"; looks like {origin}")
    assert "does not fit siamfc (alexnet-v1): 26 missing: " in text


def test_unknown_names_get_no_guess():
    assert "looks like" not in message({"x": (1,)}, TRACKER)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("backbone.conv1.0.bias", np.float32([np.nan] * 96), "holds NaN or infinite values"),
        ("backbone.conv1.0.bias", np.float64([1e39] * 96), "holds NaN or infinite values"),
        ("backbone.conv1.0.bias", np.zeros(96, np.int64), "dtype int64, expected float32"),
        ("backbone.conv1.0.bias", np.zeros(96, np.complex64), "dtype complex64"),
        ("backbone.conv1.1.num_batches_tracked", np.float32(1), "dtype float32, expected int32"),
        ("backbone.conv1.1.num_batches_tracked", np.int64(2**31), "is 2147483648, expected 0 to"),
        ("backbone.conv1.1.num_batches_tracked", np.int64(-1), "is -1, expected 0 to"),
    ],
)
def test_values_that_cannot_be_weights(key, value, text):
    wrong = state_dict(shapes("alexnet-v1")) | {key: value}
    with pytest.raises(ValueError, match=f"{key} .*{text}"):
        weights.from_torch(wrong, zoo.tracker("siamfc-alexnet-v1"))


def test_half_precision_checkpoints_become_float32():
    before = state_dict(shapes("alexnet-v1"))
    before["backbone.conv1.0.bias"] = np.arange(96, dtype=np.float16)
    variables = weights.from_torch(before, zoo.tracker("siamfc-alexnet-v1"))
    bias = variables["params"]["backbone"]["conv1"]["conv"]["bias"]
    assert bias.dtype == np.float32
    np.testing.assert_array_equal(bias, np.arange(96))


def test_variables_of_another_tracker_are_not_exported():
    wrong = draw(TRACKER)
    kernel = wrong["params"]["backbone"]["conv3"]["conv"]
    kernel["kernel"] = kernel["kernel"][:, :, :1]
    with pytest.raises(ValueError, match="1 of wrong shape: params/backbone/conv3/conv/kernel"):
        weights.to_torch(wrong, TRACKER)


def test_trackers_without_a_published_form():
    own = ("siamfc-lite", "siammask-lite", "anchorfree-lite")
    for name in own:
        with pytest.raises(ValueError, match=rf"{name} has no PyTorch names; .*siamfc-alexnet-v1"):
            weights.from_torch({}, zoo.tracker(name))
    assert weights.convertible() == [name for name in zoo.names() if name not in own]


def test_from_the_file_to_the_variables(tmp_path):
    before = state_dict(shapes("alexnet-v2"))
    path = tmp_path / "siamfc.pth"
    path.write_bytes(
        tw.zip_bytes({"model": tw.tensors({f"module.{k}": before[k] for k in before})})
    )
    tracker = zoo.tracker("siamfc-alexnet-v2")
    variables = weights.from_torch(weights.read_torch(path), tracker)
    assert equal(variables, weights.from_torch(before, tracker))


def test_rules_must_name_every_module_once():
    leaf = jax.ShapeDtypeStruct((1, 2), np.float32)
    shape = {"params/a/kernel": leaf, "params/b/kernel": leaf}
    with pytest.raises(ValueError, match="small has no PyTorch name for the module 'b'"):
        names.entries(shape, names.Family("small", ((r"a", "x"),)))
    with pytest.raises(
        ValueError, match=r"params/b/kernel and params/a/kernel are both 'x\.weight'"
    ):
        names.entries(shape, names.Family("small", ((r"a|b", "x"),)))
    (entry, _) = names.entries(shape, names.Family("small", ((r"(a|b)", r"x.\1"),)))
    assert entry == names.Entry("x.a.weight", "params/a/kernel", "dense", (2, 1), np.float32)


def test_names_come_in_the_order_of_the_module():
    leaf = jax.ShapeDtypeStruct((2,), np.float32)
    paths = ["x10/bias", "x10/scale", "x9/mean", "x9/bias", "z/scale", "y/scale", "x9/count"]
    shapes = {f"params/{path}": leaf for path in paths}
    family = names.Family("small", ((r"(.*)", r"net.\1"),), order=("z", "x9"))
    keys = [entry.key.removeprefix("net.") for entry in names.entries(shapes, family)]
    assert keys == ["z.weight", "x9.bias", "x9.running_mean", "x9.num_batches_tracked",
                    "x10.weight", "x10.bias", "y.weight"]  # fmt: skip


def test_whether_rules_can_give_a_name_at_all():
    rules = ((r"a/(\d)/b", r"x.\1.b"), (r"c(d)", r"y\g<1>"))
    family = names.Family("small", rules, ignored=r"z\.")
    zeros = dict.fromkeys
    assert names.may_hold(zeros(["x.7.b.weight", "yd.bias", "z.any.thing"]), family)
    for name in ("x.7.b", "x.7.b.weight.more", "x.7.c.weight", "x.7x8.b", "xx7xb.weight", "y.bias"):
        assert not names.may_hold(zeros([name]), family), name


def test_names_with_a_slash_are_refused():
    with pytest.raises(ValueError, match="name 'a/b'"):
        names.flatten({"params": {"a/b": 1}})
