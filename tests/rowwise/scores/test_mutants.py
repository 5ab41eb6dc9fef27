"""Mutants of the losses of scores, which the checks catch."""

from functools import partial

import pytest
import torch
from torch import tensor

import onepass
from onepass.printers import rows as printer
from onepass.rowwise import multilabel_soft_margin
from onepass.runtime.cpu.operands import divisor_of
from tests.rowwise.scores.calls import NAMES, on
from tests.rowwise.scores.checks import (
    assert_kinks_are_torchs,
    assert_row_weights_weigh_and_count,
    assert_rows_are_the_definitions,
    assert_what_does_not_count_is_nothing,
)


def assert_composition_is_right(name):
    assert_rows_are_the_definitions(name)
    assert_row_weights_weigh_and_count(name)


def masked(name):
    assert_what_does_not_count_is_nothing(name, "masked")


def out_of_range(name):
    for classes in (5, 90):
        input, target = torch.zeros(4, classes), tensor([0, 1, 2, classes])
        for reduction in ("mean", "sum"):
            with pytest.raises(onepass.DomainError):
                on("cpu", name)(input, target, reduction=reduction)


DEFINITION, WEIGHTS = assert_rows_are_the_definitions, assert_row_weights_weigh_and_count

# What is wrong: the loss; what the text says, and what a mistaken one would; the check that fails
MUTANTS = {
    "ignore_index dropped": (
        "nll_loss", "if label == ignore_index:", "if label == ignore_index - 1:", DEFINITION
    ),
    "the class before": (
        "nll_loss", "outer * classes + label)", "outer * classes + max(label - 1, 0))", DEFINITION
    ),
    "sign of the slope": ("nll_loss", "real(-scale * share)", "real(scale * share)", DEFINITION),
    "class weight dropped": (
        "nll_loss", "share * float64(read(class_weight_at, label))", "share", DEFINITION
    ),
    "zeros not written": (
        "nll_loss", "store(gradient_input_at, i, real(0.0))",
        "store(gradient_input_at, i, real(1e-3))", DEFINITION,
    ),
    "row weight dropped": ("nll_loss", "share = read(weight_at, row)", "share = 1.0", WEIGHTS),
    "what does not count multiplied by 0": (
        "nll_loss", "if share != 0.0 and 0", "if share == share and 0", masked
    ),
    "not divided by what counts": ("nll_loss", "total / counted if", "total if", DEFINITION),
    "gradient not divided by what counts": (
        "nll_loss", "scale = scale / counted", "scale = scale / 1.0", DEFINITION
    ),
    "sums of blocks lost": ("nll_loss", "(partials_at, block,", "(partials_at, 0,", DEFINITION),
    "one class too many": ("nll_loss", "label >= classes:", "label > classes:", out_of_range),
    "missing margin along": (
        "multi_margin_loss", "real(margin) - load(", "real(0.0) - load(", DEFINITION
    ),
    "missing margin across": (
        "multi_margin_loss", "p, margin - load(", "p, -load(", DEFINITION
    ),
    "a kink that is not strict": (
        "multi_margin_loss",
        "where(hinge == real(0.0), real(0.0), real(1.0))",
        "real(1.0)",
        assert_kinks_are_torchs,
    ),
    "a hinge on the other side": (
        "multi_margin_loss", "where(slack <= real(0.0), real(0.0), slack)",
        "where(slack <= real(0.0), -slack, slack)", DEFINITION,
    ),
    "the label among the others": (
        "multi_margin_loss", "logical_or(label == int32(c), label < int32(0))", "label < int32(0)",
        DEFINITION,
    ),
    "classes behind the label left out": (
        "multi_margin_loss", "at + 1, end, lead", "end, end, lead", DEFINITION
    ),
    "half the slope of a square": (
        "multi_margin_loss", "scale * share * 2.0", "scale * share", DEFINITION
    ),
    "slope at the label missing": (
        "multi_margin_loss", "real(-float64(factor) * (pull + further))", "real(0.0)", DEFINITION
    ),
    "class weight dropped from a margin": (
        "multi_margin_loss", "float64(read(class_weight_at, label if 0 <= label < classes else 0))",
        "1.0", DEFINITION,
    ),
    "row weight dropped from a margin": (
        "multi_margin_loss", "share * read(weight_at, row)", "share", WEIGHTS
    ),
    "masked rows count": (
        "multi_margin_loss", "if WEIGHTED and read(weight_at, row) == 0.0:", "if False:", masked
    ),
    "one class too many in a margin": (
        "multi_margin_loss", "share = where(label < classes, share, float64(nan))", "pass",
        out_of_range,
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("wrong", MUTANTS)
@pytest.mark.usefixtures("fresh")
def test_a_mutant_is_caught(wrong, monkeypatch):
    name, was, becomes, check = MUTANTS[wrong]
    changed = []

    def text(*arguments):
        right = whole(*arguments)
        changed.append(was in right)
        return right.replace(was, becomes)

    whole = printer.text
    monkeypatch.setattr(printer, "text", text)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(name)
    assert any(changed)


@pytest.mark.slow
def test_what_catches_mutants_passes_without_them():
    for name, check in {(name, check) for name, _, _, check in MUTANTS.values()}:
        check(name)


def in_multilabel(patch, method):
    """A mistaken way to hand the call on to the element."""
    for name in ("_reduced", "_unreduced"):
        right = getattr(multilabel_soft_margin.cpu, name)
        wrong = partial(lambda right, call, tensors: right(method(call), tensors), right)
        patch.setattr(multilabel_soft_margin.cpu, name, wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda call: call.like({"weight": None}, call.weight, call.denominator),
        lambda call: call.like({}, None, call.denominator),
        lambda call: call.like({}, call.weight, divisor_of(call) / 2),
    ],
    ids=["weight dropped", "row weight dropped", "wrong denominator"],
)  # fmt: skip
def test_a_mutant_of_the_composition_is_caught(wrong, monkeypatch):
    in_multilabel(monkeypatch, wrong)
    with pytest.raises(AssertionError):
        assert_composition_is_right(NAMES[2])
