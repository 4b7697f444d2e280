"""PyTorch names of SiamMask: PySOT's, and those of its authors for both variants.

`pysot` is `pysot.of_net` with `mask_head.*` and `refine_head.*`. `siammask` has the same modules
under `features.features` (backbone), `features.downsample` (neck), `rpn_model`, `mask_model.mask`
and `refine_model`. PyTorch counts the refinement's stages from the shallowest, v0, to v2; `level_0`
is v2. Source: PySOT and foolwood/SiamMask, names alone.
"""

from typing import Any

from siamjax.models.siammask import SiamMaskNet
from siamjax.track.siamrpn import SiamRPN
from siamjax.weights import names, pysot

_MASK = (
    (r"mask_head/(conv_kernel|conv_search)/conv", r"mask_head.\1.0"),
    (r"mask_head/(conv_kernel|conv_search)/bn", r"mask_head.\1.1"),
    (r"mask_head/fuse/conv", r"mask_head.head.0"),
    (r"mask_head/fuse/bn", r"mask_head.head.1"),
    (r"mask_head/out", r"mask_head.head.3"),
)
# PySOT's prefixes, and the authors'.
_PREFIXES = (
    ("backbone.", "features.features."),
    ("neck.", "features."),
    ("rpn_head", "rpn_model"),
    ("mask_head.", "mask_model.mask."),
    ("refine_head.", "refine_model."),
)
_ORDER = ("mask_head", "refine_head", "features", "downsample", "rpn_model", "mask_model")
_ORDER += ("refine_model", "v0", "v1", "v2", "h2", "h1", "h0", "deconv")


def _refine(levels: int) -> tuple[tuple[str, str], ...]:
    """Give the rules of the refinement: two convolutions a stage on either side, and one after."""
    rules = [(r"refine_head/deconv", r"refine_head.deconv")]
    for level in range(levels):
        here, stage = rf"refine_head/level_{level}", levels - 1 - level
        rules.append((rf"{here}/post", rf"refine_head.post{level}"))
        for ours, theirs in (("window", "v"), ("inner", "h")):
            rules.append((rf"{here}/{ours}1", rf"refine_head.{theirs}{stage}.0"))
            rules.append((rf"{here}/{ours}2", rf"refine_head.{theirs}{stage}.2"))
    return tuple(rules)


def _of_authors(module: str) -> str:
    """Turn PySOT's name of a module into that of SiamMask's authors."""
    pysots, authors = next(pair for pair in _PREFIXES if module.startswith(pair[0]))
    return authors + module.removeprefix(pysots)


def of_net(net: SiamMaskNet) -> names.Family | None:
    """Give the names for a network, None for a backbone that PySOT does not have.

    The usual layout is that of the published checkpoint: of the sharp variant PySOT's, which its
    authors publish under their own names too, of the base variant the authors'.
    """
    base = pysot.of_net(net)
    if base is None:
        return None
    rules = base.rules + _MASK + _refine(len(net.refine_levels))
    first = names.Family("pysot", rules, order=base.order + _ORDER)
    renamed = tuple((path, _of_authors(module)) for path, module in rules)
    second = names.Family("siammask", renamed, order=base.order + _ORDER)
    if not net.refined:
        first, second = second, first
    return first._replace(also=(second,))


def family(tracker: Any) -> names.Family | None:
    """Give the names for a SiamMask on a backbone of PySOT's, None for any other tracker."""
    if not isinstance(tracker, SiamRPN) or not isinstance(tracker.net, SiamMaskNet):
        return None
    return of_net(tracker.net)
