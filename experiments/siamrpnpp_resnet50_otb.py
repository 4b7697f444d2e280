"""SiamRPN++ with ResNet-50 for OTB: PySOT's siamrpn_r50_l234_dwxcorr_otb, 8-GPU settings.

Result      NOT RUN HERE: GOT-10k (66 GB) and COCO (19 GB) are not at hand.
Published   PySOT's model zoo names for its own weights, trained on VID, YouTube-BB, COCO and DET:
            AUC 0.696 and precision 0.914 on OTB-2015.
Hardware    8 GPUs there.
Command     siamjax train siamrpnpp_resnet50_otb --data DATA --backbone resnet50.model

As siamrpnpp_resnet50, but: levels averaged without weights, batches of 8 x 16, learning rate down
to 2.5e-3 only, layer1 to layer4 trained from epoch 10 on, a fifth of the pairs without colours.
"""

from siamjax.track import zoo
from siamjax.train import pysot
from siamjax.train.schedule import WarmupLog

RECIPE = pysot.recipe(
    "siamrpnpp_resnet50_otb",
    zoo.siamrpnpp(preset="otb"),
    WarmupLog(first=1e-3, peak=5e-3, last=2.5e-3, warmup=5, epochs=20),
    gpus=8,
    batch=16,
    layers=("layer1", "layer2", "layer3", "layer4"),
    gray=0.2,
)
