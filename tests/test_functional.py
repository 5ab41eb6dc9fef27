"""The functions are torch.nn.functional's, and what they take beyond it."""

import inspect
import math
import warnings

import pytest
import torch
from torch import tensor

import onepass
from onepass import functional as F
from onepass.testing import draw
from tests.twins import LOSSES, REDUCTIONS, functions, names

EVERY = pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
BEYOND_TORCH = {"sample_weight": None, "mask": None, "normalizer": None}
LEGACY = [loss for loss in LOSSES if loss.name not in ("huber_loss", "gaussian_nll_loss")]
OTHERS = {"delta": 0.5, "beta": 0.5, "margin": 0.5, "eps": 0.01, "full": True}
WHOLE = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
RESCALED = ["huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"]
QUIET = pytest.mark.filterwarnings("ignore:kl_div. reduction", "ignore:reduction. 'mean' divides")


def drawn(loss, shape=(4, 3), dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)
    return [draw(loss.domains[name], shape, generator).to(dtype) for name in loss.tensors]


def parameters(function):
    return inspect.signature(function).parameters


# Signatures


@EVERY
def test_leading_parameters_are_torchs(loss):
    ours, torchs = map(parameters, functions(loss.name))
    for mine, theirs in zip(ours.values(), torchs.values(), strict=False):
        assert mine.name == theirs.name
        assert mine.kind is theirs.kind
        assert mine.default == theirs.default
        assert type(mine.default) is type(theirs.default)
    assert list(ours)[: len(torchs)] == list(torchs)


@EVERY
def test_what_is_new_is_keyword_only_and_optional(loss):
    ours, torchs = map(parameters, functions(loss.name))
    new = {name: ours[name] for name in ours if name not in torchs}
    assert {name: parameter.default for name, parameter in new.items()} == BEYOND_TORCH
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in new.values())


@QUIET
@EVERY
def test_positional_keyword_and_mixed_calls_are_one(loss):
    ours, torchs = functions(loss.name)
    tensors = drawn(loss)
    known = parameters(torchs)
    options = {n: p.default for n, p in known.items() if n not in loss.tensors}
    options["reduction"] = "sum"
    options |= {name: value for name, value in OTHERS.items() if name in options}
    expected = torchs(*tensors, *options.values())
    named = dict(zip(loss.tensors, tensors, strict=True))
    chosen = {name: value for name, value in options.items() if value is not None}
    for found in (
        ours(*tensors, *options.values()),
        ours(**named, **chosen),
        ours(*tensors, **options),
        ours(tensors[0], **dict(list(named.items())[1:]), **chosen),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


# Deprecated spellings


@pytest.mark.parametrize("size_average", [None, True, False])
@pytest.mark.parametrize("reduce", [None, True, False])
@pytest.mark.parametrize("loss", LEGACY, ids=names(LEGACY))
def test_size_average_and_reduce_are_torchs(loss, size_average, reduce):
    tensors, results = drawn(loss), []
    for function in functions(loss.name):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value = function(*tensors, size_average=size_average, reduce=reduce)
        results.append((value, {warning.category for warning in caught}))
    (mine, said), (theirs, torch_said) = results
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=0)
    assert said == torch_said


def test_a_deprecated_spelling_names_the_new_one_at_the_callers_line():
    x = torch.ones(3)
    with pytest.warns(UserWarning, match="please use reduction='sum' instead") as caught:
        F.mse_loss(x, x, size_average=False)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="please use reduction='none' instead"):
        F.l1_loss(x, x, reduce=False)
    with pytest.warns(UserWarning, match="please use reduction='mean' instead") as caught:
        onepass.nn.MSELoss(size_average=True)
    assert caught[0].filename == __file__


# Warnings


def test_kl_divs_mean_says_what_it_divides_by():
    x = torch.log_softmax(torch.randn(4, 3), 1)
    with pytest.warns(UserWarning, match="'batchmean' divides by the batch size") as caught:
        F.kl_div(x, x.exp())
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="batchmean"):
        torch.nn.functional.kl_div(x, x.exp())
    for reduction in ("batchmean", "sum", "none"):
        F.kl_div(x, x.exp(), reduction=reduction)


