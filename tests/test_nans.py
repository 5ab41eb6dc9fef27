"""A nan that counts shows, in the value and in the gradient, whatever runs the call."""

import pytest
import torch
from torch import nan

import onepass
from tests.every import EVERY, OVER_LOSSES, REDUCTIONS

OVER_REDUCTIONS = pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
pytestmark = pytest.mark.filterwarnings(
    "ignore:kl_div. reduction",
    "ignore:.*should not be instantiated",  # torch, of its own tracing
    "ignore:Anomaly Detection",
)


def broken(every, dtype, rows=6, place=0):
    """Inputs whose first learned one has a nan in row 2, where it counts; the row's place."""
    tensors = [t.to(dtype) if t.is_floating_point() else t for t in every.drawn(rows)]
    wrong = tensors[place]
    column = int(tensors[-1][2]) if tensors[-1].dtype is torch.int64 else 1
    wrong[2, min(column, wrong.shape[1] - 1)] = nan
    return [t.requires_grad_() if k in every.learned else t for k, t in enumerate(tensors)]


def gradients(every, tensors, reduction, seed=3, **options):
    value = every.ours(*tensors, reduction=reduction, **options)
    upstream = torch.rand(value.shape, generator=torch.Generator().manual_seed(seed)) + 0.5
    value.backward(upstream.to(value.dtype))
    return value.detach(), [tensors[k].grad for k in every.learned]


def assert_shown(every, tensors, reduction, **options):
    if every.name == "binary_cross_entropy":  # its input is no probability, and is refused
        with pytest.raises(onepass.DomainError, match=r"got nan at \(2, 1\)"):
            gradients(every, tensors, reduction, **options)
        return
    value, found = gradients(every, tensors, reduction, **options)
    lost = value.isnan()
    if reduction == "none":
        assert lost[2].any()
        assert not lost[[0, 1, 3, 4, 5]].any()
    else:
        assert lost
    for gradient in found:
        rows = len(tensors[every.learned[0]])
        assert gradient[2 if len(gradient) == rows else slice(None)].isnan().any()
        if len(gradient) == rows:  # each row is its own
            assert not gradient[[0, 1, 3, 4, 5]].isnan().any()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", "eager", "cpu"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@OVER_REDUCTIONS
@OVER_LOSSES
def test_a_nan_shows(every, reduction, dtype, engine):
    for _ in range(2):  # the second is a call like one before
        with onepass.engine(engine):
            assert_shown(every, broken(every, dtype), reduction)


@OVER_REDUCTIONS
@OVER_LOSSES
def test_a_nan_shows_by_python_alone(every, reduction, by_python):
    for _ in range(3):
        assert_shown(every, broken(every, torch.float32), reduction)


@pytest.mark.parametrize("every", [e for e in EVERY if e.name != "binary_cross_entropy"], ids=str)
def test_a_nan_shows_in_many_elements(every):
    rows = 40_000
    tensors = broken(every, torch.float32, rows)
    value, found = gradients(every, tensors, "mean")
    assert value.isnan()
    for gradient in found:
        if len(gradient) == rows:
            assert gradient[2].isnan().any()
            assert not gradient[3:].isnan().any()


@OVER_REDUCTIONS
@OVER_LOSSES
def test_a_nan_that_is_masked_shows_nowhere(every, reduction):
    tensors = broken(every, torch.float32)
    mask = torch.ones(6, dtype=torch.bool)
    mask[2] = False
    unreduced = every.ours(*every.drawn(6), reduction="none")
    mask = mask if unreduced.dim() == 1 else mask.unsqueeze(1)
    value, found = gradients(every, tensors, reduction, mask=mask)
    assert not value.isnan().any()
    assert not any(gradient.isnan().any() for gradient in found)


@pytest.mark.slow
@OVER_LOSSES
def test_a_nan_shows_where_a_compiler_traces_the_loss(every):
    torch._dynamo.reset()
    compiled = torch.compile(every.ours, fullgraph=True, backend="aot_eager")
    tensors = broken(every, torch.float32)
    value = compiled(*tensors)
    value.backward()
    assert value.isnan()
    assert all(tensors[k].grad.isnan().any() for k in every.learned)


