"""Calls like ones before, run by native.cpp: the same bits as Python's, and everything else too."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import onepass
import onepass.functional as F
from onepass.errors import DomainError, EngineError, EngineWarning
from onepass.runtime import autograd, call_cache, dispatch
from onepass.runtime.cpu import disk, memory, native

pytestmark = [
    pytest.mark.skipif(native.calls([]) is None, reason="native.cpp is not built"),
    pytest.mark.filterwarnings("ignore:kl_div. reduction 'mean'"),
    pytest.mark.filterwarnings("ignore:Anomaly Detection"),
    pytest.mark.filterwarnings("ignore:.torch.jit", "ignore::torch.jit.TracerWarning"),
]

ROWS, CLASSES = 13, 7


def _scores(dtype=torch.float32, rows=ROWS, classes=CLASSES):
    return (3 * torch.randn(rows, classes)).to(dtype).requires_grad_()


def _labels(rows=ROWS, classes=CLASSES):
    return torch.randint(classes, (rows,))


def _sides(*shape):
    return torch.randn(shape).sign()


CASES = {
    "l1_loss": lambda d: (_scores(d), _scores(d)),
    "mse_loss": lambda d: (_scores(d), _scores(d).detach()),
    "huber_loss": lambda d: (_scores(d), _scores(d)),
    "smooth_l1_loss": lambda d: (_scores(d), _scores(d).detach()),
    "gaussian_nll_loss": lambda d: (_scores(d), _scores(d), _scores(d).detach().square() + 0.1),
    "poisson_nll_loss": lambda d: (_scores(d), _scores(d).detach().abs()),
    "kl_div": lambda d: (_scores(d), _scores(d).detach().softmax(1)),
    "binary_cross_entropy": lambda d: (
        _scores(d).detach().sigmoid().requires_grad_(),
        _scores(d).detach().sigmoid(),
    ),
    "binary_cross_entropy_with_logits": lambda d: (_scores(d), _scores(d).detach().sigmoid()),
    "soft_margin_loss": lambda d: (_scores(d), _sides(ROWS, CLASSES).to(d)),
    "hinge_embedding_loss": lambda d: (_scores(d), _sides(ROWS, CLASSES).to(d)),
    "margin_ranking_loss": lambda d: (_scores(d), _scores(d), _sides(ROWS, CLASSES).to(d)),
    "cross_entropy": lambda d: (_scores(d), _labels()),
    "nll_loss": lambda d: (_scores(d), _labels()),
    "multi_margin_loss": lambda d: (_scores(d), _labels()),
    "multilabel_soft_margin_loss": lambda d: (_scores(d), _scores(d).detach().gt(0).to(d)),
    "cosine_embedding_loss": lambda d: (_scores(d), _scores(d), _sides(ROWS)),
    "triplet_margin_loss": lambda d: (_scores(d), _scores(d), _scores(d)),
    "triplet_margin_with_distance_loss": lambda d: (_scores(d), _scores(d), _scores(d)),
}
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def _leaves(tensors):
    return [tensor for tensor in tensors if tensor.requires_grad]


def _gradients(loss, tensors, factor=1.0, **how):
    return torch.autograd.grad(loss, _leaves(tensors), torch.tensor(factor).to(loss.dtype), **how)


def _is_native(loss):
    return "CppFunction" in type(loss.grad_fn).__name__


@pytest.fixture
def no_python(monkeypatch):
    """Nothing runs a call, and nothing makes its gradients anew, but native.cpp."""

    def refused(*_):
        raise AssertionError("Python was asked")

    monkeypatch.setattr(dispatch, "run", refused)
    monkeypatch.setattr(dispatch, "run_by", refused)
    monkeypatch.setattr(autograd.OnePass, "forward", refused)


def _by_python(function, *given, **options):
    """What the same call is without native.cpp."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "has_defaults", lambda: False)
        return function(*given, **options)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_bits_are_those_of_pythons_way(name, dtype, reduction):
    loss = getattr(F, name)
    for seed in range(3):
        torch.manual_seed(seed)
        tensors = CASES[name](dtype)
        for factor in (1.0, -0.3):
            ours = loss(*tensors, reduction=reduction)
            expected = _by_python(loss, *tensors, reduction=reduction)
            assert torch.equal(ours, expected)
            assert ours.dtype is expected.dtype
            found = _gradients(ours, tensors, factor)
            for a, b in zip(found, _gradients(expected, tensors, factor), strict=True):
                assert torch.equal(a, b)
                assert a.stride() == b.stride()
        with torch.no_grad():
            ours = loss(*tensors, reduction=reduction)
            assert torch.equal(ours, _by_python(loss, *tensors, reduction=reduction))


