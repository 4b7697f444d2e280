"""SiamRPN++ with MobileNetV2: the network of PySOT's siamrpn_mobilev2_l234_dwxcorr.

Result      NOT RUN HERE: GOT-10k (66 GB) and COCO (19 GB) are not at hand.
Published   PySOT's model zoo names for its own weights, trained on VID, YouTube-BB, COCO and DET:
            EAO 0.455 on VOT2016, 0.410 on VOT2018, 0.292 on VOT2019.
Hardware    8 GPUs assumed.
Command     siamjax train siamrpnpp_mobilenetv2 --data DATA --backbone mobilenet_v2.model

PySOT published the network and its tracking constants but no training configuration of it: these
are the settings of siamrpnpp_resnet50, and layer4 to layer7, which are trained from epoch 10 on,
are this project's choice. The backbone is PySOT's ImageNet MobileNetV2 of width 1.4.
"""

from siamjax.track import zoo
from siamjax.train import pysot
from siamjax.train.schedule import WarmupLog

RECIPE = pysot.recipe(
    "siamrpnpp_mobilenetv2",
    zoo.siamrpnpp("mobilenetv2"),
    WarmupLog(first=1e-3, peak=5e-3, last=5e-4, warmup=5, epochs=20),
    gpus=8,
    batch=28,
    layers=("layer4", "layer5", "layer6", "layer7"),
)
