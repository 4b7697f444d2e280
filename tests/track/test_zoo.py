import dataclasses
import inspect
import json

import pytest

from siamjax.track import zoo
from siamjax.track.siamfc import SiamFC


@pytest.mark.parametrize("name", zoo.names())
def test_described_trackers_build_again(name):
    tracker = zoo.tracker(name)
    family, config = zoo.describe(tracker)
    family, config = json.loads(json.dumps([family, config], allow_nan=False))
    assert zoo.build(family, config) == tracker
    assert hash(zoo.build(family, config)) == hash(tracker)


def test_names():
    assert zoo.names() == [
        "siamfc-alexnet-v1",
        "siamfc-alexnet-v1-5s",
        "siamfc-alexnet-v2",
        "siamfc-alexnet-v3",
        "siamfc-lite",
        "siamrpn-alexnet-up",
        "siamrpn-alexnet-dw",
        "siamrpnpp-resnet50",
        "siamrpnpp-resnet50-otb",
        "siamrpnpp-resnet50-longterm",
        "siamrpnpp-mobilenetv2",
        "dasiamrpn-vot",
        "dasiamrpn-otb",
        "dasiamrpn-big",
        "nanotrack-v2",
        "nanotrack-v3",
        "siammask-sharp",
        "siammask-base",
        "siammask-lite",
        "anchorfree-lite",
    ]
    assert zoo.tracker("siamfc-alexnet-v2").backbone == "alexnet-v2"
    assert zoo.tracker("siamfc-lite").pyramid == "template"
    assert len({zoo.tracker(name) for name in zoo.names()}) == len(zoo.names())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: zoo.tracker("siamfc-alexnet-v4"), r"did you mean 'siamfc-alexnet-v"),
        (lambda: zoo.tracker("zzz"), r"unknown tracker 'zzz': known are siamfc-alexnet-v1, "),
        (lambda: zoo.build("siamfcc", {}), "unknown tracker family 'siamfcc': did you mean 'siam"),
        (lambda: zoo.build("siamfc", {"colour": 1}), "siamfc has no setting colour"),
        (lambda: SiamFC("vgg"), "backbone: expected one of .*alexnet-v1.* got 'vgg'"),
        (lambda: SiamFC(scales=4), "scales: expected an odd number of at least 1, got 4"),
        (lambda: SiamFC(scales=-1), "scales: expected an odd number"),
        (lambda: SiamFC(template_rate=1.5), "template_rate: expected 0 to 1, got 1.5"),
    ],
)
def test_wrong_names_and_settings(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_only_trackers_are_described():
    with pytest.raises(ValueError, match=r"expected one of \['anchorfree', .*\], got str"):
        inspect.unwrap(zoo.describe)("siamfc")


def test_trackers_are_values():
    first, second = SiamFC(width=0.5), dataclasses.replace(SiamFC(), width=0.5)
    assert first == second
    assert hash(first) == hash(second)
    assert first != SiamFC()


@pytest.mark.parametrize("setting", [{"pyramid": "both"}, {"loss_name": "l2"}])
def test_wrong_words_without_the_tests_check_of_annotations(setting):
    tracker = SiamFC()
    for name, value in setting.items():
        object.__setattr__(tracker, name, value)
        with pytest.raises(ValueError, match=f"{name}: expected "):
            tracker.__post_init__()
