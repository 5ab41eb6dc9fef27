"""nll_loss, multi_margin_loss and multilabel_soft_margin_loss: torch's results where they are
right, the right ones where they are not.
"""

import copy
import inspect
import io
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, tensor

import onepass
from onepass import functional as F
from onepass import nn
from onepass.printers import rows as printer
from onepass.rowwise import multi_margin, multilabel_soft_margin, nll
from tests.rowwise.results import (
    INF,
    NAN,
    REDUCTIONS,
    assert_all_same,
    by_rows,
    class_weight,
    results,
)

T = torch.nn.functional
F16, BF16, F32, F64 = torch.float16, torch.bfloat16, torch.float32, torch.float64
NAMES = ("nll_loss", "multi_margin_loss", "multilabel_soft_margin_loss")
INDEXED = NAMES[:2]  # with class indices
CLASSES = {
    "nll_loss": nn.NLLLoss,
    "multi_margin_loss": nn.MultiMarginLoss,
    "multilabel_soft_margin_loss": nn.MultiLabelSoftMarginLoss,
}
ENGINES = pytest.mark.parametrize("engine", ["cpu", "eager"])
EVERY = pytest.mark.parametrize("name", NAMES)
OF_INDICES = pytest.mark.parametrize("name", INDEXED)

# Rows along which to go, few classes, many classes side by side, many in more than one run, rows
# in more than one turn, few rows side by side.
SHAPES = [
    (5,), (1,), (7, 3), (4, 1), (600, 2), (300, 48), (70, 300), (5, 9000), (4, 3, 20), (3, 5, 4),
    (2, 5, 4, 6), (2, 300, 5, 5), (2, 1500, 20), (1, 21, 700), (1, 1, 1), (2, 7, 3, 2, 2),
]  # fmt: skip
KERNELS = [(70, 300), (300, 7), (2, 5, 8, 50), (30, 6), (2, 5, 7, 3)]


# The definitions, by hand: each row's loss, and how much it counts


def nll_of_rows(x, target, weight=None, *, ignore_index=-100, dim=1):
    x = x.movedim(dim if x.dim() > 1 else 0, -1)
    kept = target != ignore_index
    label = torch.where(kept, target, 0)
    weight = torch.ones(x.shape[-1], dtype=F64) if weight is None else weight.double()
    share = torch.where(kept, weight[label], 0.0)
    value = -x.gather(-1, label.unsqueeze(-1)).squeeze(-1)
    return torch.where(share == 0, 0.0, share * value), share


def multi_margin_of_rows(x, target, p=1, margin=1.0, weight=None):
    x = x.movedim(1 if x.dim() > 1 else 0, -1)
    label = target.unsqueeze(-1)
    slack = margin - x.gather(-1, label) + x
    slack = slack.scatter(-1, label, -1.0)  # below the kink
    cost = (torch.where(slack > 0, slack, 0.0) ** p).sum(-1) / x.shape[-1]
    share = torch.ones_like(cost) if weight is None else weight.double()[target]
    return torch.where(share == 0, 0.0, share * cost), torch.ones_like(cost)


def multilabel_of_rows(x, target, weight=None):
    target = target.double()
    each = torch.clamp(x, min=0) - x * target + torch.log1p(torch.exp(-x.abs()))
    each = each if weight is None else torch.where(weight == 0, 0.0, weight * each)
    value = each.sum(-1) / x.shape[-1]
    return value, torch.ones_like(value)


OF_ROWS = dict(zip(NAMES, (nll_of_rows, multi_margin_of_rows, multilabel_of_rows), strict=True))


def by_hand(name: str) -> Callable[..., Tensor]:
    """The loss as its function gives it, in float64."""
    return by_rows(
        lambda input, *others, **options: OF_ROWS[name](input.double(), *others, **options)
    )


# Calls


def on(engine: str, name: str) -> Callable[..., Tensor]:
    """Our function on one engine."""

    def loss(*tensors, **options):
        with onepass.engine(engine):
            return getattr(F, name)(*tensors, **options)

    return loss


def scores(*shape, dtype=F64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=F64).to(dtype)


def classes_of(name, input):
    return input.shape[-1] if name not in INDEXED or input.dim() == 1 else input.shape[1]


def rows_of(name, input):
    """The shape of the unreduced loss."""
    axis = 1 if name in INDEXED and input.dim() > 1 else -1
    return torch.Size([n for k, n in enumerate(input.shape) if k != axis % input.dim()])


def targets(name, input, ignore_index=None):
    generator = torch.Generator().manual_seed(1)
    if name not in INDEXED:
        return torch.rand(input.shape, generator=generator, dtype=F64).round(decimals=1)
    shape = rows_of(name, input)
    label = torch.randint(classes_of(name, input), shape, generator=generator)
    label.flatten()[:1] = min(1, classes_of(name, input) - 1)  # one that has a weight
    if ignore_index is not None:
        ignored = torch.rand(shape, generator=generator) < 0.25
        ignored.flatten()[:1] = False
        label = torch.where(ignored, ignore_index, label)
    return label


def options_of(name, input) -> list[dict[str, Any]]:
    classes = classes_of(name, input)
    weight = class_weight(classes)
    return {
        "nll_loss": [
            {}, {"ignore_index": -100}, {"weight": weight, "ignore_index": 255},
            {"ignore_index": classes - 1}, {"weight": weight},
        ],
        "multi_margin_loss": [
            {}, {"p": 2}, {"margin": 0.25, "weight": weight}, {"p": 2, "margin": 2.5},
            {"p": 2, "margin": -0.5, "weight": weight}, {"margin": 0},
        ],
        "multilabel_soft_margin_loss": [{}, {"weight": weight}],
    }[name]  # fmt: skip


