# pyright: reportMissingParameterType=false
"""Logits with their softcap, their exponentials, class weights: what the kernels share."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *


def logit(input_at, index, cap):
    x = load(input_at, index)
    return cap * tanh(x / cap) if CAPPED else x


def flattened(input_at, index, cap):
    """The slope of cap tanh(x / cap): 1 - tanh(u)^2 = 4 e / (1 + e)^2, e = exp(-2 |u|), which does
    not cancel where tanh is near 1.
    """
    e = decay(real(-2.0) * absolute(load(input_at, index) / cap))
    return real(4.0) * e / ((real(1.0) + e) * (real(1.0) + e))


def class_weight(class_weight_at, label):
    return read(class_weight_at, label) if CLASS_WEIGHTED else real(1.0)


def top_of(input_at, first, end, cap):
    highest = rank(real(-inf))
    for i in range(first, end):
        highest = max(highest, rank(load(input_at, i)))
    top = of_rank(highest)
    return cap * tanh(top / cap) if CAPPED else top


def apart(x, top):
    """x - top, 0 where they are the same infinity."""
    return where(x == top, real(0.0), x - top)


def finite(top):
    """What logits are taken relative to: `top`, or the nearest number to it."""
    return where(
        top < real(-max_finite),
        real(-max_finite),
        where(top > real(max_finite), real(max_finite), top),
    )


def grown(x, base, reach):
    """exp(x - base) for a finite base, 0 for -inf; it grows no more once x is beyond `reach`."""
    distance = x - base
    return decay(where(distance > reach, reach, distance))


def with_limit(top, whole):
    """The sum of the exponentials, nan where there is no limit: of infinite logits more than one,
    or nothing but -inf.
    """
    limit = logical_or(absolute(top) < real(inf), logical_and(top == real(inf), whole == real(1.0)))
    return where(limit, whole, real(nan))


def waits():
    """Whether an exponential can wait where its slope will stand; there may be a logit yet."""
    return KEEPS and not IN_PLACE


def clear(gradient_at, first, end):
    for i in range(first, end):
        store(gradient_at, i, real(0.0))
