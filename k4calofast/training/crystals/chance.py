"""Chance for things of which a shower has many, from a few random numbers of the shower."""

from __future__ import annotations

from torch import Tensor

PRIME = (1 << 31) - 1
"""Numbers are below it."""

_FIRST, _SECOND, _LAST = 1_000_003, 7_919, 48_271


def chances(uniform: Tensor, number: Tensor) -> Tensor:
    """Whole numbers (D,), each as likely as any other from 0 to `PRIME`, and independent.

    Squares in the field of a prime: whole numbers, the same on every machine and in every batch.

    Parameters
    ----------
    uniform
        (D, 2) random numbers of showers, 0 to 1.
    number
        (D,) of the thing in its shower; the same one has the same chance.
    """
    first, second = (uniform * PRIME).floor().long().unbind(1)
    x = (first + (number + 1) * _FIRST) % PRIME
    x = (x * x + second) % PRIME
    x = (x * x + (number + 1) * _SECOND) % PRIME
    x = (x * x + second) % PRIME
    return again(x)


def again(chance: Tensor) -> Tensor:
    """Return the next (D,) after `chances` (D,)."""
    return chance * _LAST % PRIME
