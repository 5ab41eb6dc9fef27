"""The card of a loss: what it is for, and what is true of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a loss is for, what it takes, and what is true of it.

    `task`, `input`, `target`, `best_for` and `not_for` are words; `relatives` are names of losses;
    a source is "authors (year), doi:...". The facts hold of the default options, and tests find
    out whether each does:

    - smooth: the gradient has no jump.
    - convex: in all tensors but the target together.
    - proper: the input says a distribution, and what is drawn from one costs least, on average,
      where the input says that one.
    - gradient_bound: the largest size of a slope by one number of the input, reached or
      approached; a number, or the name of the parameter that it is. None: there is no bound.
    - minimised_by: the statistic of a sample of targets that is the best constant input.

    `remarks` say in words what is no such fact.
    """

    task: str
    input: str
    target: str
    best_for: str
    not_for: str
    smooth: bool = False
    convex: bool = False
    proper: bool = False
    gradient_bound: float | str | None = None
    minimised_by: str | None = None
    remarks: tuple[str, ...] = ()
    relatives: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def robust(self) -> bool:
        """Whether no outlier of the target, however far, pulls without bound."""
        return self.gradient_bound is not None and self.target == "any real number"

    @property
    def properties(self) -> tuple[str, ...]:
        """The facts and the remarks, in words."""
        bound = self.gradient_bound
        facts = {
            "robust": self.robust,
            "smooth": self.smooth,
            "convex": self.convex,
            "proper": self.proper,
            f"gradient within [-{bound}, {bound}]": bound is not None,
            f"minimised by the {self.minimised_by}": self.minimised_by is not None,
        }
        return (*(fact for fact, holds in facts.items() if holds), *self.remarks)
