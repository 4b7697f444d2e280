"""DaSiamRPN's network with the idea of its training: pairs of two objects, and stills as pairs.

Result      NOT RUN HERE: GOT-10k (66 GB) and COCO (19 GB) are not at hand.
Published   its repository names for the weights of this size: EAO 0.355 on VOT2018 (0.383 for the
            big model), and AUC 0.655 on OTB-2015 with the constants for OTB.
Hardware    16 GPUs assumed.
Command     siamjax train dasiamrpn --data DATA --backbone alexnet-bn.pth

The authors did not release their training. This is not a reproduction: settings of PySOT's AlexNet
(siamrpn_alexnet), 20 % negative pairs as PySOT took them over from DaSiamRPN, half of them,
as the paper has it, of two objects of one category; still pictures as pairs of themselves; searches
of 271 px.
"""

from siamjax.track import zoo
from siamjax.train import pysot
from siamjax.train.schedule import WarmupLog

RECIPE = pysot.recipe(
    "dasiamrpn",
    zoo.dasiamrpn("vot"),
    WarmupLog(first=2.5e-3, peak=5e-3, last=2.5e-4, warmup=5, epochs=50),
    gpus=16,
    batch=128,
    layers=("conv4", "conv5"),
    lr_multiplier=1.0,
    negative=0.2,
    kin=0.5,
)
