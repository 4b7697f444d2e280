"""What an evaluation was made with: weights, configuration, constants, machine, versions."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import siamjax
from siamjax.evaluate import store
from siamjax.typing import Variables


class Maker(NamedTuple):
    """What answers are made with: they are made anew when any of it, or the clip, changes."""

    sha256: str
    """Of the variables."""
    tracker: str
    """Its configuration, `repr` of the tracker."""
    hyper: dict[str, Any] | None
    """Tracking constants by name, as JSON can hold them."""

    def key(self, *clip: Any) -> str:
        """Hash this together with what tells a clip and its start, JSON-ready."""
        made_with = {
            "siamjax": siamjax.__version__,
            "variables": self.sha256,
            "tracker": self.tracker,
            "hyper": self.hyper,
            "sequence": clip,
        }
        return store.key(made_with)

    def header(self) -> dict[str, Any]:
        """Give the part of `results.json` that tells it."""
        return {"model_sha256": self.sha256, "tracker": self.tracker, "hyper": self.hyper}


def maker(tracker: Any, variables: Variables, hyper: Any = None) -> Maker:
    """Describe a tracker with its weights and constants, the preset's by default."""
    chosen = hyper if hyper is not None else getattr(tracker, "hyper", lambda: None)()
    constants = None
    if chosen is not None:
        values = {name: np.asarray(value).tolist() for name, value in chosen._asdict().items()}
        constants = {n: str(v) if v in (np.inf, -np.inf) else v for n, v in values.items()}
    return Maker(store.digest(variables), repr(tracker), constants)


def described(
    numbers: Mapping[str, Any],
    made: Maker | None = None,
    *,
    model: str = "",
    data: str = "",
    format: str = "",
) -> dict[str, Any]:
    """Give what `results.json` holds: numbers, between what they were made with and made on.

    Args:
        numbers: JSON-ready.
        made: of the tracker; None for stored answers.
        model: name of the tracker.
        data: name of the dataset.
        format: of the dataset.
    """
    header = {} if made is None else made.header()
    about = {"model": model, "data": data, "format": format}
    return {**about, **header, **numbers, "hardware": hardware(), "versions": versions()}


def hardware() -> str:
    """Name the processor, its cores and the accelerator."""
    device = jax.devices()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    accelerator = "" if device.platform == "cpu" else f", {device.device_kind}"
    return f"{processor}, {cores} cores{accelerator}"


def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that answers depend on."""
    packages = ("jax", "flax", "numpy", "opencv-python-headless", "opencv-python", "av")
    versions = {"siamjax": siamjax.__version__, "python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
