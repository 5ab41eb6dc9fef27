"""What cross entropy must do: checks, each of which some mutant must fail."""

from typing import Any

import torch
from torch import Tensor

import onepass
from tests.rowwise.cross_entropy.calls import (
    KERNELS,
    by_hand,
    labels,
    logits,
    on,
    options_of,
    options_of_probabilities,
    probabilities,
    results_of_both,
)
from tests.rowwise.results import (
    EXACT,
    INF,
    NAN,
    REDUCTIONS,
    assert_all_same,
    class_weight,
    results,
)


def assert_rows_are_the_definitions(name: str, engine: str = "cpu", shapes: Any = KERNELS) -> None:
    """Value and gradient, float64, every reduction."""
    for shape in shapes:
        input = logits(*shape)
        options = options_of(name, shape[1])
        target = labels(input, options.get("ignore_index"))
        for reduction in REDUCTIONS:
            given = {**options, "reduction": reduction}
            ours = results(on(engine), input, target, **given)
            theirs = results(by_hand, input, target, **given)
            assert_all_same(ours, theirs, EXACT, f"{shape} {name} {reduction}")


def assert_confident_rows_do_not_cancel(dtype: torch.dtype, engine: str = "cpu") -> None:
    """The loss, and the slope at the label, to the last digits of the arithmetic."""
    farthest = {torch.float64: 500.0, torch.float16: 8.0}.get(dtype, 60.0)
    eps = {torch.float64: 1e-13}.get(dtype, 4e-6)
    rounding = 0.0 if dtype.itemsize > 2 else torch.finfo(dtype).eps / 2
    for classes, axis in ((3, 1), (40, 1), (300, 1), (5, -1), (300, -1)):
        ahead = torch.linspace(0.0, farthest, 24).to(dtype)
        place = torch.arange(24) % classes
        input = torch.zeros(24, classes, dtype=dtype)
        input[torch.arange(24), place] = ahead
        input[:, -1] -= 1  # others are not all alike
        label = torch.where(torch.arange(24) % 5 == 4, (place + 1) % classes, place)
        if axis == -1:  # rows that lie side by side
            input, label = input.t().contiguous().t().unsqueeze(0).movedim(-1, 1), label[None]
        ours = results(on(engine), input, label, reduction="none")
        theirs = results(by_hand, input.double(), label, reduction="none")
        # Rows side by side are summed one class after the other.
        summing = classes * eps / 64 if axis == -1 else 0.0
        for a, b in zip(ours, theirs, strict=True):
            room = (eps + summing + rounding) * b.abs() + torch.finfo(dtype).smallest_normal * 0.1
            assert ((a.double() - b).abs() <= room).all(), f"{dtype} {classes} {axis}"


def hurt(input: Tensor, rows: Tensor) -> Tensor:
    """What no row may hold, in those rows; the class axis is 1."""
    bad = torch.tensor([NAN, INF, -INF, 1e308], dtype=input.dtype)
    fill = bad[torch.arange(input.numel()) % 4].reshape(input.shape)
    return torch.where(rows.unsqueeze(1), fill, input)


def assert_what_does_not_count_is_nothing(
    how: str, engine: str = "cpu", name: str = "plain"
) -> None:
    """Rows that hold nan and infinities: value of the others alone, gradient exactly 0."""
    for shape in KERNELS:
        clean = logits(*shape)
        options = dict(options_of(name, shape[1]))
        ignore_index = options.setdefault("ignore_index", -100)
        target = labels(clean, seed=5)
        out = torch.rand(target.shape, generator=torch.Generator().manual_seed(6)) < 0.3
        if how == "ignored":
            target = torch.where(out, ignore_index, target)
            given: dict[str, Any] = {}
        elif how == "masked":
            target = torch.where(out, 99999, target)  # no class, and nobody may look
            given = {"mask": ~out}
        else:
            given = {"sample_weight": torch.where(out, 0.0, 1.5)}
        for reduction in REDUCTIONS:
            given["reduction"] = reduction
            ours = results(on(engine), hurt(clean, out), target, **options, **given)
            inside = torch.where(out, 0, target) if how == "masked" else target
            theirs = results(by_hand, clean, inside, **options, **given)
            assert_all_same(ours, theirs, EXACT, f"{how} {shape} {reduction}")
            assert not ours[1].movedim(1, -1)[out].any()


