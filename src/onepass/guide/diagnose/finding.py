"""What diagnose says, and the table of the patterns that it looks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from onepass.define import Domain
from onepass.guide.diagnose.batch import Batch

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something about a batch that is wrong, or worth a look.

    - severity: "error" (it does not train, or trains the opposite), "warning" (it trains, but not
      what is meant), "note" (it may well be meant).
    - problem: one sentence.
    - evidence: how many, where first, in which range.
    - cost: what it does to the training.
    - remedy: a line of code in the names of the loss's arguments.
    """

    severity: Severity
    problem: str
    evidence: str
    cost: str
    remedy: str

    def __str__(self) -> str:
        return (
            f"{self.severity}: {self.problem}\n  seen:  {self.evidence}\n  costs: {self.cost}\n"
            f"  write: {self.remedy}"
        )


@dataclass(frozen=True)
class Pattern:
    """A kind of misuse and the function that finds it.

    It concerns `losses` (none: all), or arguments of a `domain`, whose name the function is given.
    A finding of it `explains` exceptions, and by FloatingPointError a loss or gradient that is not
    finite: these make no finding of their own.
    """

    find: Callable[..., Finding | None]
    losses: tuple[str, ...]
    domain: Domain | None
    explains: tuple[type[Exception], ...]

    def found(self, batch: Batch) -> list[Finding]:
        """Whether the batch shows it: nothing, or a finding for each argument that does."""
        if self.losses and batch.name not in self.losses:
            return []
        if self.domain is None:
            findings = [self.find(batch)]
        else:
            findings = [self.find(batch, name) for name in batch.arguments_in(self.domain)]
        return [finding for finding in findings if finding is not None]


PATTERNS: list[Pattern] = []


def pattern(
    *losses: str,
    domain: Domain | None = None,
    explains: type[Exception] | tuple[type[Exception], ...] = (),
) -> Callable[[Callable[..., Finding | None]], Callable[..., Finding | None]]:
    """Enter a function into the table of patterns: see Pattern."""

    def enter(find: Callable[..., Finding | None]) -> Callable[..., Finding | None]:
        kinds = explains if isinstance(explains, tuple) else (explains,)
        PATTERNS.append(Pattern(find, losses, domain, kinds))
        return find

    return enter
