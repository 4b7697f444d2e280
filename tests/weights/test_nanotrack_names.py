import jax
import numpy as np
import pytest
from small import draw, equal
from test_convert import state_dict
from test_pysot_names import identical, keys

from siamjax import weights
from siamjax.track import zoo
from siamjax.track.nanotrack import NanoTrack


def version_2():
    """Shapes of the published version 2, from version 3's and REFERENCE 1.10."""
    spec = {
        key: shape
        for key, shape in keys("nanotrack_v3").items()
        if not any(part in key for part in ("features.9", "corr_dw", ".conv.", "tower", "down_"))
        or (key.startswith("backbone.features.") and "features.9" not in key)
    }
    narrow = lambda shape: tuple(48 if size == 96 else size for size in shape)
    spec |= {key: narrow(shape) for key, shape in spec.items() if "corr_pw" in key}
    spec["neck.downsample.0.weight"] = (64, 64, 1, 1)
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        spec[f"neck.downsample.1.{leaf}"] = (64,)
    for leaf in ("weight", "bias"):
        spec[f"ban_head.cls_pred.0.{leaf}"] = spec.pop(f"ban_head.cls_logits.0.{leaf}")
    for tower in ("cls_pw_tower", "bbox_pw_tower"):
        for block in range(6):
            at, inputs = f"ban_head.{tower}", 64 if block == 0 else 96
            spec[f"{at}.{4 * block}.weight"] = (inputs, 1, 3, 3)
            spec[f"{at}.{4 * block + 1}.weight"] = (96, inputs, 1, 1)
            for leaf in ("weight", "bias", "running_mean", "running_var"):
                spec[f"{at}.{4 * block + 2}.{leaf}"] = (96,)
            spec[f"{at}.{4 * block + 2}.num_batches_tracked"] = ()
    return spec


SPECS = {"nanotrack-v2": version_2, "nanotrack-v3": lambda: keys("nanotrack_v3")}


@pytest.mark.parametrize(("name", "count"), [("nanotrack-v2", 298), ("nanotrack-v3", 438)])
def test_published_names_round_trip(name, count):
    tracker, before = zoo.tracker(name), state_dict(SPECS[name]())
    assert len(before) == count
    after = weights.to_torch(weights.from_torch(before, tracker), tracker)
    assert identical(after, {key: before[key] for key in after})
    assert len(after) == count


@pytest.mark.parametrize("version", [2, 3])
def test_strangers_files_round_trip_in_their_order(shared, version):
    before = weights.read_torch(shared / "weights" / "nanotrack" / f"nanotrackv{version}.pth")
    tracker = zoo.nanotrack(version)
    after = weights.to_torch(weights.from_torch(before, tracker), tracker)
    assert list(after) == list(before)
    assert identical(after, before)
    assert np.any(after["neck.downsample.0.weight"])  # which nothing uses
    assert set(SPECS[f"nanotrack-v{version}"]()) == set(before)


def test_values_land_where_they_belong():
    before = state_dict(keys("nanotrack_v3"))
    params = weights.from_torch(before, zoo.nanotrack(3))["params"]
    block = params["backbone"]["block5"]
    pairs = {
        "backbone.features.5.conv.0.weight": block["expand"]["conv"]["kernel"],
        "backbone.features.5.conv.3.weight": block["depthwise"]["conv"]["kernel"],
        "backbone.features.5.conv.7.weight": block["project"]["conv"]["kernel"],
        "ban_head.corr_pw_reg.conv_search.0.weight": params["loc"]["pixel_search"]["conv"][
            "kernel"
        ],
        "ban_head.corr_dw_cls.conv_kernel.0.weight": params["cls"]["depth_kernel"]["conv"][
            "kernel"
        ],
        "ban_head.bbox_tower.15.weight": params["loc"]["blocks_3"]["depth"]["kernel"],
        "ban_head.cls_tower.28.weight": params["cls"]["blocks_5"]["point"]["conv"]["kernel"],
        "ban_head.cls_logits.0.weight": params["cls"]["out"]["kernel"],
    }
    for key, kernel in pairs.items():
        np.testing.assert_array_equal(np.transpose(kernel, (3, 2, 0, 1)), before[key], key)
    dense = params["backbone"]["block1"]["squeeze"]["expand"]["kernel"]
    np.testing.assert_array_equal(dense.T, before["backbone.features.1.conv.3.fc.2.weight"])


def test_parallel_prefix_and_optimizer_beside_the_weights(tmp_path):
    torch = pytest.importorskip("torch")
    before = state_dict(keys("nanotrack_v3"))
    tensors = {f"module.{key}": torch.from_numpy(np.array(a)) for key, a in before.items()}
    torch.save({"epoch": 3, "state_dict": tensors, "optimizer": {}}, tmp_path / "one.pth")
    variables = weights.from_torch(weights.read_torch(tmp_path / "one.pth"), zoo.nanotrack(3))
    assert equal(variables, weights.from_torch(before, zoo.nanotrack(3)))


@pytest.mark.parametrize(("got", "asked"), [(2, 3), (3, 2)])
def test_the_wrong_version_is_named(got, asked):
    before = state_dict(SPECS[f"nanotrack-v{got}"]())
    with pytest.raises(ValueError, match=f"does not fit nanotrack-v{asked}") as caught:
        weights.from_torch(before, zoo.nanotrack(asked))
    assert str(caught.value).endswith(f"; looks like nanotrack-v{got}")


@pytest.mark.parametrize("version", [2, 3])
def test_narrow_trackers_round_trip(version):
    tracker = NanoTrack(version=version, width=0.2)
    variables = draw(tracker)
    back = weights.from_torch(weights.to_torch(variables, tracker), tracker)
    assert equal(back, jax.tree.map(np.asarray, variables))
