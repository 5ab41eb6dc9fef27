"""What autograd may ask of a loss, and when."""

import gc
import subprocess
import sys
import threading
import warnings

import pytest
import torch
from torch.autograd import forward_ad
from torch.autograd.functional import hessian
from torch.utils.checkpoint import checkpoint

import onepass
from onepass import functional as F
from onepass.runtime.cpu import memory
from onepass.testing import draw
from tests.twins import LOSSES, names

EVERY = pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
REDUCED = ("mean", "sum", "batchmean")
BOTH_SIZES = pytest.mark.parametrize("size", [12, 6000])  # torch's fused operation, and a kernel


def smooth(loss, size=12):
    """float64 tensors away from every kink."""
    generator = torch.Generator().manual_seed(4)
    tensors = [draw(loss.domains[name], (size,), generator) for name in loss.tensors]
    if loss.name == "binary_cross_entropy":
        return [t.clamp(0.1, 0.9) for t in tensors]
    away = torch.rand(size, dtype=torch.float64, generator=generator) * 0.3 + 0.2
    if loss.name in ("l1_loss", "huber_loss", "smooth_l1_loss"):
        tensors[1] = tensors[0] + torch.where(torch.arange(size) % 2 == 0, away, -5 * away)
    if loss.name == "hinge_embedding_loss":
        tensors[0] = torch.where(torch.arange(size) % 2 == 0, away, 1 + away)
    if loss.name == "margin_ranking_loss":
        tensors[1] = tensors[0] + torch.where(torch.arange(size) % 2 == 0, away, -away)
    return tensors


def fixed(loss):
    """The places of the tensors that a formula sees only as labels, or that have kinks."""
    return {name for name in loss.tensors if loss.domains[name].values}


def differentiable(loss):
    return [name not in fixed(loss) for name in loss.tensors]


def leaves_of(loss, size=12):
    tensors = smooth(loss, size)
    return [t.requires_grad_(n) for t, n in zip(tensors, differentiable(loss), strict=True)]


def by_definition(loss, tensors, upstream=None, **options):
    """The gradient of the first tensor by plain torch."""
    with onepass.engine("eager"):
        leaf = tensors[0].detach().clone().requires_grad_()
        value = loss(leaf, *(t.detach() for t in tensors[1:]), **options)
        return torch.autograd.grad(value, leaf, upstream)[0]


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


# Backward again


@BOTH_SIZES
@pytest.mark.parametrize("reduction", [*REDUCED, "none"])
@EVERY
def test_a_retained_graph_scales_nothing_twice(loss, reduction, size):
    tensors = smooth(loss, size)
    leaf = tensors[0].clone().requires_grad_()
    value = loss(leaf, *tensors[1:], reduction=reduction)
    for factor in (3.0, 1.0, -0.5, 1.0):
        upstream = torch.full_like(value, factor)
        (found,) = torch.autograd.grad(value, leaf, upstream, retain_graph=True)
        assert_close(found, by_definition(loss, tensors, upstream, reduction=reduction))
        found.fill_(torch.nan)  # ours to change: the next backward makes its own


@BOTH_SIZES
def test_a_graph_that_is_not_retained_is_freed(size):
    leaf = torch.randn(size, requires_grad=True)
    value = F.l1_loss(leaf, torch.zeros(size))
    value.backward()
    with pytest.raises(RuntimeError, match="second time"):
        value.backward()


@BOTH_SIZES
@EVERY
def test_gradients_accumulate(loss, size):
    tensors = smooth(loss, size)
    leaf = tensors[0].clone().requires_grad_()
    leaf.grad = torch.ones_like(leaf)
    kept = leaf.grad
    for _ in range(2):
        loss(leaf, *tensors[1:]).backward()
    assert leaf.grad is kept
    assert_close(leaf.grad, 1 + 2 * by_definition(loss, tensors))