def ignoring(options):
    return options.get("ignore_index")


def torchs(name: str) -> Callable[..., Tensor]:
    """torch's function, with multi_margin_loss for every shape."""
    function = getattr(T, name)
    if name != "multi_margin_loss":
        return function

    def loss(input, target, **options):
        if input.dim() < 3:
            return function(input, target, **options)
        flat = input.movedim(1, -1).reshape(-1, input.shape[1])
        value = function(flat, target.flatten(), **options)
        return value.reshape(target.shape) if value.dim() else value

    return loss


# Against torch


@EVERY
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_and_gradient_are_torchs(shape, name):
    input = scores(*shape)
    for options in options_of(name, input):
        target = targets(name, input, ignoring(options))
        for reduction in ("mean", "sum", "none"):
            ours = results(on("cpu", name), input, target, reduction=reduction, **options)
            theirs = results(torchs(name), input, target, reduction=reduction, **options)
            if theirs[0].isfinite().all():
                assert_all_same(ours, theirs, message=f"{options} {reduction}")
            else:  # 0 / 0, where no class has a weight
                assert ours[0].isnan()
                assert not ours[1].any()


@EVERY
@pytest.mark.parametrize("shape", [(5,), *KERNELS], ids=str)
def test_second_derivatives_are_those_of_the_definition(shape, name):
    input = scores(*shape)
    for options in options_of(name, input):
        target = targets(name, input, ignoring(options))
        for reduction in ("mean", "none"):
            given = {"curved": True, "reduction": reduction, **options}
            ours = results(on("cpu", name), input, target, **given)
            assert_all_same(
                ours, results(by_hand(name), input, target, **given), message=str(given)
            )
            if name != "multi_margin_loss":  # torch has none
                assert_all_same(
                    ours, results(torchs(name), input, target, **given), message=str(given)
                )


@EVERY
def test_a_hinge_bends_and_a_likelihood_does_not(name):
    input = scores(30, 6)
    target = targets(name, input)
    bends = {"nll_loss": False, "multi_margin_loss": True, "multilabel_soft_margin_loss": True}
    options = {"p": 2} if name == "multi_margin_loss" else {}
    *_, bend = results(on("cpu", name), input, target, curved=True, **options)
    assert bool(bend.any()) is bends[name]


def layouts(tensor):
    """The same numbers in other places of memory."""
    yield tensor.transpose(0, -1).contiguous().transpose(0, -1)
    yield torch.stack([tensor, tensor * NAN], -1)[..., 0]
    yield torch.cat([tensor * NAN, tensor])[tensor.shape[0] :]
    if tensor.dim() > 1:
        yield tensor.movedim(1, -1).contiguous().movedim(-1, 1)
        yield tensor.movedim(1, 0).contiguous().movedim(0, 1)
    if tensor.dim() == 4:
        yield tensor.contiguous(memory_format=torch.channels_last)


@EVERY
@pytest.mark.parametrize(
    "shape", [(6,), (20, 3), (20, 60), (4, 3, 20), (4, 60, 20), (3, 5, 4, 6)], ids=str
)
def test_every_layout_has_the_same_results(shape, name):
    plain = scores(*shape)
    target = targets(name, plain)
    places = [target]
    if target.dim() > 1:
        places.append(target.transpose(0, -1).contiguous().transpose(0, -1))
    for reduction in ("mean", "none"):
        expected = results(torchs(name), plain, target, reduction=reduction)
        for input, place in itertools.product(layouts(plain), places):
            ours = results(on("cpu", name), input, place, reduction=reduction)
            assert_all_same(ours, expected, message=f"{input.stride()} {place.stride()}")


@EVERY
def test_an_expanded_input_gets_the_sum_of_its_gradients(name):
    row = scores(1, 6)
    target = targets(name, row.expand(40, 6))

    def over(function):
        return lambda row, target: function(row.expand(40, 6), target)

    ours, theirs = (results(over(f), row, target) for f in (on("cpu", name), torchs(name)))
    assert_all_same(ours, theirs)


@OF_INDICES
def test_channels_last_stays_channels_last(name):
    leaf = scores(2, 8, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    on("cpu", name)(leaf, targets(name, leaf)).backward()
    assert leaf.grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 20), (20, 6, 4), (3, 4, 5, 6)], ids=str)
def test_dim_names_the_class_axis(shape):
    for axis in range(len(shape)):
        input = scores(*shape)
        moved = input.movedim(axis, 1)
        target = targets("nll_loss", moved)
        for dim in (axis, axis - len(shape)):
            ours = results(on("cpu", "nll_loss"), input, target, dim=dim)
            expected = results(
                lambda x, y, a=axis: T.nll_loss(x.movedim(a, 1).contiguous(), y), input, target
            )
            assert_all_same(ours, expected)
            module = nn.NLLLoss(dim=dim)
            assert_all_same([module(input, target)], expected[:1])


INTEGERS = [
    torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32,
    torch.uint64,
]  # fmt: skip


