"""Two values, one or many times a row, and shares between them."""

from __future__ import annotations

from collections.abc import Iterator

from onepass.guide.recommend.rule import (
    Parameters,
    Reading,
    Rule,
    defaults,
    nothing,
    percent,
    rounded,
    sometimes,
)
from onepass.guide.recommend.signs import Signs

RARE = 0.2  # share of a value below which its weight is worth setting
SIGNS = (-1.0, 1.0)


def _positive(signs: Signs) -> float:
    """Share of the larger of two values."""
    target = signs.target
    if target.distinct == 1:
        return float(target.largest > 0)
    return target.share(target.largest)


def _has_signs(signs: Signs) -> bool:
    target = signs.target
    return not target.names and -1 in target.labels and set(target.labels) <= set(SIGNS)


def _elementwise(signs: Signs) -> bool:
    return signs.inputs.form in ("none", "alike")


def _zeros_and_ones(signs: Signs) -> bool:
    return (
        not signs.target.names and bool(signs.target.labels) and set(signs.target.labels) <= {0, 1}
    )


# --- one bit an element ------------------------------------------------------------------------


def strength(signs: Signs) -> float:
    target = signs.target
    if not _elementwise(signs):
        return 0.3 if signs.inputs.form == "scores" and target.distinct == 2 else 0.0
    if _zeros_and_ones(signs):
        if target.distinct == 1 and not target.boolean:
            return 0.6
        return 0.6 if len(target.shape) == 2 and target.columns > 1 else 1.0
    if target.names:
        return float(target.distinct <= 2)
    if target.distinct != 2 or _has_signs(signs):
        return 0.0
    return 0.8 if target.whole else 0.6


def evidence(signs: Signs) -> Iterator[str]:
    target, share = signs.target, _positive(signs)
    if target.distinct == 1:
        yield f"every target is {_name(signs, 0)}: with one value there is nothing to tell apart"
    elif _zeros_and_ones(signs):
        yield f"zeros and ones only: {percent(share)} of {target.count} targets are 1"
    else:
        low, high = _name(signs, 0), _name(signs, 1)
        yield f"two values, {low} and {high} ({percent(share)}): write (target == {high}).float()"


def _name(signs: Signs, place: int) -> str:
    target = signs.target
    return repr(target.names[place]) if target.names else f"{target.labels[place]:g}"


def doubt(signs: Signs) -> Iterator[str]:
    if signs.inputs.form == "scores":
        yield f"the input has {signs.inputs.classes} scores for each target, where it takes one"
    else:
        yield "says nothing of rows: each element is a task of its own"


def imbalance(signs: Signs) -> Iterator[str]:
    share = _positive(signs)
    if signs.target.distinct == 1:
        return
    weight = rounded((1 - share) / share)
    if RARE <= share <= 1 - RARE:
        yield f"pos_weight={weight:g} would balance the classes: hardly needed at {percent(share)}"
    else:
        yield (
            f"pos_weight={weight:g} balances the classes; without it the probabilities are right, "
            f"with it rare positives are found sooner"
        )
    yield from _given_fractions(signs)


def _given_fractions(signs: Signs) -> Iterator[str]:
    if signs.inputs.fractions:
        yield "the input lies in [0, 1]: pass the logits that came before the sigmoid"


def pos_weight(signs: Signs) -> Parameters:
    """Negatives per positive, where one of them is rare."""
    share = _positive(signs)
    if signs.target.distinct == 1 or RARE <= share <= 1 - RARE:
        return defaults(signs)
    return {"pos_weight": rounded((1 - share) / share)}


def with_logits(signs: Signs) -> float:
    return 0.8 if signs.inputs.fractions else 1.0


def with_probabilities(signs: Signs) -> float:
    if signs.inputs.form == "alike" and not signs.inputs.fractions:
        return 0.3 if signs.inputs.smallest >= 0 and signs.inputs.largest <= 1 else 0.0
    return 1.0 if signs.inputs.fractions else 0.5


def probabilities(signs: Signs) -> Iterator[str]:
    if signs.inputs.fractions:
        yield (
            f"the input lies in [0, 1] ({signs.inputs.smallest:.3g} to "
            f"{signs.inputs.largest:.3g}): it is probabilities already; logits were better"
        )


def _against_probabilities(signs: Signs) -> Iterator[str]:
    yield "takes probabilities: a sigmoid that saturates leaves no gradient; logits never do"


def _against_logits(signs: Signs) -> Iterator[str]:
    yield from _given_fractions(signs)


def two_logits(signs: Signs) -> float:
    return 0.4 if signs.inputs.form == "none" else 0.0


def _against_two_logits(signs: Signs) -> Iterator[str]:
    yield "two logits for what one can say, and class indices"


def _against_signs(signs: Signs) -> Iterator[str]:
    yield "wants labels -1 and 1 (2 * target - 1), and has no pos_weight: else the same number"


BINARY = Reading(
    "binary",
    strength,
    evidence,
    doubt,
    (
        Rule(
            "binary_cross_entropy_with_logits",
            with_logits,
            imbalance,
            _against_logits,
            pos_weight,
        ),
        Rule("binary_cross_entropy", with_probabilities, probabilities, _against_probabilities),
        Rule("cross_entropy", two_logits, against=_against_two_logits),
        Rule("soft_margin_loss", sometimes(0.35), against=_against_signs),
    ),
)


# --- labels -1 and 1 ---------------------------------------------------------------------------


def signs_strength(signs: Signs) -> float:
    return 1.0 if _has_signs(signs) and _elementwise(signs) else 0.0


