"""Whoever traces a loss at one batch size gets the right value at every other.

The tracers are torch.jit.trace, make_fx, torch.export, torch.fx and torch.compile.
"""

import pickle

import pytest
import torch
from torch.export import Dim, export
from torch.fx.experimental.proxy_tensor import make_fx

import onepass
from tests.every import CLASSES, EVERY, FEATURES, NAMES, OVER_LOSSES, OVER_REDUCTIONS, REDUCTIONS

TRACED, OTHER = 6, 11  # rows
SLOW = pytest.mark.slow
OPTIONS = pytest.mark.parametrize(
    "with_options", [False, pytest.param(True, marks=SLOW)], ids=["defaults", "options"]
)
pytestmark = [
    pytest.mark.filterwarnings("ignore:kl_div. reduction", "ignore:reduction. 'mean' divides"),
    pytest.mark.filterwarnings("ignore:.torch.jit"),
    pytest.mark.filterwarnings(
        "ignore:Converting a tensor"
    ),  # of shapes: torch's losses say so too
    pytest.mark.filterwarnings("ignore:.*should not be instantiated"),
]


def test_every_loss_is_here():
    assert sorted(NAMES) == sorted(onepass.catalogue())


class Loss(torch.nn.Module):
    """A model that ends in a loss, as a function; weights are inputs like any other tensor."""

    def __init__(self, every, options):
        super().__init__()
        self.every, self.options = every, options
        self.weights = [n for n, option in options.items() if torch.is_tensor(option)]

    def forward(self, *tensors):
        return self.of(self.every.ours, tensors)

    def of(self, function, tensors):
        count = len(tensors) - len(self.weights)
        weights = dict(zip(self.weights, tensors[count:], strict=True))
        return function(*tensors[:count], **self.options | weights)

    def drawn(self, rows, seed=0):
        return (*self.every.drawn(rows, seed), *(self.options[n] for n in self.weights))


def chosen(every, reduction, with_options=False):
    options = {"reduction": reduction} | (every.options if with_options else {})
    return Loss(every, options)


def assert_right(traced, model, rows):
    tensors = model.drawn(rows, seed=1)
    expected = model.of(model.every.theirs, tensors)
    found = traced(*tensors)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, equal_nan=True)


@OPTIONS
@OVER_REDUCTIONS
@OVER_LOSSES
def test_jit_trace(every, reduction, with_options):
    model = chosen(every, reduction, with_options)
    tensors = model.drawn(TRACED)
    for _ in range(3):  # a call that is used already is no constant of the trace
        model(*tensors)
    traced = torch.jit.trace(model, tensors, check_trace=False)
    for rows in (TRACED, OTHER, 1):
        assert_right(traced, model, rows)


class Network(Loss):
    """A model with a parameter, so that a trace is made with gradients and checked without."""

    def __init__(self, every, options):
        super().__init__(every, options)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, *tensors):
        scaled = [t * self.scale if k in self.every.learned else t for k, t in enumerate(tensors)]
        return super().forward(*scaled)


@OVER_REDUCTIONS
@OVER_LOSSES
def test_a_trace_of_a_network_passes_torchs_own_check(every, reduction):
    network = Network(every, {"reduction": reduction})
    assert_right(torch.jit.trace(network, network.drawn(TRACED)), network, OTHER)


@pytest.mark.parametrize("mode", ["real", pytest.param("fake", marks=SLOW), "symbolic"])
@OPTIONS
@OVER_REDUCTIONS
@OVER_LOSSES
def test_make_fx(every, reduction, with_options, mode):
    model = chosen(every, reduction, with_options)
    traced = make_fx(model, tracing_mode=mode)(*model.drawn(TRACED))
    for rows in (TRACED, OTHER):
        assert_right(traced, model, rows)


def shapes(model, batch):
    """The batch axis of every tensor that has one, as torch.export is told."""
    small, large = model.drawn(TRACED), model.drawn(OTHER)
    return (
        tuple({0: batch} if a.shape != b.shape else {} for a, b in zip(small, large, strict=True)),
    )


@pytest.mark.parametrize(
    "batch", [pytest.param(None, marks=SLOW), Dim("batch", min=2, max=64), Dim.AUTO], ids=str
)
@pytest.mark.parametrize(
    "reduction, with_options",
    [("mean", False), *(pytest.param(r, True, marks=SLOW) for r in REDUCTIONS)],
)
@OVER_LOSSES
def test_export(every, reduction, with_options, batch):
    model = chosen(every, reduction, with_options)
    dynamic = None if batch is None else shapes(model, batch)
    program = export(model, model.drawn(TRACED), dynamic_shapes=dynamic)
    for rows in (TRACED,) if batch is None else (TRACED, OTHER, 64):
        assert_right(program.module(), model, rows)


@SLOW
@pytest.mark.parametrize("strict", [False, True], ids=["", "strict"])
@OVER_LOSSES
def test_export_of_a_module(every, strict):
    model = every.module(*every.layer)
    tensors = every.of_module(every.drawn(TRACED))
    larger = every.of_module(every.drawn(OTHER))
    dynamic = tuple({0: Dim.AUTO} for _ in tensors)
    program = export(model, tensors, dynamic_shapes=dynamic, strict=strict)
    torch.testing.assert_close(program.module()(*larger), model(*larger))


