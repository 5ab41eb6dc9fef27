"""The competitors. Each is built from a loss's name and gives the step that is timed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import jax_rival
from .samples import RECIPES, Sample

Step = Callable[[], object]
Loss = Callable[..., Tensor]

WORDS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # integers: the floor does no arithmetic
CACHE_LINE = 64  # bytes


@dataclass(frozen=True)
class Rival:
    """A competitor: what the tables call it, how its step is made, the process it runs in."""

    name: str
    label: str
    prepare: Callable[[str, Sample], Step]
    environment: Mapping[str, str]


def value_and_gradient(loss: Loss, sample: Sample) -> Step:
    """What training does with a loss: forward and backward, from no gradient at all."""
    tensors, keywords, leaves = sample.tensors, dict(sample.keywords), sample.leaves

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        loss(*tensors, **keywords).backward()

    return step


def _function(module: object, name: str) -> Loss:
    """Of a loss, or of the loss that a variant is one of."""
    return getattr(module, RECIPES[name].function or name)


def _onepass(name: str, sample: Sample) -> Step:
    return value_and_gradient(_function(import_module("onepass.functional"), name), sample)


def _eager(name: str, sample: Sample) -> Step:
    return value_and_gradient(_function(torch.nn.functional, name), sample)


def _compiled(name: str, sample: Sample) -> Step:
    """Compiled for this very shape: the rival at its best."""
    torch.compiler.reset()
    compile_loss: Any = torch.compile
    return value_and_gradient(
        compile_loss(_function(torch.nn.functional, name), dynamic=False), sample
    )


def _floor(name: str, sample: Sample) -> Step:
    """A plain pass that reads each argument once and writes each gradient once."""
    large = sample.tensors[0].numel()  # the labels of rows are small beside it
    with torch.no_grad():
        given = [tensor for tensor in sample.tensors if tensor.numel() >= large]
        reads = [tensor.view(WORDS[tensor.itemsize]) for tensor in given]
    reads = reads if RECIPES[name].reads else []
    first, *others = [_reused_buffer(leaf) for leaf in sample.leaves]
    head, copied = reads[: len(reads) - len(others)], reads[len(reads) - len(others) :]

    def step() -> None:
        _combine(head, first)
        for source, buffer in zip(copied, others, strict=True):
            buffer.copy_(source)

    return step


def _combine(reads: list[Tensor], out: Tensor) -> None:
    match reads:
        case []:
            out.fill_(0)
        case [a]:
            out.copy_(a)
        case [a, b]:
            torch.add(a, b, out=out)
        case [a, b, c]:
            torch.addcmul(a, b, c, out=out)
        case _:
            raise ValueError(f"the floor has no single pass over {len(reads)} inputs")


def _chunked(name: str, sample: Sample) -> Step:
    """torch's own chunks, as many as it chooses."""
    options = torch.nn.LinearCrossEntropyOptions()
    return value_and_gradient(
        partial(_function(torch.nn.functional, name), options=options), sample
    )


def _naive(_: str, sample: Sample) -> Step:
    """What people write: the logits as a whole, then their cross entropy."""

    def loss(input: Tensor, weight: Tensor, target: Tensor) -> Tensor:
        logits = torch.nn.functional.linear(input, weight)
        return torch.nn.functional.cross_entropy(logits, target)

    return value_and_gradient(loss, sample)


def _products(_: str, sample: Sample) -> Step:
    """The matrix products alone, in our chunks of rows: logits, gradients of input and weight."""
    input, weight = (leaf.detach() for leaf in sample.leaves)
    at_once = import_module("onepass.rowwise.linear_cross_entropy.cpu").CHUNK
    chunk = min(len(input), at_once // (len(weight) * weight.itemsize))
    like = input, weight, input.new_empty(chunk, len(weight))
    by_input, by_weight, logits = (_reused_buffer(t).view(t.dtype) for t in like)
    chunks = list(zip(input.split(chunk), by_input.split(chunk), strict=True))

    def step() -> None:
        for number, (some, out) in enumerate(chunks):
            slopes = torch.mm(some, weight.t(), out=logits[: len(some)])
            torch.mm(slopes, weight, out=out)
            by_weight.addmm_(slopes.t(), some, beta=min(number, 1))  # the first one overwrites

    return step


def _reused_buffer(like: Tensor) -> Tensor:
    """Touched once, in numpy's memory: numpy asks for huge pages, torch does not. From a cache
    line's start, as torch's is: matrix products took 6% longer 16 bytes behind it.
    """
    raw = np.empty(like.nbytes + CACHE_LINE, dtype=np.uint8)
    raw.fill(0)
    start = -raw.ctypes.data % CACHE_LINE
    return (
        torch.from_numpy(raw[start : start + like.nbytes])
        .view(WORDS[like.itemsize])
        .view(like.shape)
    )


_ORDINARY = {"THP_MEM_ALLOC_ENABLE": "0"}
_HUGE = {"THP_MEM_ALLOC_ENABLE": "1"}

OURS, EAGER, HUGE, COMPILED, FLOOR = "onepass", "eager", "eager_huge_pages", "compiled", "floor"
JAX = "jax"
CHUNKED, NAIVE, PRODUCTS = "chunked", "naive", "products"  # of linear_cross_entropy alone

RIVALS: dict[str, Rival] = {
    rival.name: rival
    for rival in (
        Rival(OURS, "onepass", _onepass, _ORDINARY),
        Rival(EAGER, "torch", _eager, _ORDINARY),
        Rival(HUGE, "torch, huge pages", _eager, _HUGE),
        Rival(COMPILED, "torch.compile", _compiled, _ORDINARY),
        Rival(FLOOR, "floor", _floor, _ORDINARY),
        Rival(JAX, "JAX", jax_rival.prepare, _ORDINARY | jax_rival.ENVIRONMENT),
        Rival(CHUNKED, "torch, chunked", _chunked, _ORDINARY),
        Rival(NAIVE, "torch, `cross_entropy(linear(...))`", _naive, _ORDINARY),
        Rival(PRODUCTS, "floor", _products, _ORDINARY),
    )
}

OPTIONAL = (JAX,) if jax_rival.INSTALLED else ()
