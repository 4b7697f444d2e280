"""Scoring trackers."""