@ENGINES
@OF_INDICES
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_any_integer_type_is_a_class_index(dtype, name, engine):
    for shape in KERNELS:
        input, weight = scores(*shape), class_weight(shape[1])
        label = targets(name, input) % 100
        for reduction in REDUCTIONS:
            given = {"weight": weight, "reduction": reduction}
            ours = results(on(engine, name), input, label.to(dtype), **given)
            assert_all_same(ours, results(by_hand(name), input, label, **given))


def test_an_index_to_ignore_does_not_wrap_into_a_class():
    input = scores(3, 200)
    label = tensor([156, 3, 156], dtype=torch.uint8)  # -100 modulo 256
    for engine in ("cpu", "eager"):
        assert_all_same(
            results(on(engine, "nll_loss"), input, label), results(T.nll_loss, input, label.long())
        )


@ENGINES
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, F32], ids=str)
def test_labels_that_hold_may_be_of_any_type(dtype, engine):
    name, input = NAMES[2], scores(30, 6)
    target = targets(name, input).round()
    for reduction in REDUCTIONS:
        ours = results(on(engine, name), input, target.to(dtype), reduction=reduction)
        assert_all_same(ours, results(by_hand(name), input, target, reduction=reduction))


@EVERY
def test_integer_scores_are_promoted(name):
    input = (10 * scores(30, 6)).long()
    target = targets(name, input).float() if name not in INDEXED else targets(name, input)
    value = getattr(F, name)(input, target)
    assert value.dtype is F32
    torch.testing.assert_close(value, by_hand(name)(input, target).float())


@OF_INDICES
def test_a_row_without_a_batch_takes_a_target_with_one(name):
    for reduction in ("mean", "sum", "none"):
        value = getattr(T, name)(scores(5), tensor([2]), reduction=reduction)
        found, slope = results(on("cpu", name), scores(5), tensor([2]), reduction=reduction)
        assert_all_same([found], [value])
        # torch's own gradient raises here for nll_loss.
        expected = results(torchs(name), scores(5), tensor(2), reduction=reduction)[1]
        assert_all_same([slope], [expected])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_margin_of_a_row_with_a_batch_takes_a_target_without_one(reduction):
    given = scores(1, 5), tensor(2)
    ours, theirs = (
        results(f, *given, reduction=reduction) for f in (F.multi_margin_loss, T.multi_margin_loss)
    )
    assert_all_same(ours, theirs)


def test_a_broadcast_target_is_every_rows():
    name = NAMES[2]
    with pytest.warns(UserWarning, match=f"{name}: `target` of size") as said:
        value = getattr(F, name)(scores(30, 6), torch.ones(6))
    assert [w.filename for w in said] == [__file__]
    torch.testing.assert_close(value, T.multilabel_soft_margin_loss(scores(30, 6), torch.ones(6)))


def test_a_label_weight_may_be_one_for_each_element():
    name, input = NAMES[2], scores(30, 6)
    target, weight = targets(name, input), scores(30, 6, seed=2).abs()
    for shape in ((30, 6), (30, 1), (1, 6), ()):
        given = weight[: shape[0] if shape else 1, : shape[-1] if shape else 1].reshape(shape)
        ours = results(on("cpu", name), input, target, weight=given)
        assert_all_same(ours, results(torchs(name), input, target, weight=given))


@EVERY
def test_signatures_are_torchs_and_more(name):
    for ours, theirs in (
        (getattr(F, name), getattr(T, name)),
        (CLASSES[name], getattr(torch.nn, CLASSES[name].__name__)),
    ):
        mine = inspect.signature(ours).parameters.values()
        given = [(p.name, p.default) for p in mine if p.kind is p.POSITIONAL_OR_KEYWORD]
        wanted = [(p.name, p.default) for p in inspect.signature(theirs).parameters.values()]
        assert given == wanted
        more = {p.name for p in mine if p.kind is p.KEYWORD_ONLY}
        extra = {"dim"} if name == "nll_loss" else set()
        assert more == (extra if ours is CLASSES[name] else extra | {
            "sample_weight", "mask", "normalizer"
        })  # fmt: skip


@EVERY
def test_size_average_and_reduce_are_torchs(name):
    input = scores(30, 6)
    target = targets(name, input)
    for size_average, reduce in itertools.product((None, True, False), repeat=2):
        if size_average is None and reduce is None:
            continue
        given = {"size_average": size_average, "reduce": reduce}
        with pytest.warns(UserWarning, match="will be deprecated"):
            theirs = torchs(name)(input, target, **given)
        with pytest.warns(UserWarning, match="will be deprecated"):
            ours = getattr(F, name)(input, target, **given)
        with pytest.warns(UserWarning, match="will be deprecated"):
            module = CLASSES[name](**given)
        assert_all_same([ours, module(input, target)], [theirs, theirs])


# Low precision


@pytest.mark.slow
@ENGINES
@EVERY
@pytest.mark.parametrize("dtype", [F32, BF16, F16], ids=str)
def test_low_precision_is_the_definition_rounded_once(dtype, name, engine):
    for shape in [(5,), *KERNELS]:
        input = scores(*shape, dtype=dtype)
        for options in options_of(name, input):
            target = targets(name, input, ignoring(options))
            target = target if name in INDEXED else target.to(dtype)
            for reduction in REDUCTIONS:
                ours = results(on(engine, name), input, target, reduction=reduction, **options)
                exact = results(by_hand(name), input.double(), target, reduction=reduction,
                                **options)  # fmt: skip
                for a, b in zip(ours, exact, strict=True):
                    assert a.dtype is dtype
                    room = torch.finfo(dtype).eps / 2 * b.abs() * (1 + 2e-3)
                    room = room + 4e-6 * b.abs().max() + torch.finfo(dtype).tiny
                    off = ~((a.double() - b).abs() <= room) & ~(a.isnan() & b.isnan())
                    assert not off.any(), f"{shape} {options} {reduction}"


