"""Mutants of cross_entropy's kernels, which the checks catch."""

import pytest
import torch

from onepass.runtime.cpu import rows
from tests.rowwise.cross_entropy import checks
from tests.rowwise.cross_entropy.calls import ALONE, FEW, LAST, on
from tests.rowwise.results import INF


def labelled(name, shape):
    return lambda: checks.assert_rows_are_the_definitions(name, shapes=[shape])


def massed(name, shape=LAST):
    return lambda: checks.assert_probabilities_are_the_definitions(name, shapes=[shape])


def weighed(shape):
    return lambda: checks.assert_row_weights_weigh_and_count(shapes=[shape])


def of_float64(check):
    return lambda: check(torch.float64)


def of_float32(check):
    return lambda: check(torch.float32)


def long_rows():
    checks.assert_rows_are_the_definitions("plain", shapes=[(3, 10_000)])


def far_labels(shape):
    return lambda: checks.assert_labels_far_below_the_largest_are_exact(shapes=[shape])


def one_infinity():
    each = on("cpu")(
        torch.zeros(1, 300).index_fill(1, torch.tensor(0), INF), torch.tensor([1]), reduction="none"
    )
    assert each.item() == INF


def massless():
    impossible, target = torch.tensor([[0.0, 1.0, -INF]]), torch.tensor([[1.0, 0.0, 0.0]])
    assert on("cpu")(impossible, target, reduction="none").isfinite().all()


def ignored():
    checks.assert_what_does_not_count_is_nothing("ignored")


def large_logits():
    checks.assert_large_logits_do_not_overflow(shapes=[LAST])


CONFIDENT = of_float64(checks.assert_confident_rows_do_not_cancel)
SURE = of_float32(checks.assert_confident_probabilities_do_not_cancel)

