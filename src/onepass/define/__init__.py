"""What a loss is declared with.

pointwise.py   @pointwise: a formula of one element becomes a loss
rowwise.py     losses in which a whole row decides the value
card.py        what a loss is for, and what is true of it

Domains, which say what values are legal, stand in formula/domain.py.
"""

from onepass.define.card import Card
from onepass.define.pointwise import Pointwise, pointwise
from onepass.define.rowwise import Rowwise, Within, within
from onepass.formula.domain import (
    COUNT,
    LOG_PROBABILITY,
    NONNEGATIVE,
    POSITIVE,
    PROBABILITY,
    REAL,
    SIGN,
    VARIANCE,
    Depending,
    Domain,
    enforced,
)
from onepass.formula.slope import with_slope

__all__ = [
    "COUNT",
    "LOG_PROBABILITY",
    "NONNEGATIVE",
    "POSITIVE",
    "PROBABILITY",
    "REAL",
    "SIGN",
    "VARIANCE",
    "Card",
    "Depending",
    "Domain",
    "Pointwise",
    "Rowwise",
    "Within",
    "enforced",
    "pointwise",
    "with_slope",
    "within",
]