@ENGINES
@OF_INDICES
@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
def test_more_rows_than_half_can_count(dtype, name, engine):
    rows = 70_000
    input = torch.full((rows, 2), -0.5, dtype=dtype)
    input[:, 1] = -1.0
    target = torch.zeros(rows, dtype=torch.int64)
    for weight in (None, torch.ones(2, dtype=dtype)):
        value, slope = results(on(engine, name), input, target, weight=weight)
        assert value.item() == {"nll_loss": 0.5, "multi_margin_loss": 0.25}[name]
        assert slope[:, 0].all()
        of_label = slope[:, 0].double().sum().item()
        expected = results(by_hand(name), input.double(), target)[1][:, 0].sum().item()
        assert of_label == pytest.approx(expected, rel=0.05)  # subnormal slopes of float16


@ENGINES
@pytest.mark.parametrize("dtype", [F32, F64, F16], ids=str)
@OF_INDICES
def test_class_weights_may_have_another_type_and_layout(dtype, name, engine):
    for shape, sort in itertools.product(KERNELS, (F32, F64, BF16)):
        input, weight = scores(*shape, dtype=sort), class_weight(shape[1], dtype)
        target = targets(name, input)
        spread = torch.stack([weight, weight * NAN], -1)[:, 0]
        ours = results(on(engine, name), input, target, weight=spread)
        plain = results(on(engine, name), input, target, weight=weight.to(F64))
        assert_all_same(ours, plain, 2e-3 if sort is BF16 else 1e-6)


@EVERY
def test_autocast_computes_in_float32(name):
    input = scores(30, 6, dtype=BF16)
    target = targets(name, input)
    target = target if name in INDEXED else target.to(BF16)
    with torch.autocast("cpu", dtype=BF16):
        for reduction in REDUCTIONS:
            value = getattr(F, name)(input, target, reduction=reduction)
            assert value.dtype is F32
            exact = by_hand(name)(input, target, reduction=reduction)
            torch.testing.assert_close(value, exact.float())


# What does not count


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


@pytest.mark.slow
@ENGINES
@EVERY
@pytest.mark.parametrize("how", ["masked", "weighted"])
def test_what_does_not_count_is_nothing(how, name, engine):
    assert_what_does_not_count_is_nothing(name, how, engine)


@ENGINES
def test_ignored_rows_are_nothing(engine):
    assert_what_does_not_count_is_nothing("nll_loss", "ignored", engine)


@ENGINES
@OF_INDICES
def test_rows_of_a_class_without_weight_are_nothing(name, engine):
    for shape, p in itertools.product(KERNELS, (1, 2)):
        clean, weight = scores(*shape), class_weight(shape[1])
        target = targets(name, clean)
        input = hurt(clean, target == 0, 1)
        options = {"p": p} if name == "multi_margin_loss" else {}
        for reduction in REDUCTIONS:
            given = {"weight": weight, "reduction": reduction, **options}
            ours = results(on(engine, name), input, target, **given)
            assert_all_same(
                ours, results(by_hand(name), clean, target, **given), message=str(shape)
            )
            assert not ours[1].movedim(1, -1)[target == 0].any()


@ENGINES
def test_a_label_without_weight_is_nothing(engine):
    name, input = NAMES[2], scores(30, 6)
    target, weight = targets(name, input), class_weight(6)
    bad = input.clone()
    bad[::3, 0], bad[1::3, 0], bad[2::3, 0] = NAN, INF, -INF
    for reduction in REDUCTIONS:
        ours = results(on(engine, name), bad, target, weight=weight, reduction=reduction)
        assert_all_same(
            ours, results(by_hand(name), input, target, weight=weight, reduction=reduction)
        )
        assert not ours[1][:, 0].any()


@EVERY
@ENGINES
def test_second_derivatives_of_what_does_not_count_are_zero(engine, name):
    input = scores(30, 6)
    target, mask = targets(name, input), torch.arange(30) % 3 > 0
    bad = torch.where(mask.unsqueeze(-1), input, INF)
    for reduction in REDUCTIONS:
        given = {"mask": mask, "reduction": reduction, "curved": True}
        ours = results(on(engine, name), bad, target, **given)
        assert_all_same(ours, results(by_hand(name), input, target, **given))


@ENGINES
@EVERY
def test_nothing_that_counts_is_a_mean_of_nothing(name, engine):
    for shape in KERNELS:
        input = scores(*shape)
        target, none = targets(name, input), torch.zeros(rows_of(name, input), dtype=torch.bool)
        for reduction in ("mean", "batchmean"):
            value, slope = results(on(engine, name), input, target, mask=none, reduction=reduction)
            assert value.isnan()
            assert not slope.nan_to_num(0.0).any()
            if engine == "cpu":
                assert not slope.any()
        value, slope = results(on(engine, name), input, target, mask=none, reduction="sum")
        assert value == 0
        assert not slope.any()
    if name == "nll_loss":
        value, slope = results(on(engine, name), scores(4, 3), torch.full((4,), -100))
        assert value.isnan()
        assert not slope.nan_to_num(0.0).any()


