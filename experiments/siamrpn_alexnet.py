"""SiamRPN with AlexNet and the depthwise head: PySOT's siamrpn_alex_dwxcorr, 16-GPU settings.

Result      NOT RUN HERE: GOT-10k (66 GB) and COCO (19 GB) are not at hand.
Published   PySOT's model zoo names for its own weights, trained on VID, YouTube-BB, COCO and DET:
            EAO 0.393 on VOT2016, 0.352 on VOT2018, 0.260 on VOT2019.
Hardware    16 GPUs there.
Command     siamjax train siamrpn_alexnet --data DATA --backbone alexnet-bn.pth

DATA holds `GOT-10k/train` and `coco/{annotations,train2017}`; the backbone is PySOT's ImageNet
AlexNet. 50 epochs of 600,000 pairs in batches of 16 x 128; learning rate 2.5e-3 to 5e-3 in five
epochs, then down to 2.5e-4 (the configuration says twice as much, and PySOT halves it); conv4 and
conv5 train from epoch 10 on, at the full rate; 5 % negative pairs; search crops of 255 px in
training, 287 in tracking. Data and details differ from PySOT's as siamjax/train/pysot.py says.
"""

from siamjax.track import zoo
from siamjax.train import pysot
from siamjax.train.schedule import WarmupLog

RECIPE = pysot.recipe(
    "siamrpn_alexnet",
    zoo.siamrpn("depthwise"),
    WarmupLog(first=2.5e-3, peak=5e-3, last=2.5e-4, warmup=5, epochs=50),
    gpus=16,
    batch=128,
    layers=("conv4", "conv5"),
    lr_multiplier=1.0,
    negative=0.05,
    search_size=255,
)