# What is wrong: what the text says, and what a mistaken one would; the check that fails.
MUTANTS = {
    "ignore_index dropped": (
        "counts = label != ignore_index",
        "counts = label == label",
        labelled("kept", FEW),
    ),
    "smoothing over one class fewer": (
        "real(1.0 - smoothing), real(spread)",
        "real(1.0 - smoothing), real(spread * float64(classes) / float64(classes - 1))",
        labelled("smoothed", FEW),
    ),
    "the class before, along": (
        "at, end = first + label, first + classes",
        "at, end = first + max(label - 1, 0), first + classes",
        labelled("plain", LAST),
    ),
    "the class before, across": (
        "label = max(read(label_at, p), int32(0))\n",
        "label = max(read(label_at, p) - int32(1), int32(0))\n",
        labelled("plain", FEW),
    ),
    "class weight dropped": (
        "share = keep * class_weight(class_weight_at, max(label, int32(0)))",
        "share = keep",
        labelled("weight", FEW),
    ),
    "class weight does not count": (
        "count = float64(read(class_weight_at, label if legal else 0))",
        "count = float64(1.0)",
        labelled("weight", ALONE),
    ),
    "slope at the label cancels": (
        "slope = (mass * itself - share * others) / whole",
        "slope = (mass + share) * itself / whole - share",
        CONFIDENT,
    ),
    "value at the label cancels": (
        "size = where(own == real(0.0), log1p(others), log(whole))",
        "size = log(whole)",
        CONFIDENT,
    ),
    "the label among the others": (
        "other = where(read(label_at, p) == int32(c), real(0.0), e)",
        "other = e",
        labelled("plain", FEW),
    ),
    "the label among the others of a long row": (
        "where(left_out, real(0.0), e)",
        "e",
        labelled("plain", LAST),
    ),
    "negative logits in the wrong order": (
        "highest = max(highest, rank(load(input_at, i)))",
        "highest = max(highest, bits(load(input_at, i)))",
        far_labels(LAST),
    ),
    "last piece skipped": (
        "for start in range(first, end, piece):",
        "for start in range(first, max(end - piece, first + 1), piece):",
        long_rows,
    ),
    "pieces before a larger logit not rescaled": (
        "total = total * float64(decay(top - peak))",
        "total = total * 1.0",
        far_labels((6, 10_000)),
    ),
    "pieces before a larger logit with slopes of their own": (
        "factor = common if peak == top else common * decay(peak - top)",
        "factor = common",
        far_labels((6, 10_000)),
    ),
    "sums that stopped growing are believed": (
        "MOST = 10000000000000.0",
        "MOST = inf",
        far_labels(LAST),
    ),
    "rows summed as they are not relative to the label": (
        "return own, total * float64(decay(-own))",
        "return own, total",
        labelled("plain", LAST),
    ),
    "what is above the label does not grow": (
        "else real(REACH)",
        "else real(0.0)",
        labelled("plain", LAST),
    ),
    "an infinity grows": (
        "real(0.0) if top == real(inf) else real(REACH)",
        "real(REACH)",
        one_infinity,
    ),
    "last row skipped": (
        "count = min(at_once, rows - row)",
        "count = min(at_once, rows - row - 1)",
        labelled("plain", LAST),
    ),
    "every tile the first": (
        "(start if ADJACENT else start * classes)",
        "0",
        labelled("plain", FEW),
    ),
    "sums of tiles lost": (
        "write(partials_at, block, (total + wrong) / whole)",
        "write(partials_at, 0, (total + wrong) / whole)",
        labelled("plain", FEW),
    ),
    "row weight not in the value": (
        "float64(0.0), weight * float64(value))",
        "float64(0.0), float64(value))",
        weighed(FEW),
    ),
    "row weight not in the gradient": (
        "factor = real(scale * weight)",
        "factor = real(scale)",
        weighed(FEW),
    ),
    "row weight does not count": (
        "count = count * read(weight_at, row)",
        "count = count * 1.0",
        weighed(ALONE),
    ),
    "ignored rows multiplied by 0": (
        "where(label < int32(0), real(0.0), slope)",
        "where(label < int32(0), real(0.0) * slope, slope)",
        ignored,
    ),
    "ignored values multiplied by 0": (
        "loss = where(label < int32(0), float64(0.0), weight * float64(value))",
        "loss = where(label < int32(0), 0.0 * float64(value), weight * float64(value))",
        ignored,
    ),
    "exponentials not shifted": (
        "e = grown(logit(input_at, i, cap), base, reach)",
        "e = exp(logit(input_at, i, cap)) * exp(-base)",
        large_logits,
    ),
    "one class too many": (
        "legal = logical_and(label >= 0, label < classes)",
        "legal = logical_and(label >= 0, label <= classes)",
        checks.assert_a_class_out_of_range_raises,
    ),
    "z_loss not squared": (
        "value = value + z_loss * size * size",
        "value = value + z_loss * size",
        labelled("z_loss", FEW),
    ),
    "half the slope of z_loss": (
        "real(2.0) * z_loss * size",
        "z_loss * size",
        labelled("z_loss", FEW),
    ),
    "softcap not differentiated at the label": (
        "slope = slope * flattened(input_at, at, cap)",
        "slope = slope * real(1.0)",
        labelled("softcap", LAST),
    ),
    "smoothing pulls at all classes alike": (
        "pull * class_weight(class_weight_at, i - first)",
        "pull",
        labelled("together", LAST),
    ),
    "smoothing charges classes without weight": (
        "if SMOOTHED and weight != real(0.0):",
        "if SMOOTHED:",
        lambda: checks.assert_smoothing_asks_nothing_of_a_class_without_weight("cpu", [FEW]),
    ),
    "probabilities smoothed without making room": (
        "mass = keep * mass + spread",
        "mass = mass + spread",
        massed("smoothed"),
    ),
    "probabilities without class weights": (
        "mass = where(weight == real(0.0), real(0.0), weight * mass)",
        "mass = mass * real(1.0)",
        massed("weight"),
    ),
    "the best class counted twice": (
        "one = where(is_best, real(0.0), one)",
        "one = one * real(1.0)",
        massed("plain"),
    ),
    "the first class taken for the best": (
        "return first + place if place < nowhere else first",
        "return first",
        massed("plain"),
    ),
    "a cost for what cannot be and need not": (
        "where(one == real(0.0), real(0.0), one * distance)",
        "one * distance",
        massless,
    ),
    "slope at the best class cancels": (
        "slope = factor * (mass - own_mass * others) / whole",
        "slope = factor * ((mass + own_mass) / whole - own_mass)",
        SURE,
    ),
    "the target's slope without the mean": (
        "slope = factor * weight * surprise",
        "slope = weight * surprise",
        massed("plain"),
    ),
    "masked targets have slopes": (
        "used = logical_and(used, logical_and(row_counts, weight != real(0.0)))",
        "used = logical_and(used, weight != real(0.0))",
        lambda: checks.assert_masked_probabilities_are_nothing("masked"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("was, becomes, check", MUTANTS.values(), ids=MUTANTS)
@pytest.mark.usefixtures("fresh")
def test_a_mutant_is_caught(was, becomes, check, monkeypatch):
    text, found = rows.printer.text, []

    def mistaken(*arguments):
        printed = text(*arguments)
        found.append(was in printed)
        return printed.replace(was, becomes)

    monkeypatch.setattr(rows.printer, "text", mistaken)
    caught = None
    try:
        check()
    except AssertionError as error:
        caught = error
    assert any(found), f"no kernel of this check says {was!r}: the mutant is out of date"
    assert caught is not None


@pytest.mark.slow
@pytest.mark.parametrize("check", [check for *_, check in MUTANTS.values()], ids=MUTANTS)
@pytest.mark.usefixtures("fresh")
def test_what_catches_the_mutant_passes_without_it(check):
    check()


def test_a_mutant_that_is_out_of_date_is_noticed(monkeypatch, fresh):
    with pytest.raises(AssertionError, match="the mutant is out of date"):
        test_a_mutant_is_caught("no such text", "", labelled("plain", FEW), monkeypatch)