@ENGINES
@EVERY
def test_no_rows_are_a_mean_of_nothing(name, engine):
    input = torch.zeros(0, 5)
    target = torch.zeros(0, dtype=torch.int64) if name in INDEXED else input
    with onepass.engine("auto" if engine == "cpu" else engine):
        function = getattr(F, name)
        assert function(input, target).isnan()
        assert function(input, target, reduction="sum") == 0
        assert function(input, target, reduction="none").shape == (0,)
        assert function(input, target, reduction="batchmean").isnan()


@ENGINES
@OF_INDICES
def test_no_classes_are_refused(name, engine):
    said = f"{name}: `input` must have at least one class, on axis 1; got (3, 0)."
    empty, ignored = torch.zeros(3, 0), torch.full((3,), -100)
    assert_refused(onepass.ShapeError, said, on(engine, name), empty, ignored)


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


@ENGINES
@EVERY
def test_row_weights_weigh_and_count(name, engine):
    assert_row_weights_weigh_and_count(name, engine)


@EVERY
def test_a_row_weight_has_a_gradient_too(name):
    input = scores(30, 6)
    target, weight = targets(name, input), torch.rand(30, dtype=F64, requires_grad=True)
    for reduction in REDUCTIONS:
        given = {"sample_weight": weight, "reduction": reduction}
        value = getattr(F, name)(input, target, **given).sum()
        expected = by_hand(name)(input, target, **given).sum()
        assert_all_same(torch.autograd.grad(value, weight), torch.autograd.grad(expected, weight))


@EVERY
def test_a_class_weight_has_a_gradient_too(name):
    for shape in KERNELS:
        input = scores(*shape)
        target, classes = targets(name, input), classes_of(name, input)
        weight = (class_weight(classes) + 0.5).requires_grad_()
        for reduction in REDUCTIONS:
            found = getattr(F, name)(input, target, weight=weight, reduction=reduction).sum()
            expected = by_hand(name)(input, target, weight=weight, reduction=reduction).sum()
            assert_all_same(
                torch.autograd.grad(found, weight), torch.autograd.grad(expected, weight)
            )


# Special values


@ENGINES
@pytest.mark.parametrize("shape", KERNELS, ids=str)
def test_an_impossible_class_costs_infinity_with_a_finite_slope(shape, engine):
    input = scores(*shape)
    target = targets("nll_loss", input)
    input.scatter_(1, target.unsqueeze(1), -INF)
    value, slope = results(on(engine, "nll_loss"), input, target)
    assert value == INF
    assert slope.isfinite().all()
    assert torch.count_nonzero(slope) == target.numel()
    rest = scores(*shape).fill_(-INF).scatter_(1, target.unsqueeze(1), -0.5)
    assert on(engine, "nll_loss")(rest, target) == 0.5


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


@ENGINES
def test_at_a_kink_there_is_no_slope(engine):
    assert_kinks_are_torchs(engine=engine)


@ENGINES
@pytest.mark.parametrize("shape", KERNELS, ids=str)
@pytest.mark.parametrize("p", [1, 2])
def test_infinite_scores_of_a_margin(p, shape, engine):
    input, target = scores(*shape), targets("multi_margin_loss", scores(*shape))
    certain = input.scatter(1, target.unsqueeze(1), INF)
    value, slope = results(on(engine, "multi_margin_loss"), certain, target, p=p)
    assert value == 0
    assert not slope.any()
    out = torch.zeros(shape, dtype=torch.bool)
    out[:, 2:] = True
    out.scatter_(1, target.unsqueeze(1), False)
    given = {"reduction": "none", "p": p}
    ours = results(on(engine, "multi_margin_loss"), input.masked_fill(out, -INF), target, **given)
    theirs = results(torchs("multi_margin_loss"), input.masked_fill(out, -1e9), target, **given)
    assert_all_same(ours, theirs)
    impossible = on(engine, "multi_margin_loss")(
        input.scatter(1, target.unsqueeze(1), -INF), target, p=p
    )
    assert impossible == INF


@ENGINES
@EVERY
def test_a_nan_stays_a_nan_in_its_row_alone(name, engine):
    for shape in KERNELS:
        input = scores(*shape)
        target = targets(name, input)
        if name in INDEXED:
            target.flatten()[0] = 1
        first = (0, 1) + (0,) * (len(shape) - 2)
        input[first] = NAN
        value = on(engine, name)(input, target, reduction="none").flatten()
        assert value.isnan().sum() == 1
        assert on(engine, name)(input, target).isnan()


# Transforms, copies, modules


@EVERY
def test_transforms_see_the_definition(name):
    for shape in ((30, 6), (2, 5, 4, 6)):
        input = scores(*shape)
        for options in options_of(name, input):
            target = targets(name, input, ignoring(options))
            function = getattr(F, name)

            def each(x, y=target, o=options, f=function):
                return f(x, y, reduction="none", **o)

            def total(x, y=target, o=options, f=function):
                return f(x, y, reduction="sum", **o)

            leaf = input.clone().requires_grad_()
            (slope,) = torch.autograd.grad(total(leaf), leaf)
            assert_all_same([torch.func.grad(total)(input)], [slope])
            direction = scores(*shape, seed=9)
            value, along = torch.func.jvp(total, (input,), (direction,))
            assert_all_same([value, along], [total(input), (slope * direction).sum()])
            if len(shape) == 2:
                assert_all_same([torch.vmap(total)(input, target)], [each(input)])
                assert_all_same([torch.vmap(torch.func.grad(total))(input, target)], [slope])
                alone = torch.vmap(lambda x, y, f=function, o=options: f(x, y, **o))
                means = [function(x, y, **options) for x, y in zip(input, target, strict=True)]
                assert_all_same([alone(input, target)], [torch.stack(means)])
            else:
                alone = torch.vmap(lambda x, y, t=total: t(x[None], y[None]))
                wanted = each(input).reshape(shape[0], -1).sum(1)
                assert_all_same([alone(input, target)], [wanted])