@QUIET
@EVERY
def test_a_broadcast_warns_at_the_callers_line(loss):
    ours, _ = functions(loss.name)
    tensors = drawn(loss)
    tensors[1] = tensors[1][:1]
    with pytest.warns(UserWarning, match="is broadcast to") as caught:
        ours(*tensors)
    (said,) = [w for w in caught if "is broadcast to" in str(w.message)]
    assert said.filename == __file__
    assert str(said.message) == (
        f"{loss.name}: `{loss.tensors[1]}` of size (1, 3) is broadcast to (4, 3). "
        "Please ensure that is meant."
    )


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss"])
def test_a_broadcast_warns_where_torch_warns(name):
    for other in (tensor([1.0]), torch.ones(1, 3), torch.ones(2, 4, 3)):
        for function in functions(name):
            with pytest.warns(UserWarning, match="(?i)please ensure"):
                function(torch.ones(4, 3), other)


def test_a_number_as_target_warns_nobody():
    assert F.mse_loss(torch.ones(4, 3), tensor(0.0)) == 1


# Known numbers


@pytest.fixture(scope="module")
def draws():
    generator = torch.Generator().manual_seed(42)
    return [torch.randn(10, 3, 5, 7, generator=generator) for _ in range(39)]


KNOWN = {
    "l1_loss": (F.l1_loss, lambda d: (d[4], d[5]), {}, 1.134202480316162, 1190.91259765625),
    "mse_loss": (F.mse_loss, lambda d: (d[6], d[7]), {}, 1.8992314338684082, 1994.1929931640625),
    "huber_loss": (
        F.huber_loss, lambda d: (d[12], d[13]), {"delta": 2},
        1.0335075855255127, 1085.1829833984375,
    ),
    "smooth_l1_loss": (
        F.smooth_l1_loss, lambda d: (d[14], d[15]), {"beta": 3},
        0.3367563486099243, 353.59417724609375,
    ),
    "gaussian_nll_loss": (
        F.gaussian_nll_loss, lambda d: (d[19], d[21], d[20].abs()), {},
        8.570807456970215, 8999.34765625,
    ),
    "poisson_nll_loss": (
        F.poisson_nll_loss, lambda d: (d[37].abs(), d[38]), {},
        2.695701837539673, 2830.48681640625,
    ),
    "poisson_nll_loss of rates": (
        F.poisson_nll_loss, lambda d: (d[37].abs(), d[38]), {"log_input": False},
        0.8175972104072571, 858.47705078125,
    ),
    "kl_div": (
        F.kl_div, lambda d: (log_softmax(d[8]), log_softmax(d[9]).exp()), {},
        0.05183225870132446, 54.42387008666992,
    ),
    "kl_div of logarithms": (
        F.kl_div, lambda d: (log_softmax(d[8]), log_softmax(d[9])), {"log_target": True},
        0.05183225870132446, 54.42387008666992,
    ),
}  # fmt: skip


def log_softmax(x):
    return torch.log_softmax(x.abs() + 0.1, -1)


@QUIET
@pytest.mark.parametrize("function, arguments, options, mean, total", KNOWN.values(), ids=KNOWN)
def test_known_numbers(draws, function, arguments, options, mean, total):
    tensors = arguments(draws)
    assert function(*tensors, **options).item() == pytest.approx(mean, rel=2e-5)
    assert function(*tensors, **options, reduction="sum").item() == pytest.approx(total, rel=2e-5)
    each = function(*tensors, **options, reduction="none")
    assert each.shape == (10, 3, 5, 7)
    assert each.double().mean().item() == pytest.approx(mean, rel=2e-5)


# Types