def assert_row_weights_weigh_and_count(
    engine: str = "cpu", name: str = "weight", shapes: Any = KERNELS
) -> None:
    """sample_weight, mask and normalizer, alone and together, against the table of reductions."""
    for shape in shapes:
        input = logits(*shape)
        options = options_of(name, shape[1])
        target = labels(input, options.get("ignore_index"))
        generator = torch.Generator().manual_seed(8)
        weights = torch.rand(target.shape, generator=generator, dtype=torch.float64)
        weights[0] = 0.0  # a whole row of the batch
        mask = torch.rand(target.shape, generator=generator) < 0.7
        for weight in (None, weights, weights[..., :1]):
            for selection in (None, mask):
                for normalizer in (None, 7, torch.tensor(2.5)):
                    for reduction in REDUCTIONS if normalizer is None else ("mean",):
                        given = {
                            "sample_weight": weight, "mask": selection, "normalizer": normalizer,
                            "reduction": reduction, **options,
                        }  # fmt: skip
                        ours = results(on(engine), input, target, **given)
                        theirs = results(by_hand, input, target, **given)
                        assert_all_same(ours, theirs, EXACT, f"{shape} {reduction} {normalizer}")


def assert_bits_do_not_depend_on_threads() -> None:
    """The same value and gradient for 1 and for 2 threads."""
    before = torch.get_num_threads()
    try:
        for shape in ((3000, 300), (40_000, 5), (8, 20, 3000)):
            input = logits(*shape, dtype=torch.float32)
            target = labels(input, -100)
            found = []
            for threads in (1, 2, 1):
                torch.set_num_threads(threads)
                both = ({"reduction": reduction} for reduction in ("mean", "none"))
                found += [results(on("cpu"), input, target, **given) for given in both]
            for one, other in ((0, 2), (1, 3), (0, 4), (1, 5)):
                for a, b in zip(found[one], found[other], strict=True):
                    assert torch.equal(a, b), f"{shape}"
            assert_all_same(found[0], results(by_hand, input, target), 1e-5, f"{shape}")
    finally:
        torch.set_num_threads(before)


def assert_large_logits_do_not_overflow(engine: str = "cpu", shapes: Any = KERNELS) -> None:
    """Rows of 1e4 and more, none but negative ones, and what one of 1e8 leaves of the others."""
    for shape in shapes:
        for size, classes in ((1e4, 1), (-1e4, 1), (-1e4, slice(None)), (1e8, 1)):
            input = logits(*shape)
            input[:, classes] += size
            target = labels(input)
            ours = results(on(engine), input, target, reduction="none")
            theirs = results(by_hand, input, target, reduction="none")
            assert_all_same(ours, theirs, EXACT, f"{shape} {size} {classes}")


def assert_labels_far_below_the_largest_are_exact(
    engine: str = "cpu", shapes: Any = KERNELS
) -> None:
    """Labels less likely by e^15 to e^700 than others, which grow along the row."""
    places = ((15.0, 0.0), (38.0, 1e3), (45.0, 30.0), (100.0, -1e3), (700.0, 0.0), (700.0, 700.0))
    for shape in shapes:
        for below, size in places:
            input = logits(*shape).movedim(1, -1) + torch.linspace(-20.0, 0.0, shape[1])
            target = labels(input, dim=-1)
            own = torch.full_like(input, -below)
            input = input.scatter(-1, target.unsqueeze(-1), own) + size
            input = input.movedim(-1, 1).contiguous()
            for reduction in ("mean", "none"):
                ours = results(on(engine), input, target, reduction=reduction)
                theirs = results(by_hand, input, target, reduction=reduction)
                assert_all_same(ours, theirs, EXACT, f"{shape} {below} {size}")


