"""How a gradient is spread over its elements, and the delta that a robust loss would want."""

from __future__ import annotations

import math

import numpy as np

from onepass.guide.diagnose.values import Array

# The median absolute deviation of normal errors is this share of their standard deviation
# (Hampel (1974), doi:10.1080/01621459.1974.10482962), and a delta of so many standard deviations
# keeps 95% of the efficiency (Huber (1964), doi:10.1214/aoms/1177703732).
_MAD_OF_NORMAL = 0.6745
_EFFICIENT = 1.345


def share_of_largest(sizes: Array, share: float) -> tuple[int, float]:
    """How many elements the largest `share` of all are, and what they hold of the sum."""
    count = max(1, math.ceil(share * sizes.size))
    total = float(sizes.sum())
    largest = np.partition(sizes, sizes.size - count)[sizes.size - count :]
    return count, float(largest.sum()) / total if total else 0.0


def robust_delta(errors: Array) -> float:
    """The delta of huber_loss that suits these errors: 1.345 of their robust spread about 0.

    Zero if more than half of them are 0.
    """
    return _EFFICIENT * float(np.median(np.abs(errors))) / _MAD_OF_NORMAL
