"""What losses of scores must do: checks, each of which some mutant must fail."""

import itertools

import torch
from torch import tensor

from tests.rowwise.results import INF, NAN, REDUCTIONS, assert_all_same, results
from tests.rowwise.scores.calls import (
    F64,
    INDEXED,
    KERNELS,
    by_hand,
    ignoring,
    on,
    options_of,
    rows_of,
    scores,
    targets,
    torchs,
)


def hurt(input, rows, axis):
    """What no row may hold, in those rows."""
    bad = tensor([NAN, INF, -INF, 1e308], dtype=input.dtype)
    fill = bad[torch.arange(input.numel()) % 4].reshape(input.shape)
    return torch.where(rows.unsqueeze(axis), fill, input)


def assert_what_does_not_count_is_nothing(name, how, engine="cpu"):
    for shape in KERNELS:
        clean = scores(*shape)
        axis = 1 if name in INDEXED else -1
        out = torch.rand(rows_of(name, clean), generator=torch.Generator().manual_seed(6)) < 0.3
        for options in options_of(name, clean):
            target = seen = targets(name, clean, ignoring(options))
            given = {"mask": ~out} if how == "masked" else {}
            if how == "weighted":
                given["sample_weight"] = torch.where(out, 0.0, 1.5)
            if how == "ignored":
                index = options.setdefault("ignore_index", -7)
                target = seen = torch.where(out, index, target)
            elif name in INDEXED:  # no class, and nobody may look
                second = torch.arange(out.numel()).reshape(out.shape) % 2 == 1
                seen = torch.where(out & second, 99_999, target)
            for reduction in REDUCTIONS:
                given["reduction"] = reduction
                ours = results(on(engine, name), hurt(clean, out, axis), seen, **options, **given)
                theirs = results(by_hand(name), clean, target, **options, **given)
                assert_all_same(ours, theirs, message=f"{name} {how} {shape} {options} {reduction}")
                assert not ours[1].movedim(axis, -1)[out].any()


def assert_row_weights_weigh_and_count(name, engine="cpu"):
    """sample_weight, mask and normalizer, alone and together, against the table of reductions."""
    for shape in KERNELS:
        input = scores(*shape)
        options = options_of(name, input)[-1]
        target = targets(name, input, ignoring(options))
        generator = torch.Generator().manual_seed(8)
        weights = torch.rand(rows_of(name, input), generator=generator, dtype=F64)
        mask = weights < 0.7
        weights[0] = 0.0  # a whole row of the batch
        for weight, selection, normalizer in itertools.product(
            (None, weights, weights[..., :1]), (None, mask), (None, 7, tensor(2.5))
        ):
            for reduction in REDUCTIONS if normalizer is None else ("mean",):
                given = {
                    "sample_weight": weight, "mask": selection, "normalizer": normalizer,
                    "reduction": reduction, **options,
                }  # fmt: skip
                ours = results(on(engine, name), input, target, **given)
                theirs = results(by_hand(name), input, target, **given)
                assert_all_same(ours, theirs, message=f"{shape} {reduction} {normalizer}")


def assert_kinks_are_torchs(name="multi_margin_loss", engine="cpu"):
    """Exactly at its kink a hinge has no slope; next to it, one."""
    for shape, p in itertools.product(KERNELS, (1, 2)):
        for margin in (0.5, 0.0, -0.25):
            target = targets(name, scores(*shape))
            own = torch.zeros(shape, dtype=F64).scatter_(1, target.unsqueeze(1), 1.0) == 1
            at = torch.where(own, 1.0, 1.0 - margin).double()
            above = torch.where(own, 1.0, torch.nextafter(at, tensor(INF, dtype=F64)))
            for input, active in ((at, False), (above, True)):
                value, slope = results(on(engine, name), input, target, p=p, margin=margin)
                assert_all_same(
                    [value, slope], results(torchs(name), input, target, p=p, margin=margin)
                )
                assert bool((value != 0).all()) is active
                assert bool((slope.masked_select(~own) != 0).all()) is active


def assert_rows_are_the_definitions(name, engine="cpu"):
    for shape in KERNELS:
        input = scores(*shape)
        for options in options_of(name, input):
            target = targets(name, input, ignoring(options))
            for reduction in REDUCTIONS:
                given = {**options, "reduction": reduction}
                ours = results(on(engine, name), input, target, **given)
                assert_all_same(
                    ours, results(by_hand(name), input, target, **given), message=str(given)
                )
