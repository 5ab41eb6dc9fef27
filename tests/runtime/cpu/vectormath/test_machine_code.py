"""Loops around the functions are vectorised and call nothing; relatives share their steps."""

import math
import platform
import re

import numpy as np
import pytest

from tests.runtime.cpu.vectormath.compiled import REAL, SMOOTH, STRAIGHT, Compiled, loop

ON_X86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 code")
PACKED = {
    width: re.compile(rf"vf?n?m(?:add|sub|ul)(?:\d+)?{kind}\s[^\n]*%[yz]mm")
    for width, kind in ((32, "ps"), (64, "pd"))
}


@ON_X86
@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("name", [*SMOOTH, "xlogy", "logaddexp"])
def test_loops_are_vectorised(name, width):
    assert PACKED[width].search(loop(name, width).assembly)


@ON_X86
@pytest.mark.parametrize("name", ["power", "lgamma", "digamma"])
def test_loops_in_float64_are_vectorised(name):
    assert PACKED[64].search(loop(name, 32).assembly)
    assert PACKED[64].search(loop(name, 64).assembly)


@ON_X86
@pytest.mark.parametrize("name", STRAIGHT)
def test_nothing_is_called(name):
    function, width = re.fullmatch(r"(\w+?)(32|64)", name).groups()
    assert "call" not in loop(function, int(width)).assembly


MANY = """
def kernel(a, b, c, d, first, second, third, total, size, next_block_at=None):
    sum = float32(0.0)
    for i in range(size):
        w, x, y, z = read(a, i), read(b, i), read(c, i), read(d, i)
        write(first, i, w * x)
        write(second, i, x * y)
        write(third, i, y * z)
        sum = accumulate(sum, w * z)
    write(total, 0, sum)
"""


def test_eight_pointers_need_no_check_for_overlap():
    compiled = Compiled(MANY, *["float32"] * 8)
    assert "vector.body" in compiled.llvm
    assert "vector.memcheck" not in compiled.llvm
    a, b, c, d, *outputs = np.random.default_rng(7).normal(size=(8, 1000)).astype(np.float32)
    compiled(a, b, c, d, *outputs, 1000)
    for got, want in zip(outputs, (a * b, b * c, c * d), strict=False):
        assert np.array_equal(got, want)
    assert outputs[3][0] == pytest.approx(np.dot(a, d), abs=1e-4)


SUM = """
def kernel(x, output, size, next_block_at=None):
    total = float{width}(0.0)
    for i in range(size):
        total = {sum}
    write(output, 0, total)
"""


@pytest.mark.parametrize("width", [32, 64])
def test_only_accumulate_may_be_reordered(width):
    lanes, in_order = (
        Compiled(SUM.format(width=width, sum=text), f"float{width}", f"float{width}")
        for text in ("accumulate(total, read(x, i))", "total + read(x, i)")
    )
    assert "vector.reduce.fadd" in lanes.llvm
    assert "vector.reduce.fadd" not in in_order.llvm
    x = np.random.default_rng(8).uniform(size=12345).astype(REAL[width])
    output = np.empty(1, x.dtype)
    lanes(x, output, x.size)
    assert output[0] == pytest.approx(math.fsum(x.tolist()), rel=1e-5 if width == 32 else 1e-13)


CROSS_ENTROPY = """
def kernel(logit, target, value, gradient, size, next_block_at=None):
    for i in range(size):
        x, t = read(logit, i), read(target, i)
        write(value, i, softplus32(x) * (float32(1.0) - t) + softplus32(-x) * t)
        write(gradient, i, sigmoid32(x) - t)
"""


def test_relatives_share_one_exponential():
    together = Compiled(CROSS_ENTROPY, *["float32"] * 4).llvm
    alone = loop("softplus", 32).llvm
    for each in ("llvm.fma", "llvm.fabs"):
        found = re.compile(rf"= (?:tail )?call [^\n]*@{each}")
        assert len(found.findall(alone)) > 0
        assert len(found.findall(together)) == len(found.findall(alone)), each
