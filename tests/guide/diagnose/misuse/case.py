"""Misuse by name: the loss, its tensors and options, and what is to be found."""

import random
from types import SimpleNamespace

import torch

T = torch.tensor


def rows(*last):
    return random.choice((12, 40, 130)), *last


def logits(classes=None):
    shape = rows() if classes is None else rows(classes)
    return torch.randn(shape) * random.choice((1.0, 3.0))


def labels(input, classes):
    return torch.randint(classes, input.shape[:1])


def bits(input):
    target = torch.randint(2, input.shape).float()
    target.view(-1)[:2] = T([0.0, 1.0])
    return target


def classes():
    return random.choice((2, 3, 10, 50))


# Each row: the loss, a maker of its tensors and options, the severity and the problem.
MISUSE = {}


def misuse(loss, severity, problem):
    def enter(make):
        MISUSE[make.__name__] = SimpleNamespace(
            loss=loss, make=make, severity=severity, problem=problem
        )
        return make

    return enter
