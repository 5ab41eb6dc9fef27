"""recommend: measures the data, lets every rule speak, and ranks the losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onepass.guide.recommend.families import (
    binary,
    classes,
    comparisons,
    counts,
    distributions,
    regression,
)
from onepass.guide.recommend.given import given
from onepass.guide.recommend.measure import measure
from onepass.guide.recommend.recommendation import Recommendation
from onepass.guide.recommend.rule import Reading, Rule
from onepass.guide.recommend.signs import Signs

READINGS = (
    comparisons.TRIPLETS,
    comparisons.EMBEDDINGS,
    comparisons.SCORES,
    distributions.LOG_DISTRIBUTIONS,
    distributions.DISTRIBUTIONS,
    classes.ONE_HOT,
    binary.MULTILABEL,
    binary.SIGNED,
    binary.BINARY,
    classes.CLASSES,
    counts.READING,
    binary.SHARES,
    regression.READING,
)
LEAST = 0.3  # of the first one's strength: what is weaker is not worth a line


def recommend(target: Any, input: Any = None) -> list[Recommendation]:
    """The losses that fit a target, best first, with evidence in numbers.

    `target` and `input` are tensors, numpy arrays, lists or pandas columns. Strings are classes.
    `input` is what a model predicts for the target, if there is one; residuals say more than the
    target alone:

    - predictions, logits or probabilities of the target's shape;
    - a score per class, with one axis more: (N, C) or (N, C, d1, ...), or (N, d1, ..., C);
    - a tuple (mean, variance) for a target of real numbers;
    - a tuple of two scores, or of two embeddings (N, D), for labels -1 and 1;
    - a tuple (anchor, positive, negative) of embeddings (N, D), for the target None.

    What is missing (nan, None, pandas.NA) is left out and counted in the evidence. Losses compete
    on measured facts only, so the same data give the same answer. What data cannot tell, such as
    counts or class indices for 0..9, is ranked both ways, and the evidence says what decides.

    Raises:
        ShapeError: nothing in it, rows of different lengths, or shapes that do not go together.
        DtypeError: complex numbers, dates, objects that are neither numbers nor strings.
        DomainError: nothing finite, or class indices without a score.
        ParameterError: a tuple of inputs that has no meaning.
    """
    signs = measure(given(target, input))
    ranked = sorted(_fitting(signs), key=lambda fit: -fit[0])
    strongest, first, _ = ranked[0]
    kept: dict[str, Recommendation] = {}
    spoken: list[Reading] = []  # another reading than the first names its best loss only
    for strength, reading, rule in ranked:
        if strength < LEAST * strongest:
            break
        if rule.loss not in kept and (reading is first or reading not in spoken):
            kept[rule.loss] = _recommendation(signs, reading, rule, first, is_first=not kept)
        spoken.append(reading)
    return list(kept.values())


def _fitting(signs: Signs) -> Iterator[tuple[float, Reading, Rule]]:
    """Each rule with its strength, in the order of the table."""
    for reading in READINGS:
        likely = reading.strength(signs)
        if likely > 0:
            for rule in reading.rules:
                yield likely * rule.strength(signs), reading, rule


def _recommendation(
    signs: Signs, reading: Reading, rule: Rule, first: Reading, *, is_first: bool
) -> Recommendation:
    evidence = [*reading.evidence(signs), *rule.evidence(signs)]
    against = [] if reading is first else list(reading.doubt(signs))
    return Recommendation(
        rule.loss,
        rule.parameters(signs),
        evidence + (list(_of_data(signs)) if is_first else []),
        [] if is_first else [*against, *rule.against(signs)],
    )


def _of_data(signs: Signs) -> Iterator[str]:
    """What holds whichever loss is taken; the first recommendation says it."""
    target = signs.target
    count = target.count + target.missing + target.infinite
    if target.missing:
        remedy = "leave those rows out" if target.names else "mask=target.isfinite()"
        yield f"{_are(target.missing, count)} {'missing' if target.names else 'nan'}: {remedy}"
    if target.infinite and not (signs.rows and signs.rows.log_probabilities):
        yield f"{_are(target.infinite, count)} infinite: mask=target.isfinite()"
    if signs.inputs.missing:
        yield f"{signs.inputs.missing} values of the input are not finite and were left out"
    yield from signs.notes


def _are(some: int, count: int) -> str:
    return f"{some} of {count} targets {'is' if some == 1 else 'are'}"
