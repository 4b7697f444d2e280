"""SiamRPN++ for long-term tracking: the network of PySOT's siamrpn_r50_l234_dwxcorr_lt.

Result      NOT RUN HERE: GOT-10k (66 GB) and COCO (19 GB) are not at hand.
Published   PySOT's model zoo names for its own weights, trained on VID, YouTube-BB, COCO and DET:
            F1 0.629 on VOT2018-LT.
Hardware    8 GPUs assumed.
Command     siamjax train siamrpnpp_longterm --data DATA --backbone resnet50.model

PySOT published the network (128, 256 and 512 channels) and its tracking constants but no training
configuration of it: these are the settings of siamrpnpp_resnet50. Searches of 831 px while the
target is lost are a matter of tracking; training sees 255 px.
"""

from siamjax.track import zoo
from siamjax.train import pysot
from siamjax.train.schedule import WarmupLog

RECIPE = pysot.recipe(
    "siamrpnpp_longterm",
    zoo.siamrpnpp(preset="longterm"),
    WarmupLog(first=1e-3, peak=5e-3, last=5e-4, warmup=5, epochs=20),
    gpus=8,
    batch=28,
    layers=("layer2", "layer3", "layer4"),
)
