"""Losses of scores under torch.func and torch.compile, and a graph that is kept."""

import pytest
import torch

from onepass import functional as F
from tests.rowwise.results import assert_all_same, results
from tests.rowwise.scores.calls import (
    CLASSES,
    EVERY,
    F64,
    ignoring,
    on,
    options_of,
    scores,
    targets,
)


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
