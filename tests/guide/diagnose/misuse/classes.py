"""Misuse of losses of one class out of many."""

import random

import torch
import torch.nn.functional as TF

from tests.guide.diagnose.misuse.case import bits, classes, labels, logits, misuse

T = torch.tensor


@misuse("cross_entropy", "warning", "`input` holds probabilities; cross_entropy wants logits")
def softmax_then_cross_entropy():
    c = classes()
    input = logits(c)
    return (
        input.to(random.choice((torch.float32, torch.float64))).softmax(1),
        labels(input, c),
    ), {}


@misuse("cross_entropy", "warning", "`input` holds probabilities; cross_entropy wants logits")
def softmax_in_bfloat16():
    input = torch.randn(40, 6).bfloat16()
    return (input.softmax(1), labels(input, 6)), {}


@misuse("cross_entropy", "note", r"All logits lie in \[0, 1\]")
def sigmoid_then_cross_entropy():
    c = random.choice((5, 10))
    input = logits(c)
    return (input.sigmoid(), labels(input, c)), {}


@misuse("nll_loss", "warning", "`input` holds probabilities; nll_loss wants their logarithms")
def probabilities_into_nll():
    c = classes()
    input = logits(c)
    return (input.softmax(1), labels(input, c)), {}


@misuse("nll_loss", "error", "`input` holds no log-probabilities")
def logits_into_nll():
    c = classes()
    input = logits(c)
    return (input, labels(input, c)), {}


@misuse("nll_loss", "warning", "`input` holds no log-probabilities")
def log_sigmoids_into_nll():
    input = logits(7)
    return (TF.logsigmoid(input), labels(input, 7)), {}


@misuse("cross_entropy", "error", "refuses the call with ShapeError")
def column_of_labels():
    input = logits(5)
    return (input, labels(input, 5).unsqueeze(1)), {}


@misuse("cross_entropy", "error", r"The classes of `input` \(4, 6, 9\) are on its last axis")
def classes_last():
    return (torch.randn(4, 6, 9), torch.randint(9, (4, 6))), {}


@misuse("multi_margin_loss", "error", "The classes of `input` .* are on its last axis")
def classes_last_of_margins():
    return (torch.randn(4, 6, 9), torch.randint(9, (4, 6))), {}


@misuse("cross_entropy", "note", "has two axes that could hold the classes; axis 1 is taken")
def as_many_positions_as_classes():
    return (torch.randn(4, 6, 6), torch.randint(6, (4, 6))), {}


@misuse("nll_loss", "warning", r"has the classes on its last axis, but axis 1 is taken")
def log_probabilities_last():
    return (torch.randn(4, 6, 6).log_softmax(-1), torch.randint(6, (4, 6))), {}


@misuse("cross_entropy", "warning", "has the classes on its last axis, but axis 1 is taken")
def soft_labels_last():
    return (torch.randn(4, 6, 6), torch.randn(4, 6, 6).softmax(-1)), {}


@misuse("cross_entropy", "note", "`target` is one-hot")
def one_hot_integers():
    c = random.choice((3, 10))
    input = logits(c)
    return (input, TF.one_hot(labels(input, c), c)), {}


@misuse("nll_loss", "error", "`target` is one-hot")
def one_hot_into_nll():
    input = logits(5)
    return (input.log_softmax(1), TF.one_hot(labels(input, 5), 5)), {}


@misuse("multi_margin_loss", "error", "`target` is one-hot")
def one_hot_into_margins():
    input = logits(5)
    return (input, TF.one_hot(labels(input, 5), 5).float()), {}


@misuse("cross_entropy", "error", "looks like class ids")
def float_ids():
    n = random.choice((3, 10))
    return (torch.randn(n), torch.randint(2, 8, (n,)).float()), {}


@misuse("cross_entropy", "error", "read as class probabilities, but has negative values")
def logits_as_soft_labels():
    input = logits(5)
    return (input, torch.randn_like(input)), {}


@misuse("cross_entropy", "warning", "`target` marks several classes in a row")
def several_labels():
    input = logits(6)
    target = bits(input)
    target[3] = T([1, 1, 0, 0, 0, 1])
    return (input, target), {}


@misuse("cross_entropy", "note", "do not sum to 1")
def scaled_soft_labels():
    input = logits(6)
    return (input, torch.rand_like(input)), {}


@misuse("cross_entropy", "error", "The classes of `target` count from 1")
def from_one():
    c = classes()
    input = logits(c)
    target = labels(input, c) + 1
    target[1] = c
    return (input, target), {}


@misuse("cross_entropy", "error", "holds 255, which is no class: a mark for rows to skip")
def void_pixels():
    target = torch.randint(4, (2, 8, 8))
    target[0, :2] = 255
    return (torch.randn(2, 4, 8, 8), target), {}


@misuse("multi_margin_loss", "error", "holds -1, which is no class: a mark for rows to skip")
def skipped_margins():
    input = logits(4)
    target = labels(input, 4)
    target[3] = -1
    return (input, target), {}


@misuse("linear_cross_entropy", "error", "`target` holds what is no class")
def labels_out_of_range():
    target = torch.randint(4, (9,))
    target[:3] = T([7, 9, -5])
    return (torch.randn(9, 3), torch.randn(4, 3), target), {}


@misuse("cross_entropy", "error", "There is only one class")
def one_logit():
    input = logits(1)
    return (input, torch.zeros(len(input), dtype=torch.long)), {}


@misuse("cross_entropy", "error", "There is only one class")
def one_logit_and_column():
    input = logits(1)
    return (input, bits(input)), {}


@misuse("cross_entropy", "error", "`input` and `target` are swapped")
def swapped_classes():
    input = logits(5)
    return (labels(input, 5), input), {}


@misuse("cross_entropy", "error", "`weight` has a number for each row")
def row_weights():
    input = logits(5)
    return (input, labels(input, 5)), {"weight": torch.rand(len(input))}


@misuse("cross_entropy", "note", "There are as many rows as classes")
def as_many_rows_as_classes():
    return (torch.randn(6, 6), torch.randint(6, (6,))), {"weight": torch.rand(6) + 0.1}
