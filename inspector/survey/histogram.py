"""Times and sizes in bounded memory: a histogram whose buckets grow by 2 %.

Rules.  A quantile is off by 1 % at most; count, sum, least and most are exact.  The buckets are those of DDSketch (Masson, Rim
and Lee, VLDB 2019, §2): for values from 1 to 10^15 there are 1745 of them at most, whatever comes.

Knows numbers.  Must not know what they measure.
"""

from __future__ import annotations

import math
from typing import Final

GROWTH: Final = 1.02
"""The bounds of a bucket: its upper one by its lower one."""
_LOG: Final = math.log(GROWTH)
_MIDDLE: Final = 2 / (1 + GROWTH)
_LARGEST: Final = 10**15


class Histogram:
    """Numbers from 0 up, counted."""

    __slots__ = ("_buckets", "count", "least", "most", "total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = 0
        self.total = 0
        self.least = 0
        self.most = 0

    def add(self, value: int) -> None:
        """Counts a value; one below 0 (a clock that was set back) counts as 0."""
        value = min(max(value, 0), _LARGEST)
        self.least = min(self.least, value) if self.count else value
        self.most = max(self.most, value)
        self.count += 1
        self.total += value
        bucket = math.ceil(math.log(value) / _LOG) if value else -1
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def quantile(self, share: float) -> int:
        """The value below which that share of the values lies: 0.5 for the median; 0 where there are none."""
        rank = math.ceil(share * self.count)
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                middle = round(GROWTH**bucket * _MIDDLE) if bucket >= 0 else 0
                return min(max(middle, self.least), self.most)
        return self.most
