"""One of many classes."""

from __future__ import annotations

from collections.abc import Iterator

from onepass.errors import quoted
from onepass.guide.recommend.families.counts import undecided
from onepass.guide.recommend.rule import (
    Parameters,
    Reading,
    Rule,
    always,
    nothing,
    percent,
    rounded,
)
from onepass.guide.recommend.signs import Labels, Signs

UNEVEN = 10  # the largest class over the smallest, from where on weights are worth setting
FEW = 20  # labels that may be classes without being indices
MANY = 4096  # classes whose logits take more memory than what they are made of
NOISE = 0.01  # share of wrong labels worth a word


def strength(signs: Signs) -> float:
    labels, target, form = signs.labels, signs.target, signs.inputs.form
    if labels is None or form not in ("none", "scores"):
        return 0.0
    if form == "scores" or len(target.names) > 2:
        return 1.0
    if target.distinct <= 2:
        return 0.0
    rows = 0.8 if len(target.shape) > 2 else 0.5 if target.columns > 1 else 1.0
    return rows * _likeness(signs, labels)


def _likeness(signs: Signs, labels: Labels) -> float:
    """How much whole numbers look like labels."""
    target, counting = signs.target, signs.counting
    if target.count < 5 * target.distinct:
        return 0.0
    if labels.indices:
        apart = labels.ignored is not None
        alike = apart or counting is None or counting.rare >= counting.uniform
        return 0.95 if alike or labels.classes <= 3 else 0.5
    sparse = target.distinct <= FEW and target.count >= 10 * target.distinct
    return 0.85 if sparse else 0.0


def evidence(signs: Signs) -> Iterator[str]:
    labels, target = signs.labels, signs.target
    if labels is None:
        return
    shares = [size / sum(labels.sizes) for size in labels.sizes]
    yield (
        f"{target.count} labels of {labels.classes} classes, which hold {percent(min(shares))} to "
        f"{percent(max(shares))} each"
    )
    yield from _form(signs, labels)
    yield from undecided(signs)
    if labels.ignored is not None:
        yield (
            f"{percent(labels.ignored_share)} are {labels.ignored:g}, which is no class: "
            f"ignore_index={labels.ignored:g}"
        )
    if labels.noise is not None and labels.noise > NOISE:
        yield (
            f"the scores are 99% sure that {percent(labels.noise)} of the labels are wrong: look "
            f"at them (Northcutt, Jiang and Chuang (2021), doi:10.1613/jair.1.12125)"
        )


def _form(signs: Signs, labels: Labels) -> Iterator[str]:
    """How to make class indices of the labels."""
    if signs.target.names:
        yield (
            f"strings, such as {quoted(signs.target.names[0])}: write their places in sorted "
            f"order, 0 to {labels.classes - 1}"
        )
    elif not labels.indices:
        yield "the labels are no indices: write 0, 1, ... in their order, with torch.unique"
    elif labels.first == 1:
        yield f"labels from 1 to {labels.classes}: write target - 1"
    elif 0 in labels.sizes:
        yield f"{labels.sizes.count(0)} of the classes do not occur"


def doubt(signs: Signs) -> Iterator[str]:
    counting, labels = signs.counting, signs.labels
    if labels and not labels.indices:
        yield "class labels would be 0, 1, 2, ... without gaps"
    elif counting and counting.rare < counting.uniform:
        difference = counting.uniform - counting.rare
        yield f"labels all alike cost {difference:.2g} nats per target more than a count law"
    if signs.target.columns > 1 and signs.inputs.form == "none":
        yield f"a row has {signs.target.columns} of them"
    yield "forgets that 3 lies between 2 and 4"


# --- losses ------------------------------------------------------------------------------------


def logits(signs: Signs) -> float:
    return 0.8 if signs.inputs.log_probabilities else 1.0


def logits_evidence(signs: Signs) -> Iterator[str]:
    if signs.inputs.probabilities:
        yield "the input's rows sum to 1: softmax is in the loss; pass the logits before it"
    if signs.labels and signs.labels.imbalance >= UNEVEN:
        yield (
            f"the largest class is {signs.labels.imbalance:.3g} times the smallest: weight = rows "
            f"/ (classes * rows of the class); without it the probabilities are right, with it "
            f"rare classes are found sooner"
        )


def logits_against(signs: Signs) -> Iterator[str]:
    if signs.inputs.log_probabilities:
        yield "takes a log_softmax that is already there: the same number, for more work"