@pytest.mark.filterwarnings("ignore")
@EVERY
def test_compile_traces_through_value_and_gradient(name):
    input = scores(30, 6)
    mask = torch.arange(30) % 4 > 0
    for options in options_of(name, input)[:3]:
        target = targets(name, input, ignoring(options))
        for given in ({}, {"reduction": "none"}, {"mask": mask}):
            torch.compiler.reset()
            compiled = torch.compile(getattr(F, name), fullgraph=True, backend="eager")
            ours = results(compiled, input, target, **options, **given)
            assert_all_same(ours, results(on("cpu", name), input, target, **options, **given))
    module = CLASSES[name]()
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    assert_all_same([compiled(input, targets(name, input))], [module(input, targets(name, input))])


SETTINGS = {
    "nll_loss": {"weight": class_weight(6), "ignore_index": 3, "reduction": "sum", "dim": -1},
    "multi_margin_loss": {"weight": class_weight(6), "p": 2, "margin": 0.5, "reduction": "sum"},
    "multilabel_soft_margin_loss": {"weight": class_weight(6), "reduction": "sum"},
}
SHOWN = {
    "nll_loss": "NLLLoss(weight=<(6,)>, ignore_index=3, reduction='sum', dim=-1)",
    "multi_margin_loss": "MultiMarginLoss(p=2, margin=0.5, weight=<(6,)>, reduction='sum')",
    "multilabel_soft_margin_loss": "MultiLabelSoftMarginLoss(weight=<(6,)>, reduction='sum')",
}


@EVERY
def test_modules_copy_pickle_and_build_again(name):
    module = CLASSES[name](**SETTINGS[name])
    input = scores(30, 6)
    target = targets(name, input)
    expected = getattr(F, name)(input, target, **SETTINGS[name])
    again = CLASSES[name](**module.config())
    loaded = CLASSES[name](**SETTINGS[name] | {"weight": torch.zeros(6, dtype=F64)})
    loaded.load_state_dict(module.state_dict())
    saved = io.BytesIO()
    torch.save(module.state_dict(), saved)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), again, loaded, module):
        assert twin(input, target) == expected
    assert list(module.state_dict()) == ["weight"]
    assert repr(module) == SHOWN[name]
    assert repr(CLASSES[name]()) == f"{CLASSES[name].__name__}()"
    assert module.float().weight.dtype is F32


@EVERY
def test_the_catalogue_has_the_loss(name):
    loss = onepass.catalogue()[name]
    assert loss.name == name
    assert loss.module is CLASSES[name]
    assert type(onepass.get(name)) is CLASSES[name]
    assert loss.card.best_for
    assert loss.card.sources
    assert copy.deepcopy(loss) is loss


@EVERY
def test_a_module_takes_weights_of_rows(name):
    input = scores(30, 6)
    target, mask = targets(name, input), torch.arange(30) % 3 > 0
    given = {"sample_weight": torch.rand(30), "mask": mask}
    assert CLASSES[name]()(input, target, **given) == getattr(F, name)(input, target, **given)


@EVERY
def test_backward_twice_gives_the_same(name):
    leaf = scores(30, 6).requires_grad_()
    for reduction in ("mean", "none"):
        value = on("cpu", name)(leaf, targets(name, leaf), reduction=reduction)
        upstream = torch.full(value.shape, 3.0, dtype=F64)
        first, second = (
            torch.autograd.grad(value, leaf, upstream, retain_graph=True)[0].clone()
            for _ in range(2)
        )
        assert_all_same([first], [second])


@EVERY
def test_targets_are_not_changed_and_have_no_gradient_of_their_own(name):
    input = scores(300, 7).requires_grad_()
    target = targets(name, input)
    before = target.clone(), input.detach().clone()
    getattr(F, name)(input, target).backward()
    assert torch.equal(target, before[0])
    assert torch.equal(input, before[1])


def assert_bits_do_not_depend_on_threads(name):
    before = torch.get_num_threads()
    try:
        for shape in ((3000, 300), (40_000, 5), (8, 20, 3000), (3, 1500, 700)):
            input = scores(*shape, dtype=F32)
            target = targets(name, input)
            target = target if name in INDEXED else target.float()
            found = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                found.append(results(on("cpu", name), input, target))
            for a, b in zip(*found, strict=True):
                assert torch.equal(a, b), f"{name} {shape}"
            exact = results(by_hand(name), input.double(), target)
            assert_all_same([t.double() for t in found[0]], exact, 1e-5, str(shape))
    finally:
        torch.set_num_threads(before)


@EVERY
def test_bits_do_not_depend_on_threads(name):
    assert_bits_do_not_depend_on_threads(name)


