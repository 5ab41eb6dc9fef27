# pyright: reportMissingParameterType=false
"""Cross entropy of class probabilities: the kernel, which goes along each row.

    loss = sum(mass (lse(x) - x)) + z_loss lse(x)^2

with lse = log(sum(exp(x))), mass = w ((1 - smoothing) target + spread), spread = smoothing /
classes. Logits are taken relative to the largest. Its exponential, which is 1, is kept apart from
those of the others, so that neither lse(x) - x nor the slope there cancels where the row is
confident.
"""

from typing import TYPE_CHECKING

from onepass.rowwise.cross_entropy.logits import (
    apart,
    class_weight,
    clear,
    flattened,
    logit,
    top_of,
    waits,
    with_limit,
)
from onepass.rowwise.tiles import RUN, TILE

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *


def along_probabilities(
    input_at, target_at, class_weight_at, weight_at, values_at,
    gradient_input_at, gradient_target_at, partials_at,
    smoothing, z_loss, cap, scale,
    rows, classes, at_once, next_block_at,
):  # fmt: skip
    # reads 2 per logit (then again, from cache) and writes 1, or 2 with the target's gradient
    if IN_PLACE:
        gradient_input_at = input_at
    keep, spread = real(1.0 - smoothing), real(smoothing / float64(classes))
    z_loss, cap = real(z_loss), real(cap)
    top_at, best_at, others_at = scratch(cap, TILE), scratch(int64(0), TILE), scratch(cap, TILE)
    mass_at, own_mass_at, short_at = scratch(cap, TILE), scratch(cap, TILE), scratch(cap, TILE)
    block = next_block(next_block_at)
    while block * at_once < rows:
        row = block * at_once
        count = min(at_once, rows - row)
        for p in range(count):
            first, end = (row + p) * classes, (row + p + 1) * classes
            best = first
            if counts(weight_at, row + p):
                top = top_of(input_at, first, end, cap)
                best = first_at(input_at, first, end, top, cap)
                mass, short, rest = costs(
                    input_at, target_at, class_weight_at, gradient_input_at, first, end, best, top,
                    keep, spread, cap,
                )  # fmt: skip
                own_mass = mass_of(target_at, class_weight_at, best, first, keep, spread)
                write(top_at, p, top)
                write(others_at, p, real(rest))
                write(mass_at, p, mass)
                write(own_mass_at, p, own_mass)
                write(short_at, p, short)
            write(best_at, p, best)
        total = float64(0.0)
        for p in range(count):
            write(
                others_at,
                p,
                with_limit(read(top_at, p), real(1.0) + read(others_at, p)) - real(1.0)
                if absolute(read(top_at, p)) == real(inf)
                else read(others_at, p),
            )
            size = log1p(read(others_at, p))
            value = (read(mass_at, p) + read(own_mass_at, p)) * size + read(short_at, p)
            if SQUARED:
                value = value + z_loss * (size + read(top_at, p)) * (size + read(top_at, p))
            weight = read(weight_at, row + p) if WEIGHTED else float64(1.0)
            loss = where(counts(weight_at, row + p), weight * float64(value), float64(0.0))
            total = accumulate(total, loss)
            if EACH:
                store_value(values_at, row + p, real(loss))
        write(partials_at, block, total)
        for p in range(count):
            first, end, best = (row + p) * classes, (row + p + 1) * classes, read(best_at, p)
            weight = read(weight_at, row + p) if WEIGHTED else float64(1.0)
            factor = real(scale * weight)
            top, others = read(top_at, p), read(others_at, p)
            if GRADIENT_TARGET:
                target_slopes(
                    input_at, target_at, class_weight_at, gradient_target_at, first, end, top,
                    log1p(others), factor * keep, keep, spread, cap, counts(weight_at, row + p),
                )  # fmt: skip
            if GRADIENT_INPUT:
                mass = read(mass_at, p)
                if SQUARED:
                    mass = mass + real(2.0) * z_loss * (log1p(others) + top)
                own_mass, whole = read(own_mass_at, p), real(1.0) + others
                if counts(weight_at, row + p):
                    slope = factor * (mass - own_mass * others) / whole
                    if CAPPED:
                        slope = slope * flattened(input_at, best, cap)
                    input_slopes(
                        input_at, target_at, class_weight_at, gradient_input_at, first, end, top,
                        factor * (mass + own_mass) / whole, factor, keep, spread, cap,
                    )  # fmt: skip
                    store(gradient_input_at, best, slope)
                else:
                    clear(gradient_input_at, first, end)
        block = next_block(next_block_at)


