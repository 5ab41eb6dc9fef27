"""Which engine runs a call, and who may choose."""

import contextvars
import threading

import pytest
import torch
from torch import tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import onepass
from onepass import functional as F
from onepass.errors import DtypeError
from onepass.runtime import autograd, dispatch, eager

X, Y = torch.linspace(-1, 1, 12), torch.linspace(1, 2, 12)


@pytest.fixture
def engines(monkeypatch, by_python):
    """The engines that ran, in order."""
    ran = []

    def spied(name, function):
        def run(*arguments):
            ran.append(name)
            return function(*arguments)

        return run

    monkeypatch.setattr(autograd, "evaluate", spied("cpu", autograd.evaluate))
    monkeypatch.setattr(eager, "evaluate", spied("eager", eager.evaluate))
    return ran


class Wrapped(torch.Tensor):
    """A subclass of a user's own."""


class Seen(TorchDispatchMode):
    """A mode that looks on."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def under_a_mode():
    with Seen():
        return F.l1_loss(X, Y)


def in_forward_mode():
    with forward_ad.dual_level():
        return F.l1_loss(forward_ad.make_dual(X, torch.ones(12)), Y)


OBSTACLES = {
    "subclass": (lambda: F.l1_loss(X.as_subclass(Wrapped), Y), "a Wrapped, torch.float32"),
    "subclass target": (lambda: F.l1_loss(X, Y.as_subclass(Wrapped)), "a Wrapped"),
    "vmap": (lambda: torch.vmap(F.l1_loss)(X.view(3, 4), Y.view(3, 4)), "torch.func transform"),
    "grad": (lambda: torch.func.grad(F.l1_loss)(X, Y), "a torch.func transform is active"),
    "jvp": (lambda: torch.func.jvp(lambda x: F.l1_loss(x, Y), (X,), (Y,)), "transform is active"),
    "forward mode": (in_forward_mode, "forward-mode differentiation is active"),
    "dispatch mode": (under_a_mode, "a dispatch mode is active"),
    "meta": (lambda: F.l1_loss(X.to("meta"), Y.to("meta")), "on meta"),
    "complex": (lambda: F.l1_loss(X + 1j, Y), "torch.complex64"),
    "negated": (lambda: F.l1_loss(torch._neg_view(X), Y), "lazily negated"),
    "weight's gradient": (
        lambda: F.l1_loss(X, Y, sample_weight=Y.clone().requires_grad_()),
        "a weight or the normalizer is asking for its gradient",
    ),
    "normalizer's gradient": (
        lambda: F.l1_loss(X, Y, normalizer=tensor(3.0, requires_grad=True)),
        "a weight or the normalizer is asking for its gradient",
    ),
    "weight's subclass": (
        lambda: F.l1_loss(X, Y, sample_weight=Y.as_subclass(Wrapped)), "a Wrapped",
    ),
    "uint16": (lambda: F.l1_loss(X, Y.to(torch.uint16)), "torch.uint16"),
}  # fmt: skip


@pytest.mark.parametrize("call, why", OBSTACLES.values(), ids=OBSTACLES)
def test_an_obstacle_leaves_the_call_to_the_definition(engines, call, why):
    call()
    assert engines == ["eager"]
    with onepass.engine("cpu"), pytest.raises(onepass.EngineError, match=why) as caught:
        call()
    assert str(caught.value).startswith("l1_loss: the cpu engine cannot run this call: ")
    assert engines == ["eager"]


def test_an_empty_call_is_left_to_the_definition(engines):
    F.l1_loss(X[:0], Y[:0])
    assert engines == ["eager"]


def test_a_sparse_tensor_is_refused(engines):
    sparse = torch.eye(4).to_sparse()
    with pytest.raises(
        DtypeError, match=r"`input` must be dense, got torch\.sparse_coo\. Write in"
    ):
        F.l1_loss(sparse, torch.ones(4, 4))
    with pytest.raises(
        DtypeError, match=r"`target` must be dense, .* Write target\.to_dense\(\)\."
    ):
        F.cross_entropy(torch.ones(4, 4), sparse)
    assert engines == []


PLAIN = {
    "float32": lambda: F.l1_loss(X, Y),
    "float64": lambda: F.l1_loss(X.double(), Y.double()),
    "float16": lambda: F.l1_loss(X.half(), Y.half()),
    "bfloat16": lambda: F.l1_loss(X.bfloat16(), Y.bfloat16()),
    "mixed": lambda: F.l1_loss(X, Y.double()),
    "whole": lambda: F.l1_loss(X, (Y > 1.5)),
    "parameter": lambda: F.l1_loss(torch.nn.Parameter(X), Y),
    "strided": lambda: F.l1_loss(X[::2], Y[::2]),
    "expanded": lambda: F.l1_loss(X[:1].expand(12), Y),
    "number": lambda: F.l1_loss(X, tensor(0.0)),
    "weighted": lambda: F.l1_loss(X, Y, sample_weight=Y, mask=X > 0),
    "normalized": lambda: F.l1_loss(X, Y, normalizer=tensor(3)),
    "none": lambda: F.l1_loss(X, Y, reduction="none"),
}


@pytest.mark.parametrize("call", PLAIN.values(), ids=PLAIN)
def test_plain_numbers_in_memory_go_to_the_kernel(engines, call):
    value = call()
    assert engines == ["cpu"]
    with onepass.engine("eager"):
        torch.testing.assert_close(call(), value, rtol=2e-3, atol=1e-3)
    assert engines == ["cpu", "eager"]


def test_tiny_calls_of_a_fused_loss_go_to_torch(engines):
    small, large = torch.randn(2, 16384), torch.randn(2, 16385)
    for function in (F.mse_loss, F.huber_loss, F.smooth_l1_loss):
        engines.clear()
        function(*small)
        assert engines == []
        function(*large)
        function(*small.half())
        function(*small, mask=small[0] > 0)
        function(*small, reduction="batchmean")
        function(small[0], small[1].double())
        assert engines == ["cpu"] * 5
        with onepass.engine("cpu"):
            function(*small)
        with onepass.engine("eager"):
            function(*small)
        assert engines == [*["cpu"] * 6, "eager"]


def test_tiny_calls_of_a_fused_loss_of_rows_go_to_torch(engines):
    target = torch.arange(4)

    def called(input, target=target, **options):
        engines.clear()
        F.nll_loss(input, target, **options)
        return [*engines]

    for input in (torch.randn(4, 5), torch.randn(4, 5).double(), torch.randn(5)):
        labels = target if input.dim() == 2 else torch.tensor(2)
        for options in ({}, {"reduction": "sum"}, {"reduction": "none"}, {"ignore_index": 1}):
            called(input, labels, **options)  # what it means is remembered
            assert called(input, labels, **options) == []
    for shape in ((4, 2**18 + 1), (16385, 5)):
        labels = torch.zeros(shape[0], dtype=torch.long)
        assert [called(torch.randn(shape), labels) for _ in range(2)] == [["cpu"]] * 2
    for options in (
        {"normalizer": 3.0}, {"mask": target > 0}, {"weight": torch.rand(5)},
        {"reduction": "batchmean"},
    ):  # fmt: skip
        assert [called(torch.randn(4, 5), **options) for _ in range(2)] == [["cpu"]] * 2
    rows = torch.arange(12).reshape(4, 3) % 5
    assert [called(torch.randn(4, 3, 5), rows, dim=-1) for _ in range(2)] == [["cpu"]] * 2
    assert [called(torch.randn(4, 5).half()) for _ in range(2)] == [["cpu"]] * 2
    with pytest.raises(onepass.DomainError, match=r"got 5 at \(3,\)"):
        F.nll_loss(torch.randn(4, 5), target + 2)


# Choosing


def test_engines_nest_and_are_given_back(engines):
    F.l1_loss(X, Y)
    with onepass.engine("eager"):
        F.l1_loss(X, Y)
        with onepass.engine("cpu"):
            F.l1_loss(X, Y)
            with onepass.engine("auto"):
                F.l1_loss(X, Y)
        F.l1_loss(X, Y)
    F.l1_loss(X, Y)
    assert engines == ["cpu", "eager", "cpu", "cpu", "eager", "cpu"]


def test_an_error_gives_the_engine_back():
    with pytest.raises(ZeroDivisionError), onepass.engine("eager"):
        raise ZeroDivisionError
    assert dispatch._engine.get() == "auto"
    with pytest.raises(onepass.ParameterError), onepass.engine("nothing"):
        pass
    assert dispatch._engine.get() == "auto"


def test_an_engine_is_a_choice_of_this_thread_and_context_alone():
    seen = []
    with onepass.engine("eager"):
        other = threading.Thread(target=lambda: seen.append(dispatch._engine.get()))
        other.start()
        other.join()
        contextvars.Context().run(lambda: seen.append(dispatch._engine.get()))
        contextvars.copy_context().run(lambda: seen.append(dispatch._engine.get()))
    assert seen == ["auto", "auto", "eager"]


def test_a_graph_made_by_one_engine_is_differentiated_outside(engines):
    leaf = X.clone().requires_grad_()
    with onepass.engine("cpu"):
        value = F.l1_loss(leaf, Y, reduction="none")
    with onepass.engine("eager"):
        value.sum().backward()
    assert torch.equal(leaf.grad, torch.sign(X - Y))
    assert engines == ["cpu"]


def test_an_enforced_domain_is_kept_by_every_engine():
    bad = X + 1
    for engine in ("auto", "cpu", "eager"):
        with onepass.engine(engine), pytest.raises(onepass.DomainError, match=r"at \(6,\)"):
            F.binary_cross_entropy(bad, Y - 1)


def test_a_subclass_keeps_its_type():
    value = F.l1_loss(X.as_subclass(Wrapped), Y)
    assert type(value) is Wrapped
    assert value.item() == pytest.approx(F.l1_loss(X, Y).item())
