"""Misuse of losses of yes and no, and of labels -1 and 1."""

import random
from types import SimpleNamespace

import torch

from tests.guide.diagnose.misuse.case import MISUSE, bits, logits, misuse

T = torch.tensor


@misuse("binary_cross_entropy_with_logits", "warning", "`input` holds probabilities")
def sigmoid_twice():
    input = torch.randn(random.choice((40, 200)))
    return (input.sigmoid(), bits(input)), {}


@misuse("multilabel_soft_margin_loss", "warning", "`input` holds probabilities")
def sigmoid_then_multilabel():
    input = logits(9)
    return (input.sigmoid(), bits(input)), {}


@misuse("soft_margin_loss", "warning", "`input` holds probabilities")
def sigmoid_then_soft_margin():
    input = torch.randn(50)
    return (input.sigmoid(), 2 * bits(input) - 1), {}


@misuse("binary_cross_entropy", "error", "`input` holds logits; binary_cross_entropy wants prob")
def logits_into_bce():
    input = logits(random.choice((None, 3)))
    return (input, bits(input)), {}


@misuse("binary_cross_entropy", "error", r"`input` is a little outside of \[0, 1\]")
def rounded_beyond_one():
    return (T([0.2, 1 + 2**-23, 0.5]), T([0, 1, 0])), {}


@misuse("binary_cross_entropy", "warning", "Wrong probabilities have become 0 or 1")
def saturated_probabilities():
    input = torch.randn(20)
    input[7] = -50.0
    target = bits(input)
    target[7] = 1
    return (input.sigmoid(), target), {}


@misuse("binary_cross_entropy_with_logits", "error", "outside of .*: it looks like labels -1 and 1")
def signs_into_bce_with_logits():
    input = logits()
    return (input, 2 * bits(input) - 1), {}


@misuse("multilabel_soft_margin_loss", "error", "outside of .*: it looks like labels -1 and 1")
def signs_into_multilabel():
    input = logits(4)
    return (input, 2 * bits(input) - 1), {}


@misuse("binary_cross_entropy", "error", "it looks like a mask of 0 and 255")
def mask_of_bytes():
    input = logits().sigmoid()
    return (input, bits(input) * 255), {}


@misuse("binary_cross_entropy_with_logits", "error", "it looks like bytes")
def grey_bytes():
    input = torch.randn(3, 8, 8)
    target = torch.randint(256, input.shape).to(torch.uint8)
    target[0, 0, 0] = 200
    return (input, target), {}


@misuse("binary_cross_entropy_with_logits", "error", "it looks like class ids")
def ids_into_bce():
    input = logits()
    target = torch.randint(5, input.shape)
    target[:4] = T([0, 1, 2, 4])
    return (input, target), {}


@misuse("binary_cross_entropy_with_logits", "error", "it looks like labels 1 and 2")
def counted_from_one():
    input = logits()
    return (input, bits(input) + 1), {}


@misuse("binary_cross_entropy_with_logits", "error", "a mark for what is missing")
def missing_labels():
    input = logits()
    target = bits(input)
    target[5] = random.choice((-1.0, 255.0, -100.0))
    return (input, target), {}


@misuse("multilabel_soft_margin_loss", "error", "a mark for what is missing")
def missing_labels_of_rows():
    input = logits(4)
    target = bits(input)
    target[5, 2] = -1
    return (input, target), {}


@misuse("binary_cross_entropy_with_logits", "error", "it looks like logits")
def teacher_logits():
    input = logits()
    return (input, torch.randn_like(input)), {}


def zero_one_labels(loss):
    """Labels 0 and 1, also as bool."""

    def make():
        input = logits(4)
        if loss in ("soft_margin_loss", "hinge_embedding_loss"):
            input = input[:, 0].abs() if loss == "hinge_embedding_loss" else input[:, 0]
            tensors = (input,)
        elif loss == "margin_ranking_loss":
            tensors = (input[:, 0], input[:, 1])
        else:
            tensors = (input, torch.randn_like(input))
        target = bits(tensors[0] if tensors[0].dim() == 1 else input[:, 0])
        return (*tensors, random.choice((target, target.long(), target.bool()))), {}

    return make


SIGNED = (
    "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "soft_margin_loss",
)  # fmt: skip
for signed in SIGNED:
    MISUSE[f"zero_one_labels_{signed}"] = SimpleNamespace(
        loss=signed,
        make=zero_one_labels(signed),
        severity="error",
        problem="`target` must be -1 or 1; it holds labels 0 and 1",
    )


@misuse("margin_ranking_loss", "warning", "it holds ties")
def tied_pairs():
    input = logits()
    return (
        input,
        input.flip(0),
        torch.where(torch.arange(len(input)) % 3 > 1, 0, 2 * bits(input) - 1),
    ), {}


@misuse("soft_margin_loss", "error", "it holds other numbers")
def real_targets():
    input = logits()
    return (input, torch.randn_like(input)), {}


@misuse("binary_cross_entropy_with_logits", "error", "refuses the call with ShapeError")
def weights_of_channels():
    input = torch.randn(2, 3, 5, 4)
    return (input, bits(input)), {"pos_weight": torch.rand(3) + 1}


@misuse("binary_cross_entropy_with_logits", "note", "`pos_weight` .* is read along the last axis")
def weights_of_channels_as_wide():
    input = torch.randn(2, 3, 5, 3)
    return (input, bits(input)), {"pos_weight": torch.rand(3) + 1}


@misuse("binary_cross_entropy", "note", "`weight` .* is read along the last axis")
def weights_of_rows_in_a_square():
    input = torch.rand(7, 7)
    return (input, bits(input)), {"weight": torch.rand(7)}
