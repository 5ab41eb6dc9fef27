# pyright: reportMissingParameterType=false
"""Cross entropy with class indices, by tiles of rows: their sums, their values, their slopes.

`along` goes along each row, `across` takes the rows of a tile side by side: for class axes that
are not the last, and for few classes.

    loss = share (lse(x) - x[label]) + spread sum(w (lse(x) - x)) + z_loss lse(x)^2

with lse = log(sum(exp(x))), share = (1 - smoothing) w[label], spread = smoothing / classes.
Logits are taken relative to `top`: the largest of them, or the label's own where a row can be
summed as it is. The label's exponential is kept apart from the `others`, so that neither
lse(x) - x[label] nor the slope at the label, which is share (p - 1), cancels where the row is
confident. A row that does not count has the label -1 here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from onepass.rowwise.tally import count_of
from onepass.rowwise.tiles import ROOM, RUN, TILE, place, tiled, tiled_along
from onepass.runtime.call import RowCall
from onepass.runtime.cpu.rows import Plan

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *


def plan_of_labels(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """Along the rows, or across them where classes are few or apart."""
    input, target = tensors
    tiles = tiled(input, keeps_adjacent=True)
    weight = _class_weight(call)
    return Plan(
        kernel=across if tiles.across else along,
        operands=(tiles.input, target.long().contiguous()),
        extras={"weight": weight},
        flags=flags(call) | {"ALONE": False} | tiles.flags,
        numbers=_numbers(call),
        integers=(*tiles.integers, call.options["ignore_index"]),
        blocks=tiles.blocks,
    )


def plan_of_probabilities(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """Along the rows."""
    input, target = tensors
    tiles = tiled_along(input)
    weight = _class_weight(call)
    return Plan(
        kernel=along_probabilities,
        operands=(tiles.input, target.contiguous()),
        extras={"weight": weight},
        flags=flags(call),
        numbers=_numbers(call),
        integers=tiles.integers,
        blocks=tiles.blocks,
    )


def flags(call: RowCall) -> dict[str, bool]:
    """Which of the options there are."""
    options = call.options
    return {
        "CLASS_WEIGHTED": options["weight"] is not None,
        "SMOOTHED": options["label_smoothing"] > 0,
        "SQUARED": options["z_loss"] > 0,
        "CAPPED": options["softcap"] is not None,
    }


def _numbers(call: RowCall) -> tuple[str | float, ...]:
    return "label_smoothing", "z_loss", 1.0 if call.options["softcap"] is None else "softcap"


def _class_weight(call: RowCall) -> Tensor | None:
    weight = call.options["weight"]
    return None if weight is None else weight.detach().to(call.precision).contiguous()


# A row is summed as it is if the label's logit lies between these, and the exponentials, which stop
# growing at REACH, make no more than MOST. Beyond, slopes could become too small to be precise.
LOWEST, HIGHEST, REACH, MOST = -20.0, 30.0, 60.0, 1e13


def logit(input_at, index, cap):
    x = load(input_at, index)
    return cap * tanh(x / cap) if CAPPED else x


def class_weight(class_weight_at, label):
    return read(class_weight_at, label) if CLASS_WEIGHTED else real(1.0)


def spread_over(class_weight_at, classes, smoothing, spread):
    """What smoothing gives all classes together."""
    if not (SMOOTHED and CLASS_WEIGHTED):
        return smoothing
    total = float64(0.0)
    for c in range(classes):
        total = accumulate(total, float64(read(class_weight_at, c)))
    return spread * total


def labels(target_at, class_weight_at, weight_at, label_at, row, count, classes, ignore_index):
    """Lays the labels of a tile out, -1 where a row does not count; nan if one that does has no
    class, else 0.
    """
    wrong = float64(0.0)
    for p in range(count):
        label = read(target_at, row + p)
        counts = label != ignore_index
        if WEIGHTED:
            counts = logical_and(counts, read(weight_at, row + p) != 0.0)
        legal = logical_and(label >= 0, label < classes)
        lost = where(counts, float64(nan), float64(0.0))
        wrong = accumulate(wrong, where(legal, float64(0.0), lost))
        label = label if logical_and(counts, legal) else -1
        if CLASS_WEIGHTED and not SMOOTHED and not SQUARED:  # nothing but its class counts in a row
            label = -1 if class_weight(class_weight_at, max(label, 0)) == real(0.0) else label
        write(label_at, p, int32(label))
    return wrong


def divisor(target_at, class_weight_at, weight_at, rows, classes, ignore_index):
    """What the kernel itself divides by."""
    if ALONE:
        return count_of(target_at, class_weight_at, weight_at, 0, rows, classes, ignore_index)
    return float64(1.0)


def values(
    class_weight_at, weight_at, values_at, label_at, top_at, own_at, others_at, short_at, common_at,
    row, count, keep, spread, spread_mass, z_loss, scale,
):  # fmt: skip
    """The sum of a tile's values, from each row's `top`, and relative to it from its `own` logit,
    the sum of the `others`' exponentials and `short`, which is spread sum(w (top - x)).

    Leaves for the slopes what multiplies the exponentials in `common`, the label's slope in `own`,
    and in `short` what pulls at every class in proportion to its weight.
    """
    total = float64(0.0)
    for p in range(count):
        label, own, others = read(label_at, p), read(own_at, p), read(others_at, p)
        share = keep * class_weight(class_weight_at, max(label, int32(0)))
        itself = exp(own)
        whole = with_limit(read(top_at, p), others + itself)
        others = whole - itself if absolute(read(top_at, p)) == real(inf) else others
        size = where(own == real(0.0), log1p(others), log(whole))
        value = share * (size - own)
        mass = spread_mass
        if SMOOTHED:
            value = value + spread_mass * size + read(short_at, p)
        if SQUARED:
            size = size + read(top_at, p)
            value = value + z_loss * size * size
            mass = mass + real(2.0) * z_loss * size
        weight = read(weight_at, row + p) if WEIGHTED else float64(1.0)
        loss = where(label < int32(0), float64(0.0), weight * float64(value))
        total = accumulate(total, loss)
        if EACH:
            store_value(values_at, row + p, real(loss))
        if GRADIENT_INPUT:
            factor = real(scale * weight)
            slope = (mass * itself - share * others) / whole
            if SMOOTHED:
                slope = slope - spread * class_weight(class_weight_at, max(label, int32(0)))
                write(short_at, p, factor * spread)
            write(own_at, p, factor * slope)
            write(common_at, p, factor * (share + mass) / whole)
    return total


def waits():
    """Whether an exponential can wait where its slope will stand; there may be a logit yet."""
    return KEEPS and not IN_PLACE


def with_limit(top, whole):
    """The sum of the exponentials, nan where there is no limit: of infinite logits more than one,
    or nothing but -inf.
    """
    limit = logical_or(absolute(top) < real(inf), logical_and(top == real(inf), whole == real(1.0)))
    return where(limit, whole, real(nan))


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


def reach_above(top):
    """Up to which distance from `top` exponentials grow; of infinite logits each counts 1."""
    return real(0.0) if top == real(inf) else real(REACH)


def grown(x, base, reach):
    """exp(x - base) for a finite base, 0 for -inf; it grows no more once x is beyond `reach`."""
    distance = x - base
    return decay(where(distance > reach, reach, distance))


def flattened(capped, cap):
    """The slope of cap tanh(x / cap), from its value."""
    return real(1.0) - (capped / cap) * (capped / cap)


def along(
    input_at, target_at, class_weight_at, weight_at, values_at, gradient_input_at, partials_at,
    smoothing, z_loss, cap, scale,
    rows, classes, at_once, ignore_index, next_block_at,
):  # fmt: skip
    # reads 1 per logit (then again, from cache) and writes 1
    if IN_PLACE:
        gradient_input_at = input_at
    spread = smoothing / float64(classes)
    spread_mass = real(spread_over(class_weight_at, classes, smoothing, spread))
    keep, spread = real(1.0 - smoothing), real(spread)
    z_loss, cap = real(z_loss), real(cap)
    top_at, own_at, others_at = scratch(cap, TILE), scratch(cap, TILE), scratch(cap, TILE)
    short_at, common_at, label_at = scratch(cap, TILE), scratch(cap, TILE), scratch(int32(0), TILE)
    peaks_at = scratch(cap, TILE)
    piece = max(RUN, (classes + TILE - 1) // TILE)
    pieces = (classes + piece - 1) // piece
    whole = divisor(target_at, class_weight_at, weight_at, rows, classes, ignore_index)
    scale = scale / whole
    block = next_block(next_block_at)
    while block * at_once < rows:
        row = block * at_once
        count = min(at_once, rows - row)
        wrong = labels(
            target_at, class_weight_at, weight_at, label_at, row, count, classes, ignore_index
        )
        for p in range(count):
            first, label = (row + p) * classes, read(label_at, p)
            if label >= 0:
                at, end = first + label, first + classes
                own = logit(input_at, at, cap)
                top, others = sums(
                    input_at, gradient_input_at, peaks_at, p * pieces, first, at, end, piece, own,
                    cap,
                )  # fmt: skip
                if SMOOTHED:
                    short = shortfall(input_at, class_weight_at, first, end, top, cap)
                    write(short_at, p, spread * short)
                write(top_at, p, top)
                write(others_at, p, real(others))
                write(own_at, p, apart(own, top))
        total = values(
            class_weight_at, weight_at, values_at, label_at, top_at, own_at, others_at, short_at,
            common_at, row, count, keep, spread, spread_mass, z_loss, scale,
        )  # fmt: skip
        write(partials_at, block, (total + wrong) / whole)
        if GRADIENT_INPUT:
            for p in range(count):
                first, label = (row + p) * classes, read(label_at, p)
                if label >= 0:
                    slope, at = read(own_at, p), first + label
                    if CAPPED:
                        slope = slope * flattened(logit(input_at, at, cap), cap)
                    slopes(
                        input_at, class_weight_at, gradient_input_at, peaks_at, p * pieces, first,
                        first + classes, piece, read(top_at, p), read(common_at, p),
                        read(short_at, p), cap,
                    )  # fmt: skip
                    store(gradient_input_at, at, slope)
                else:
                    clear(gradient_input_at, first, first + classes)
        block = next_block(next_block_at)


def top_of(input_at, first, end, cap):
    highest = rank(real(-inf))
    for i in range(first, end):
        highest = max(highest, rank(load(input_at, i)))
    top = of_rank(highest)
    return cap * tanh(top / cap) if CAPPED else top


def sums(
    input_at, gradient_input_at, peaks_at, number, first, at, end, piece, own, cap,
):  # fmt: skip
    """What the logits of a row are taken relative to, and the sum of the others' exponentials.

    Where that cannot be summed as it is, each piece of the row is relative to the largest logit so
    far: what was summed before a larger one is scaled down. `peaks` keeps, from `number` on, what
    the exponentials of each piece are relative to.
    """
    plain = logical_and(own >= real(LOWEST), own <= real(HIGHEST))
    while True:
        top, total = real(0.0) if plain else real(-inf), float64(0.0)
        for start in range(first, end, piece):
            stop, place = min(start + piece, end), number + (start - first) // piece
            if not plain:
                peak = largest(top, top_of(input_at, start, stop, cap))
                if peak > top:
                    total = total * float64(decay(top - peak))
                    top = peak
            write(peaks_at, place, top)
            total = total + exponentials(input_at, gradient_input_at, start, stop, at, top, cap)
            if plain and not total <= MOST:
                break
        if not plain:
            return top, total
        if total <= MOST:
            return own, total * float64(decay(-own))
        plain = False


def exponentials(input_at, gradient_input_at, first, end, at, top, cap):
    """Their sum without the one `at` the label; each is kept where its slope will stand."""
    total, base, reach = float64(0.0), finite(top), reach_above(top)
    for run in range(first, end, RUN):
        stop = min(run + RUN, end)
        if run <= at < stop:
            part = run_of(input_at, gradient_input_at, run, stop, at, base, reach, cap, skips=True)
        else:
            part = run_of(input_at, gradient_input_at, run, stop, at, base, reach, cap, skips=False)
        total = total + float64(part)
    return total


def run_of(input_at, gradient_input_at, first, end, at, base, reach, cap, skips):
    """The same of one run, which `skips` the one `at` the label if that is in it."""
    part = real(0.0)
    for i in range(first, end):
        e = grown(logit(input_at, i, cap), base, reach)
        left_out = logical_and(skips, int32(i) == int32(at))
        part = accumulate(part, where(left_out, real(0.0), e))
        if GRADIENT_INPUT and waits():
            store(gradient_input_at, i, e)
    return part


def shortfall(input_at, class_weight_at, first, end, top, cap):
    """sum(w (top - x)); a class without weight has none, whatever its logit."""
    total = float64(0.0)
    for run in range(first, end, RUN):
        part = real(0.0)
        for i in range(run, min(run + RUN, end)):
            weight = class_weight(class_weight_at, i - first)
            short = -weight * apart(logit(input_at, i, cap), top)
            part = accumulate(part, where(weight == real(0.0), real(0.0), short))
        total = total + float64(part)
    return real(total)


def slopes(
    input_at, class_weight_at, gradient_input_at, peaks_at, number, first, end, piece, top, common,
    pull, cap,
):  # fmt: skip
    """Of every class as if it were not the label."""
    for start in range(first, end, piece):
        peak = read(peaks_at, number)
        factor = common if peak == top else common * decay(peak - top)
        base, reach, number = finite(peak), reach_above(peak), number + 1
        for i in range(start, min(start + piece, end)):
            if waits():
                slope = factor * load(gradient_input_at, i)
            else:
                slope = factor * grown(logit(input_at, i, cap), base, reach)
            if SMOOTHED:
                slope = slope - pull * class_weight(class_weight_at, i - first)
            if CAPPED:
                slope = slope * flattened(logit(input_at, i, cap), cap)
            store(gradient_input_at, i, slope)


def across(
    input_at, target_at, class_weight_at, weight_at, values_at, gradient_input_at, partials_at,
    smoothing, z_loss, cap, scale,
    rows, classes, inner, at_once, ignore_index, next_block_at,
):  # fmt: skip
    # reads 1 per logit, writes 1; a tile's logits wait in `x_at`, classes apart by `at_once`
    if IN_PLACE:
        gradient_input_at = input_at
    spread = smoothing / float64(classes)
    spread_mass = real(spread_over(class_weight_at, classes, smoothing, spread))
    keep, spread = real(1.0 - smoothing), real(spread)
    z_loss, cap = real(z_loss), real(cap)
    top_at, own_at, others_at = scratch(cap, TILE), scratch(cap, TILE), scratch(cap, TILE)
    short_at, common_at, label_at = scratch(cap, TILE), scratch(cap, TILE), scratch(int32(0), TILE)
    x_at, base_at = scratch(cap, ROOM), scratch(cap, TILE)
    tiles = (inner + at_once - 1) // at_once
    whole = divisor(target_at, class_weight_at, weight_at, rows, classes, ignore_index)
    scale = scale / whole
    block = next_block(next_block_at)
    while block < rows // inner * tiles:
        start = block % tiles * at_once
        count = min(at_once, inner - start)
        row = block // tiles * inner + start
        base = (row - start) * classes + (start if ADJACENT else start * classes)
        wrong = labels(
            target_at, class_weight_at, weight_at, label_at, row, count, classes, ignore_index
        )
        fetch(input_at, x_at, base, classes, inner, at_once, count, cap)
        for p in range(count):
            write(top_at, p, real(-inf))
            write(others_at, p, real(0.0))
            write(short_at, p, real(0.0))
        for c in range(classes):
            for p in range(count):
                write(top_at, p, largest(read(top_at, p), read(x_at, c * at_once + p)))
        for p in range(count):
            label = max(read(label_at, p), int32(0))
            write(own_at, p, apart(read(x_at, label * at_once + p), read(top_at, p)))
            write(base_at, p, finite(read(top_at, p)))
        for c in range(classes):
            weight = class_weight(class_weight_at, c)
            for p in range(count):
                x = read(x_at, c * at_once + p)
                e = grown(x, read(base_at, p), real(0.0))
                other = where(read(label_at, p) == int32(c), real(0.0), e)
                write(others_at, p, read(others_at, p) + other)
                if SMOOTHED and weight != real(0.0):
                    short = spread * weight * apart(x, read(top_at, p))
                    write(short_at, p, read(short_at, p) - short)
                write(x_at, c * at_once + p, e)
        total = values(
            class_weight_at, weight_at, values_at, label_at, top_at, own_at, others_at, short_at,
            common_at, row, count, keep, spread, spread_mass, z_loss, scale,
        )  # fmt: skip
        write(partials_at, block, (total + wrong) / whole)
        if GRADIENT_INPUT:
            for c in range(classes):
                weight = class_weight(class_weight_at, c)
                for p in range(count):
                    slope = read(common_at, p) * read(x_at, c * at_once + p)
                    if SMOOTHED:
                        slope = slope - read(short_at, p) * weight
                    label = read(label_at, p)
                    slope = where(label == int32(c), read(own_at, p), slope)
                    write(x_at, c * at_once + p, where(label < int32(0), real(0.0), slope))
            hand_over(input_at, x_at, gradient_input_at, base, classes, inner, at_once, count, cap)
        block = next_block(next_block_at)


def fetch(input_at, x_at, base, classes, inner, at_once, count, cap):
    for c in range(classes):
        for p in range(count):
            write(x_at, c * at_once + p, logit(input_at, place(base, p, c, classes, inner), cap))


def hand_over(input_at, x_at, gradient_input_at, base, classes, inner, at_once, count, cap):
    for c in range(classes):
        for p in range(count):
            i = place(base, p, c, classes, inner)
            slope = read(x_at, c * at_once + p)
            if CAPPED:  # what does not count keeps its 0, whatever it holds
                flat = flattened(logit(input_at, i, cap), cap)
                slope = where(slope == real(0.0), slope, slope * flat)
            store(gradient_input_at, i, slope)


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
                        slope = slope * flattened(logit(input_at, best, cap), cap)
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


def clear(gradient_at, first, end):
    for i in range(first, end):
        store(gradient_at, i, real(0.0))


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
            slope = slope * flattened(x, cap)
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
