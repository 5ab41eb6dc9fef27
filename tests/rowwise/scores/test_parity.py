"""Losses of scores have torch's results, in every layout, and torch's signatures."""

import inspect
import itertools

import pytest
import torch
from torch import tensor

from onepass import functional as F
from onepass import nn
from tests.rowwise.results import NAN, REDUCTIONS, assert_all_same, class_weight, results
from tests.rowwise.scores.calls import (
    CLASSES,
    ENGINES,
    EVERY,
    F32,
    INDEXED,
    KERNELS,
    NAMES,
    OF_INDICES,
    SHAPES,
    by_hand,
    ignoring,
    on,
    options_of,
    scores,
    targets,
    torchs,
)
from tests.rowwise.scores.checks import assert_rows_are_the_definitions

T = torch.nn.functional


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


@ENGINES
@EVERY
def test_rows_are_the_definitions(name, engine):
    assert_rows_are_the_definitions(name, engine)
