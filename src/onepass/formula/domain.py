"""Domains: which values an argument may have. Data that drives validation, sampling and docs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Domain:
    """An interval, or a few single values, of real numbers.

    `inside` is a value at which every formula is finite; masked elements are computed there.
    """

    name: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    values: tuple[float, ...] = ()
    inside: float = 0.0
    enforced: bool = False
    accepts_nan: bool = False
    hint: str = ""  # what to write instead of a value outside

    def contains(self, x: Any) -> Any:
        """Whether x lies in the domain: of a number, a tensor or an expression alike."""
        if self.values:
            holds = x == self.values[0]
            for value in self.values[1:]:
                holds = holds | (x == value)
            return holds
        above = x > self.low if self.low_open else x >= self.low
        below = x < self.high if self.high_open else x <= self.high
        return above & below | (x != x) if self.accepts_nan else above & below

    def __str__(self) -> str:
        if self.values:
            return f"{self.name}, one of {', '.join(f'{v:g}' for v in self.values)}"
        if math.isinf(self.low) and math.isinf(self.high):
            return self.name
        if math.isinf(self.high):
            return f"{self.name}, {'>' if self.low_open else '>='} {self.low:g}"
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"{self.name}, in {left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True)
class Depending:
    """A domain that a flag of the loss decides."""

    flag: str
    if_set: Domain
    otherwise: Domain

    def of(self, flags: Mapping[str, bool]) -> Domain:
        """The domain under these flags."""
        return self.if_set if flags[self.flag] else self.otherwise


def enforced(domain: Domain, hint: str = "") -> Domain:
    """The same domain; a value outside makes the loss nan and, on a CPU tensor, is raised."""
    return replace(domain, enforced=True, hint=hint)


REAL = Domain("any real number")
POSITIVE = Domain("a positive finite number", low=0, low_open=True, high_open=True, inside=1.0)
NONNEGATIVE = Domain("a number that is not negative", low=0, high_open=True, inside=1.0)
VARIANCE = Domain("a variance", low=0, inside=1.0, accepts_nan=True)
PROBABILITY = Domain("a probability", low=0, high=1, inside=0.5)
LOG_PROBABILITY = Domain("a logarithm of a probability", high=0, inside=-1.0)
COUNT = Domain("a count", low=0, high_open=True, inside=1.0)
SIGN = Domain(
    "a label", values=(-1.0, 1.0), inside=1.0, hint="For labels 0 and 1 write 2 * target - 1."
)