def test_a_long_row_is_summed_in_float64():
    input = torch.full((2, 3_000_000), 0.1)
    value = on("cpu", "multi_margin_loss")(input, tensor([0, 2_999_999]), margin=0.5)
    assert value.item() == pytest.approx(0.5 * (1 - 1 / 3_000_000), rel=1e-6)


# Errors


def assert_refused(error, message, function, *tensors, **options):
    with pytest.raises(error) as caught:
        function(*tensors, **options)
    assert type(caught.value) is error
    assert str(caught.value) == message


X, Y = torch.zeros(4, 5), tensor([0, 1, 2, 4])


@ENGINES
@OF_INDICES
@pytest.mark.parametrize("given", [{}, {"reduction": "none"}, {"weight": torch.ones(5)}], ids=str)
@pytest.mark.parametrize("shape", [(5,), (60,), (5, 20), (1, 5, 20), (300, 20)], ids=str)
def test_an_index_out_of_range_is_named_with_its_place(shape, given, name, engine):
    classes = shape[0] if len(shape) < 3 else shape[1]
    shape = (4, *shape) if len(shape) < 3 else shape
    given = dict(given)
    if "weight" in given:
        given["weight"] = torch.linspace(0, 1, classes)  # the first has none
    allowed = f"class indices in [0, {classes - 1}]"
    allowed += " or ignore_index=-100" if name == "nll_loss" else ""
    for bad in (classes, -1, -(2**40), 2**40):
        target = torch.zeros(shape[:1] + shape[2:], dtype=torch.int64)
        place = (-1,) * target.dim()
        target[place] = bad
        at = tuple(n - 1 for n in target.shape)
        skip = f"ignore_index={bad}" if name == "nll_loss" else f"mask=target != {bad}"
        said = (
            f"{name}: `target` must hold {allowed}; got {bad} at {at}. "
            f"If that marks rows to skip, write {skip}."
        )
        for needs in (True, False):
            input = torch.zeros(shape, requires_grad=needs)
            assert_refused(onepass.DomainError, said, on(engine, name), input, target, **given)
    target = 1 + torch.arange(target.numel()).reshape(target.shape) % classes
    target[(0,) * target.dim()] = classes
    with pytest.raises(onepass.DomainError, match=r"Classes count from 0: write target - 1\.$"):
        on(engine, name)(torch.zeros(shape), target, **given)
    with pytest.raises(IndexError):
        on(engine, name)(torch.zeros(shape), target, **given)


@OF_INDICES
def test_shapes_that_do_not_fit_are_shown(name):
    function = getattr(F, name)
    begins = f"{name}: `target` must hold a class index for every row of `input`, "
    of_rows = "(4,) for input (4, 5) with 5 classes on axis 1; got "
    written = "dim=-1" if name == "nll_loss" else "input.movedim(2, 1)"
    last = f"got (2, 3). If the classes are on axis 2, write {written}."
    for input, target, ends in (
        (X, Y.unsqueeze(1), f"{of_rows}(4, 1). Did you mean target.squeeze(1)?"),
        (X, Y[:3], f"{of_rows}(3,)."),
        (X[0], Y, "() for input (5,) with 5 classes on axis 0; got (4,)."),
        (
            torch.zeros(2, 3, 5),
            torch.zeros(2, 3, dtype=torch.int64),
            f"(2, 5) for input (2, 3, 5) with 3 classes on axis 1; {last}",
        ),
    ):
        assert_refused(onepass.ShapeError, begins + ends, function, input, target)
    if name == "nll_loss":  # to a margin, a single number is the score of an only class
        said = f"{name}: `input` must have an axis of classes, got a single number."
        assert_refused(onepass.ShapeError, said, function, tensor(1.0), tensor(0))


@OF_INDICES
def test_types_that_do_not_fit_are_named(name):
    function = getattr(F, name)
    for dtype in (F32, torch.bool):
        assert_refused(
            onepass.DtypeError,
            f"{name}: class indices in `target` must be integers, got {dtype}. "
            "Write target.long().",
            function, X, Y.to(dtype),
        )  # fmt: skip
    assert_refused(
        onepass.DtypeError,
        f"{name}: `input` must be real, got torch.complex64. Write input.real or input.abs().",
        function, X.to(torch.complex64), Y,
    )  # fmt: skip
    assert_refused(
        onepass.DtypeError,
        f"{name}: `weight` must be floating point, got torch.int64. Write weight.float().",
        function, X, Y, weight=torch.ones(5, dtype=torch.int64),
    )  # fmt: skip
    for shape in ((4,), (1,), (1, 5), ()):
        assert_refused(
            onepass.ShapeError,
            f"{name}: `weight` must have one entry for each of the 5 classes, (5,); got {shape}.",
            function, X, Y, weight=torch.ones(shape),
        )  # fmt: skip


@EVERY
def test_what_is_no_tensor_is_refused_by_name(name):
    function, target = getattr(F, name), Y if name in INDEXED else X
    for input, other, weight, wrong, thing in (
        ([[1.0]], target, None, "input", "list: [[1.0]]"),
        (X, [0, 1], None, "target", "list: [0, 1]"),
        (X, target, 2.0, "weight", "float: 2.0"),
    ):
        said = f"{name}: `{wrong}` must be a tensor, got {thing}. Write torch.as_tensor({wrong})."
        assert_refused(onepass.DtypeError, said, function, input, other, weight=weight)


