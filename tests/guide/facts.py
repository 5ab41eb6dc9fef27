"""What is true of a loss, found out by numbers; test_cards.py compares the cards with it.

Inputs and targets are drawn by the words with which the card names them, so a new loss is tried
by having a card. Everything is float64, and of the definition: that the kernels agree with it is
proven elsewhere.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

from onepass import functional
from onepass.define import Card, Pointwise, Rowwise
from onepass.runtime.dispatch import engine
from onepass.testing import samples

Given = dict[str, Tensor]
ROWS = 250
MOVED = ("delta", "beta", "margin")  # parameters on which no fact but the bound may depend


@dataclass(frozen=True)
class Subject:
    """A loss with options set, as its card describes it."""

    name: str
    card: Card
    function: Callable[..., Tensor]
    inputs: tuple[str, ...]  # the tensors that a model gives
    options: Mapping[str, float] = field(default_factory=dict)
    formula: Pointwise | None = None

    def __call__(self, given: Given, target: Tensor | None) -> Tensor:
        """The unreduced loss."""
        targets = {} if target is None else {"target": target}
        with engine("eager"):
            return self.function(**given, **targets, **self.options, reduction="none")

    def gradient(self, given: Given, target: Tensor | None) -> tuple[Tensor, ...]:
        """Of the sum, by every input."""
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in given.items()}
        total = self(leaves, target).sum()
        return torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)

    def option(self, name: str) -> float:
        """The value of a parameter."""
        default = inspect.signature(self.function).parameters[name].default
        return self.options.get(name, default)


def subject(loss: Pointwise | Rowwise, card: Card | None = None, **options: float) -> Subject:
    """A loss of the catalogue by its function, any other as it is."""
    function = getattr(functional, loss.name, loss)
    arguments = inspect.signature(function).parameters
    inputs = tuple(
        name
        for name in loss.tensors
        if name != "target" and arguments[name].default is inspect.Parameter.empty
    )
    formula = loss if isinstance(loss, Pointwise) else None
    described = card or loss.card
    assert described is not None
    return Subject(loss.name, described, function, inputs, options, formula)


def settings(loss: Pointwise | Rowwise) -> list[Subject]:
    """With the default options, and with the parameters elsewhere."""
    plain = subject(loss)
    known = inspect.signature(plain.function).parameters
    moved = [{name: value} for name in MOVED if name in known for value in (0.25, 0.75)]
    return [plain, *(subject(loss, **options) for options in moved)]


# Draws. A card's words for its input and its target decide how.


def _same(x: Tensor) -> Tensor:
    return x


LINKS: dict[str, Callable[[Tensor], Tensor]] = {
    "any real number": _same,
    "means and variances": _same,
    "logarithms of rates": _same,
    "log-probabilities": lambda x: log_softmax(x, -1),
    "probabilities": torch.sigmoid,
    "logits": _same,
    "features": _same,
    "scores": _same,
    "distances": torch.abs,
    "embeddings": _same,
}
NAMED: dict[str, Callable[[Tensor], Tensor]] = {"var": torch.exp}
SHARED = {"linear_weight": lambda width: (width, width)}  # not a row of its own for every loss


def _signs(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1.0, -1.0).double()


TARGETS: dict[str, Callable[[Tensor], Tensor | None]] = {
    "any real number": lambda x: 2 * x,
    "counts": lambda x: torch.floor(torch.exp(x)),
    "probabilities": lambda x: torch.softmax(3 * x, -1),
    "labels 0 and 1, or probabilities": lambda x: (x > 0).double(),
    "labels -1 and 1": _signs,
    "class indices": lambda x: x.argmax(-1),
    "class indices, or class probabilities": lambda x: x.argmax(-1),
    "none, as each anchor has its positive and its negative": lambda _: None,
}


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def free(loss: Subject, width: int, seed: int, scale: float = 1.0, rows: int = ROWS) -> Given:
    """Normal numbers, to be linked to inputs."""
    shapes = {name: SHARED.get(name, lambda w: (rows, w))(width) for name in loss.inputs}
    return {
        name: scale * noise(seed + place, *shape)
        for place, (name, shape) in enumerate(shapes.items())
    }


def linked(loss: Subject, numbers: Given) -> Given:
    """Free numbers as what the loss takes."""
    link = LINKS[loss.card.input]
    return {name: NAMED.get(name, link)(x) for name, x in numbers.items()}


def inputs(loss: Subject, width: int, seed: int, scale: float = 1.0) -> Given:
    return linked(loss, free(loss, width, seed, scale))


def targets(loss: Subject, width: int, seed: int) -> Tensor | None:
    numbers = noise(seed, ROWS, width)
    return TARGETS[loss.card.target](numbers[:, 0] if loss.card.input == "embeddings" else numbers)


# Smooth.


def is_smooth(loss: Subject) -> bool:
    """Whether the gradient has no jump: along random lines, and at the kinks of a formula."""
    along = any(_jumps_along_lines(loss, width, 10 * width) for width in (1, 4))
    return not along and not (loss.formula and not loss.options and _jumps_at_kinks(loss))


def _jumps_along_lines(loss: Subject, width: int, seed: int) -> bool:
    """Halve each line again and again, and keep the half where the slope changes more.

    What is left of the change is a jump; a slope without one changes by nothing on a short line.
    """
    start, end = inputs(loss, width, seed), inputs(loss, width, seed + 5, scale=2.0)
    target = targets(loss, width, seed + 9)
    direction = {name: end[name] - start[name] for name in start if name not in SHARED}
    shape = loss(start, target).shape  # an element or a row has a line of its own
    shape = shape if len(shape) == 2 else (*shape, 1)

    def slope(t: Tensor) -> Tensor:
        at = {
            name: x + t * direction[name] if name in direction else x for name, x in start.items()
        }
        pairs = zip(loss.gradient(at, target), at, strict=True)
        along = sum(g * direction[name] for g, name in pairs if name in direction)
        assert isinstance(along, Tensor)
        return along if shape == along.shape else along.sum(-1, keepdim=True)

    grid = torch.linspace(0, 1, 33, dtype=torch.float64)
    slopes = torch.stack([slope(t.expand(shape)) for t in grid])
    place = slopes.diff(dim=0).abs().argmax(0, keepdim=True)
    low, high = grid[place].squeeze(0), grid[place + 1].squeeze(0)
    left, right = (slopes.gather(0, p).squeeze(0) for p in (place, place + 1))
    for _ in range(30):
        t = (low + high) / 2
        middle = slope(t)
        before = (middle - left).abs() >= (right - middle).abs()
        low, high = torch.where(before, low, t), torch.where(before, t, high)
        left, right = torch.where(before, left, middle), torch.where(before, middle, right)
    return bool(((right - left).abs() > 1e-6 * slopes.abs().amax(0)).any())


def _jumps_at_kinks(loss: Subject) -> bool:
    """One-sided slopes on both sides of the samples' elements, which stand on every kink."""
    assert loss.formula is not None
    parameters = loss.formula.parameters.keys()
    found = [s for s in samples(loss.formula) if s.options.keys() <= parameters]
    names = (*loss.formula.tensors, *loss.formula.optional)
    return any(
        _jumps_by(loss, dict(zip(names, s.tensors, strict=False)), s.options, name)
        for s in found
        for name in loss.inputs
    )