@pytest.mark.parametrize("name", ["huber_loss", "smooth_l1_loss", "l1_loss", "mse_loss"])
def test_infinity_less_infinity_is_a_nan_that_shows(name):
    function = getattr(onepass.functional, name)
    for size in (4, 100_000):
        for reduction in ("mean", "none"):
            x = torch.zeros(size)
            x[1] = torch.inf
            x.requires_grad_()
            function(x, x.detach(), reduction=reduction).sum().backward()
            assert x.grad.isnan().nonzero().tolist() == [[1]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("rows", [2, 30_000])
def test_the_gradient_of_a_broadcast_half_is_rounded_once(dtype, engine, rows):
    x, y = torch.zeros(rows, dtype=dtype), torch.full((rows,), 600.0, dtype=dtype)
    upstream = torch.tensor([1.0, -1.0], dtype=dtype).repeat(rows // 2)
    var = torch.ones(1, dtype=dtype, requires_grad=True)
    with onepass.engine(engine):
        onepass.functional.gaussian_nll_loss(x, y, var, reduction="none").backward(upstream)
    assert var.grad.dtype is dtype
    assert var.grad.item() == 0


@pytest.mark.parametrize("reduction", ["mean", "none"])
@OVER_LOSSES
def test_no_nan_is_made_on_the_way_back(every, reduction):
    """Anomaly mode looks at every gradient in between, of the definition, too."""
    for engine in ("auto", "eager"):
        leaves = [t.requires_grad_() if k in every.learned else t
                  for k, t in enumerate(every.drawn(6))]  # fmt: skip
        wanted = [leaves[k] for k in every.learned]
        with torch.autograd.detect_anomaly(), onepass.engine(engine):
            value = every.ours(*leaves, reduction=reduction).sum()
            torch.autograd.grad(value, wanted, create_graph=True)
            value = every.ours(*leaves, reduction=reduction).sum()
            assert all(g.isfinite().all() for g in torch.autograd.grad(value, wanted))


# Weights


@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@OVER_LOSSES
def test_a_weight_that_is_nan_shows_even_where_the_loss_is_flat(every, reduction, engine):
    shape = every.ours(*every.drawn(6), reduction="none").shape
    weight = torch.ones(shape)
    weight[2] = nan
    tensors = [t.requires_grad_() if k in every.learned else t
               for k, t in enumerate(flat(every))]  # fmt: skip
    with onepass.engine(engine):
        value = every.ours(*tensors, reduction=reduction, sample_weight=weight).sum()
        value.backward()
    assert value.isnan()
    for k in every.learned:
        rows = tensors[k].grad[2 if len(tensors[k]) == 6 else slice(None)]
        assert rows.isnan().any()


def flat(every):
    """Inputs at which the losses with a margin are 0, and so are their slopes."""
    tensors = list(every.drawn(6))
    if every.name in ("hinge_embedding_loss", "cosine_embedding_loss"):
        tensors[-1] = -torch.ones_like(tensors[-1])
        tensors[0] = 5 + tensors[0].abs()
        tensors[1] = -tensors[0] if every.name.startswith("cosine") else tensors[1]
    if every.name == "margin_ranking_loss":
        tensors = [tensors[0] + 9, tensors[1] - 9, torch.ones_like(tensors[2])]
    if every.name == "multi_margin_loss":
        tensors[0] = 9.0 * torch.nn.functional.one_hot(tensors[1], tensors[0].shape[1])
    if every.name.startswith("triplet"):
        tensors = [tensors[0], tensors[0].clone(), tensors[2] + 99]
    return tensors


def test_the_cases_of_a_flat_loss_are_flat():
    names = {every.name for every in EVERY if not every.ours(*flat(every)).any()}
    assert names == {
        "hinge_embedding_loss", "cosine_embedding_loss", "margin_ranking_loss",
        "multi_margin_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss",
    }  # fmt: skip


@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_a_nan_weight_of_a_class_shows(engine):
    input = torch.tensor([[5.0, 2.0, 0.0]], requires_grad=True)
    with onepass.engine(engine):
        value = onepass.functional.multi_margin_loss(
            input, torch.tensor([0]), weight=torch.tensor([nan, 1.0, 1.0])
        )
        value.backward()
    assert value.isnan()
    assert input.grad.isnan().all()


@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("label", [0, 1])
def test_a_nan_beside_an_infinite_logit_shows(label, engine):
    input = torch.tensor([[torch.inf, nan]], requires_grad=True)
    with onepass.engine(engine):
        value = onepass.functional.cross_entropy(input, torch.tensor([label]))
        value.backward()
    assert value.isnan()
    assert input.grad.isnan().all()


def test_a_nan_row_shows_although_its_upstream_is_0():
    input = torch.tensor([[nan, 1.0], [1.0, 2.0]], requires_grad=True)
    layer = torch.eye(2)
    value = onepass.functional.linear_cross_entropy(
        input, layer, torch.tensor([0, 1]), reduction="none"
    )
    value.backward(torch.tensor([0.0, 1.0]))
    assert input.grad.isnan().tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_a_class_without_weight_may_have_any_probability(engine):
    input = torch.tensor([[0.0, 2.0, 0.0]], requires_grad=True)
    with onepass.engine(engine):
        value = onepass.functional.cross_entropy(
            input, torch.tensor([[0.5, nan, 0.5]]), weight=torch.tensor([1.0, 0.0, 1.0])
        )
        value.backward()
    assert value.isfinite()
    assert input.grad.isfinite().all()


@pytest.mark.parametrize("zero", ["weight", "sample_weight"])
def test_one_weight_of_0_is_enough(zero):
    weights = {"weight": torch.tensor([nan]), "sample_weight": torch.tensor([nan])}
    weights[zero] = torch.zeros(1)
    x = torch.ones(1, requires_grad=True)
    value = onepass.functional.mse_loss(x, torch.zeros(1), reduction="sum", **weights)
    value.backward()
    assert value == 0
    assert x.grad == 0


# Infinite errors, whose slope has a limit


@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("name", ["l1_loss", "huber_loss", "smooth_l1_loss"])
def test_an_infinite_error_has_the_slope_of_its_limit(name, engine):
    input = torch.tensor([torch.inf, -torch.inf], requires_grad=True)
    target = torch.zeros(2, requires_grad=True)
    with onepass.engine(engine):
        getattr(onepass.functional, name)(input, target, reduction="sum").backward()
    assert input.grad.tolist() == [1, -1]
    assert target.grad.tolist() == [-1, 1]
