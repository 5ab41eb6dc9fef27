"""What a loss is declared with.

pointwise.py   @pointwise: a formula of one element becomes a loss
rowwise.py     @rowwise: losses in which a whole row decides the value
loss.py        what both have in common: their arguments, and how a call begins
role.py        what a tensor is to the rows of a loss
card.py        what a loss is for, and what is true of it
sampling.py    legal inputs of any loss, from its declaration

Domains, which say what values are legal, stand in formula/domain.py.
"""

from onepass.define.card import Card
from onepass.define.loss import Loss
from onepass.define.pointwise import Pointwise, pointwise
from onepass.define.role import (
    BIAS,
    CLASS_INDEX,
    CLASS_PROBABILITIES,
    CLASS_WEIGHT,
    LABEL,
    LABEL_SCORES,
    LABEL_WEIGHT,
    LAYER,
    LOG_PROBABILITIES,
    SCORES,
    SIGNS,
    VECTOR,
    YES_OR_NO,
    Role,
)
from onepass.define.rowwise import Laid, Rowwise, Variant, rowwise
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
    "BIAS",
    "CLASS_INDEX",
    "CLASS_PROBABILITIES",
    "CLASS_WEIGHT",
    "COUNT",
    "LABEL",
    "LABEL_SCORES",
    "LABEL_WEIGHT",
    "LAYER",
    "LOG_PROBABILITIES",
    "LOG_PROBABILITY",
    "NONNEGATIVE",
    "POSITIVE",
    "PROBABILITY",
    "REAL",
    "SCORES",
    "SIGN",
    "SIGNS",
    "VARIANCE",
    "VECTOR",
    "YES_OR_NO",
    "Card",
    "Depending",
    "Domain",
    "Laid",
    "Loss",
    "Pointwise",
    "Role",
    "Rowwise",
    "Variant",
    "enforced",
    "pointwise",
    "rowwise",
    "with_slope",
]
