"""Weights: safe files of this package, and published PyTorch checkpoints read without PyTorch."""

from siamjax.weights.convert import convertible, from_torch, layout_of, to_torch
from siamjax.weights.store import TORCH_SUFFIXES, bundled, load, locate, read, save, title
from siamjax.weights.torch_file import read_file, read_torch

__all__ = [
    "TORCH_SUFFIXES",
    "bundled",
    "convertible",
    "from_torch",
    "layout_of",
    "load",
    "locate",
    "read",
    "read_file",
    "read_torch",
    "save",
    "title",
    "to_torch",
]
