"""Roles: what a tensor is to the rows of a loss. Data that drives samples, checks and docs."""

from __future__ import annotations

from dataclasses import dataclass

from onepass.formula.domain import LOG_PROBABILITY, NONNEGATIVE, PROBABILITY, REAL, SIGN, Domain

CLASS_INDEX = Domain("a class index", low=0)


@dataclass(frozen=True)
class Role:
    """The axes of a tensor, by what they count, and the domain of its values.

    A tensor without the axis "rows" belongs to all rows.
    """

    axes: tuple[str, ...]
    domain: Domain = REAL
    is_distribution: bool = (
        False  # whether the exponentials, or values, along the last axis sum to 1
    )

    @property
    def is_shared(self) -> bool:
        """Whether it is the same for all rows."""
        return "rows" not in self.axes


SCORES = Role(("rows", "classes"))
LOG_PROBABILITIES = Role(("rows", "classes"), LOG_PROBABILITY, is_distribution=True)
CLASS_PROBABILITIES = Role(("rows", "classes"), PROBABILITY, is_distribution=True)
LABEL = Role(("rows",), CLASS_INDEX)
CLASS_WEIGHT = Role(("classes",), NONNEGATIVE)
VECTOR = Role(("rows", "features"))
SIGNS = Role(("rows",), SIGN)
YES_OR_NO = Role(("rows", "labels"), PROBABILITY)
LABEL_SCORES = Role(("rows", "labels"))
LABEL_WEIGHT = Role(("labels",), NONNEGATIVE)
LAYER = Role(("classes", "features"))
BIAS = Role(("classes",))
