"""SiamMask, first stage: boxes and the head's own masks; the authors' siammask_base.

Result      NOT RUN HERE: GOT-10k (66 GB) and COCO (19 GB) are not at hand.
Published   Wang et al., 2019, for their own weights, trained on COCO, VID, DET and YouTube-VOS: see
            siammask_resnet50_sharp, the second stage.
Hardware    4 GPUs there, one batch of 64 split over them.
Command     siamjax train siammask_resnet50_base --data DATA --backbone resnet50.model

DATA holds `GOT-10k/train` and `coco/{annotations,train2017}`; GOT-10k, in place of VID, DET and
YouTube-VOS, has boxes alone, so that COCO alone teaches masks. The backbone is PySOT's ImageNet
ResNet-50. 20 epochs of 600,000 pairs; learning rate 1e-3 to 5e-3 in five epochs, then down to
2.5e-3; layer2 and layer3 train from epoch 10 on, at a tenth of it. Losses of score, box and mask
weigh 1, 1.2 and 36; a quarter of the pairs is grey, a fifth shows two objects.
"""

from siamjax.track import zoo
from siamjax.train import pysot
from siamjax.train.schedule import WarmupLog

RECIPE = pysot.recipe(
    "siammask_resnet50_base",
    zoo.siammask("base"),
    WarmupLog(first=1e-3, peak=5e-3, last=2.5e-3, warmup=5, epochs=20),
    gpus=1,
    batch=64,
    layers=("layer2", "layer3"),
    gray=0.25,
    blur=0.18,
    masks=True,
)