@pytest.mark.slow
@QUIET
@EVERY
def test_the_result_has_the_promoted_dtype_and_the_reductions_shape(loss):
    ours, _ = functions(loss.name)
    float16, bfloat16, float32, float64 = (
        torch.float16, torch.bfloat16, torch.float32, torch.float64,
    )  # fmt: skip
    rest = len(loss.tensors) - 1
    for first, others, result in (
        (float16, float16, float16),
        (bfloat16, bfloat16, bfloat16),
        (float16, float32, float32),
        (bfloat16, float16, float32),
        (float32, float64, float64),
        (float64, bfloat16, float64),
        (float32, torch.bool, float32),
        (float16, torch.int64, float16),
        (torch.int32, float64, float64),
        (torch.bool, torch.uint8, float32),
    ):
        plain = [t.abs().clamp(max=1) for t in drawn(loss)]
        tensors = [t.to(d) for t, d in zip(plain, [first] + [others] * rest, strict=True)]
        for reduction, shape in (("mean", ()), ("sum", ()), ("batchmean", ()), ("none", (4, 3))):
            value = ours(*tensors, reduction=reduction)
            assert value.dtype == result
            assert value.shape == shape
        exact = ours(*(t.double() for t in tensors), reduction="none")
        fits = exact.abs() < torch.finfo(result).max
        assert torch.allclose(value.double()[fits], exact[fits], rtol=0.02, atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", WHOLE, ids=str)
@QUIET
@EVERY
def test_a_whole_target_is_its_own_value(loss, dtype):
    ours, _ = functions(loss.name)
    whole = torch.randint(0, 2, (4, 3))
    named = dict(zip(loss.tensors, drawn(loss), strict=True))
    found = ours(**(named | {"target": whole.to(dtype)}), reduction="none")
    expected = ours(**(named | {"target": whole.double()}), reduction="none")
    assert torch.equal(found, expected)


@QUIET
@EVERY
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_under_autocast_halves_give_float32_and_their_own_gradient(loss, half):
    ours, _ = functions(loss.name)
    tensors = drawn(loss, dtype=half)
    leaf = tensors[0].clone().requires_grad_()
    with torch.autocast("cpu", dtype=half):
        value = ours(leaf, *tensors[1:])
    assert value.dtype == torch.float32
    value.backward()
    assert leaf.grad.dtype == half
    wide = [t.float() for t in tensors]
    assert value.item() == pytest.approx(ours(*wide).item(), rel=1e-6)
    wide[0].requires_grad_()
    ours(*wide).backward()
    assert torch.equal(leaf.grad, wide[0].grad.to(half))


def test_autocast_of_float32_changes_nothing():
    x, y = torch.randn(5000), torch.randn(5000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = F.l1_loss(x, y)
    assert torch.equal(found, F.l1_loss(x, y))


@EVERY
def test_the_default_dtype_is_that_of_whole_tensors(loss):
    ours, _ = functions(loss.name)
    tensors = [torch.ones(3, dtype=torch.int64)] * len(loss.tensors)
    torch.set_default_dtype(torch.float64)
    try:
        assert ours(*tensors, reduction="sum").dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


# Reductions and weights, by hand


def counted(loss, tensors, **weighting):
    ours, _ = functions(loss.name)
    leaf = tensors[0].clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = ours(leaf, *tensors[1:], **weighting)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), gradient


@pytest.mark.parametrize("size", [12, 6000])
@EVERY
def test_weights_masks_and_normalizer_are_as_by_hand(loss, size):
    tensors = drawn(loss, (size // 3, 3))
    each, slope = counted(loss, tensors, reduction="none")
    generator = torch.Generator().manual_seed(5)
    weight = torch.rand(size // 3, 3, dtype=torch.float64, generator=generator)
    mask = torch.rand(size // 3, 3, generator=generator) < 0.7
    mask[1] = False
    w, m, wm = weight, mask.double(), weight * mask
    rows, rows_that_count = size // 3, mask.any(1).sum()
    cases = [
        ({}, torch.ones_like(w), size),
        ({"reduction": "batchmean"}, torch.ones_like(w), rows),
        ({"normalizer": 7}, torch.ones_like(w), 7),
        ({"normalizer": tensor(7)}, torch.ones_like(w), 7),
        ({"normalizer": 7.0, "mask": mask}, m, 7),
        ({"normalizer": 7.0, "sample_weight": w}, w, 7),
        ({"sample_weight": w}, w, w.sum()),
        ({"sample_weight": w, "reduction": "sum"}, w, 1),
        ({"sample_weight": w, "reduction": "none"}, w, None),
        ({"sample_weight": w, "reduction": "batchmean"}, w, rows),
        ({"mask": mask}, m, m.sum()),
        ({"mask": mask, "reduction": "sum"}, m, 1),
        ({"mask": mask, "reduction": "none"}, m, None),
        ({"mask": mask, "reduction": "batchmean"}, m, rows_that_count),
        ({"mask": mask, "sample_weight": w}, wm, wm.sum()),
    ]
    for weighting, factor, divisor in cases:
        value, gradient = counted(loss, tensors, **weighting)
        expected = factor * each if divisor is None else (factor * each).sum() / divisor
        torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-14, msg=str(weighting))
        expected = factor * slope / (divisor or 1)
        torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-14, msg=str(weighting))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 1), (1, 3), (1, 1)], ids=str)
