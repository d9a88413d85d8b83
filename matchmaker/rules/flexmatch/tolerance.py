"""How near two floats count as equal: the same sum, added up in another order, differs in its last digits.

Limits are often met exactly (ratings have two decimals, limits none), so that without a tolerance the order
of adding decides whether a match holds. Whatever judges a match uses these functions, and no other
comparison of floats: then two judges that add up in different orders agree.
"""

from __future__ import annotations

from typing import Final

from numba import njit

TOLERANCE: Final = 1e-9  # of one more than the size of the limit


@njit(cache=True, nogil=True)
def at_most(value: float, limit: float) -> bool:
    """Whether ``value`` is no larger than ``limit``, but for rounding. False where either is NaN.

    "Less than" is then ``not at_most(limit, value)``.
    """
    return bool(value <= limit or value <= limit + TOLERANCE * (1.0 + abs(limit)))


@njit(cache=True, nogil=True)
def equal(one: float, other: float) -> bool:
    """Whether two floats are the same, but for rounding. False where either is NaN."""
    return bool(at_most(one, other) and at_most(other, one))
