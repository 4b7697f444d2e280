"""The backbone's weights are replaced, the rest stays."""

import jax
import numpy as np

from siamjax.models.efficientnet import EfficientNetLite0
from siamjax.train import pretrained
from siamjax.weights import efficientnet


def drawn(blocks, fill):
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    shapes = jax.eval_shape(EfficientNetLite0(blocks).init, jax.random.key(0), image)
    return jax.tree.map(lambda leaf: np.full(leaf.shape, fill, leaf.dtype), shapes)


def test_the_backbone_is_that_of_the_file(monkeypatch):
    fresh = {name: {"backbone": part, "head": 5} for name, part in drawn(2, 0).items()}
    state_dict = efficientnet.to_torch(drawn(3, 1))
    monkeypatch.setattr("siamjax.weights.read_torch", lambda path: {path.name: state_dict}["a.pth"])
    path = pretrained.Path("a.pth")
    got = pretrained.efficientnet_lite0(fresh, path)
    assert got["params"]["head"] == 5
    backbone = {name: part["backbone"] for name, part in got.items()}
    jax.tree.map(np.testing.assert_array_equal, backbone, drawn(2, 1))
    assert pretrained.efficientnet_lite0(fresh, None) is fresh
