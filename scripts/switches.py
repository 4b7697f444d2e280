"""Compare a region tracker with and without distractor memory and the local-to-global search.

    python scripts/switches.py --model nanotrack.npz --data CLIPS --clips a b c

Prints the success AUC of every clip for the tracker as it is, with distractors learnt (`aware`),
with wider searches while lost (`wider`), and with both, one JSON line each.

NanoTrack v2 with its published weights on the 30 clips of DAVIS-2016 train, the options below: mean
0.708 plain, 0.700 aware, 0.716 wider, 0.706 both. Memory of distractors helps where look-alikes
stand beside the target (flamingo 0.570 to 0.626, mallard-fly 0.471 to 0.544) and harms elsewhere
(rollerblade 0.649 to 0.290); wider searches help where the target is lost for a while (bmx-bumps
0.507 to 0.621, mallard-fly 0.471 to 0.599).
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import tyro

import siamjax as sj
from siamjax import tune
from siamjax.data.readers import folder
from siamjax.evaluate.onepass import choose
from siamjax.track.distractors import Aware
from siamjax.track.region import RegionTracker


@dataclass(frozen=True)
class Command:
    """The switches and what they are compared on."""

    model: str
    """Weights file of a region tracker (.npz)."""
    data: Path
    """Folder of sequence folders: training clips."""
    clips: tuple[str, ...] = ()
    """Names of the clips; all without it."""
    lost_below: float = 0.5
    """Lost where the score is lower."""
    found_above: float = 0.8
    """Found again where it is higher."""
    wider: tuple[int, ...] = (383, 511)
    """Sides of the search crops while lost, pixels."""
    score: float = 0.7
    """A proposal may be a distractor above this score."""
    weight: float = 0.5
    """Of the distractors' score against the target's."""


def run(command: Command) -> None:
    """Track every clip with every combination."""
    tracker, variables = sj.load(command.model)
    if not isinstance(tracker, RegionTracker):
        raise ValueError(f"model: expected a region tracker, got {type(tracker).__name__}")
    aware = {"aware": Aware(score=command.score, weight=command.weight)}
    wider = {
        "wider": command.wider,
        "lost_below": command.lost_below,
        "found_above": command.found_above,
    }
    clips = choose(folder.read(command.data), command.clips)
    for name, switches in {
        "plain": {},
        "aware": aware,
        "wider": wider,
        "both": aware | wider,
    }.items():
        switched = dataclasses.replace(tracker, **switches)
        scores = {
            clip.name: round(tune.alone(switched, variables, [clip], switched.hyper())[0], 4)
            for clip in clips
        }
        mean = round(sum(scores.values()) / len(scores), 4)
        print(json.dumps({"switches": name, "mean": mean, "clips": scores}), flush=True)


if __name__ == "__main__":
    run(tyro.cli(Command))
