"""Calls with sharded tensors: every loss, how its tensors lie on two ranks, and its options."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import Partial, Placement, Replicate, Shard

COLUMNS, DEPTH = 6, 4  # classes or features; positions of a third axis
IGNORED = -100

ROWS = {  # each layout, and how many rows its tensors have
    "rows even": 8,
    "rows uneven": 7,
    "one row": 1,  # the second rank has none
    "columns even": 8,
    "columns uneven": 8,
    "one column": 8,  # the second rank has none
    "rows and columns": 8,  # on a grid of ranks
    "depth": 8,
    "input by rows": 7,
    "target by rows": 7,
    "input by columns": 7,
    "input by rows, target by columns": 7,
    "replicated": 8,
    "input partial": 8,
}
EVERYWHERE = tuple(layout for layout in ROWS if layout != "depth")
GRID = (1, 2)
BY_COLUMNS = ("columns even", "columns uneven", "one column")
UNEVEN = ("rows uneven", "columns uneven")

RIGHT = "right"  # what comes of a case, at best

# What torch has no name for.
BOTH_KINDS = "weighted by a plain tensor, sample_weight"
BEYOND = ("mask", "sample_weight", BOTH_KINDS, "normalizer", "z_loss", "softcap", "batchmean")


@dataclass(frozen=True)
class Case:
    """One call: which loss, how its tensors lie, and what it is asked for."""

    loss: str
    layout: str
    reduction: str = "mean"
    option: str = "plain"

    @property
    def name(self) -> str:
        """Its words, for a table and for the name of a test."""
        return f"{self.loss}, {self.layout}, {self.reduction}, {self.option}"

    @property
    def is_torchs(self) -> bool:
        """Whether torch's function takes these options at all."""
        beyond = self.reduction == "batchmean" and self.loss != "kl_div"
        return not beyond and self.option not in BEYOND

    @property
    def on_grid(self) -> bool:
        """Whether the ranks have two axes, one for the rows and one for the columns."""
        return self.layout == "rows and columns"

    @property
    def under_loss_parallel(self) -> bool:
        """Whether it is called under torch's loss_parallel()."""
        return self.option.startswith("loss_parallel")


@dataclass
class Call:
    """Its arguments as whole tensors; those in `beside` are the same on every rank.

    `wanted` are the arguments whose gradients are compared; those in `plain` are not distributed.
    """

    tensors: dict[str, Tensor]
    wanted: tuple[str, ...] = ("input",)
    beside: dict[str, Tensor] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    plain: tuple[str, ...] = ()


def placements(case: Case, call: Call, name: str) -> list[Placement]:
    """How an argument lies, along each axis of the ranks."""
    if not case.on_grid:
        return [_placement(case, call, name, case.layout)]
    return [_placement(case, call, name, layout) for layout in ("rows even", "columns even")]


def _placement(case: Case, call: Call, name: str, layout: str) -> Placement:
    (first, *_), whole = call.tensors, Replicate()
    if name in call.beside:
        return whole
    tensor, of_layer = call.tensors[name], name.startswith("linear_")
    last, alike = tensor.dim() - 1, tensor.shape == call.tensors[first].shape
    by_columns = Shard(min(last, 1)) if alike else whole
    if of_layer or (case.loss == "linear_cross_entropy" and layout in BY_COLUMNS):
        of_classes = Shard(0) if of_layer else Shard(1) if name == "target" and last else whole
        return of_classes if layout in BY_COLUMNS else whole
    two = {  # of the first tensor, and of the others
        "input by rows": (Shard(0), whole),
        "target by rows": (whole, Shard(0)),
        "input by columns": (by_columns, whole),
        "input by rows, target by columns": (Shard(0), by_columns),
        "input partial": (Partial(), whole),
        "replicated": (whole, whole),
        "depth": (Shard(last), Shard(last)),
        **dict.fromkeys(BY_COLUMNS, (by_columns, by_columns)),
    }
    return two.get(layout, (Shard(0), Shard(0)))[name != first]


# Arguments


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def labels(seed: int, shape: tuple[int, ...], classes: int) -> Tensor:
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


def _shape(case: Case) -> tuple[int, int]:
    columns = {"columns uneven": COLUMNS - 1, "one column": 1}
    return ROWS[case.layout], columns.get(case.layout, COLUMNS)


def _regression(case: Case) -> Call:
    shape = _shape(case)
    return Call({"input": numbers(1, *shape), "target": numbers(2, *shape)})


def _signs(case: Case) -> Call:
    call = _regression(case)
    call.tensors["target"] = call.tensors["target"].sign()
    return call


def _likelihood(case: Case) -> Call:
    call = _regression(case)
    call.tensors["var"] = numbers(3, *_shape(case)).exp()
    call.wanted = ("input", "var")
    return call