def counts(weight_at, row):
    return read(weight_at, row) != 0.0 if WEIGHTED else True


def first_at(input_at, first, end, top, cap):
    """Where the largest logit stands; anywhere if there is none."""
    nowhere = int32(end - first)
    place = nowhere
    for c in range(end - first):
        here = logit(input_at, first + c, cap) == top
        place = min(place, where(here, int32(c), nowhere))
    return first + place if place < nowhere else first


def mass_of(target_at, class_weight_at, i, first, keep, spread):
    """What class i - first has of the target, smoothed and weighted."""
    mass = load(target_at, i)
    if SMOOTHED:
        mass = keep * mass + spread
    if CLASS_WEIGHTED:
        weight = class_weight(class_weight_at, i - first)
        mass = where(weight == real(0.0), real(0.0), weight * mass)
    return mass


def costs(
    input_at, target_at, class_weight_at, gradient_input_at, first, end, best, top, keep, spread,
    cap,
):  # fmt: skip
    """Of all classes but the best their mass, what they cost beside the size of the row, and the
    sum of their exponentials, each of which is kept where its slope will stand. A class without
    mass costs nothing, however impossible it is.
    """
    mass, cost, others = float64(0.0), float64(0.0), float64(0.0)
    for run in range(first, end, RUN):
        part_of_mass, part_of_cost, part_of_others = real(0.0), real(0.0), real(0.0)
        for i in range(run, min(run + RUN, end)):
            distance = apart(logit(input_at, i, cap), top)
            e, one = decay(distance), mass_of(target_at, class_weight_at, i, first, keep, spread)
            if GRADIENT_INPUT and waits():
                store(gradient_input_at, i, e)
            is_best = int32(i) == int32(best)
            one = where(is_best, real(0.0), one)
            part_of_mass = accumulate(part_of_mass, one)
            part_of_cost = accumulate(
                part_of_cost, where(one == real(0.0), real(0.0), one * distance)
            )
            part_of_others = accumulate(part_of_others, where(is_best, real(0.0), e))
        mass, cost = mass + float64(part_of_mass), cost - float64(part_of_cost)
        others = others + float64(part_of_others)
    return real(mass), real(cost), others


def input_slopes(
    input_at, target_at, class_weight_at, gradient_input_at, first, end, top, common, factor, keep,
    spread, cap,
):  # fmt: skip
    """Of every class as if it were not the best."""
    for i in range(first, end):
        x = logit(input_at, i, cap)
        e = load(gradient_input_at, i) if waits() else decay(apart(x, top))
        slope = common * e - factor * mass_of(target_at, class_weight_at, i, first, keep, spread)
        if CAPPED:
            slope = slope * flattened(input_at, i, cap)
        store(gradient_input_at, i, slope)


def target_slopes(
    input_at, target_at, class_weight_at, gradient_target_at, first, end, top, size, factor, keep,
    spread, cap, row_counts,
):  # fmt: skip
    """The surprise of every class, in proportion to its weight; none where it cannot be and has
    no mass.
    """
    for i in range(first, end):
        weight = class_weight(class_weight_at, i - first)
        surprise = size - apart(logit(input_at, i, cap), top)
        mass = mass_of(target_at, class_weight_at, i, first, keep, spread)
        used = logical_or(mass != real(0.0), surprise < real(inf))
        used = logical_and(used, logical_and(row_counts, weight != real(0.0)))
        slope = factor * weight * surprise
        store(gradient_target_at, i, where(used, slope, real(0.0)))