@EVERY
def test_weights_broadcast(loss, shape):
    tensors = drawn(loss)
    weight = torch.rand(shape, dtype=torch.float64) + 0.1
    mask = weight > 0.5
    for reduction in ("mean", "sum", "none", "batchmean"):
        for weighting in ({"sample_weight": weight}, {"mask": mask}):
            full = {k: w.expand(4, 3).contiguous() for k, w in weighting.items()}
            found = counted(loss, tensors, **weighting, reduction=reduction)
            expected = counted(loss, tensors, **full, reduction=reduction)
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15, equal_nan=True)


@pytest.mark.parametrize("name", RESCALED)
def test_a_rescaling_weight_multiplies_and_does_not_count(name):
    loss = onepass.catalogue()[name]
    tensors, weight = drawn(loss), torch.rand(4, 3, dtype=torch.float64)
    each, slope = counted(loss, tensors, reduction="none")
    found = counted(loss, tensors, weight=weight)
    torch.testing.assert_close(found[0], (weight * each).sum() / 12)
    torch.testing.assert_close(found[1], weight * slope / 12)
    both = torch.rand(4, 3, dtype=torch.float64)
    found = counted(loss, tensors, weight=weight, sample_weight=both)
    torch.testing.assert_close(found[0], (weight * both * each).sum() / both.sum())


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss"])
def test_a_weight_of_mse_and_l1_counts_as_in_torch(name):
    loss = onepass.catalogue()[name]
    tensors, weight = drawn(loss), torch.rand(4, 3, dtype=torch.float64)
    _, torchs = functions(name)
    for reduction in REDUCTIONS:
        found = counted(loss, tensors, weight=weight, reduction=reduction)
        torch.testing.assert_close(found[0], torchs(*tensors, weight=weight, reduction=reduction))
    both = torch.rand(4, 3, dtype=torch.float64)
    found = counted(loss, tensors, weight=weight, sample_weight=both)[0]
    each = counted(loss, tensors, reduction="none")[0]
    torch.testing.assert_close(found, (weight * both * each).sum() / (weight * both).sum())


def test_batchmean_of_kl_div_is_the_divergence():
    p, q = torch.randn(2, 8, 5, dtype=torch.float64).softmax(-1)
    divergence = torch.distributions.kl_divergence(
        torch.distributions.Categorical(q), torch.distributions.Categorical(p)
    ).mean()
    torch.testing.assert_close(F.kl_div(p.log(), q, reduction="batchmean"), divergence)


@EVERY
def test_batchmean_of_no_rows_and_of_a_single_number(loss):
    ours, _ = functions(loss.name)
    assert ours(*drawn(loss, (0, 3)), reduction="batchmean").isnan()
    single = [t[0] for t in drawn(loss, (1,))]
    assert ours(*single, reduction="batchmean") == ours(*single, reduction="sum")


# One function's own


def test_the_variance_may_be_a_number_or_lack_the_last_axis():
    input, target = torch.randn(2, 4, 3)
    var = torch.rand(4) + 0.1
    for given in (2, 0.5, 0):
        full = torch.full((4, 3), float(given))
        expected = torch.nn.functional.gaussian_nll_loss(input, target, full)
        found = F.gaussian_nll_loss(input, target, given)
        assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    found = F.gaussian_nll_loss(input, target, var)
    expected = torch.nn.functional.gaussian_nll_loss(input, target, var)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    square = torch.randn(3, 3)
    row = torch.rand(3) + 0.1  # torch takes this for a variance per row, and so do we
    found = F.gaussian_nll_loss(square, square + 1, row, reduction="none")
    expected = torch.nn.functional.gaussian_nll_loss(square, square + 1, row, reduction="none")
    torch.testing.assert_close(found, expected)


def test_a_pos_weight_of_one_half_is_a_cheaper_positive():
    x = tensor([0.0, 0.0])
    each = F.binary_cross_entropy_with_logits(
        x, tensor([1.0, 0.0]), pos_weight=tensor(0.5), reduction="none"
    )
    assert each.tolist() == pytest.approx([0.5 * math.log(2), math.log(2)])