def _counts(case: Case) -> Call:
    shape = _shape(case)
    input = numbers(1, *shape)
    input = input.exp() if case.option == "rates" else input
    return Call({"input": input, "target": labels(2, shape, 5).float()})


def _distributions(case: Case) -> Call:
    call = _regression(case)
    input, target = (t.log_softmax(1) for t in call.tensors.values())
    target = target if case.option == "log_target" else target.exp()
    return Call({"input": input, "target": target})


def _probabilities(case: Case) -> Call:
    shape = _shape(case)
    return Call({"input": numbers(1, *shape).sigmoid(), "target": labels(2, shape, 2).float()})


def _logits(case: Case) -> Call:
    call = _probabilities(case)
    call.tensors["input"] = numbers(1, *_shape(case))
    return call


def _scores(case: Case) -> Call:
    """Scores of classes, and the index of one for each row; probabilities, if asked for."""
    rows, classes = _shape(case)
    deep = (DEPTH,) if case.option.endswith("3-d") else ()
    input = 3 * numbers(1, rows, classes, *deep)
    target = labels(2, (rows, *deep), classes)
    if case.option == "1-d":
        input, target = input[0], target[0]
    if case.option.endswith("ignored"):
        target[rows // 2 + 1 :] = IGNORED  # hardly any on one rank, most on the other
    if "probabilities" in case.option:
        target = numbers(3, *input.shape).softmax(1)
    if case.loss == "nll_loss":
        input = input.log_softmax(min(input.dim() - 1, 1))
    return Call({"input": input, "target": target})


def _hidden(case: Case) -> Call:
    """Features, a layer and the class of each row."""
    rows, classes = _shape(case)
    call = _scores(case)
    layer = {"linear_weight": numbers(4, classes, DEPTH)}
    if case.option == "bias":
        layer["linear_bias"] = numbers(5, classes)
    tensors = {"input": numbers(6, rows, DEPTH), **layer, "target": call.tensors["target"]}
    return Call(tensors, ("input", *layer))


def _ranking(case: Case) -> Call:
    shape = _shape(case)
    target = numbers(3, *shape).sign()
    pair = {"input1": numbers(1, *shape), "input2": numbers(2, *shape)}
    return Call({**pair, "target": target}, (*pair,))


def _pairs(case: Case) -> Call:
    call = _ranking(case)
    call.tensors["target"] = call.tensors["target"][:, 0].contiguous()
    return call


def _triplets(case: Case) -> Call:
    shape, names = _shape(case), ("anchor", "positive", "negative")
    return Call({name: numbers(k, *shape) for k, name in enumerate(names)}, names)


ARGUMENTS: dict[str, Callable[[Case], Call]] = {
    "l1_loss": _regression,
    "mse_loss": _regression,
    "huber_loss": _regression,
    "smooth_l1_loss": _regression,
    "gaussian_nll_loss": _likelihood,
    "poisson_nll_loss": _counts,
    "kl_div": _distributions,
    "binary_cross_entropy": _probabilities,
    "binary_cross_entropy_with_logits": _logits,
    "multilabel_soft_margin_loss": _logits,
    "soft_margin_loss": _signs,
    "margin_ranking_loss": _ranking,
    "hinge_embedding_loss": _signs,
    "cross_entropy": _scores,
    "linear_cross_entropy": _hidden,
    "nll_loss": _scores,
    "multi_margin_loss": _scores,
    "cosine_embedding_loss": _pairs,
    "triplet_margin_loss": _triplets,
    "triplet_margin_with_distance_loss": _triplets,
}


BY_ROWS = (
    "multilabel_soft_margin_loss", "cross_entropy", "linear_cross_entropy", "nll_loss",
    "multi_margin_loss", "cosine_embedding_loss", "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
)  # fmt: skip


# Options


def _manhattan(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().sum(-1)


OPTIONS: dict[str, dict[str, Any]] = {
    "full": {"full": True},
    "rates": {"log_input": False},
    "log_target": {"log_target": True},
    "delta": {"delta": 0.5},
    "beta 0": {"beta": 0.0},
    "margin": {"margin": 0.5},
    "p = 1": {"p": 1},
    "p = 2": {"p": 2},
    "p = inf": {"p": float("inf")},
    "swap": {"swap": True},
    "smoothed": {"label_smoothing": 0.1},
    "smoothed probabilities": {"label_smoothing": 0.1},
    "smoothed, weighted, ignored": {"label_smoothing": 0.1},
    "distance": {"distance_function": _manhattan},
    "normalizer": {"normalizer": 3.0},
    "z_loss": {"z_loss": 0.1},
    "softcap": {"softcap": 2.0},
}


def arguments(case: Case) -> Call:
    """The arguments of a case."""
    call, option = ARGUMENTS[case.loss](case), case.option
    call.options = {"reduction": case.reduction, **OPTIONS.get(option, {})}
    _add_weights(call, case)
    if option == "variance of each row":
        call.tensors["var"] = call.tensors["var"][:, 0].contiguous()
    if option == "by target":
        call.wanted = ("input", "target")
    if option == "bfloat16":
        floats = {k: t for k, t in call.tensors.items() if t.is_floating_point()}
        call.tensors |= {name: tensor.bfloat16() for name, tensor in floats.items()}
    if option.endswith("plain tensors"):
        call.plain = ("target", "weight")
    if option == BOTH_KINDS:
        call.plain = ("weight",)
    return call


def _add_weights(call: Call, case: Case) -> None:
    rows, columns = _shape(case)
    if "weighted" in case.option:
        call.beside["weight"] = torch.linspace(0.5, 2.0, columns)
    if case.option == "pos_weight":
        call.beside["pos_weight"] = torch.linspace(0.5, 2.0, columns)
    if case.option == "weight of each":
        call.tensors["weight"] = numbers(8, rows, columns).exp()
    name = "sample_weight" if case.option == BOTH_KINDS else case.option
    if name in ("mask", "sample_weight"):
        weight = numbers(9, *((rows,) if case.loss in BY_ROWS else (rows, columns))).exp()
        call.tensors[name] = weight > 0.8 if name == "mask" else weight


EXTRAS: dict[str, tuple[str, ...]] = {
    "l1_loss": ("weight of each", "by target", "mask"),
    "mse_loss": ("weight of each", "by target", "sample_weight", BOTH_KINDS, "normalizer",
                 "bfloat16"),
    "huber_loss": ("delta", "weight of each"),
    "smooth_l1_loss": ("beta 0",),
    "gaussian_nll_loss": ("full", "variance of each row"),
    "poisson_nll_loss": ("full", "rates"),
    "kl_div": ("log_target", "by target"),
    "binary_cross_entropy": ("weighted", "weight of each", "by target", "mask"),
    "binary_cross_entropy_with_logits": (
        "weighted", "weight of each", "pos_weight", "by target", "mask", BOTH_KINDS, "bfloat16",
    ),
    "multilabel_soft_margin_loss": ("weighted", "mask", BOTH_KINDS),
    "soft_margin_loss": ("mask",),
    "margin_ranking_loss": ("margin",),
    "hinge_embedding_loss": ("margin",),
    "cross_entropy": (
        "weighted", "ignored", "weighted, ignored", "smoothed", "smoothed, weighted, ignored",
        "probabilities", "weighted probabilities", "smoothed probabilities", "3-d", "1-d",
        "bfloat16", "mask", "sample_weight", BOTH_KINDS, "normalizer", "z_loss", "softcap",
    ),
    "linear_cross_entropy": ("bias", "weighted", "ignored", "probabilities", "mask"),
    "nll_loss": ("weighted", "ignored", "weighted, ignored", "3-d", "1-d", "mask", "sample_weight",
                 BOTH_KINDS),
    "multi_margin_loss": ("p = 2", "weighted", "margin", "mask"),
    "cosine_embedding_loss": ("margin", "mask"),
    "triplet_margin_loss": ("p = 1", "p = inf", "swap", "mask"),
    "triplet_margin_with_distance_loss": ("distance", "swap"),
}  # fmt: skip

PARALLEL = (
    "",
    ", weighted",
    ", ignored",
    ", weighted, ignored",
    ", 3-d",
    ", weighted, plain tensors",
)


def _of(loss: str) -> list[Case]:
    """The cases of one loss: every layout, every reduction, every option."""
    found = [Case(loss, layout) for layout in EVERYWHERE]
    found += [Case(loss, layout, word) for layout in UNEVEN for word in ("sum", "none")]
    if loss == "kl_div":
        found += [Case(loss, layout, "batchmean") for layout in UNEVEN]
    for option in EXTRAS[loss]:
        layouts = UNEVEN if option != "1-d" else ("columns uneven",)
        found += [Case(loss, layout, "mean", option) for layout in layouts]
        if "ignored" in option or option == "3-d":
            found += [Case(loss, "rows uneven", word, option) for word in ("sum", "none")]
        if option == "3-d":
            found.append(Case(loss, "depth", "mean", option))
        if option in ("mask", BOTH_KINDS):
            found += [Case(loss, layout, "batchmean", option) for layout in UNEVEN]
    return found


def _parallel() -> list[Case]:
    """Cross entropy under loss_parallel(), the classes sharded."""
    options = [f"loss_parallel{more}" for more in PARALLEL]
    found = [Case("cross_entropy", "columns uneven", "mean", option) for option in options]
    found += [Case("cross_entropy", "columns even", "mean", options[0])]
    found += [Case("cross_entropy", "rows and columns", "sum", options[0])]
    words = ("sum", "none")
    return found + [Case("cross_entropy", "columns uneven", word, options[2]) for word in words]


CASES: tuple[Case, ...] = (*(case for loss in ARGUMENTS for case in _of(loss)), *_parallel())
