"""What losses of scores refuse, in which words."""

import pytest
import torch
from torch import tensor

import onepass
from onepass import functional as F
from onepass import nn
from tests.rowwise.results import INF, NAN
from tests.rowwise.scores.calls import CLASSES, ENGINES, EVERY, F32, INDEXED, NAMES, OF_INDICES, on


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


@ENGINES
@OF_INDICES
def test_no_classes_are_refused(name, engine):
    said = f"{name}: `input` must have at least one class, on axis 1; got (3, 0)."
    empty, ignored = torch.zeros(3, 0), torch.full((3,), -100)
    assert_refused(onepass.ShapeError, said, on(engine, name), empty, ignored)
