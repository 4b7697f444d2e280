"""Metric learning: towers, distances, models of two towers, and how they are judged."""
