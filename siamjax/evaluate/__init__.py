"""Scoring trackers: `run` boxes by the measures of `ope`, `segment` masks by those of `vos`."""

from siamjax.evaluate.ope import CONVENTIONS, Scores
from siamjax.evaluate.run import evaluate, evaluate_boxes, score

__all__ = ["CONVENTIONS", "Scores", "evaluate", "evaluate_boxes", "score"]
