"""Halves and truths in memory, as kernel text reads and writes them."""

from functools import cache

import numpy as np
import pytest
import torch

from onepass.runtime.cpu.vectormath import plain_python
from tests.runtime.cpu.vectormath.compiled import Compiled

COPY = """
def kernel(input, middle, output, size, next_block_at=None):
    for i in range(size):
        write(middle, i, read_{dtype}(input, i))
    for i in range(size):
        write_{dtype}(output, i, read(middle, i))
"""


@cache
def copy(dtype):
    return Compiled(COPY.format(dtype=dtype), dtype, "float32", dtype)


def copied(dtype, compiled, patterns):
    wide, back = np.empty(patterns.size, np.float32), np.empty_like(patterns)
    if compiled:
        copy(dtype)(patterns, wide, back, patterns.size)
    else:
        namespace = plain_python.plain()
        exec(COPY.format(dtype=dtype), namespace)
        namespace["kernel"](patterns, wide, back, patterns.size)
    return wide, back


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_half_survives_the_round_trip(dtype, compiled):
    patterns = np.arange(2**16, dtype=np.uint16)
    wide, back = copied(dtype, compiled, patterns)
    theirs = torch.from_numpy(patterns.view(np.int16)).view(getattr(torch, dtype)).float().numpy()
    assert np.array_equal(wide, theirs, equal_nan=True)
    number = ~np.isnan(theirs)
    assert 2**16 - 2**11 < number.sum() < 2**16
    assert np.array_equal(back[number], patterns[number])
    again, _ = copied(dtype, compiled, back)
    assert np.isnan(again[~number]).all()


NARROW = """
def kernel(x, output, size, next_block_at=None):
    for i in range(size):
        write_{dtype}(output, i, read(x, i))
"""


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_are_rounded_as_by_torch(dtype):
    patterns = np.arange(0, 2**32, 4001, dtype=np.uint32)
    halfway = (np.arange(2**16, dtype=np.uint32) << 16) | 0x8000
    x = np.concatenate([patterns, halfway, halfway + 1, halfway - 1]).view(np.float32)
    want = torch.from_numpy(x).to(getattr(torch, dtype)).view(torch.int16).numpy().view(np.uint16)
    number = ~np.isnan(x)
    for compiled, step in ((True, 1), (False, 97)):
        some, got = x[::step].copy(), np.empty(x[::step].size, np.uint16)
        text = NARROW.format(dtype=dtype)
        if compiled:
            kernel = Compiled(text, "float32", dtype)
        else:
            namespace = plain_python.plain()
            exec(text, namespace)
            kernel = namespace["kernel"]
        with np.errstate(all="ignore"):
            kernel(some, got, some.size)
        kept = number[::step]
        assert np.array_equal(got[kept], want[::step][kept])
        again, _ = copied(dtype, True, got)
        assert np.isnan(again[~kept]).all()


def test_booleans_are_read_and_written():
    text = """
def kernel(mask, output, size, next_block_at=None):
    for i in range(size):
        write(output, i, logical_not(read(mask, i)))
"""
    mask, output = np.array([True, False, True]), np.zeros(3, bool)
    Compiled(text, "bool", "bool")(mask, output, 3)
    assert output.tolist() == [False, True, False]