@pytest.mark.parametrize("name", [n for n in CASES if n != "multilabel_soft_margin_loss"])
def test_every_loss_of_few_elements_goes_this_way(name, request):
    loss = getattr(F, name)
    loss(*CASES[name](torch.float32)).backward()
    request.getfixturevalue("no_python")
    tensors = CASES[name](torch.float32)
    value = loss(*tensors)
    assert _is_native(value)
    assert value.grad_fn.name() == "OnePassBackward"
    value.backward()
    assert all(leaf.grad is not None for leaf in _leaves(tensors))


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 4000, 16384, 20000])
def test_turns_and_threads_do_not_change_the_bits(rows):
    x, y = _scores(rows=rows), _labels(rows)
    y[1::5] = -100
    before = torch.get_num_threads()
    try:
        for loss in (F.cross_entropy, F.nll_loss):
            values, slopes = [], []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                value = loss(x, y)
                values.append(value.item())
                slopes.append(torch.autograd.grad(value, x)[0])
            assert len(set(values)) == 1
            assert torch.equal(slopes[0], slopes[1])
            assert torch.equal(slopes[0], slopes[2])
            twin = x.detach().double().requires_grad_()
            theirs = getattr(torch.nn.functional, loss.__name__)(twin, y)
            torch.testing.assert_close(values[0], theirs.item(), rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(
                slopes[0], torch.autograd.grad(theirs, twin)[0].float(), rtol=1e-4, atol=1e-9
            )
    finally:
        torch.set_num_threads(before)


def _map(*shape, channels_last=False):
    order = torch.channels_last if channels_last else torch.contiguous_format
    x = 3 * torch.randn(*shape, dtype=torch.float64)
    return x.contiguous(memory_format=order).requires_grad_()


BESIDE = {
    "class weights": lambda w: (F.cross_entropy, (_scores(torch.float64), _labels(), w)),
    "smoothed class weights": lambda w: (
        partial(F.cross_entropy, label_smoothing=0.2), (_scores(torch.float64), _labels(), w),
    ),
    "of log-probabilities": lambda w: (F.nll_loss, (_scores(torch.float64), _labels(), w)),
    "of margins": lambda w: (
        lambda x, y, w: F.multi_margin_loss(x, y, weight=w), (_scores(torch.float64), _labels(), w)
    ),
    "of a map": lambda w: (
        F.cross_entropy, (_map(2, CLASSES, 5, 9), torch.randint(CLASSES, (2, 5, 9)), w),
    ),
    "of a map, channels last": lambda w: (
        F.cross_entropy,
        (_map(2, CLASSES, 5, 9, channels_last=True), torch.randint(CLASSES, (2, 5, 9)), w),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", BESIDE.values(), ids=BESIDE)
def test_class_weights_are_those_that_are_given_each_time(case):
    for seed in range(3):
        torch.manual_seed(seed)
        loss, (x, y, weight) = case(torch.rand(CLASSES, dtype=torch.float64) + 0.1)
        found, expected = loss(x, y, weight), _by_python(loss, x, y, weight)
        assert _is_native(found)
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)
        for factor in (1.0, -0.7):  # the second one is computed anew
            (ours,) = _gradients(found, (x,), factor, retain_graph=True)
            (theirs,) = _gradients(expected, (x,), factor, retain_graph=True)
            torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-16)
            assert ours.stride() == x.stride()
        torch.autograd.gradgradcheck(lambda x: loss(x, y, weight), (x,))  # noqa: B023
    learned = weight.clone().requires_grad_()
    assert torch.autograd.grad(loss(x, y, learned), learned)[0].abs().sum() > 0


CHANGES = {
    "option": lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1),
    "reduction": lambda x, y: F.cross_entropy(x, y, reduction="sum"),
    "ignored": lambda x, y: F.cross_entropy(x, y, ignore_index=2),
    "dtype": lambda x, y: F.cross_entropy(x.double(), y),
    "dtype of labels": lambda x, y: F.cross_entropy(x, y.int()),
    "rows": lambda x, y: F.cross_entropy(x[:6], y[:6]),
    "order": lambda x, y: F.cross_entropy(x.t().contiguous().t(), y),
    "negated": lambda x, y: F.cross_entropy(torch._neg_view(x), y),
    "mask": lambda x, y: F.cross_entropy(x, y, mask=y > 1),
    "weight": lambda x, y: F.cross_entropy(x, y, weight=torch.arange(1.0, CLASSES + 1)),
    "none": lambda x, y: F.cross_entropy(x, y, reduction="none"),
    "a mask of probabilities": lambda x, y: F.cross_entropy(x, x.softmax(1)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_differs_is_another_call(change):
    x, y = _scores(), _labels()
    F.cross_entropy(x, y)
    for _ in range(2):
        found, expected = change(x, y), _by_python(change, x, y)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
        grad = torch.autograd.grad(found.sum(), x)[0]
        torch.testing.assert_close(grad, torch.autograd.grad(expected.sum(), x)[0])


def test_whether_a_gradient_is_wanted_is_asked_each_time():
    x, y = _scores(), _labels()
    for _ in range(2):
        assert not F.cross_entropy(x.detach(), y).requires_grad
        assert F.cross_entropy(x, y).requires_grad
        with torch.no_grad():
            assert not F.cross_entropy(x, y).requires_grad
        with torch.inference_mode():
            assert F.cross_entropy(x, y).is_inference()
    a, b = _scores(), _scores()
    for first, second in ((a, b), (a.detach(), b), (a, b.detach()), (a, b)):
        wanted = _leaves((first, second))
        for found in torch.autograd.grad(F.mse_loss(first, second), wanted):
            assert found.abs().sum() > 0


UNUSUAL = {
    "labels that ask for a gradient": lambda x: F.cosine_embedding_loss(
        x, 2 * x + 1, torch.ones(ROWS, requires_grad=True)
    ),
    "one tensor twice": lambda x: F.l1_loss(x * x, x * x),
    "the same tensor": lambda x: F.cosine_embedding_loss(x, x, torch.ones(ROWS)),
    "expanded": lambda x: F.mse_loss(x[:1].expand(ROWS, CLASSES), x),
    "broadcast": lambda x: F.mse_loss(x, x[0, 0]),
    "one row": lambda x: F.cross_entropy(x[0], torch.tensor(3)),
    "every second row": lambda x: F.huber_loss(x[::2], x[1::2].exp()[:1].expand(7, CLASSES)),
    "with an offset": lambda x: F.mse_loss(x.view(-1)[3:9], x.view(-1)[5:11]),
    "transposed": lambda x: F.poisson_nll_loss(x.t(), x.detach().t().exp()),
    "a scalar": lambda x: F.mse_loss(x.sum(), x.exp().sum()),
    "probabilities that ask for a gradient": lambda x: F.cross_entropy(x, x.softmax(1)),
    "mixed": lambda x: F.mse_loss(x, x.double()),
    "many axes": lambda x: F.cross_entropy(
        x[:12].view(3, 2, 2, CLASSES).movedim(-1, 1), torch.ones(3, 2, 2, dtype=torch.long)
    ),
    "an axis of one's own": lambda x: F.cross_entropy(x.t(), _labels(), dim=0),
    "norms of another kind": lambda x: F.triplet_margin_loss(x, x + 1, -x, p=1.5, swap=True),
    "nothing": lambda x: F.mse_loss(x[:0], x[:0]),
}


@pytest.mark.parametrize("call", UNUSUAL.values(), ids=UNUSUAL)
def test_tensors_that_lie_in_unusual_ways(call):
    x = _scores(torch.float32)
    for _ in range(2):
        torch.manual_seed(1)
        found = call(x)
        torch.manual_seed(1)
        expected = _by_python(call, x)
        torch.testing.assert_close(found, expected, equal_nan=True)
        ours, theirs = (torch.autograd.grad(value, x)[0] for value in (found, expected))
        torch.testing.assert_close(ours, theirs, equal_nan=True)


def _by_forward_mode(loss, tensors):
    """The derivative in the direction of ones."""
    with forward_ad.dual_level():
        dual = [forward_ad.make_dual(t, torch.ones_like(t)) for t in _leaves(tensors)]
        rest = [t for t in tensors if not t.requires_grad]
        value = loss(*dual, *rest)
        return forward_ad.unpack_dual(value).tangent


class _Counts(TorchDispatchMode):
    """How many operations torch's dispatcher was given."""

    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += 1
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", CASES)
def test_what_torch_is_doing_is_asked_each_time(name):
    loss, tensors = getattr(F, name), CASES[name](torch.float32)
    usual = loss(*tensors)
    assert torch.equal(loss(*tensors), usual)  # a call of a known kind

    with _Counts() as mode:
        loss(*tensors)
    assert mode.count

    traced = torch.jit.trace(loss, tensors, check_trace=False)
    others = CASES[name](torch.float32)
    torch.testing.assert_close(traced(*others), loss(*others))

    tangent = _by_forward_mode(loss, tensors)
    slope = sum(gradient.double().sum() for gradient in _gradients(usual, tensors))
    torch.testing.assert_close(tangent.double(), slope, rtol=1e-3, atol=1e-4)

    halves = CASES[name](torch.bfloat16)
    assert loss(*halves).dtype is loss(*halves).dtype is torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(*halves).dtype is torch.float32


def test_a_first_call_in_inference_mode_decides_nothing():
    source = """
import torch, onepass.functional as F
x, y = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
with torch.inference_mode():
    F.l1_loss(torch.randn(3, 4), y)
F.l1_loss(x, y)
print(type(F.l1_loss(x, y).grad_fn).__name__)
"""
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert "CppFunction" in ran.stdout


def test_an_engine_chosen_by_hand_is_asked_each_time():
    x, y = _scores(), _labels()
    assert _is_native(F.cross_entropy(x, y))
    for name in ("cpu", "eager"):
        with onepass.engine(name):
            assert not _is_native(F.cross_entropy(x, y))
    with torch.autocast("cpu"):
        assert F.cross_entropy(x.bfloat16(), y).dtype is torch.float32


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_second_backward_and_one_that_is_scaled(dtype):
    x, y = _scores(dtype), _labels()
    loss = F.cross_entropy(x, y)
    assert _is_native(loss)
    (once,) = _gradients(loss, (x,), retain_graph=True)
    (scaled,) = _gradients(loss, (x,), factor=-2.5, retain_graph=True)
    (again,) = _gradients(loss, (x,), retain_graph=True)
    assert torch.equal(once, again)
    expected = _by_python(F.cross_entropy, x, y)
    torch.testing.assert_close(scaled, _gradients(expected, (x,), factor=-2.5)[0])
    many = torch.autograd.grad(
        loss, x, torch.tensor([1.0, 2.0]).to(dtype), is_grads_batched=True, retain_graph=True
    )[0]
    torch.testing.assert_close(many, torch.stack([once, 2 * once]), rtol=2e-2, atol=1e-3)


def test_what_was_let_go_is_not_there_any_more():
    x, y = _scores(), _labels()
    loss = F.cross_entropy(x, y)
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@pytest.mark.parametrize("name", ["cross_entropy", "huber_loss", "triplet_margin_loss"])
def test_a_backward_that_is_differentiable_goes_through_the_definition(name):
    tensors = [t.double().detach().requires_grad_(t.requires_grad) if t.is_floating_point() else t
               for t in CASES[name](torch.float64)]  # fmt: skip
    loss = getattr(F, name)
    assert _is_native(loss(*tensors))
    torch.autograd.gradcheck(lambda *_: loss(*tensors), _leaves(tensors))
    torch.autograd.gradgradcheck(lambda *_: loss(*tensors), _leaves(tensors))


def test_tensors_changed_in_between_are_noticed_where_they_are_needed_again():
    x, y = _scores(), _labels()
    leaf, x = x, x * 1
    loss = F.cross_entropy(x, y)
    assert _is_native(loss)
    x.detach().zero_()
    loss.backward(retain_graph=True)  # its gradient was made before
    assert leaf.grad.abs().sum() > 0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_what_makes_a_loss_nan_is_said_each_time():
    x, y = _scores(), _labels()
    F.cross_entropy(x, y)
    wrong = y.clone()
    wrong[3] = CLASSES
    for _ in range(2):
        with pytest.raises(DomainError, match=rf"got {CLASSES} at \(3,\)"):
            F.cross_entropy(x, wrong)
    assert F.cross_entropy(x, y).isfinite()
    p = torch.rand(5)
    F.binary_cross_entropy(p, p)
    with pytest.raises(DomainError, match="got 2"):
        F.binary_cross_entropy(torch.tensor([0.1, 0.2, 2.0, 0.3, 0.4]), p)
    nan = torch.full((ROWS, CLASSES), float("nan"), requires_grad=True)
    loss = F.cross_entropy(nan, y)
    assert loss.isnan()
    assert torch.autograd.grad(loss, nan)[0].isnan().all()
    assert F.cross_entropy(x, torch.full_like(y, -100)).isnan()  # the mean of nothing


def test_saved_tensors_go_through_their_hooks():
    x, y = _scores(rows=6, classes=6), _labels(6, 6)
    expected = torch.autograd.grad(F.cross_entropy(x, y), x)[0]
    packed, unpacked = [], []

    def pack(tensor):
        packed.append(tensor)
        return tensor.t().contiguous().t() if tensor.dim() == 2 else tensor

    def unpack(tensor):
        unpacked.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        loss = F.cross_entropy(x, y)
    assert _is_native(loss)
    assert len(packed) == 2
    for _ in range(2):
        assert torch.equal(torch.autograd.grad(loss, x, retain_graph=True)[0], expected)
    assert len(unpacked) == 2  # by the second one, which computes it anew

    def block(x):
        return F.cross_entropy(2 * x, y)

    twice = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False)
    torch.testing.assert_close(
        torch.autograd.grad(twice, x), torch.autograd.grad(block(x), x), rtol=0, atol=0
    )


def test_the_rest_of_autograd_sees_a_node_like_any_other():
    x, y = _scores(), _labels()
    with torch.autograd.detect_anomaly(check_nan=True):
        F.cross_entropy(x, y).backward()
    seen = []
    loss = F.cross_entropy(x, y)
    loss.register_hook(lambda gradient: seen.append(gradient.item()))
    loss.grad_fn.register_hook(lambda inputs, outputs: seen.append(len(inputs)))
    (loss * 3).backward()
    assert seen == [3, 2]
    assert loss.grad_fn.next_functions[0][0].variable is x
    assert loss.grad_fn.next_functions[1][0] is None
    torch.func.grad(F.cross_entropy)(x, y)
    torch.vmap(F.cross_entropy)(x[None], y[None])


def test_gradients_are_handed_over_without_a_copy():
    x, y = _scores(rows=400, classes=500), _labels(400, 500)
    loss = F.cross_entropy(x, y)
    assert _is_native(loss)
    written = []
    loss.grad_fn.register_hook(lambda inputs, _: written.append(inputs[0].data_ptr()))
    loss.backward()
    assert x.grad.data_ptr() == written[0]


def test_large_gradients_lie_in_huge_pages(monkeypatch):
    made, empty = [], memory.empty

    def spied(*arguments):
        made.append(arguments)
        return empty(*arguments)

    monkeypatch.setattr(memory, "empty", spied)
    for size, times in ((1000, 0), (2_000_000, 2)):
        x = torch.randn(size, requires_grad=True)
        for _ in range(2):
            loss = F.mse_loss(x, torch.zeros(size))
            assert _is_native(loss)
        assert len(made) == times
        loss.backward()
        torch.testing.assert_close(x.grad, 2 / size * x.detach())


@pytest.mark.parametrize("loss", [
    lambda: F.mse_loss(torch.randn(4000, 400, requires_grad=True), torch.randn(400, 4000).t()),
    lambda: F.cross_entropy(torch.randn(4000, 400, requires_grad=True).t(), _labels(400, 4000)),
], ids=["another order", "classes apart"])  # fmt: skip
def test_what_is_large_is_laid_out_once(loss, monkeypatch):
    """Not a second time, to find out whether native.cpp could run calls of this kind."""
    copies, contiguous, copy = [], torch.Tensor.contiguous, torch.Tensor.copy_

    def counted(run):
        def counting(tensor, *given):
            ours = run(tensor, *given)
            copies.append(run is copy or ours is not tensor)
            return ours

        return counting

    monkeypatch.setattr(torch.Tensor, "contiguous", counted(contiguous))
    monkeypatch.setattr(torch.Tensor, "copy_", counted(copy))
    loss()
    assert sum(copies) == 1


def test_threads_share_calls_but_nothing_that_is_written():
    def worked(seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(600, 9, generator=generator).requires_grad_()
        y = torch.randint(9, (600,), generator=generator)
        twin = x.detach().clone().requires_grad_()
        expected = torch.nn.functional.cross_entropy(twin, y)
        expected.backward()
        for _ in range(40):
            x.grad = None
            loss = F.cross_entropy(x, y)
            loss.backward()
            torch.testing.assert_close(loss, expected)
            torch.testing.assert_close(x.grad, twin.grad)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(worked, range(12)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_computes_the_same():
    code = """
import os, torch, onepass.functional as F
x = torch.randn(3000, 40, requires_grad=True); y = torch.randint(40, (3000,))
loss = F.cross_entropy(x, y)
if not os.fork():
    again = F.cross_entropy(x, y)
    again.backward()
    same = torch.equal(again, loss) and x.grad[:9].isfinite().all()  # few: torch must not wait
    os._exit(0 if same else 3)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_true_is_not_one_here_either():
    x, y = _scores(), _scores().detach()
    F.huber_loss(x, y, delta=1)
    with pytest.raises(onepass.errors.ParameterError, match="delta"):
        F.huber_loss(x, y, delta=True)
    torch.testing.assert_close(F.huber_loss(x, y, delta=1.0), F.huber_loss(x, y, delta=1))


def test_options_are_known_by_their_names():
    @onepass.pointwise
    def tilted(input, target, *, up: float = 1.0, down: float = 1.0):
        error = input - target
        return torch.where(error > 0, up * error, -down * error)

    x, y = _scores(), _scores().detach()
    for _ in range(2):
        up, down = tilted(x, y, up=3.0), tilted(x, y, down=3.0)
        assert up != down
        torch.testing.assert_close(up, _by_python(tilted, x, y, up=3.0))


def test_a_loss_that_nobody_needs_goes_with_its_calls():
    @onepass.pointwise
    def cubed(input, target):
        error = torch.abs(input - target)
        return error * error * error

    x = _scores()
    for _ in range(2):
        cubed(x, torch.zeros(ROWS, CLASSES)).backward()
    gone = weakref.ref(cubed)
    del cubed
    gc.collect()
    assert gone() is None


def test_a_backward_outlives_its_loss():
    x, y = _scores(torch.float16), _scores(torch.float16).detach()

    @onepass.pointwise
    def quartic(input, target):
        error = input - target
        return error * error * error * error

    losses = [quartic(x, y) for _ in range(2)]
    assert _is_native(losses[0])
    (expected,) = _gradients(_by_python(quartic, x, y), (x,), 2.0)
    quartic._calls._calls = native.calls([])
    gc.collect()
    assert torch.equal(_gradients(losses.pop(), (x,), 2.0)[0], expected)
    losses.append(quartic(x, y))
    del quartic
    gc.collect()
    for loss in losses:
        assert torch.equal(_gradients(loss, (x,), 2.0)[0], expected)


def test_no_more_calls_are_kept_than_a_loss_needs():
    F.l1_loss(torch.ones(1), torch.ones(1))
    for size in range(1, 1100):
        F.l1_loss(torch.ones(size), torch.zeros(size))
    calls = F.regression.l1_loss._calls._calls
    kept = [s for s in range(1, 1100) if calls.find(_given(s)) is not None]
    assert 0 < len(kept) < 1024
    assert kept[-1] == 1099


def _given(size):
    return torch.ones(size), torch.zeros(size), None, "mean", None, None, None


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Nothing is built, and nothing is remembered of what was."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(tmp_path))
    native._loaded.forget()
    yield tmp_path
    native._loaded.forget()


def test_a_compiler_that_fails_says_so(elsewhere, monkeypatch):
    assert native.calls([]) is None
    monkeypatch.setenv("CXX", f"{sys.executable} -c 'raise SystemError(\"no error at all\")'")
    with pytest.raises(EngineError, match=r"native\.cpp: .* cannot compile it: .*no error at all"):
        native.build()
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(elsewhere))
    with pytest.raises(EngineError, match=r"no C\+\+ compiler; install g\+\+ or clang\+\+, or set"):
        native.build()
    assert native.calls([]) is None
    assert not list(elsewhere.iterdir())


def test_what_cannot_be_loaded_costs_a_warning_and_time(elsewhere):
    disk.save(native._entry(), b"not an object file")
    with pytest.warns(
        EngineWarning, match=r"cannot be loaded .*; delete it, and run `onepass buil"
    ):
        assert native.calls([]) is None
    loss = F.regression.mse_loss
    calls = call_cache.CallCache(loss._prepared, [*loss._defaults], {})
    x, y = _scores(), _scores().detach()
    for _ in range(2):
        value = calls.run((x, y, None, "mean", None, None, None))
        assert not _is_native(value)
        torch.testing.assert_close(value, torch.nn.functional.mse_loss(x, y))


DAMAGED = {
    "cut off": lambda kept, code: kept[: len(kept) // 2],
    "a byte changed": lambda kept, code: kept[:-9] + bytes([kept[-9] ^ 1]) + kept[-8:],
    "empty": lambda kept, code: b"",
    "cut off, with a digest": lambda kept, code: _kept(code[: len(code) // 2]),
    "its header, with a digest": lambda kept, code: _kept(code[:64]),
    "garbage with a digest": lambda kept, code: _kept(b"\x7fELF" + bytes(9000)),
    "another library, with a digest": lambda kept, code: _kept(code.replace(b"PyInit", b"PyExit")),
}
BUILT_AGAIN = """
import sys, warnings, torch, onepass.functional as F
from onepass.runtime.cpu import native
x, y = torch.randn(5, requires_grad=True), torch.randn(5)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        value = F.l1_loss(x, y)
assert "CppFunction" not in type(value.grad_fn).__name__
torch.testing.assert_close(value, torch.nn.functional.l1_loss(x, y))
native._compiled = lambda: open(sys.argv[1], "rb").read()
native.build()
torch.testing.assert_close(F.l1_loss(x, y), value)
print(native.calls([]) is not None, len(caught))
"""


def _kept(code):
    """The bytes as the cache keeps them."""
    return disk._digest(native._entry(), code) + code


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_module_is_not_loaded_but_built_again(tmp_path, damage):
    code = disk.load(native._entry())
    assert code is not None
    kernels = tmp_path / "kernels"
    kernels.mkdir(mode=0o700)
    (kernels / native._entry()).write_bytes(damage(_kept(code), code))
    (tmp_path / "right").write_bytes(code)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILT_AGAIN, tmp_path / "right"],
        env=os.environ | {"ONEPASS_CACHE_DIR": str(kernels)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout in ("True 0\n", "True 1\n")
    assert (kernels / native._entry()).read_bytes() == _kept(code)
