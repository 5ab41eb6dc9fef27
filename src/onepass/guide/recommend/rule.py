"""What the table of rules is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from onepass.guide.recommend.signs import Signs

Parameters = dict[str, float | bool | str | list[float]]
Lines = Callable[[Signs], Iterable[str]]


def nothing(signs: Signs) -> Iterable[str]:
    """No line: what the reading says is all there is to say."""
    return ()


def defaults(signs: Signs) -> Parameters:
    """The loss's own parameters."""
    return {}


def always(signs: Signs) -> float:
    """The natural loss of a reading."""
    return 1.0


def sometimes(strength: float) -> Callable[[Signs], float]:
    """A loss that fits a reading less well, whatever the data."""
    return lambda signs: strength


@dataclass(frozen=True)
class Rule:
    """A loss that fits a reading of the target: how well, why, with what, and what against it."""

    loss: str
    strength: Callable[[Signs], float]
    evidence: Lines = nothing
    against: Lines = nothing
    parameters: Callable[[Signs], Parameters] = defaults


@dataclass(frozen=True)
class Reading:
    """What a target may be: how sure that is, why, and the losses for it.

    `doubt` says why it may be something else, where another reading can be surer.
    """

    kind: str
    strength: Callable[[Signs], float]
    evidence: Lines
    doubt: Lines
    rules: tuple[Rule, ...]


def percent(share: float) -> str:
    """3.1%, and never 0.0% of something that there is."""
    return f"{share:.1%}" if share == 0 or share >= 5e-4 else f"{share:.1g}"


def rounded(value: float) -> float:
    """Four digits: no estimate here is better."""
    return float(f"{value:.4g}")