def _jumps_by(loss: Subject, given: Given, options: Mapping[str, Any], name: str) -> bool:
    """What is left of the gradient's change around an element when its step shrinks by 100."""
    assert loss.formula is not None
    at = Subject(loss.name, loss.card, loss.function, loss.inputs, options)
    domain, x = loss.formula.domains[name], given[name]
    inner = domain.contains(x - 1e-8) & domain.contains(x + 1e-8)
    given = {name: tensor[inner] for name, tensor in given.items()}

    def change(step: float) -> Tensor:
        before, after = (given | {name: given[name] + move} for move in (-step, step))
        pairs = zip(at.gradient(before, None), at.gradient(after, None), strict=True)
        return torch.stack([b - a for a, b in pairs]).abs()

    far, near = change(1e-8), change(1e-10)
    return bool(((near > 0.5 * far) & (near > 1e-6)).any())


# Convex.


def is_convex(loss: Subject, by: tuple[str, ...] | None = None) -> bool:
    """Whether no chord of many, along all inputs or `by` these alone, lies below the loss."""
    return not any(
        _violates(loss, by or loss.inputs, width, 100 * width + seed, share)
        for width in (1, 4)
        for seed, share in enumerate((0.5, 0.1, 0.8))
    )


def _violates(loss: Subject, by: tuple[str, ...], width: int, seed: int, share: float) -> bool:
    start, end = inputs(loss, width, seed, 2.0), inputs(loss, width, seed + 20, 2.0)
    end = {name: end[name] if name in by else x for name, x in start.items()}
    target = targets(loss, width, seed + 40)
    between = {name: (1 - share) * start[name] + share * end[name] for name in start}
    a, b = loss(start, target), loss(end, target)
    excess = loss(between, target) - ((1 - share) * a + share * b)
    return bool((excess > 1e-9 * (1 + a.abs() + b.abs())).any())


