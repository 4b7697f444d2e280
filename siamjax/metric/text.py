"""Text as the towers read it: bytes of one length."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8


def encode(texts: Sequence[str], length: int, *, fold: bool = True) -> UInt8[np.ndarray, "B L"]:
    """Turn texts into rows of bytes.

    Args:
        texts: any Unicode; characters NUL become spaces.
        length: bytes of a row; longer texts are cut after a whole character.
        fold: ignore case (`str.casefold`).

    Returns:
        UTF-8, 0 behind the text's end.

    Raises:
        ValueError: `length` is under 1.
    """
    if length < 1:
        raise ValueError(f"length: expected at least 1 byte, got {length}")
    rows = np.zeros((len(texts), length), np.uint8)
    for row, text in zip(rows, texts, strict=True):
        text = (text.casefold() if fold else text).replace("\0", " ")
        data = text.encode(errors="replace")[:length].decode(errors="ignore").encode()
        row[: len(data)] = np.frombuffer(data, np.uint8)
    return rows
