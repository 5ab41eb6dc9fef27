"""Pairs and triplets: what counts is which is higher, or nearer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from onepass.guide.recommend.given import Form
from onepass.guide.recommend.rule import (
    Parameters,
    Reading,
    Rule,
    always,
    defaults,
    nothing,
    percent,
    rounded,
    sometimes,
)
from onepass.guide.recommend.signs import Signs

BETTER = 0.02  # by how much distance must tell pairs apart better than angle, in area under the ROC
VARYING = 0.3  # deviation of the vectors' lengths over their mean, where angle and distance differ


def of(form: Form) -> Callable[[Signs], float]:
    """Sure where the input has that form, impossible elsewhere."""
    return lambda signs: float(signs.inputs.form == form)


def _labels(signs: Signs) -> Iterator[str]:
    pairs = signs.pairs
    if pairs and pairs.zeros:
        yield "labels are 0 and 1: write 2 * target - 1"
    if pairs and pairs.positive in (0, 1):
        yield f"every label is {'1' if pairs.positive else '-1'}: give pairs of both kinds"


# --- two scores --------------------------------------------------------------------------------


def scores_evidence(signs: Signs) -> Iterator[str]:
    pairs = signs.pairs
    if pairs:
        yield (
            f"{signs.target.count} pairs of scores with a label; {percent(pairs.positive)} say "
            f"that the first is higher, and {percent(pairs.ordered)} are in their label's order"
        )
    yield from _labels(signs)


def margin_evidence(signs: Signs) -> Iterator[str]:
    if signs.pairs and signs.pairs.spread > 0:
        yield "margin: the spread of the differences (1.4826 MAD); at 0, ties cost nothing"


def margin(signs: Signs) -> Parameters:
    pairs = signs.pairs
    return {"margin": rounded(pairs.spread)} if pairs and pairs.spread > 0 else defaults(signs)


def difference_against(signs: Signs) -> Iterator[str]:
    yield "takes input1 - input2 as one input; smooth, but never done with a pair in order"


SCORES = Reading(
    "score pairs",
    of("score pairs"),
    scores_evidence,
    nothing,
    (
        Rule("margin_ranking_loss", always, margin_evidence, nothing, margin),
        Rule("soft_margin_loss", sometimes(0.7), nothing, difference_against),
    ),
)


# --- two embeddings ----------------------------------------------------------------------------


def embeddings_evidence(signs: Signs) -> Iterator[str]:
    pairs = signs.pairs
    if pairs:
        yield (
            f"{signs.target.count} pairs of vectors, {percent(pairs.positive)} belong together; "
            f"area under the ROC curve {pairs.by_angle:.3f} by cosine, {pairs.by_distance:.3f} by "
            f"distance; lengths vary by {percent(pairs.lengths)}"
        )
    yield from _labels(signs)


def _distance_is_better(signs: Signs) -> bool:
    return signs.pairs is not None and signs.pairs.by_distance > signs.pairs.by_angle + BETTER


def angle(signs: Signs) -> float:
    return 0.8 if _distance_is_better(signs) else 1.0


def angle_evidence(signs: Signs) -> Iterator[str]:
    if signs.pairs:
        yield f"median cosine of pairs labelled -1: {signs.pairs.cosine:.2g}; margin 0 pushes to 0"


def angle_against(signs: Signs) -> Iterator[str]:
    yield "sees angles only, and distance tells these pairs apart better"


def distance(signs: Signs) -> float:
    return 1.0 if _distance_is_better(signs) else 0.8


def distance_evidence(signs: Signs) -> Iterator[str]:
    if signs.pairs:
        yield (
            f"input = distances, pairwise_distance(input1, input2); margin: the median of those of "
            f"pairs labelled -1, {signs.pairs.distance:.3g}"
        )


def distance_against(signs: Signs) -> Iterator[str]:
    yield "takes distances of a scale of their own, and they tell these pairs apart no better"


def distance_margin(signs: Signs) -> Parameters:
    pairs = signs.pairs
    return {"margin": rounded(pairs.distance)} if pairs and pairs.distance > 0 else defaults(signs)


EMBEDDINGS = Reading(
    "embedding pairs",
    of("embedding pairs"),
    embeddings_evidence,
    nothing,
    (
        Rule("cosine_embedding_loss", angle, angle_evidence, angle_against),
        Rule(
            "hinge_embedding_loss", distance, distance_evidence, distance_against, distance_margin
        ),
    ),
)


# --- three embeddings --------------------------------------------------------------------------


def triplets_evidence(signs: Signs) -> Iterator[str]:
    triplets = signs.triplets
    if triplets is None:
        return
    yield (
        f"{triplets.count} triplets; median distance {triplets.positive:.3g} to the positive, "
        f"{triplets.negative:.3g} to the negative; in {percent(triplets.violated)} the negative is "
        f"nearer"
    )
    if triplets.unit:
        yield "all vectors have length 1: distances are at most 2, margins well below"
    yield "margin: the spread of the differences of distances (1.4826 MAD)"


def triplet_margin(signs: Signs) -> Parameters:
    triplets = signs.triplets
    if triplets is None or triplets.spread <= 0:
        return defaults(signs)
    return {"margin": rounded(triplets.spread)}


def own_distance_evidence(signs: Signs) -> Iterator[str]:
    if signs.triplets and signs.triplets.lengths > VARYING:
        yield (
            f"lengths vary by {percent(signs.triplets.lengths)}: a cosine distance would not see it"
        )


def own_distance_against(signs: Signs) -> Iterator[str]:
    yield "needs a distance_function of your own to be more than triplet_margin_loss"


TRIPLETS = Reading(
    "triplets",
    of("triplets"),
    triplets_evidence,
    nothing,
    (
        Rule("triplet_margin_loss", always, parameters=triplet_margin),
        Rule(
            "triplet_margin_with_distance_loss",
            sometimes(0.6),
            own_distance_evidence,
            own_distance_against,
            triplet_margin,
        ),
    ),
)
