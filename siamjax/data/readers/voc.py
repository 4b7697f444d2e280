"""Annotations in PASCAL VOC's XML, as ImageNet's are: one file a picture.

Corners are whole pixels, 0-based, and belong to the box: its width is `xmax - xmin + 1`.
"""

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Item(NamedTuple):
    """One annotated object."""

    name: str
    """Its category."""
    box: tuple[float, float, float, float]
    """(x, y, width, height), pixels."""
    track: str
    """Number of the object in its clip; empty where there is none."""
    flags: frozenset[str]
    """Those of the object's elements that are 1: occluded, generated, truncated, difficult."""


class Annotation(NamedTuple):
    """What is known of one picture."""

    size: tuple[int, int] | None
    """(width, height), pixels."""
    items: list[Item]


FLAGS = ("occluded", "generated", "truncated", "difficult")


def _item(element: ET.Element) -> Item:
    values = {part.tag: part.text or "" for part in element.iter()}
    left, top = float(values["xmin"]), float(values["ymin"])
    box = (left, top, float(values["xmax"]) - left + 1, float(values["ymax"]) - top + 1)
    flags = frozenset(flag for flag in FLAGS if values.get(flag, "").strip() == "1")
    return Item(values["name"].strip(), box, values.get("trackid", "").strip(), flags)


def read(path: str | os.PathLike[str]) -> Annotation:
    """Read one file.

    Raises:
        ValueError: naming the file, and the line where it is not XML: unreadable, or an object
            without name or corners.
    """
    try:
        with open(path, "rb") as file:
            root = ET.fromstring(file.read())
        width, height = root.findtext("size/width"), root.findtext("size/height")
        size = (int(width), int(height)) if width and height else None
        return Annotation(size, [_item(element) for element in root.findall("object")])
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except ET.ParseError as error:
        raise ValueError(f"{path}, line {error.position[0]}: not XML ({error})") from error
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path}: expected objects with name, xmin to ymax ({error})") from error


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield the folders below `root` that hold annotations, with the names of their files, sorted.

    Raises:
        ValueError: `root` is missing, or holds none.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    none = True
    for place, folders, files in os.walk(root):
        folders.sort()
        names = sorted(name for name in files if name.endswith(".xml"))
        if names:
            none = False
            yield Path(place), names
    if none:
        raise ValueError(f"{root}: expected annotations (.xml), found none")