# Gradient bound.


def steepest(loss: Subject) -> float:
    """The largest size of a slope by a number of the input, near and far, narrow and wide."""
    return max(
        slope.abs().max().item()
        for width in (1, 3, 128)
        for scale in (1e-3, 1.0, 30.0)
        for slope in loss.gradient(inputs(loss, width, 7, scale), targets(loss, width, 8))
    )


# Proper.

Outcomes = list[tuple[Tensor, Tensor]]  # targets, and the probability (rows, 1) of each


def _two(probability: Tensor, no: float) -> Outcomes:
    yes = torch.ones_like(probability)
    return [(yes, probability), (no * yes, 1 - probability)]


def _classes(probabilities: Tensor) -> Outcomes:
    rows, width = probabilities.shape
    return [(torch.full((rows,), k), probabilities[:, k : k + 1]) for k in range(width)]


def _one_hot(probabilities: Tensor) -> Outcomes:
    """A class that is drawn, as the distribution that is certain of it."""
    width = probabilities.shape[1]
    return [(one_hot(label, width).double(), mass) for label, mass in _classes(probabilities)]


def _normal(input: Tensor, var: Tensor) -> Outcomes:
    """At the nodes of Gauss and Hermite, exact for the polynomials that matter."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    share = weights / weights.sum()
    deviation = torch.sqrt(var)
    return [
        (input + x * deviation, torch.full_like(input, w))
        for x, w in zip(nodes, share, strict=True)
    ]


def _poisson(rate: Tensor) -> Outcomes:
    law = torch.distributions.Poisson(rate)
    counts = [torch.full_like(rate, k) for k in range(200)]
    return [(count, torch.exp(law.log_prob(count))) for count in counts]


SIGNED, BINARY, CLASSES = (
    "labels -1 and 1",
    "labels 0 and 1, or probabilities",
    "class indices, or class probabilities",
)
# What an input says of the target: how many numbers say it, and the outcomes with their masses.
TRUTHS: dict[tuple[str, str], tuple[int, Callable[..., Outcomes]]] = {
    ("probabilities", BINARY): (1, lambda input: _two(input, 0.0)),
    ("logits", BINARY): (1, lambda input: _two(torch.sigmoid(input), 0.0)),
    ("logits", SIGNED): (1, lambda input: _two(torch.sigmoid(input), -1.0)),
    ("logits", CLASSES): (4, lambda input: _classes(torch.softmax(input, -1))),
    ("features", CLASSES): (
        4,
        lambda input, linear_weight: _classes(torch.softmax(input @ linear_weight.T, -1)),
    ),
    ("log-probabilities", "class indices"): (4, lambda input: _classes(torch.exp(input))),
    ("log-probabilities", "probabilities"): (4, lambda input: _one_hot(torch.exp(input))),
    ("means and variances", "any real number"): (1, _normal),
    ("logarithms of rates", "counts"): (1, lambda input: _poisson(torch.exp(input))),
}


def is_proper(loss: Subject) -> bool:
    """Whether the truth costs less, in expectation, than anything else one could say."""
    if (loss.card.input, loss.card.target) not in TRUTHS:
        return False
    width, outcomes = TRUTHS[loss.card.input, loss.card.target]
    numbers = free(loss, width, 11)
    truth = outcomes(**linked(loss, numbers))
    least = _expected(loss, linked(loss, numbers), truth)
    return all(
        bool((_expected(loss, _other(loss, numbers, width, seed), truth) > least).all())
        for seed in range(20, 120, 10)
    )


def _other(loss: Subject, numbers: Given, width: int, seed: int) -> Given:
    moves = free(loss, width, seed, 0.5)
    return linked(loss, {name: x + moves[name] for name, x in numbers.items()})


def _expected(loss: Subject, said: Given, outcomes: Outcomes) -> Tensor:
    costs = [mass * loss(said, target).reshape(ROWS, -1) for target, mass in outcomes]
    return torch.stack(costs).sum(0).sum(-1)


# Minimised by.


def _clipped_mean(target: Tensor, reach: float) -> Tensor:
    """The number that is the mean of the targets, those further away moved to within reach."""
    center = target.median(0, keepdim=True).values
    for _ in range(2000):
        center = torch.clamp(target, center - reach, center + reach).mean(0, keepdim=True)
    return center


def _mean(target: Tensor) -> Tensor:
    return target.mean(0, keepdim=True)


STATISTICS: dict[str, Callable[[Subject, Tensor], tuple[Tensor, ...]]] = {
    "mean": lambda _, y: (_mean(y),),
    "median": lambda _, y: (y.median(0, keepdim=True).values,),
    "mean and variance": lambda _, y: (_mean(y), _mean((y - _mean(y)) ** 2)),
    "logarithm of the mean": lambda _, y: (torch.log(_mean(y)),),
    "logit of the mean": lambda _, y: (torch.logit(_mean(y)),),
    "logit of the frequency of 1": lambda _, y: (torch.logit(_mean((y == 1).double())),),
    "logarithm of the class frequencies": lambda _, y: (
        torch.log(torch.bincount(y).double() / len(y))[None],
    ),
    "mean of the targets clipped to within delta of it": lambda loss, y: (
        _clipped_mean(y, loss.option("delta")),
    ),
    "mean of the targets clipped to within beta of it": lambda loss, y: (
        _clipped_mean(y, loss.option("beta")),
    ),
}
COUNT = 41  # odd, so that a median is one number


def target_samples(loss: Subject) -> dict[str, Tensor]:
    """Samples of targets: skewed ones, and some with ties."""
    wide, narrow = noise(31, COUNT, 4), noise(32, COUNT, 1)
    words = loss.card.target
    if words == "any real number":
        skewed, tied = torch.exp(1.5 * narrow), torch.round(2 * narrow)
        return {"normal": narrow, "skewed": skewed, "tied": tied}
    if words == "probabilities":
        return {"even": torch.softmax(wide, -1), "confident": torch.softmax(5 * wide, -1)}
    if words.startswith("class indices"):
        skewed = (wide + torch.tensor([1.0, 0.0, 0.0, -0.5])).argmax(-1)
        return {"even": wide.argmax(-1), "skewed": skewed}
    drawn = {"even": TARGETS[words](narrow), "skewed": TARGETS[words](narrow + 0.8)}
    if words == BINARY:
        drawn["probabilities"] = torch.sigmoid(2 * narrow + 0.5)
    return {name: target for name, target in drawn.items() if target is not None}


def mean_loss(loss: Subject, constants: Given, target: Tensor) -> float:
    """The mean over the sample, the same input for every target."""
    given = {name: x.expand(COUNT, -1) for name, x in constants.items()}
    return loss(given, target).sum().item() / COUNT


def best_constant(loss: Subject, target: Tensor) -> Given:
    """What a simplex search finds, without a gradient: also where that jumps."""
    width = 4 if target.dim() == 1 else target.shape[1]

    def constants(numbers: Any) -> Given:
        parts = torch.tensor(numbers, dtype=torch.float64).reshape(len(loss.inputs), 1, width)
        return linked(loss, dict(zip(loss.inputs, parts, strict=True)))

    start = np.full(width * len(loss.inputs), 0.1)
    found = minimize(
        lambda numbers: mean_loss(loss, constants(numbers), target),
        start,
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 5000, "maxfev": 5000},
    )
    assert found.success, found.message
    return constants(found.x)


def is_robust(loss: Subject) -> bool:
    """Whether one target, however far, moves the best constant input by little."""
    target = noise(33, COUNT, 1)
    spoilt = torch.cat([target[1:], torch.full((1, 1), 1e6, dtype=torch.float64)])
    name = loss.inputs[0]
    moved = best_constant(loss, spoilt)[name] - best_constant(loss, target)[name]
    return abs(moved.item()) < 1.0


def close(a: Tensor, b: Tensor) -> bool:
    """Alike; numbers of several classes matter only up to what they have in common."""
    if a.shape[-1] > 1:
        a, b = log_softmax(a, -1), log_softmax(b, -1)
    return all(
        math.isclose(x, y, rel_tol=1e-3, abs_tol=1e-3)
        for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)
    )
