"""Messages of the TraX protocol: lines of text, and what regions and images are in them.

A message is a line `@@TRAX:type "argument" "key=value"`; other lines are a program's own output.
Source: the protocol's specification (trax.readthedocs.io) and the behaviour of its reference
implementation, versions 1 to 4.
"""

import base64
import binascii
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from siamjax.data.media import decode_picture, read_picture
from siamjax.evaluate import regions
from siamjax.evaluate.regions import Drawn, Region
from siamjax.typing import Frame

PREFIX = "@@TRAX:"
KINDS = ("hello", "initialize", "frame", "state", "quit")
_ARGUMENT = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"(?=\s|$)|((?:[^"\s\\]|\\.)(?:[^\s\\]|\\.)*))')
_KEY = re.compile(r"([A-Za-z0-9._]{1,64})=(.*)", re.DOTALL)
_ESCAPED = {"n": "\n"}
_SECONDS = 30
_REGIONS = ("rect", "poly", "mask", "special")
_CHANNELS = {"rgb": 3, "gray8": 1, "gray16": 2}


class Message(NamedTuple):
    """One message: its type, its arguments in order, and its properties."""

    kind: str
    arguments: tuple[str, ...] = ()
    properties: Mapping[str, str] = {}


def parse(line: str) -> Message | None:
    """Read a line; None for one that is no message.

    Raises:
        ValueError: a message that cannot be read.
    """
    if not line.startswith(PREFIX):
        return None
    kind, _, rest = line.removeprefix(PREFIX).rstrip("\r\n").partition(" ")
    kind = "state" if kind.lower() == "status" else kind.lower()
    if kind not in KINDS:
        return None
    arguments, properties, place = [], {}, 0
    while rest[place:].strip():
        found = _ARGUMENT.match(rest, place)
        if found is None:
            raise ValueError(f"{kind}: cannot be read from {rest[place : place + 60]!r} on")
        text = found[1] if found[1] is not None else found[2]
        text = re.sub(r"\\(.)", lambda one: _ESCAPED.get(one[1], one[1]), text)
        pair = _KEY.fullmatch(text)
        if pair:
            properties[pair[1]] = pair[2]
        else:
            arguments.append(text)
        place = found.end()
    return Message(kind, tuple(arguments), properties)


def shown(
    kind: str, arguments: Sequence[str] = (), properties: Mapping[str, str] | None = None
) -> str:
    """Write a message as a line, its end included."""
    texts = [*arguments, *(f"{key}={value}" for key, value in (properties or {}).items())]
    escaped = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for text in texts
    )
    return f"{PREFIX}{kind}" + "".join(f' "{text}"' for text in escaped) + "\n"


def read_region(text: str) -> Region:
    """Read a region: numbers, or `mask:` with left, top, width, height and run lengths.

    Raises:
        ValueError: it is none.
    """
    kind, found, rest = text.partition(":")
    if not found:
        return regions.parse(text)
    if kind not in _REGIONS:
        raise ValueError(f"region: expected rect, poly, mask or special, got {text[:60]!r}")
    return regions.parse(f"m{rest}" if kind == "mask" else rest)


def shown_region(region: Region) -> str:
    """Write a region as `read_region` reads it."""
    text = regions.shown(region)
    return f"mask:{text[1:]}" if isinstance(region, Drawn) else text


def read_image(text: str) -> Frame:
    """Get a picture from where a message says it is: uint8[H, W, 3] RGB.

    Args:
        text: `file://PATH` or a path; `image:WIDTH;HEIGHT;FORMAT;BASE64` with raw pixels (rgb,
            gray8, gray16); `data:image/jpeg;BASE64` with a picture file; or an address on the web.

    Raises:
        ValueError: another kind of place, or what is there is no picture.
    """
    scheme, _, rest = text.partition(":")
    if scheme == "file":
        return read_picture(Path(rest.removeprefix("//")))
    if scheme == "image":
        return _raw(rest)
    if scheme == "data":
        kind, _, data = rest.partition(";")
        data = re.sub(r"^base64[;,]", "", data)
        return decode_picture(_bytes(data), Path(f"data:{kind}"))
    if scheme in ("http", "https"):
        with urllib.request.urlopen(text, timeout=_SECONDS) as answer:
            return decode_picture(answer.read(), Path(urllib.parse.urlsplit(text).path))
    if re.match(r"[a-z+.-]{2,}:", text):
        raise ValueError(f"image: expected file, image, data, http or https, got {text[:60]!r}")
    return read_picture(Path(text))


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"image: not in base 64 ({error})") from error


def _raw(text: str) -> Frame:
    """Read raw pixels, row after row; of 16 bits, the lower first, the upper eight are taken."""
    words = text.split(";", 3)
    if len(words) < 4 or not (words[0].isdecimal() and words[1].isdecimal()):
        raise ValueError(f"image: expected width;height;format;pixels, got {text[:60]!r}")
    width, height, form, data = int(words[0]), int(words[1]), words[2].lower(), _bytes(words[3])
    if form not in _CHANNELS:
        raise ValueError(f"image: expected rgb, gray8 or gray16, got {form!r}")
    if len(data) != width * height * _CHANNELS[form] or not data:
        count = width * height * _CHANNELS[form]
        raise ValueError(f"image: expected {count} bytes of {form} pixels, got {len(data)}")
    values = np.frombuffer(data, np.uint8).reshape(height, width, _CHANNELS[form])
    return values if form == "rgb" else np.repeat(values[..., -1:], 3, axis=2)
