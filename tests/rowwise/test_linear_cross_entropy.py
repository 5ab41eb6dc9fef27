"""linear_cross_entropy: chunks of rows give what the whole logits give."""

import itertools
import math

import pytest
import torch

import onepass
from onepass import functional as F
from onepass import nn
from onepass.rowwise.linear_cross_entropy import cpu

FEATURES = 6
KINDS = list(
    itertools.product([(), (13,), (3, 7)], [9, 100], [False, True], [False, True], [False, True])
)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(cpu, "CHUNK", 9 * 8 * 32)


def given(lead, classes, *, soft):
    source = torch.Generator().manual_seed(0)
    input = torch.randn(*lead, FEATURES, dtype=torch.float64, generator=source)
    layer = 2 * torch.randn(classes, FEATURES, dtype=torch.float64, generator=source)
    bias = torch.randn(classes, dtype=torch.float64, generator=source)
    target = torch.randint(classes, lead, generator=source)
    if soft:
        noise = torch.randn(*lead, classes, dtype=torch.float64, generator=source)
        target = noise.softmax(-1)
    return input, layer, bias, target


def of_whole_logits(input, layer, target, linear_bias=None, **options):
    return F.cross_entropy(
        torch.nn.functional.linear(input, layer, linear_bias), target, dim=-1, **options
    )


def differentiated(function, tensors, bias, **options):
    leaves = [t.clone().requires_grad_(t.is_floating_point()) for t in tensors]
    bias = None if bias is None else bias.clone().requires_grad_()
    value = function(*leaves, linear_bias=bias, **options)
    wanted = [t for t in (*leaves, bias) if t is not None and t.requires_grad]
    upstream = torch.randn(value.shape, generator=torch.Generator().manual_seed(1)).double()
    return [value.detach(), *torch.autograd.grad(value, wanted, upstream)]


@pytest.mark.slow
@pytest.mark.parametrize("lead, classes, has_bias, weighted, soft", KINDS)
def test_value_and_gradients_are_those_of_the_whole_logits(lead, classes, has_bias, weighted, soft):
    input, layer, bias, target = given(lead, classes, soft=soft)
    weight = torch.linspace(0.0, 2.0, classes, dtype=torch.float64) if weighted else None
    ignored = {} if soft else {"ignore_index": 1}
    for reduction, smoothing in itertools.product(("mean", "sum", "none"), (0.0, 0.2)):
        options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
        with onepass.engine("cpu"):
            ours = differentiated(
                F.linear_cross_entropy, (input, layer, target), bias if has_bias else None,
                **options, **ignored,
            )  # fmt: skip
        exact = differentiated(
            of_whole_logits, (input, layer, target), bias if has_bias else None,
            **options, **ignored,
        )  # fmt: skip
        for a, b in zip(ours, exact, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"softcap": 90.0}])
