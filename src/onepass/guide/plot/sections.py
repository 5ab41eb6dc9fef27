"""What is drawn for which loss: a line through its tensors, and the words for what lies along it.

Most of it is read from a pointwise loss's domains, so that a loss of one's own needs no entry: its
first continuous tensor varies; where only a difference decides the value, that is the axis; labels
take each of their values, probabilities both ends. SECTIONS holds what no domain says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from onepass.catalogue import catalogue
from onepass.define import (
    LOG_PROBABILITY,
    NONNEGATIVE,
    PROBABILITY,
    REAL,
    Domain,
    Pointwise,
    Rowwise,
)
from onepass.errors import ParameterError, quoted
from onepass.runtime.dispatch import engine
from onepass.testing import draw

Settings = Mapping[str, Any]  # parameters, flags, and the values at which tensors are held


@dataclass(frozen=True)
class Axis:
    """What lies along the horizontal axis."""

    label: str
    by: str  # what the gradient is taken by
    domain: Domain = REAL
    reach: float = 3.0  # how far it is drawn where the domain does not end
    ticks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Section:
    """A line through a loss's tensors.

    `tensors` takes positions on the axis (n) and the settings to the loss's tensors (n, ...).
    `held` says where those stand that do not vary: a curve for each value.
    """

    axis: Axis
    tensors: Callable[[Tensor, Settings], dict[str, Tensor]]
    held: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    unit: str = ""  # of the value


@dataclass(frozen=True)
class ByFlag:
    """A section that a flag of the loss decides."""

    flag: str
    if_set: Section
    otherwise: Section


def section_of(loss: Pointwise | Rowwise, settings: Settings) -> Section:
    """What is drawn of a loss under these settings."""
    section = SECTIONS.get(loss.name) if catalogue().get(loss.name) is loss else None
    if isinstance(section, ByFlag):
        return section.if_set if settings[section.flag] else section.otherwise
    if section is not None:
        return section
    if isinstance(loss, Pointwise):
        return _derived(loss, settings)
    raise ParameterError(f"plot: {loss.name} is row-wise and not of onepass.catalogue().")


# From domains.


def _derived(loss: Pointwise, settings: Settings) -> Section:
    domains = loss.domains_of({name: settings[name] for name in loss.flags})
    continuous = [name for name in loss.tensors if not domains[name].values]
    if not continuous:
        raise ParameterError(
            f"plot: {loss.name} has no axis to draw over: each of {', '.join(loss.tensors)} takes "
            "single values only."
        )
    varied, *others = continuous
    pairs = (name for name in others if _only_difference_counts(loss, domains, varied, name))
    partner = next(pairs, None)
    held = {name: _choices(domains[name]) for name in loss.tensors if name not in (varied, partner)}
    axis = _axis(loss, varied, partner, domains[varied])
    return Section(axis, _placed(varied, partner, held), held)


def _only_difference_counts(
    loss: Pointwise, domains: Mapping[str, Domain], one: str, other: str
) -> bool:
    """Whether the value stays when both tensors move alike."""
    if not (_is_real(domains[one]) and _is_real(domains[other])):
        return False
    generator = torch.Generator().manual_seed(0)
    given = {name: draw(domains[name], (64,), generator) for name in loss.tensors}
    moved = given | {one: given[one] + 0.75, other: given[other] + 0.75}
    with engine("eager"):
        before, after = (loss(**tensors, reduction="none") for tensors in (given, moved))
    return torch.allclose(before, after, rtol=1e-9, atol=1e-9, equal_nan=True)


def _is_real(domain: Domain) -> bool:
    return not domain.values and math.isinf(domain.low) and math.isinf(domain.high)


def _choices(domain: Domain) -> tuple[float, ...]:
    """All single values of a domain, the ends of an interval, or a value inside."""
    if domain.values:
        return domain.values
    if math.isfinite(domain.low) and math.isfinite(domain.high):
        return domain.low, domain.high
    return (domain.inside,)


def _axis(loss: Pointwise, varied: str, partner: str | None, domain: Domain) -> Axis:
    """In the words of the loss's card, if it has one."""
    if (varied, partner) == ("input", "target"):
        return ERROR
    if partner is not None:
        return Axis(f"{varied} − {partner}", varied, domain)
    words = f"input: {loss.card.input}" if loss.card and varied == "input" else varied
    return Axis(words, varied, domain)


def _placed(
    varied: str, partner: str | None, held: Iterable[str]
) -> Callable[[Tensor, Settings], dict[str, Tensor]]:
    """One tensor varies, its partner is 0, the others stand where the settings say."""

    def tensors(x: Tensor, settings: Settings) -> dict[str, Tensor]:
        still = {partner: torch.zeros_like(x)} if partner else {}
        return {varied: x} | still | {n: torch.full_like(x, settings[n]) for n in held}

    return tensors


# Of losses whose axis no domain tells.


_MOST_CLASSES = 100  # a picture is drawn while one waits


def of_true_class(x: Tensor, settings: Settings) -> dict[str, Tensor]:
    """Scores of which the first is that of the true class and varies; the others are 0."""
    classes = settings["classes"]
    if not isinstance(classes, int) or not 2 <= classes <= _MOST_CLASSES:
        raise ParameterError(
            f"plot: `classes` must be an integer from 2 to {_MOST_CLASSES}; got {quoted(classes)}."
        )
    input = torch.nn.functional.pad(x.unsqueeze(-1), (0, classes - 1))
    return {"input": input, "target": torch.zeros(x.shape, dtype=torch.int64)}