def weights(signs: Signs) -> Parameters:
    """Class weights if classes differ much in size, ignore_index, label smoothing, dim.

    Balanced weights: King and Zeng (2001), doi:10.1093/oxfordjournals.pan.a004868.
    """
    labels = signs.labels
    if labels is None:
        return {}
    parameters = indices(signs)
    if labels.imbalance >= UNEVEN:
        parameters |= balanced(labels)
    return parameters


def indices(signs: Signs) -> Parameters:
    """ignore_index and dim, where they are not the default."""
    parameters: Parameters = {}
    if signs.labels and signs.labels.ignored not in (None, -100.0):
        parameters["ignore_index"] = int(signs.labels.ignored or 0)
    if signs.inputs.dim != 1:
        parameters["dim"] = signs.inputs.dim
    return parameters


def balanced(labels: Labels) -> Parameters:
    rows, classes = sum(labels.sizes), sum(size > 0 for size in labels.sizes)
    return {"weight": [rounded(rows / (classes * size)) if size else 1.0 for size in labels.sizes]}


def smoothing(signs: Signs) -> Parameters:
    """The weights, and the share of wrong labels as label_smoothing."""
    parameters = weights(signs)
    if signs.labels and signs.labels.noise is not None and signs.labels.noise > NOISE:
        parameters["label_smoothing"] = rounded(min(signs.labels.noise, 0.5))
    return parameters


def whole_layer(signs: Signs) -> float:
    """Where the logits, not the layer, are what fills memory."""
    labels = signs.labels
    return 0.6 if labels and labels.classes >= MANY and "dim" not in indices(signs) else 0.0


def layer_evidence(signs: Signs) -> Iterator[str]:
    if signs.labels:
        kilobytes = 4 * signs.labels.classes / 1000
        yield (
            f"{signs.labels.classes} logits in float32 take {kilobytes:.3g} kB a row, and as much "
            f"for their gradient: given the last layer's weight they never exist whole"
        )


def layer_against(signs: Signs) -> Iterator[str]:
    yield "takes the last layer's weight and its input, not logits"


def ready(signs: Signs) -> float:
    if signs.inputs.log_probabilities:
        return 1.0
    return 0.2 if signs.inputs.form == "scores" else 0.4


def ready_evidence(signs: Signs) -> Iterator[str]:
    if signs.inputs.log_probabilities:
        yield "the exponentials of the input's rows sum to 1: they are log-probabilities already"


def ready_against(signs: Signs) -> Iterator[str]:
    yield "takes log-probabilities: log_softmax first, which cross_entropy does in the same pass"


def margin(signs: Signs) -> float:
    """It knows neither ignore_index nor dim."""
    return 0.0 if indices(signs) or (signs.labels and signs.labels.ignored_share) else 0.35


def margin_weights(signs: Signs) -> Parameters:
    if signs.labels is None or signs.labels.imbalance < UNEVEN:
        return {}
    return balanced(signs.labels)


def margin_against(signs: Signs) -> Iterator[str]:
    yield "its scores are no probabilities, and beyond the margin it no longer learns"


CLASSES = Reading(
    "classes",
    strength,
    evidence,
    doubt,
    (
        Rule("cross_entropy", logits, logits_evidence, logits_against, smoothing),
        Rule("linear_cross_entropy", whole_layer, layer_evidence, layer_against, smoothing),
        Rule("nll_loss", ready, ready_evidence, ready_against, weights),
        Rule("multi_margin_loss", margin, nothing, margin_against, margin_weights),
    ),
)


# --- one-hot rows ------------------------------------------------------------------------------


def one_hot_strength(signs: Signs) -> float:
    rows = signs.rows
    if rows is None or not rows.one_hot or signs.inputs.form not in ("none", "alike"):
        return 0.0
    return 1.0


def one_hot_evidence(signs: Signs) -> Iterator[str]:
    rows = signs.rows
    if rows:
        yield (
            f"each of {rows.rows} rows holds one 1 among {rows.columns}: one class each; "
            f"target.argmax({rows.axis}) as class indices says the same in less memory"
        )


def class_axis(signs: Signs) -> Parameters:
    """dim, where torch would take another axis for the classes."""
    rows = signs.rows
    return {"dim": -1} if rows and rows.axis == -1 and len(signs.target.shape) > 2 else {}


ONE_HOT = Reading(
    "one-hot",
    one_hot_strength,
    one_hot_evidence,
    nothing,
    (Rule("cross_entropy", always, parameters=class_axis),),
)
