"""
Plain values: what parameters and metrics may be, and when two are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["Configuration", "Value", "canonical", "derive_seed", "same_value"]

Value: TypeAlias = Any
"""A JSON value: a scalar, or a list or mapping of them. Mostly a scalar."""

Configuration: TypeAlias = Mapping[str, Value]
"""One value per active parameter, constants included, in the space's order."""


def canonical(value: Value) -> str:
    """
    Return *value* as JSON text that is equal exactly for the same value.

    Unlike ``==`` it tells ``1``, ``1.0`` and ``True`` apart, and does not
    depend on the order in which a mapping was filled.
    """
    return _encode(value)


# Made once: making an encoder takes longer than most values do.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def same_value(left: Value, right: Value) -> bool:
    """
    Return whether two values are the same, type included.
    """
    return canonical(left) == canonical(right)


def derive_seed(seed: int, *parts: object) -> int:
    """
    Return a 63-bit seed for one purpose out of the study's *seed*.

    Depends on nothing but its arguments: not on the process, the hash seed,
    or how often it was called. So the *n*-th trial draws from the same stream
    whichever task or machine asks for it.

    Args:
        seed: The study's seed.

        *parts: What the stream is for, such as ``("random", trial_number)``.
    """
    text = canonical([seed, *(str(part) for part in parts)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