@OPTIONS
@OVER_REDUCTIONS
@OVER_LOSSES
def test_fx_has_one_node_for_the_loss(every, reduction, with_options):
    class Model(torch.nn.Module):
        def forward(self, input, target):
            return every.ours(0.5 * input, *rest, target, **options)

    options = {"reduction": reduction} | (every.options if with_options else {})
    tensors = every.drawn(OTHER)
    rest = tensors[1:-1]
    traced = torch.fx.symbolic_trace(Model())
    (node,) = [n for n in traced.graph.nodes if n.target is every.ours]
    assert set(node.kwargs) == set(options) - ({"reduction"} if reduction == "mean" else set())
    expected = every.theirs(0.5 * tensors[0], *tensors[1:], **options)
    torch.testing.assert_close(traced(tensors[0], tensors[-1]), expected, rtol=1e-5, atol=1e-6)


@OVER_LOSSES
def test_fx_of_a_class_is_pickled(every):
    module = every.module(*every.layer)
    tensors = every.of_module(every.drawn(TRACED))
    again = pickle.loads(pickle.dumps(torch.fx.symbolic_trace(module)))
    torch.testing.assert_close(again(*tensors), module(*tensors))


@pytest.mark.parametrize(
    "dynamic", [pytest.param(None, marks=SLOW), True], ids=["static", "dynamic"]
)
@OPTIONS
@OVER_REDUCTIONS
@OVER_LOSSES
def test_compile(every, reduction, with_options, dynamic):
    torch._dynamo.reset()
    model = chosen(every, reduction, with_options)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for rows in (TRACED, OTHER, 17):
        assert_right(compiled, model, rows)


class Weighted(torch.nn.Module):
    """The mean of a loss with a weight for each row, or for each column, of its elements."""

    def __init__(self, every, axis):
        super().__init__()
        self.every, self.axis = every, axis

    def forward(self, weight, *tensors):
        return self.every.ours(*tensors, sample_weight=weight)

    def drawn(self, rows, seed=0):
        tensors = self.every.drawn(rows, seed)
        shape = list(self.every.ours(*tensors, reduction="none").shape)
        shape = [shape[0], *(1 for _ in shape[1:])] if self.axis == 0 else shape[1:]
        return torch.rand(shape, generator=torch.Generator().manual_seed(seed)), *tensors

    def by_hand(self, weight, *tensors):
        losses = self.every.theirs(*tensors, reduction="none")
        return (weight * losses).sum() / weight.expand_as(losses).sum()


def _traced_by(tracer, model, tensors):
    if tracer == "trace":
        return torch.jit.trace(model, tensors, check_trace=False)
    if tracer == "make_fx":
        return make_fx(model, tracing_mode="symbolic")(*tensors)
    if tracer == "compile":
        torch._dynamo.reset()
        return torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=True)
    batch = Dim("batch", min=2, max=64)
    sizes = [{0: batch} if t.shape[:1] == (TRACED,) else {} for t in tensors[1:]]
    of_weight = {0: batch} if model.axis == 0 else {}
    program = export(model, tensors, dynamic_shapes=(of_weight, tuple(sizes)))
    return program.module()


@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
@pytest.mark.parametrize(
    "tracer", ["trace", "make_fx", "export", pytest.param("compile", marks=pytest.mark.slow)]
)
@OVER_LOSSES
def test_a_weighted_mean(every, tracer, axis):
    model = Weighted(every, axis)
    traced = _traced_by(tracer, model, model.drawn(TRACED))
    for rows in (TRACED, OTHER, CLASSES, FEATURES):  # no condition on the batch is recorded
        tensors = model.drawn(rows, seed=1)
        torch.testing.assert_close(traced(*tensors), model.by_hand(*tensors))


class Maps(torch.nn.Module):
    """A loss of maps, whose height and width a tracer knows as little as their number."""

    def __init__(self, every):
        super().__init__()
        self.every = every

    def forward(self, logits, labels):
        return self.every.ours(logits.log_softmax(1), labels)

    def drawn(self, rows, height, width):
        source = torch.Generator().manual_seed(rows)
        logits = torch.randn(rows, CLASSES, height, width, generator=source)
        return logits, torch.randint(CLASSES, (rows, height, width), generator=source)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_export_of_maps(name):
    every = next(every for every in EVERY if every.name == name)
    model = Maps(every)
    batch, height, width = (Dim(name, min=2, max=64) for name in ("batch", "height", "width"))
    dynamic = ({0: batch, 2: height, 3: width}, {0: batch, 1: height, 2: width})
    program = export(model, model.drawn(3, 7, 6), dynamic_shapes=dynamic)
    for sizes in ((3, 7, 6), (2, CLASSES, CLASSES), (CLASSES, 4, 9)):
        logits, labels = model.drawn(*sizes)
        expected = every.theirs(logits.log_softmax(1), labels)
        torch.testing.assert_close(program.module()(logits, labels), expected)
