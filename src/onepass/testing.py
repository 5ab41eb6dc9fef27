"""`check_loss(my_loss)`: the properties that every loss of this library has, checked on yours.

The samples come from the declared domains, on a grid that holds the kinks of the formula as well
as at random; each property compares the CPU engine with the definition, the definition with
numeric slopes, or a result with what must follow from it. A property that fails raises
AssertionError and says which.
"""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from onepass.define import Pointwise
from onepass.define.sampling import draw, inside, settings
from onepass.formula.expression import CONSTANT, in_order
from onepass.runtime.dispatch import engine

_GRID = (-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0)
_TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 2e-6,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
}


@dataclass(frozen=True)
class Sample:
    """Tensors of one shape and a setting of the options."""

    loss: Pointwise
    tensors: tuple[Tensor, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, **weighting: Any) -> Tensor:
        return self.loss(*self.tensors, **self.options, **weighting)

    def leaves(self) -> tuple[Tensor, ...]:
        """The tensors, copied, each asking for its gradient."""
        return tuple(t.detach().clone().requires_grad_() for t in self.tensors)

    def to(self, dtype: torch.dtype) -> Sample:
        """The same sample, rounded to another dtype."""
        return Sample(self.loss, tuple(t.to(dtype) for t in self.tensors), self.options)

    def differentiated(self, upstream_seed: int = 0, **weighting: Any) -> tuple[Tensor, ...]:
        """The loss and the gradient of every tensor, for a random upstream gradient."""
        leaves = self.leaves()
        value = self.loss(*leaves, **self.options, **weighting)
        upstream = torch.randn(
            value.shape, dtype=torch.float64, generator=_generator(upstream_seed)
        ).to(value.dtype)
        slopes = torch.autograd.grad(value, leaves, upstream, materialize_grads=True)
        return value.detach(), *slopes


def check_loss(loss: Pointwise, *, seed: int = 0) -> None:
    """Check every property of a loss; AssertionError names the one that fails."""
    for prove in PROPERTIES:
        for sample in samples(loss, seed=seed):
            try:
                prove(sample)
            except AssertionError as error:
                raise AssertionError(
                    f"{loss.name}: {prove.__name__.replace('_', ' ')} does not hold "
                    f"(options {dict(sample.options)}): {error}"
                ) from error


def samples(loss: Pointwise, *, seed: int = 0, shape: Sequence[int] = (6, 35)) -> Iterator[Sample]:
    """For each setting of the options a random sample and a grid that holds the kinks."""
    generator = _generator(seed)
    names = (*loss.tensors, *loss.optional)
    for options in settings(loss):
        for given in dict.fromkeys((loss.tensors, names)):
            domains = [loss.domains[name] for name in given]
            random = tuple(draw(domain, shape, generator) for domain in domains)
            yield Sample(loss, random, options)
            yield Sample(loss, _on_grid(loss, given), options)


def _on_grid(loss: Pointwise, given: Sequence[str]) -> tuple[Tensor, ...]:
    """Every combination of a few round values and of the numbers that the formula names."""
    results, _ = loss.results(tuple(given), loss.flags)
    leaves = [node.leaf for node in in_order(*results.values()) if node.operation == CONSTANT]
    named = [leaf for leaf in leaves if isinstance(leaf, float) and abs(leaf) < 100]
    values = sorted({*_GRID, *named, *(-number for number in named)})
    domains = [loss.domains[name] for name in given]
    axes = [inside(domain, values) or (domain.inside,) for domain in domains]
    rows = torch.tensor(list(itertools.product(*axes)), dtype=torch.float64)
    return tuple(rows.unbind(1))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _same(ours: Sequence[Tensor], theirs: Sequence[Tensor], tolerance: float, what: str) -> None:
    pairs = [(a.double(), b.double()) for a, b in zip(ours, theirs, strict=True)]
    for place, (a, b) in enumerate(pairs):
        scale = b[b.isfinite()].abs().max().item() if b.isfinite().any() else 1.0
        torch.testing.assert_close(
            a, b, rtol=tolerance, atol=tolerance * min(scale, 1.0), equal_nan=True,
            msg=lambda text, place=place: f"{what}, result {place}: {text}",
        )  # fmt: skip


# Properties. Each is named as the sentence that it proves.


