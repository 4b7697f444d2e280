"""Scoring trackers: `ope` the measures, `run` a tracker over clips, `report` a page to look at."""

from siamjax.evaluate.ope import CONVENTIONS, Scores
from siamjax.evaluate.run import evaluate, evaluate_boxes, score

__all__ = ["CONVENTIONS", "Scores", "evaluate", "evaluate_boxes", "score"]