def test_shapes_of_several_labels():
    name = NAMES[2]
    function = getattr(F, name)
    assert_refused(
        onepass.ShapeError,
        f"{name}: `input` and `target` must have the same shape, or one must broadcast to the "
        "other; got input (4, 5) and target (4,). Did you mean target.unsqueeze(1)?",
        function, X, torch.zeros(4),
    )  # fmt: skip
    assert_refused(
        onepass.ShapeError, f"{name}: `input` must have an axis of labels, got a single number.",
        function, tensor(1.0), tensor(1.0),
    )  # fmt: skip
    for shape in ((4,), (4, 4), (1, 4, 5), (5, 1)):
        assert_refused(
            onepass.ShapeError,
            f"{name}: `weight` must have one entry for each of the 5 labels, (5,), or broadcast "
            f"to input (4, 5); got {shape}.",
            function, X, X, torch.ones(shape),
        )  # fmt: skip
    assert_refused(
        onepass.DtypeError, f"{name}: `weight` must be real, got torch.complex64.",
        function, X, X, torch.ones(5, dtype=torch.complex64),
    )  # fmt: skip


@pytest.mark.parametrize("p", [0, 3, -1, 1.5, NAN, INF, True, None, "1", tensor([1])], ids=repr)
def test_p_must_be_one_or_two(p):
    said = f"multi_margin_loss: `p` must be 1 or 2, got {p!r}."
    assert_refused(onepass.ParameterError, said, F.multi_margin_loss, X, Y, p=p)
    assert_refused(onepass.ParameterError, said, nn.MultiMarginLoss, p=p)
    assert_refused(onepass.ParameterError, said, onepass.get, "multi_margin", p=p)


@pytest.mark.parametrize("margin", [NAN, "1", None, True, tensor([1.0])], ids=repr)
def test_a_margin_must_be_a_number(margin):
    begins = "multi_margin_loss: `margin` must be any real number; got "
    for make in (nn.MultiMarginLoss, lambda margin: F.multi_margin_loss(X, Y, margin=margin)):
        with pytest.raises(onepass.ParameterError) as caught:
            make(margin=margin)
        assert str(caught.value).startswith(begins)


@pytest.mark.parametrize("thing", [None, 1.0, True, "1", [1]], ids=repr)
@pytest.mark.parametrize("option", ["ignore_index", "dim"])
def test_indices_must_be_integers(option, thing):
    hint = f": write int({option})" if thing == 1.0 and thing is not True else ""
    said = f"nll_loss: `{option}` must be an integer, got {type(thing).__name__}: {thing!r}{hint}."
    assert_refused(onepass.ParameterError, said, F.nll_loss, X, Y, **{option: thing})
    assert_refused(onepass.ParameterError, said, nn.NLLLoss, **{option: thing})


def test_dim_must_be_an_axis():
    said = "nll_loss: `dim` must be an axis of `input`, which has 2; got 2."
    assert_refused(onepass.ParameterError, said, F.nll_loss, X, Y, dim=2)


@EVERY
def test_what_every_loss_refuses(name):
    function, target = getattr(F, name), Y if name in INDEXED else X
    said = (
        "'avg' is not a valid value for reduction: `reduction` must be one of 'none', 'mean', "
        "'sum', 'batchmean'. Did you mean 'mean'?"
    )
    assert_refused(onepass.ParameterError, f"{name}: {said}", function, X, target, reduction="avg")
    title = CLASSES[name].__name__
    assert_refused(onepass.ParameterError, f"{title}: {said}", CLASSES[name], reduction="avg")
    assert_refused(
        onepass.ShapeError,
        f"{name}: `sample_weight` must broadcast to the shape of the unreduced loss, (4,); "
        "got (4, 5).",
        function, X, target, sample_weight=torch.ones(4, 5),
    )  # fmt: skip
    assert_refused(
        onepass.DtypeError,
        f"{name}: `mask` must be a bool tensor, True where an element counts; got torch.float32. "
        "Write mask.bool(), or give numbers as sample_weight.",
        function, X, target, mask=torch.ones(4),
    )  # fmt: skip
    assert_refused(
        onepass.ParameterError,
        f"{name}: `normalizer` replaces the denominator of reduction='mean', got "
        "reduction='none'. Leave one of the two out.",
        function, X, target, normalizer=3, reduction="none",
    )  # fmt: skip


# Mutants


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


@ENGINES
@EVERY
def test_rows_are_the_definitions(name, engine):
    assert_rows_are_the_definitions(name, engine)


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
    element = multilabel_soft_margin.of_elements
    right = type(element).evaluate
    patch.setattr(
        type(element), "evaluate", lambda self, *a, **given: right(self, *a, **method(given))
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda given: given | {"weight": None},
        lambda given: given | {"sample_weight": None},
        lambda given: given | {"normalizer": given["normalizer"] / 2} if "normalizer" in given
        else given,
    ],
    ids=["weight dropped", "row weight dropped", "wrong denominator"],
)  # fmt: skip
def test_a_mutant_of_the_composition_is_caught(wrong, monkeypatch):
    in_multilabel(monkeypatch, wrong)
    with pytest.raises(AssertionError):
        assert_composition_is_right(NAMES[2])


def test_every_loss_has_its_own_folder():
    for loss, module in ((NAMES[0], nll), (NAMES[1], multi_margin), (NAMES[2],
                         multilabel_soft_margin)):  # fmt: skip
        assert onepass.catalogue()[loss] in vars(module).values()