def value_and_gradient_are_those_of_the_definition(sample: Sample) -> None:
    """In every dtype, under every reduction, for a random upstream gradient."""
    for dtype, reduction in itertools.product(_TOLERANCE, ("mean", "sum", "none", "batchmean")):
        rounded = sample.to(dtype)
        with engine("cpu"):
            ours = rounded.differentiated(reduction=reduction)
        with engine("eager"):
            exact = rounded.to(torch.float64).differentiated(reduction=reduction)
        assert all(x.dtype == dtype for x in ours), f"{dtype} is not kept"
        if dtype is torch.float64:
            _same_as_the_definition(ours, exact, f"{dtype} {reduction}")
        else:
            _as_close_as_the_definition(rounded, ours, exact, reduction)


def _same_as_the_definition(ours: Sequence[Tensor], exact: Sequence[Tensor], what: str) -> None:
    """The value everywhere; a gradient where plain torch has one.

    A branch of `where` that is not taken can make torch's gradient nan, never the kernel's.
    """
    finite = [x.isfinite() for x in exact[1:]]
    _same(ours[:1], exact[:1], 1e-12, what)
    _same(_at(finite, ours[1:]), _at(finite, exact[1:]), 1e-12, what)


def _at(places: Sequence[Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor[place] for place, tensor in zip(places, tensors, strict=True)]


def _as_close_as_the_definition(
    sample: Sample, ours: Sequence[Tensor], exact: Sequence[Tensor], reduction: str
) -> None:
    """A formula that cancels loses digits whoever runs it: no more than plain torch does, and a
    few roundings of the result.
    """
    with engine("eager"):
        plain = sample.differentiated(reduction=reduction)
    dtype = ours[0].dtype
    for place, (a, b, c) in enumerate(zip(ours, exact, plain, strict=True)):
        finite = b.isfinite() & (b.abs() < torch.finfo(dtype).max / 2) & c.isfinite()
        allowed = (c.double() - b).abs() + _TOLERANCE[dtype] * b.abs() + torch.finfo(dtype).tiny
        largest = b[finite].abs().max() if finite.any() else torch.zeros(())
        allowed = allowed + torch.finfo(torch.float32).eps * largest
        off = ((a.double() - b).abs() > allowed) & finite
        assert not off.any(), (
            f"{dtype} {reduction}, result {place}: {a[off][:3].tolist()} "
            f"against {b[off][:3].tolist()}"
        )


def gradient_is_the_slope_of_the_value(sample: Sample) -> None:
    """At a kink it lies between the slopes on both sides; a declared one is taken at its word."""
    if sample.loss.declares_slope:
        return
    step = 1e-6
    _, *gradients = _elementwise(sample)
    names = (*sample.loss.tensors, *sample.loss.optional)
    for place, gradient in enumerate(gradients):
        center, before, after = (_moved(sample, place, move) for move in (0.0, -step, step))
        left, right = (center - before) / step, (after - center) / step
        room = 1e-4 * (1 + left.abs() + right.abs())
        domain = sample.loss.domains[names[place]]
        inner = domain.contains(sample.tensors[place] - step) & domain.contains(
            sample.tensors[place] + step
        )
        inner = inner & left.isfinite() & right.isfinite()
        low, high = torch.minimum(left, right) - room, torch.maximum(left, right) + room
        off = inner & ~((gradient >= low) & (gradient <= high))
        assert not off.any(), (
            f"by {names[place]}: {gradient[off][:3].tolist()} is not between "
            f"{left[off][:3].tolist()} and {right[off][:3].tolist()}"
        )


def _elementwise(sample: Sample) -> tuple[Tensor, ...]:
    """Unreduced value and its own slope by every tensor, by the fast engine."""
    leaves = sample.leaves()
    with engine("cpu"):
        value = sample.loss(*leaves, **sample.options, reduction="none")
    return value.detach(), *torch.autograd.grad(value.sum(), leaves, materialize_grads=True)


def _moved(sample: Sample, place: int, move: float) -> Tensor:
    tensors = list(sample.tensors)
    tensors[place] = tensors[place] + move
    return sample.loss(*tensors, **sample.options, reduction="none")


def second_derivatives_are_those_of_the_definition(sample: Sample) -> None:
    """Through create_graph, for random directions."""

    def twice() -> Tensor:
        leaves = sample.leaves()
        value = sample.loss(*leaves, **sample.options, reduction="sum")
        slopes = torch.autograd.grad(value, leaves, create_graph=True, materialize_grads=True)
        along = torch.zeros((), dtype=torch.float64)
        for seed, slope in enumerate(slopes):
            along = along + (slope * torch.randn(slope.shape, generator=_generator(seed))).sum()
        along = along + 0 * leaves[0].sum()  # a loss without curvature has no graph here
        return torch.stack(torch.autograd.grad(along, leaves, materialize_grads=True))

    ours = twice()
    with engine("eager"):
        exact = twice()
    _same([ours], [exact], 1e-10, "second derivative")


def what_is_masked_out_counts_nothing(sample: Sample) -> None:
    """Whatever it holds: value and gradient are those of the rest alone, and exactly 0 there."""
    mask = torch.rand(sample.tensors[0].shape, generator=_generator(1)) < 0.6
    for poison in (math.nan, math.inf):
        hurt = tuple(torch.where(mask, t, poison) for t in sample.tensors)
        poisoned = Sample(sample.loss, hurt, sample.options)
        kept = Sample(sample.loss, tuple(t[mask] for t in sample.tensors), sample.options)
        for name in ("cpu", "eager"):
            with engine(name):
                value, *gradients = poisoned.differentiated(mask=mask)
                expected, *slopes = kept.differentiated()
            _same([value], [expected], 1e-12, f"{name}: masked mean")
            for gradient, slope in zip(gradients, slopes, strict=True):
                _same([gradient[mask]], [slope], 1e-12, f"{name}: masked gradient")
                assert not gradient[~mask].any(), f"{name}: a masked element has a gradient"


def sample_weights_weigh_and_count(sample: Sample) -> None:
    """mean = sum(w l) / sum(w), and a weight of 0 is a mask."""
    weight = torch.rand(sample.tensors[0].shape, dtype=torch.float64, generator=_generator(2))
    weight = torch.where(weight < 0.3, 0.0, weight)
    weighted = partial(
        sample.differentiated, sample_weight=weight, weight=1 + weight, mask=weight < 0.8
    )
    for reduction in ("mean", "sum", "none", "batchmean"):
        with engine("cpu"):
            ours = weighted(reduction=reduction)
        with engine("eager"):
            exact = weighted(reduction=reduction)
        _same_as_the_definition(ours, exact, f"weighted {reduction}")
    each = torch.where(weight > 0, sample(reduction="none"), 0.0)
    _same([sample(sample_weight=weight)], [(weight * each).sum() / weight.sum()], 1e-12, "mean")
    denominator = weight.sum() if sample.loss.weight_counts else weight.numel()
    _same([sample(weight=weight)], [(weight * each).sum() / denominator], 1e-12, "weighted mean")
    _same([sample(normalizer=7.0, mask=weight > 0)], [each.sum() / 7], 1e-12, "normalizer")
    rows = (weight > 0).reshape(len(weight), -1).any(1).sum()
    counted = sample(reduction="batchmean", mask=weight > 0)
    _same([counted], [each.sum() / rows], 1e-12, "batchmean of rows that count")


def memory_order_does_not_matter(sample: Sample) -> None:
    """Transposed, sliced and broadcast tensors give what contiguous ones give."""
    if sample.tensors[0].dim() < 2:
        return
    with engine("cpu"):
        plain = sample.differentiated(reduction="none")
    flipped = tuple(t.t().contiguous().t() for t in sample.tensors)
    sparse = tuple(torch.stack([t, t * math.nan], -1)[..., 0] for t in sample.tensors)
    mixed = (flipped[0], *sparse[1:])
    for tensors in (flipped, sparse, mixed):
        leaves = tuple(t.detach().requires_grad_() for t in tensors)
        with engine("cpu"):
            value = sample.loss(*leaves, **sample.options, reduction="none")
        upstream = torch.randn(value.shape, dtype=torch.float64, generator=_generator(0))
        slopes = torch.autograd.grad(value, leaves, upstream, materialize_grads=True)
        assert torch.equal(value.nan_to_num(), plain[0].nan_to_num()), "value"
        for slope, expected in zip(slopes, plain[1:], strict=True):
            assert torch.equal(slope.nan_to_num(), expected.nan_to_num()), "gradient"


def empty_and_single_tensors_work(sample: Sample) -> None:
    """A mean of nothing is nan, a sum 0; a 0-d tensor is one element."""
    nothing = Sample(sample.loss, tuple(t.flatten()[:0] for t in sample.tensors), sample.options)
    assert math.isnan(nothing().item()), "mean of nothing"
    assert nothing(reduction="sum").item() == 0, "sum of nothing"
    assert nothing(reduction="none").shape == (0,), "none of nothing"
    one = Sample(sample.loss, tuple(t.flatten()[0] for t in sample.tensors), sample.options)
    assert one(reduction="none").shape == one().shape == (), "shape of a single element"
    _same([one()], [one(reduction="none")], 1e-15, "single element")


def backward_twice_gives_the_same(sample: Sample) -> None:
    """A retained graph recomputes what it has handed over."""
    for reduction in ("mean", "none"):
        leaves = sample.leaves()
        with engine("cpu"):
            value = sample.loss(*leaves, **sample.options, reduction=reduction)
        upstream = torch.full(value.shape, 3.0, dtype=torch.float64)
        slopes = [
            [slope.clone() for slope in torch.autograd.grad(
                value, leaves, upstream, retain_graph=True, materialize_grads=True
            )]
            for _ in range(3)
        ]  # fmt: skip
        _same(slopes[0], slopes[1], 1e-15, "second backward")
        _same(slopes[0], slopes[2], 1e-15, "third backward")


def threads_do_not_change_a_bit(sample: Sample) -> None:
    """Over many blocks the same bits come from one thread, two and three; and the right ones."""
    for dtype, seed in itertools.product((torch.float32, torch.float64), range(4)):
        large = _shuffled(sample, dtype, seed)
        one, *others = (_with_threads(count, large) for count in (1, 2, 3))
        for other in others:
            for a, b in zip(one, other, strict=True):
                assert torch.equal(a.nan_to_num(), b.nan_to_num()), "bits differ"
    large = _shuffled(sample, torch.float64, 0)
    found = _with_threads(2, large)
    with engine("eager"):
        _same_as_the_definition(found, large.differentiated(), "many blocks")


def _shuffled(sample: Sample, dtype: torch.dtype, seed: int) -> Sample:
    """Many blocks of its elements, no two with the same sum."""
    count = sample.tensors[0].numel()
    repeats = -(-300_000 // max(count, 1))
    order = torch.randperm(repeats * count, generator=_generator(seed))
    tensors = tuple(t.to(dtype).flatten().repeat(repeats)[order] for t in sample.tensors)
    return Sample(sample.loss, tensors, sample.options)


def _with_threads(count: int, sample: Sample) -> tuple[Tensor, ...]:
    threads = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return sample.differentiated()
    finally:
        torch.set_num_threads(threads)


def transforms_see_the_definition(sample: Sample) -> None:
    """torch.func.grad, vmap and forward mode agree with autograd; a jvp is a directional slope."""
    tensors, loss = sample.tensors, sample.loss

    def total(*given: Tensor) -> Tensor:
        return loss(*given, **sample.options, reduction="sum")

    places = tuple(range(len(tensors)))
    _, *slopes = _elementwise(sample)
    _same(torch.func.grad(total, argnums=places)(*tensors), slopes, 1e-12, "torch.func.grad")
    each = torch.vmap(total)(*(t.reshape(t.numel(), 1) for t in tensors))
    _same([each.reshape(tensors[0].shape)], [sample(reduction="none")], 1e-12, "vmap")
    directions = tuple(torch.ones_like(t) for t in tensors)
    along = torch.func.jvp(total, tensors, directions)[1]
    _same([along], [sum(s.sum() for s in slopes)], 1e-9, "jvp")  # type: ignore[list-item]


def copies_behave_alike(sample: Sample) -> None:
    """A deep copy, and a pickle if the loss can be found by its name."""
    twin = copy.deepcopy(sample.loss)
    _same([twin(*sample.tensors, **sample.options)], [sample()], 0.0, "deepcopy")
    if "<locals>" not in sample.loss.formula.__qualname__:
        assert pickle.loads(pickle.dumps(sample.loss)) is sample.loss, "pickle"


PROPERTIES: tuple[Callable[[Sample], None], ...] = (
    value_and_gradient_are_those_of_the_definition,
    gradient_is_the_slope_of_the_value,
    second_derivatives_are_those_of_the_definition,
    what_is_masked_out_counts_nothing,
    sample_weights_weigh_and_count,
    memory_order_does_not_matter,
    empty_and_single_tensors_work,
    backward_twice_gives_the_same,
    threads_do_not_change_a_bit,
    transforms_see_the_definition,
    copies_behave_alike,
)