def _of_true_log_probability(x: Tensor, settings: Settings) -> dict[str, Tensor]:
    """The loss looks at no other class."""
    return of_true_class(x, {"classes": 2})


def _of_linear_layer(x: Tensor, settings: Settings) -> dict[str, Tensor]:
    """The same scores behind a layer that changes nothing."""
    scores = of_true_class(x, settings)
    return scores | {"linear_weight": torch.eye(settings["classes"], dtype=x.dtype)}


def _of_label(x: Tensor, settings: Settings) -> dict[str, Tensor]:
    """One label a row."""
    input = x.unsqueeze(-1)
    return {"input": input, "target": torch.full_like(input, settings["target"])}


def _of_two_outcomes(x: Tensor, settings: Settings) -> dict[str, Tensor]:
    """Distributions over two outcomes by the probability of the first."""
    target = torch.full_like(x, settings["target"])
    input, target = (torch.stack([p, 1 - p], -1) for p in (x, target))
    return {"input": input.log(), "target": target.log() if settings["log_target"] else target}


def _of_angle(x: Tensor, settings: Settings) -> dict[str, Tensor]:
    """Two vectors of length 1, an angle apart."""
    return {
        "input1": torch.stack([torch.cos(x), torch.sin(x)], -1),
        "input2": torch.stack([torch.ones_like(x), torch.zeros_like(x)], -1),
        "target": torch.full_like(x, settings["target"]),
    }


_AFAR = 10_000.0  # of the negative from the anchor


def _of_triplet(x: Tensor, settings: Settings) -> dict[str, Tensor]:
    """A positive that is x farther than the negative, in another direction."""
    none, afar = torch.zeros_like(x), torch.full_like(x, _AFAR)
    return {
        "anchor": torch.stack([none, none], -1),
        "positive": torch.stack([afar + x, none], -1),
        "negative": torch.stack([none, afar], -1),
    }


ERROR = Axis("error = input − target", "input")
LOGIT = Axis("logit", "logit", reach=6)
PREDICTED = Axis("predicted probability", "predicted probability", PROBABILITY)
TRUE_CLASS = Axis("score of the true class, others 0", "that score", reach=6)
TRUE_LOG_PROBABILITY = Axis(
    "log-probability of the true class", "log-probability", LOG_PROBABILITY, reach=5
)
DISTANCE = Axis("distance of the pair", "distance", NONNEGATIVE)
ANGLE = Axis(
    "angle between the vectors",
    "angle",
    Domain("an angle", 0, math.pi, inside=1.0),
    ticks=(
        (0, "0"),
        (math.pi / 4, "π/4"),
        (math.pi / 2, "π/2"),
        (3 * math.pi / 4, "3π/4"),
        (math.pi, "π"),
    ),
)
DISTANCES = Axis("d(anchor, positive) − d(anchor, negative)", "d(anchor, positive)")
LOG_RATE = Axis("log of the rate", "log of the rate")
RATE = Axis("rate", "rate", NONNEGATIVE, reach=12)

_CLASSES = {"classes": (3,)}
_COUNTS = {"target": (0.0, 2.0, 6.0)}
_SIGNS = {"target": (-1.0, 1.0)}
_TRUTHS = {"target": (0.0, 1.0)}
_input = _placed("input", None, ("target",))
SECTIONS: dict[str, Section | ByFlag] = {
    "gaussian_nll_loss": Section(
        ERROR, _placed("input", "target", ("var",)), {"var": (0.25, 1.0, 4.0)}, "nats"
    ),
    "poisson_nll_loss": ByFlag(
        "log_input",
        Section(LOG_RATE, _input, _COUNTS, "nats"),
        Section(RATE, _input, _COUNTS, "nats"),
    ),
    "kl_div": Section(PREDICTED, _of_two_outcomes, {"target": (0.1, 0.5, 0.9)}, "nats"),
    "binary_cross_entropy": Section(PREDICTED, _input, _TRUTHS, "nats"),
    "binary_cross_entropy_with_logits": Section(LOGIT, _input, _TRUTHS, "nats"),
    "multilabel_soft_margin_loss": Section(LOGIT, _of_label, _TRUTHS, "nats"),
    "soft_margin_loss": Section(LOGIT, _input, _SIGNS, "nats"),
    "cross_entropy": Section(TRUE_CLASS, of_true_class, _CLASSES, "nats"),
    "linear_cross_entropy": Section(TRUE_CLASS, _of_linear_layer, _CLASSES, "nats"),
    "multi_margin_loss": Section(TRUE_CLASS, of_true_class, _CLASSES),
    "nll_loss": Section(TRUE_LOG_PROBABILITY, _of_true_log_probability, {}, "nats"),
    "hinge_embedding_loss": Section(DISTANCE, _input, _SIGNS),
    "cosine_embedding_loss": Section(ANGLE, _of_angle, _SIGNS),
    "triplet_margin_loss": Section(DISTANCES, _of_triplet),
    "triplet_margin_with_distance_loss": Section(DISTANCES, _of_triplet),
}