@BOTH_SIZES
def test_two_losses_on_one_input_add_up(size):
    x, y = torch.randn(2, size, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    (F.l1_loss(leaf, y) + 2 * F.huber_loss(leaf, y, delta=0.5)).backward()
    expected = torch.sign(x - y) / size + 2 * (x - y).clamp(-0.5, 0.5) / size
    assert_close(leaf.grad, expected)


@BOTH_SIZES
def test_micro_batches_accumulate_to_the_whole(size):
    x, y = torch.randn(2, size, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    for part in (slice(0, size // 3), slice(size // 3, size)):
        F.soft_margin_loss(leaf[part], y[part].sign(), normalizer=size).backward()
    whole = x.clone().requires_grad_()
    F.soft_margin_loss(whole, y.sign()).backward()
    assert_close(leaf.grad, whole.grad)


# The buffer


def test_the_gradient_is_the_buffer_that_forward_wrote(monkeypatch, by_python):
    made, empty = [], memory.empty

    def spied(*arguments):
        buffer = empty(*arguments)
        made.append(buffer.data_ptr())
        return buffer

    monkeypatch.setattr(memory, "empty", spied)
    leaf = torch.randn(1000, 1000, requires_grad=True)
    value = F.l1_loss(leaf, torch.zeros(1000, 1000))
    assert len(made) == 1
    value.backward()
    assert [leaf.grad.data_ptr()] == made
    scaled = F.l1_loss(leaf, torch.zeros(1000, 1000)) * 3
    leaf.grad = None
    scaled.backward()
    assert leaf.grad.data_ptr() == made[1]
    assert len(made) == 2


def test_without_a_gradient_there_is_no_buffer(monkeypatch):
    monkeypatch.setattr(memory, "empty", None)  # calling it would raise
    x, y = torch.randn(2, 1000, 1000)
    F.l1_loss(x, y)
    leaf = x.requires_grad_()
    with torch.no_grad():
        assert not F.l1_loss(leaf, y).requires_grad
    with torch.inference_mode():
        assert F.l1_loss(leaf, y).is_inference()
    F.l1_loss(leaf.detach(), y)


PEAK = """
import warnings; warnings.simplefilter("ignore")
import torch, onepass, onepass.functional as F
torch.set_num_threads(1)

def peak():
    with open("/proc/self/status") as status:
        return {k: v for k, _, v in (line.partition(":") for line in status)}["VmHWM"]

def step(x, y):
    F.l1_loss(x, y).backward()

small = torch.randn(300_000, requires_grad=True)
step(small, torch.zeros(300_000))
x, y = torch.randn(8 << 20, requires_grad=True), torch.zeros(8 << 20)
y += 1
onepass.empty_cache()
before = peak()
step(x, y)
print(int(peak().split()[0]) - int(before.split()[0]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_forward_and_backward_take_one_buffer():
    command = [sys.executable, "-c", PEAK]
    grown = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert 32 * 1024 * 0.9 < grown < 33 * 1024 + 2048  # KiB: one gradient, and a huge page's rest


# Who asks for a gradient


@BOTH_SIZES
@EVERY
def test_each_tensor_alone_and_all_together(loss, size):
    together = leaves_of(loss, size)
    wanted = [t for t in together if t.requires_grad]
    all_slopes = torch.autograd.grad(loss(*together), wanted)
    for place, leaf in enumerate(together):
        if leaf.requires_grad:
            alone = [t.detach().requires_grad_(k == place) for k, t in enumerate(together)]
            (slope,) = torch.autograd.grad(loss(*alone), alone[place])
            position = [k for k, t in enumerate(together) if t.requires_grad].index(place)
            assert_close(slope, all_slopes[position])


@BOTH_SIZES
def test_input_and_target_may_be_one_tensor(size):
    x = torch.randn(size, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(F.mse_loss(x, x), x)
    assert not gradient.any()
    positive = (x.detach().abs() + 1).requires_grad_()
    (gradient,) = torch.autograd.grad(
        F.poisson_nll_loss(positive, positive, log_input=False, reduction="sum"), positive
    )
    assert_close(gradient, -torch.log(positive.detach() + 1e-8) + 1e-8 / (positive.detach() + 1e-8))


@BOTH_SIZES
def test_a_target_computed_from_the_input_is_differentiated_through(size):
    x = torch.randn(size, dtype=torch.float64, requires_grad=True)
    for create_graph in (False, True):
        value = F.mse_loss(x, 3 * x, reduction="sum")
        (gradient,) = torch.autograd.grad(value, x, create_graph=create_graph)
        assert_close(gradient.detach(), 8 * x.detach())
    (second,) = torch.autograd.grad(gradient.sum(), x)
    assert_close(second, torch.full_like(x, 8.0))
    (half,) = torch.autograd.grad(F.mse_loss(x, (3 * x).detach(), reduction="sum"), x)
    assert_close(half, -4 * x.detach())


def test_nothing_requires_a_gradient():
    value = F.l1_loss(torch.randn(5000), torch.zeros(5000))
    assert not value.requires_grad
    assert value.grad_fn is None


def test_gradients_inside_no_grad():
    leaf = torch.randn(5000, requires_grad=True)
    with torch.no_grad():
        x = leaf * 2
        assert not F.l1_loss(x, leaf).requires_grad
        with torch.enable_grad():
            F.l1_loss(leaf, x).backward()
    assert_close(leaf.grad, torch.sign(leaf.detach() - x) / 5000)


def test_a_loss_computed_under_inference_mode_cannot_be_differentiated():
    leaf = torch.randn(5000, requires_grad=True)
    with torch.inference_mode():
        value = F.l1_loss(leaf, torch.zeros(5000))
    with pytest.raises(RuntimeError):
        value.backward()
    assert leaf.grad is None


# Upstream


@BOTH_SIZES
@EVERY
def test_an_upstream_of_any_layout(loss, size):
    tensors = [t.reshape(-1, 6) for t in smooth(loss, size)]
    leaf = tensors[0].clone().requires_grad_()
    each = loss(leaf, *tensors[1:], reduction="none")
    generator = torch.Generator().manual_seed(6)
    plain = torch.randn(size // 6, 6, dtype=torch.float64, generator=generator)
    for upstream in (
        plain,
        plain.t().contiguous().t(),
        torch.stack([plain, plain * torch.nan], -1)[..., 0],
        plain[:1].expand(size // 6, 6),
        plain[:, :1].expand(size // 6, 6),
        torch.tensor(2.0, dtype=torch.float64).expand(size // 6, 6),
        torch.zeros(size // 6, 6, dtype=torch.float64),
    ):
        (found,) = torch.autograd.grad(each, leaf, upstream, retain_graph=True)
        assert_close(found, by_definition(loss, tensors, upstream, reduction="none"))


@BOTH_SIZES
@EVERY
def test_sum_and_mean_behind_none_are_sum_and_mean(loss, size):
    tensors = smooth(loss, size)
    for reduction in ("sum", "mean"):
        leaf = tensors[0].clone().requires_grad_()
        getattr(loss(leaf, *tensors[1:], reduction="none"), reduction)().backward()
        assert_close(leaf.grad, by_definition(loss, tensors, reduction=reduction))


@BOTH_SIZES
@EVERY
def test_a_zero_upstream_gives_zero(loss, size):
    for reduction in ("mean", "none"):
        leaf, *rest = leaves_of(loss, size)
        value = loss(leaf, *(t.detach() for t in rest), reduction=reduction)
        (gradient,) = torch.autograd.grad(value, leaf, torch.zeros_like(value))
        assert not gradient.any()


# Higher derivatives and transforms


@pytest.mark.parametrize("reduction", ["mean", "none"])
@EVERY
def test_gradcheck_of_both_orders(loss, reduction):
    tensors = leaves_of(loss)

    def function(*given):
        return loss(*given, reduction=reduction)

    assert torch.autograd.gradcheck(function, tensors, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, tensors)


@BOTH_SIZES
@EVERY
def test_a_differentiable_gradient_is_the_same_gradient(loss, size):
    for reduction in ("mean", "none"):
        leaf, *rest = leaves_of(loss, size)
        rest = [t.detach() for t in rest]
        value = loss(leaf, *rest, reduction=reduction)
        upstream = torch.randn(value.shape, dtype=torch.float64)
        (plain,) = torch.autograd.grad(value, leaf, upstream, retain_graph=True)
        (kept,) = torch.autograd.grad(value, leaf, upstream, create_graph=True)
        assert_close(kept.detach(), plain)
        again = torch.autograd.grad(value, leaf, upstream)[0]
        assert_close(again, plain)


@EVERY
def test_hessians_agree(loss):
    first, *rest = smooth(loss, 3)

    def total(x):
        return loss(x, *rest, reduction="sum")

    expected = hessian(total, first)
    assert_close(hessian(total, first, vectorize=True), expected)
    assert_close(torch.func.hessian(total)(first), expected)
    assert_close(torch.func.jacfwd(torch.func.jacrev(total))(first), expected)
    with onepass.engine("eager"):
        assert_close(hessian(total, first), expected)
    assert torch.equal(expected, torch.diag(expected.diag()))


@EVERY
def test_transforms_agree(loss):
    first, *rest = smooth(loss, 6)

    def total(x):
        return loss(x, *rest, reduction="sum")

    def each(x):
        return loss(x, *rest, reduction="none")

    slope = by_definition(loss, [first, *rest], reduction="sum")
    assert_close(torch.func.grad(total)(first), slope)
    assert_close(torch.func.jacrev(total)(first), slope)
    assert_close(torch.func.jacfwd(total)(first), slope)
    assert_close(torch.func.jacrev(each)(first), torch.diag(slope))
    assert_close(torch.func.jacfwd(each)(first), torch.diag(slope))
    direction = torch.linspace(-1, 1, 6, dtype=torch.float64)
    value, along = torch.func.jvp(each, (first,), (direction,))
    assert_close(value, each(first))
    assert_close(along, slope * direction)
    pulled = torch.func.vjp(each, first)[1](direction)[0]
    assert_close(pulled, slope * direction)
    assert_close(torch.vmap(lambda *x: loss(*x, reduction="sum"))(first, *rest), each(first))
    rows = torch.stack([first, first])
    per_row = torch.vmap(torch.func.grad(total))(rows)
    assert_close(per_row, torch.stack([slope, slope]))


@EVERY
def test_forward_mode_gives_the_directional_slope(loss):
    first, *rest = smooth(loss, 6000)
    direction = torch.linspace(-1, 1, 6000, dtype=torch.float64)
    slope = by_definition(loss, [first, *rest], reduction="sum")
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(first, direction)
        value, along = forward_ad.unpack_dual(loss(dual, *rest, reduction="sum"))
    assert_close(along, (slope * direction).sum())
    assert_close(value, loss(first, *rest, reduction="sum"))


def test_per_sample_gradients_of_a_model():
    linear, x, y = torch.nn.Linear(3, 1), torch.randn(5, 3), torch.randn(5)

    def total(parameters, x, y):
        return F.huber_loss(torch.func.functional_call(linear, parameters, (x,)).squeeze(-1), y)

    parameters = {name: p.detach() for name, p in linear.named_parameters()}
    found = torch.func.vmap(torch.func.grad(total), (None, 0, 0))(parameters, x, y)
    for k in range(5):
        expected = torch.func.grad(total)(parameters, x[k], y[k])
        torch.testing.assert_close(found["weight"][k], expected["weight"])


# Hooks, checkpoints, threads


@BOTH_SIZES
def test_hooks_on_output_and_leaf_run_and_may_change_the_gradient(size):
    x = torch.randn(size)
    leaf = x.clone().requires_grad_()
    value, seen = F.l1_loss(leaf, torch.zeros(size), reduction="sum"), []
    value.register_hook(lambda upstream: seen.append(upstream.item()) or 3 * upstream)
    leaf.register_hook(lambda gradient: gradient * 2)
    leaf.register_post_accumulate_grad_hook(lambda tensor: seen.append(tensor.grad.sum().item()))
    value.backward()
    assert torch.equal(leaf.grad, 6 * torch.sign(x))
    assert seen == [1.0, leaf.grad.sum().item()]


def test_a_node_hook_sees_the_gradient():
    leaf = torch.randn(6000, requires_grad=True)
    value, seen = F.l1_loss(leaf, torch.zeros(6000), reduction="sum"), []
    value.grad_fn.register_hook(lambda gradients, _: seen.append(gradients))
    value.backward()
    assert torch.equal(next(g for g in seen[0] if g is not None), leaf.grad)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_saved_tensors_may_live_elsewhere(reduction):
    x, y = torch.randn(2, 6000, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    packed = []

    def pack(tensor):
        packed.append(tensor.shape)
        return tensor.clone()

    for hooks in (
        torch.autograd.graph.save_on_cpu(),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor.clone()),
    ):
        with hooks:
            value = F.soft_margin_loss(leaf, y, reduction=reduction)
        upstream = torch.linspace(1, 2, value.numel(), dtype=torch.float64).reshape(value.shape)
        expected = by_definition(
            onepass.catalogue()["soft_margin_loss"], [x, y], upstream, reduction=reduction
        )
        for _ in range(2):
            (found,) = torch.autograd.grad(value, leaf, upstream, retain_graph=True)
            assert_close(found, expected)
    assert packed


@pytest.mark.parametrize("use_reentrant", [False, True])
@BOTH_SIZES
def test_checkpoints_recompute_the_same(size, use_reentrant):
    x, y = torch.randn(2, size, dtype=torch.float64)
    results = []
    for wrap in (
        lambda function, leaf: function(leaf),
        lambda function, leaf: checkpoint(function, leaf, use_reentrant=use_reentrant),
    ):
        leaf = x.clone().requires_grad_()
        value = wrap(lambda leaf: F.huber_loss(leaf * 2, y, delta=0.5), leaf)
        (3 * value).backward()
        results.append((value.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.filterwarnings("ignore:Anomaly Detection", "ignore:Error detected in")
@BOTH_SIZES
def test_anomaly_mode_runs_and_finds_a_nan(size):
    leaf = torch.randn(size, requires_grad=True)
    with torch.autograd.detect_anomaly():
        F.soft_margin_loss(leaf, torch.ones(size)).backward()
        assert leaf.grad.isfinite().all()
        with torch.no_grad():
            leaf[0] = torch.nan
        value = F.soft_margin_loss(leaf, torch.ones(size))
        with pytest.raises(RuntimeError, match="nan"):
            value.backward()


@BOTH_SIZES
def test_backward_in_another_thread(size):
    leaf = torch.randn(size, requires_grad=True)
    value = F.l1_loss(leaf, torch.zeros(size), reduction="sum")
    worker = threading.Thread(target=value.backward)
    worker.start()
    worker.join()
    assert torch.equal(leaf.grad, torch.sign(leaf.detach()))


def test_many_threads_differentiate_at_once():
    errors = []

    def work(seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(40_000, generator=generator)
        for _ in range(10):
            leaf = x.clone().requires_grad_()
            F.l1_loss(leaf, torch.zeros(40_000), reduction="sum").backward()
            if not torch.equal(leaf.grad, torch.sign(x)):
                errors.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors


@pytest.mark.parametrize("reduction", ["mean", "none"])
@BOTH_SIZES
@pytest.mark.parametrize("place", [0, 1])
def test_a_change_in_place_gives_the_old_gradient_or_raises(size, reduction, place):
    tensors = [t.double() for t in torch.randn(2, size)]
    before = [t.clone() for t in tensors]
    tensors[0].requires_grad_()
    value = F.soft_margin_loss(*tensors, reduction=reduction)
    with torch.no_grad():
        tensors[place].mul_(-3)
    upstream = torch.ones_like(value)
    loss = onepass.catalogue()["soft_margin_loss"]
    if reduction == "mean":  # the gradient was finished in forward
        (found,) = torch.autograd.grad(value, tensors[0], upstream, retain_graph=True)
        assert_close(found, by_definition(loss, before, upstream, reduction=reduction))
    with pytest.raises(RuntimeError, match="inplace operation"):
        torch.autograd.grad(value, tensors[0], upstream)


# Shapes and layouts


@pytest.mark.parametrize("reduction", [*REDUCED, "none"])
@EVERY
def test_a_broadcast_tensor_has_a_gradient_of_its_own_shape(loss, reduction):
    full = [t.reshape(4, 3) for t in smooth(loss)]
    for place, needed in enumerate(differentiable(loss)):
        for shape in ((3,), (1, 3), (4, 1), (1, 1), (1,), ()):
            if not needed or (place == 0 and len(loss.tensors) == 1):
                continue
            own = full[place].flatten()[: torch.Size(shape).numel()].reshape(shape)
            results = []
            for engine in ("auto", "eager"):
                leaf = own.clone().requires_grad_()
                tensors = [leaf if k == place else t for k, t in enumerate(full)]
                with onepass.engine(engine), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    value = loss(*tensors, reduction=reduction)
                    (gradient,) = torch.autograd.grad(value.sum(), leaf)
                assert gradient.shape == shape
                results.append(gradient)
            assert_close(*results)


def layouts(x):
    """The same numbers in other places of memory."""
    yield x.t().contiguous().t()
    yield torch.stack([x, x * torch.nan], -1)[..., 0]
    yield torch.cat([x, x])[: x.shape[0]]
    yield x[:1].expand_as(x)
    yield x[:, :1].expand_as(x)
    yield x[0, 0].expand_as(x)
    yield x.flip(0).flip(0)


@BOTH_SIZES
@EVERY
def test_views_and_expanded_tensors_have_their_gradient(loss, size):
    plain = [t.reshape(-1, 6) for t in smooth(loss, size)]
    for first in layouts(plain[0]):
        for reduction in ("mean", "none"):
            tensors = [first, *plain[1:]]
            leaf = first.detach().requires_grad_()
            value = loss(leaf, *plain[1:], reduction=reduction)
            upstream = torch.linspace(1, 2, value.numel(), dtype=torch.float64)
            upstream = upstream.reshape(value.shape)
            (found,) = torch.autograd.grad(value, leaf, upstream)
            dense = [t.clone(memory_format=torch.contiguous_format) for t in tensors]
            assert_close(found, by_definition(loss, dense, upstream, reduction=reduction))


def test_an_expanded_leaf_collects_its_gradient():
    base = torch.randn(3, dtype=torch.float64, requires_grad=True)
    y = torch.zeros(2000, 3, dtype=torch.float64)
    F.l1_loss(base.expand(2000, 3), y, reduction="sum").backward()
    assert_close(base.grad, 2000 * torch.sign(base.detach()))


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (8, 16, 12, 12)], ids=str)
def test_channels_last_stays_channels_last(shape, reduction):
    for function in (F.l1_loss, F.huber_loss):
        for target_format in (torch.channels_last, torch.contiguous_format):
            x = torch.randn(shape).to(memory_format=torch.channels_last)
            y = torch.zeros(shape).to(memory_format=target_format)
            leaf = x.requires_grad_()
            value = function(leaf, y, reduction=reduction)
            value.sum().backward()
            assert leaf.grad.is_contiguous(memory_format=torch.channels_last)
            if reduction == "none":
                assert value.is_contiguous(memory_format=torch.channels_last)
            leaf.grad = None


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0, 2)], ids=str)
@EVERY
def test_nothing_has_an_empty_gradient(loss, shape):
    for reduction in (*REDUCED, "none"):
        leaf = torch.zeros(shape, requires_grad=True)
        others = [torch.zeros(shape) for _ in loss.tensors[1:]]
        value = loss(leaf, *others, reduction=reduction)
        value.sum().backward()
        assert leaf.grad.shape == shape


@EVERY
def test_a_single_number_has_a_gradient(loss):
    tensors = [t[0] for t in smooth(loss)]
    leaf = tensors[0].clone().requires_grad_()
    loss(leaf, *tensors[1:]).backward()
    assert leaf.grad.shape == ()
    assert_close(leaf.grad, by_definition(loss, tensors))


def test_a_parameter_stays_a_parameter_and_its_gradient_a_tensor():
    parameter = torch.nn.Parameter(torch.randn(5000))
    F.l1_loss(parameter, torch.zeros(5000)).backward()
    assert type(parameter.grad) is torch.Tensor
    assert not parameter.grad.requires_grad


def test_a_graph_leaves_nothing_behind():
    x, y = torch.randn(2_000_000, requires_grad=True), torch.zeros(2_000_000)
    onepass.empty_cache()
    F.l1_loss(x, y)  # never differentiated
    F.l1_loss(x, y, reduction="none")
    gc.collect()
    assert len(memory._idle()) >= 1  # both buffers came back, the second of the two in the first
    onepass.empty_cache()
    assert not memory._pool
