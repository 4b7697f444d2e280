"""SiamRPN++ with ResNet-50: PySOT's siamrpn_r50_l234_dwxcorr, 8-GPU settings, for VOT.

Result      NOT RUN HERE: GOT-10k (66 GB) and COCO (19 GB) are not at hand.
Published   PySOT's model zoo names for its own weights, trained on VID, YouTube-BB, COCO and DET:
            EAO 0.464 on VOT2016, 0.415 on VOT2018, 0.287 on VOT2019.
Hardware    8 GPUs there.
Command     siamjax train siamrpnpp_resnet50 --data DATA --backbone resnet50.model

DATA holds `GOT-10k/train` and `coco/{annotations,train2017}`; the backbone is PySOT's own ImageNet
ResNet-50 (torchvision's does not fit). 20 epochs of 600,000 pairs in batches of 8 x 28; learning
rate 1e-3 to 5e-3 in five epochs, then down to 5e-4; layer2 to layer4 train from epoch 10 on, at a
tenth of it; searches shifted by up to 64 px (the spatial-aware sampling of SiamRPN++); 20 %
negative pairs. Data and details differ from PySOT's as siamjax/train/pysot.py says.
"""

from siamjax.track import zoo
from siamjax.train import pysot
from siamjax.train.schedule import WarmupLog

RECIPE = pysot.recipe(
    "siamrpnpp_resnet50",
    zoo.siamrpnpp(),
    WarmupLog(first=1e-3, peak=5e-3, last=5e-4, warmup=5, epochs=20),
    gpus=8,
    batch=28,
    layers=("layer2", "layer3", "layer4"),
)
