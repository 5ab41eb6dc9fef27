"""The kernels of a loss that golden files show and that every check of kernels runs through."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from onepass.define import Pointwise
from onepass.printers.cpu import text
from onepass.printers.kernel import Kernel, Operand
from onepass.testing import samples
from tests.twins import ALL_LOSSES


@dataclass(frozen=True)
class Case:
    """A kernel of a loss, and the flags that its formula is traced with."""

    loss: Pointwise
    title: str
    kernel: Kernel
    flags: tuple[tuple[str, bool], ...]

    @property
    def source(self) -> str:
        return text(self.kernel, *self.loss.results(self.names, dict(self.flags)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(operand.name for operand in self.kernel.operands)

    def __str__(self) -> str:
        return f"{self.loss.name}: {self.title}"


def cases(loss: Pointwise) -> Iterator[Case]:
    """Value and gradient, each alone and together, in every precision; then every flag."""
    flags = tuple(loss.flags.items())
    base = Kernel(
        name=loss.name,
        operands=operands(loss.tensors, "float32"),
        parameters=tuple(loss.parameters),
        gradients=loss.tensors[:1],
        each=False,
        precision="float32",
        output="float32",
    )
    yield Case(loss, "value and gradient", base, flags)
    yield Case(loss, "value", replace(base, gradients=()), flags)
    yield Case(loss, "none: values", replace(base, each=True, gradients=()), flags)
    yield Case(loss, "none: slopes times upstream", replace(base, each=True), flags)
    weighted = replace(base, weight=Operand("weight", "float32"))
    yield Case(loss, "weighted", weighted, flags)
    half = operands(loss.tensors, "bfloat16")
    yield Case(loss, "bfloat16", replace(base, operands=half, output="bfloat16"), flags)
    wide = replace(
        base,
        operands=operands(loss.tensors, "float64"),
        gradients=loss.tensors,
        precision="float64",
        output="float64",
    )
    yield Case(loss, "float64, every gradient", wide, flags)
    last = base.operands[-1]._replace(single=True)
    single = replace(base, operands=(*base.operands[:-1], last))
    yield Case(loss, f"one {last.name} for all", single, flags)
    for name, default in loss.flags.items():
        turned = tuple((loss.flags | {name: not default}).items())
        yield Case(loss, f"{name}={not default}", base, turned)
    if loss.optional:
        every = replace(base, operands=operands((*loss.tensors, *loss.optional), "float32"))
        yield Case(loss, f"with {', '.join(loss.optional)}", every, flags)


def operands(names: tuple[str, ...], dtype: str) -> tuple[Operand, ...]:
    return tuple(Operand(name, dtype) for name in names)


ALL_CASES = [case for loss in ALL_LOSSES for case in cases(loss)]


@dataclass(frozen=True)
class Memory:
    """What a kernel reads and writes, as numpy arrays in the order of its pointers."""

    arrays: tuple[np.ndarray, ...]
    numbers: tuple[float, ...]
    count: int

    def written(self, kernel: Kernel) -> tuple[np.ndarray, ...]:
        """The values or gradients, as float64."""
        start = len(self.arrays) - len(kernel.written)
        return tuple(
            widened(array, dtype)
            for array, (_, dtype) in zip(self.arrays[start:], kernel.written, strict=True)
        )


def memory(case: Case, step: int = 1) -> Memory:
    """Samples of the loss: random ones and the grid that holds the kinks, every `step`th."""
    drawn = [s for s in samples(case.loss) if len(s.tensors) == len(case.names)][:2]
    columns = [
        torch.cat([sample.tensors[k].flatten() for sample in drawn])[::step]
        for k in range(len(case.names))
    ]
    count = len(columns[0])
    generator = torch.Generator().manual_seed(4)
    arrays = []
    for name, dtype in case.kernel.pointers[:-1]:
        if name in case.names:
            column = columns[case.names.index(name)]
        else:
            column = torch.rand(count, dtype=torch.float64, generator=generator) - 0.25
            column = column.clamp(min=0) if name == "weight" else column
        arrays.append(narrowed(column, dtype))
    numbers = (*case.loss.parameters.values(), 0.7)
    return Memory(tuple(arrays), numbers, count)


def narrowed(column: torch.Tensor, dtype: str) -> np.ndarray:
    narrow = column.to(getattr(torch, dtype)).contiguous()
    return narrow.view(torch.uint16).numpy().copy() if "16" in dtype else narrow.numpy().copy()


def widened(array: np.ndarray, dtype: str) -> np.ndarray:
    tensor = torch.from_numpy(array)
    return (tensor.view(getattr(torch, dtype)) if "16" in dtype else tensor).double().numpy()
