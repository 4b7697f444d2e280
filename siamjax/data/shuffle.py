"""Random orders that are computed, not stored: where the i-th of n things goes.

A Feistel network over the next even power of two is a bijection of it whatever its round function
(Luby and Rackoff 1988); walking along its cycle until a number under n comes up makes it one of n.
"""

import hashlib
from collections.abc import Sequence

_ROUNDS = 4
_WORD = (1 << 64) - 1


def _mix(value: int) -> int:
    """Scramble 64 bits: the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _WORD
    return value ^ (value >> 31)


def place(i: int, n: int, key: Sequence[int]) -> int:
    """Give the place of the i-th of `n` things in the order that `key` decides.

    Args:
        i: 0 to n - 1; different numbers have different places.
        n: at least 1.
        key: any integers.

    Raises:
        ValueError: `i` is not one of `n`.
    """
    if not 0 <= i < n:
        raise ValueError(f"i: expected 0 to {n - 1}, got {i}")
    bits = max(1, -(-(n - 1).bit_length() // 2))
    half = (1 << bits) - 1
    digest = hashlib.blake2b(repr(tuple(key)).encode(), digest_size=8 * _ROUNDS).digest()
    keys = [int.from_bytes(digest[8 * r : 8 * r + 8], "little") for r in range(_ROUNDS)]
    while True:
        left, right = i >> bits, i & half
        for key_of_round in keys:
            left, right = right, left ^ (_mix((right + key_of_round) & _WORD) & half)
        i = (left << bits) | right
        if i < n:
            return i