def signs_evidence(signs: Signs) -> Iterator[str]:
    yield f"labels -1 and 1: {percent(signs.target.share(1.0))} of {signs.target.count} are 1"
    if signs.inputs.form == "none":
        yield "scores of any sign, or distances of pairs? the input decides"


def _distances(signs: Signs) -> bool:
    return signs.inputs.form == "alike" and signs.inputs.smallest >= 0


def margin_strength(signs: Signs) -> float:
    return 0.7 if _distances(signs) else 1.0


def distance_strength(signs: Signs) -> float:
    if signs.inputs.form == "alike":
        return 1.0 if _distances(signs) else 0.0
    return 0.5


def distance_evidence(signs: Signs) -> Iterator[str]:
    if _distances(signs):
        yield f"the input is >= 0 ({signs.inputs.smallest:.3g} at least), as distances are"


def _against_distance(signs: Signs) -> Iterator[str]:
    yield "takes the distance of a pair as input, and pulls it down without end where label is 1"


def _against_margin(signs: Signs) -> Iterator[str]:
    yield "takes scores of any sign; no input is negative"


def _against_mapping(signs: Signs) -> Iterator[str]:
    yield "wants labels 0 and 1: (target + 1) / 2; with -1 its value has no lower bound"


SIGNED = Reading(
    "signs",
    signs_strength,
    signs_evidence,
    nothing,
    (
        Rule("soft_margin_loss", margin_strength, nothing, _against_margin),
        Rule("hinge_embedding_loss", distance_strength, distance_evidence, _against_distance),
        Rule("binary_cross_entropy_with_logits", sometimes(0.45), nothing, _against_mapping),
    ),
)


# --- several labels a row ----------------------------------------------------------------------


def labels_strength(signs: Signs) -> float:
    rows, is_matrix = signs.rows, len(signs.target.shape) == 2
    if rows is None or not rows.positives or rows.one_hot or not _elementwise(signs):
        return 0.0
    return float(is_matrix)


def labels_evidence(signs: Signs) -> Iterator[str]:
    rows = signs.rows
    if rows is None:
        return
    yield (
        f"{rows.rows} rows of {rows.columns} zeros and ones, {rows.active:.3g} ones per row: "
        f"several labels may hold at once"
    )
    yield (
        f"labels hold in {percent(min(rows.positives))} to {percent(max(rows.positives))} of rows"
    )


def _uneven(signs: Signs) -> bool:
    rows = signs.rows
    return rows is not None and bool(rows.positives) and min(rows.positives) < RARE


def per_label_strength(signs: Signs) -> float:
    return 1.0 if _uneven(signs) or signs.target.missing else 0.9


def per_label_evidence(signs: Signs) -> Iterator[str]:
    if _uneven(signs):
        yield "pos_weight: negatives per positive of each label (1 where a label never holds)"
    yield from _given_fractions(signs)


def pos_weights(signs: Signs) -> Parameters:
    """Negatives per positive of each label, if one of them is rare."""
    rows = signs.rows
    if rows is None or not _uneven(signs):
        return defaults(signs)
    return {"pos_weight": [rounded((1 - p) / p) if p > 0 else 1.0 for p in rows.positives]}


def _against_per_label(signs: Signs) -> Iterator[str]:
    yield "the same number, named after its element; pos_weight, its extra, is not needed here"


def _against_no_weight(signs: Signs) -> Iterator[str]:
    yield "the same number, but without pos_weight, and with a mask for rows only"


MULTILABEL = Reading(
    "several labels",
    labels_strength,
    labels_evidence,
    nothing,
    (
        Rule(
            "binary_cross_entropy_with_logits",
            per_label_strength,
            per_label_evidence,
            _against_per_label,
            pos_weights,
        ),
        Rule("multilabel_soft_margin_loss", sometimes(0.95), nothing, _against_no_weight),
        Rule("binary_cross_entropy", with_probabilities, probabilities, _against_probabilities),
    ),
)


# --- shares ------------------------------------------------------------------------------------


def shares_strength(signs: Signs) -> float:
    target = signs.target
    if not _elementwise(signs) or target.whole or target.smallest < 0 or target.largest > 1:
        return 0.0
    if signs.rows is not None and signs.rows.probabilities:
        return 0.4
    if target.distinct == 1:
        return 0.2
    return 0.9 if target.largest > 0.5 else 0.6


def shares_evidence(signs: Signs) -> Iterator[str]:
    target = signs.target
    yield (
        f"{target.count} targets from {target.smallest:.3g} to {target.largest:.3g}, none outside "
        f"[0, 1]; mean {target.mean:.3g}"
    )
    if target.distinct == 2:
        yield f"two values, {target.labels[0]:g} and {target.labels[1]:g}: smoothed labels"
    yield (
        "as shares or soft labels the loss is a quasi-likelihood (Papke and Wooldridge (1996), "
        "Journal of Applied Econometrics 11, 619-632); a measurement that was only scaled to "
        "[0, 1] is a real number"
    )
    yield from _given_fractions(signs)


def shares_doubt(signs: Signs) -> Iterator[str]:
    if signs.rows is not None and signs.rows.probabilities:
        yield "the rows sum to 1: its elements would be independent"
    else:
        yield "right if 0 and 1 are bounds that nothing can pass"


SHARES = Reading(
    "shares",
    shares_strength,
    shares_evidence,
    shares_doubt,
    (
        Rule("binary_cross_entropy_with_logits", with_logits, nothing, _against_logits),
        Rule("binary_cross_entropy", with_probabilities, probabilities, _against_probabilities),
    ),
)