def assert_a_class_out_of_range_raises(wrong: int | None = None, engine: str = "cpu") -> None:
    """Whatever the reduction; `wrong` is the number of classes unless given."""
    for shape in KERNELS:
        input = logits(*shape)
        target = labels(input)
        target.flatten()[0] = shape[1] if wrong is None else wrong
        kept = target.clone()
        for reduction in REDUCTIONS:
            leaf = input.clone().requires_grad_()
            try:
                on(engine)(leaf, target, reduction=reduction)
            except onepass.DomainError as error:
                place = tuple([0] * target.dim())
                assert f"got {kept.flatten()[0].item()} at {place}" in str(error)  # noqa: PT017
            else:
                raise AssertionError(f"{shape} {reduction}: nothing was raised")
            assert leaf.grad is None
            assert torch.equal(leaf, input)
            assert torch.equal(target, kept)


def assert_probabilities_are_the_definitions(
    name: str, engine: str = "cpu", shapes: Any = KERNELS
) -> None:
    """Value and both gradients, float64, every reduction."""
    for shape in shapes:
        input, options = logits(*shape), options_of_probabilities(name, shape[1])
        target = probabilities(input)
        for reduction in REDUCTIONS:
            given = {**options, "reduction": reduction}
            ours = results_of_both(on(engine), input, target, **given)
            theirs = results_of_both(by_hand, input, target, **given)
            assert_all_same(ours, theirs, EXACT, f"{shape} {name} {reduction}")


def assert_confident_probabilities_do_not_cancel(dtype: torch.dtype, engine: str = "cpu") -> None:
    """As for class indices, where all the mass is on the class that is ahead."""
    rel = 1e-6 + torch.finfo(dtype).eps * (dtype.itemsize == 2)
    for classes in (3, 100):
        input = torch.zeros(classes, classes).fill_diagonal_(30)
        one_hot = torch.eye(classes, dtype=dtype)
        ours = results(on(engine), input.to(dtype), one_hot, reduction="none")
        theirs = results(by_hand, input.double(), torch.arange(classes), reduction="none")
        for a, b in zip(ours, theirs, strict=True):
            assert ((a.double() - b).abs() <= 2 * rel * b.abs()).all(), f"{dtype}"


def assert_masked_probabilities_are_nothing(how: str, engine: str = "cpu") -> None:
    """Rows of nan logits and infinite masses: value of the others, both gradients exactly 0."""
    for shape in KERNELS:
        input = logits(*shape)
        target = probabilities(input)
        generator = torch.Generator().manual_seed(6)
        out = torch.rand(target.select(1, 0).shape, generator=generator) < 0.3
        given: dict[str, Any] = {"mask": ~out}
        if how == "weighted":
            given = {"sample_weight": torch.where(out, 0.0, 2.0)}
        rows = out.unsqueeze(1)
        for reduction in REDUCTIONS:
            given["reduction"] = reduction
            bad = hurt(input, out), torch.where(rows, INF, target)
            ours = results_of_both(on(engine), *bad, **given)
            theirs = results_of_both(by_hand, input, target, **given)
            assert_all_same(ours, theirs, EXACT, f"{shape} {reduction}")
            for slope in ours[1:]:
                assert not slope.movedim(1, -1)[out].any()


def assert_smoothing_asks_nothing_of_a_class_without_weight(
    engine: str = "cpu", shapes: Any = KERNELS
) -> None:
    """Not even if that class is impossible."""
    for shape in shapes:
        input = logits(*shape)
        input[:, 0] = -INF
        target, weight = labels(input).clamp(min=1), class_weight(shape[1])
        for smoothing in (0.1, 1.0):
            options = {"weight": weight, "label_smoothing": smoothing, "reduction": "none"}
            value, slope = results(on(engine), input, target, **options)
            finite = torch.where(input.isinf(), -1e4, input)
            assert_all_same([value, slope], results(by_hand, finite, target, **options), 1e-10)
            assert not slope[:, 0].any()