def test_labels_may_be_far_below_the_largest_logit(options):
    input, layer, bias, target = given((13,), 100, soft=False)
    layer = 40 * layer
    with onepass.engine("cpu"):
        ours = differentiated(F.linear_cross_entropy, (input, layer, target), bias, **options)
    exact = differentiated(of_whole_logits, (input, layer, target), bias, **options)
    for a, b in zip(ours, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("options", [{"z_loss": 0.1}, {"softcap": 3.0}, {"normalizer": 5.0}])
def test_every_option_reaches_the_chunks(options):
    input, layer, bias, target = given((13,), 100, soft=False)
    with onepass.engine("cpu"):
        ours = differentiated(F.linear_cross_entropy, (input, layer, target), bias, **options)
    exact = differentiated(of_whole_logits, (input, layer, target), bias, **options)
    for a, b in zip(ours, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("engine", ["cpu", "eager"])
def test_rows_that_do_not_count_take_part_in_no_product(engine):
    input, layer, bias, target = given((13,), 9, soft=False)
    hurt, target = input.clone(), target.clone()
    hurt[2], target[2], hurt[5] = math.nan, -100, math.inf
    mask = torch.arange(13) != 5
    kept = mask & (target != -100)
    with onepass.engine(engine):
        ours = differentiated(F.linear_cross_entropy, (hurt, layer, target), bias, mask=mask)
    exact = differentiated(of_whole_logits, (input[kept], layer, target[kept]), bias)
    torch.testing.assert_close(ours[1][kept], exact[1], rtol=1e-12, atol=1e-13)
    assert not ours[1][~kept].any()
    for k in (0, 2, 3):
        torch.testing.assert_close(ours[k], exact[k], rtol=1e-12, atol=1e-13)


def test_second_derivatives_and_transforms_go_through_the_definition():
    input, layer, _, target = given((5,), 9, soft=False)

    def slopes(function):
        return torch.func.hessian(lambda x: function(x, layer, target))(input)

    torch.testing.assert_close(slopes(F.linear_cross_entropy), slopes(of_whole_logits))
    compiled = torch.compile(F.linear_cross_entropy, fullgraph=True, backend="eager")
    torch.testing.assert_close(
        compiled(input, layer, target), of_whole_logits(input, layer, target)
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_row_without_a_batch_takes_a_target_with_one(reduction):
    input, layer, _, _ = given((), 9, soft=False)
    target = torch.tensor([2])
    value = F.linear_cross_entropy(input, layer, target, reduction=reduction)
    theirs = torch.nn.functional.linear_cross_entropy(input, layer, target, reduction=reduction)
    torch.testing.assert_close(value, theirs)


def test_integers_stand_where_floats_are_meant():
    input, layer, bias, target = given((13,), 9, soft=False)
    ints = [(3 * tensor).long() for tensor in (input, layer, bias)]
    floats = [tensor.float() for tensor in ints]
    ours, exact = (
        F.linear_cross_entropy(input, layer, target, linear_bias=bias)
        for input, layer, bias in (ints, floats)
    )
    assert torch.equal(ours, exact)


def test_a_retained_graph_recomputes():
    input, layer, _, target = given((13,), 9, soft=False)
    leaf = input.clone().requires_grad_()
    value = F.linear_cross_entropy(leaf, layer, target)
    first, second = (
        torch.autograd.grad(value, leaf, retain_graph=True)[0].clone() for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("out_features", [(), (2, 3)])
def test_the_module_is_torchs(out_features):
    ours = nn.LinearCrossEntropyLoss(6, 9, out_features=out_features, bias=True)
    theirs = torch.nn.LinearCrossEntropyLoss(6, 9, out_features=out_features, bias=True)
    theirs.load_state_dict(ours.state_dict())
    input, target = torch.randn(4, 6), torch.randint(9, (4, *out_features))
    torch.testing.assert_close(ours(input, target), theirs(input, target))
    twin = type(ours)(**ours.config())
    twin.load_state_dict(ours.state_dict())
    assert torch.equal(twin(input, target), ours(input, target))


def test_a_weight_the_wrong_way_round_is_refused():
    with pytest.raises(onepass.ShapeError, match=r"Did you mean linear_weight\.t\(\)\?"):
        F.linear_cross_entropy(torch.randn(4, 6), torch.randn(6, 9), torch.zeros(4).long())
    with pytest.raises(onepass.DomainError, match=r"linear_cross_entropy: .* got 9 at \(1,\)"):
        F.linear_cross_entropy(torch.randn(4, 6), torch.randn(9, 6), torch.tensor([0, 9, 1, 2]))


X, W, Y = torch.zeros(4, 6), torch.zeros(9, 6), torch.tensor([0, 8, 1, 2])
EACH_ROW = "`target` must hold a class index for every row of `input`, "
REFUSED = {
    "rows": (
        (X, W, Y[:3]), {}, EACH_ROW + "(4,) for logits (4, 9) with 9 classes on axis 1; got (3,).",
    ),
    "(N, 1)": (
        (X, W, Y[:, None]), {},
        EACH_ROW + "(4,) for logits (4, 9) with 9 classes on axis 1; got (4, 1). "
        "Did you mean target.squeeze(1)?",
    ),
    "several losses": (
        (X, torch.zeros(9, 2, 6), Y), {},
        EACH_ROW + "(4, 2) for logits (4, 9, 2) with 9 classes on axis 1; got (4,).",
    ),
    "several losses of more axes": (
        (X[None], torch.zeros(9, 2, 6), Y), {},
        ("with `linear_weight` (classes, d1, ..., features) input must be (N, features); got "
         "(9, 2, 6) for input (1, 4, 6). Write input.reshape(-1, 6)."),
    ),
    "probabilities": (
        (X, W, torch.zeros(4, 6)), {},
        ("class probabilities in `target` must have the shape of the logits, (4, 9); got (4, 6). "
         "Class indices are integers."),
    ),
    "no classes": (
        (X, W[:0], Y), {},
        "`linear_weight` must have at least one class, on axis 0; got (0, 6) for input (4, 6).",
    ),
    "features": (
        (X, W[:, :5], Y), {},
        ("`linear_weight` must be (classes, features) for input (..., features); got (9, 5) for "
         "input (4, 6)."),
    ),
    "bias": (
        (X, W, Y), {"linear_bias": X[0]},
        "`linear_bias` must be (9,), as linear_weight without its last axis; got (6,).",
    ),
    "class weight": (
        (X, W, Y), {"weight": X[0]},
        "`weight` must have one entry for each of the 9 classes, (9,); got (6,).",
    ),
    "complex input": (
        (X + 0j, W, Y), {},
        "`input` must be real, got torch.complex64. Write input.real or input.abs().",
    ),
    "complex layer": (
        (X, W + 0j, Y), {},
        ("`linear_weight` must be real, got torch.complex64. "
         "Write linear_weight.real or linear_weight.abs()."),
    ),
    "a bias that is a list": (
        (X, W, Y), {"linear_bias": [1.0]},
        "`linear_bias` must be a tensor, got list: [1.0]. Write torch.as_tensor(linear_bias).",
    ),
    "a bias elsewhere": (
        (X, W, Y), {"linear_bias": torch.zeros(9, device="meta")},
        ("all tensors must be on the same device, got cpu and for `linear_bias` meta. "
         "Write linear_bias.to('cpu')."),
    ),
    "a layer elsewhere": (
        (X, W.to("meta"), Y), {},
        ("all tensors must be on the same device, got cpu and for `linear_weight` meta. "
         "Write linear_weight.to('cpu')."),
    ),
}  # fmt: skip


@pytest.mark.parametrize("tensors, options, said", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_named_with_what_to_write(tensors, options, said):
    with pytest.raises(onepass.OnepassError) as caught:
        F.linear_cross_entropy(*tensors, **options)
    assert str(caught.value) == f"linear_cross_entropy: {said}"
