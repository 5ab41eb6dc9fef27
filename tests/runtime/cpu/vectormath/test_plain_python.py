"""The same text as plain Python and compiled, down to the primitives."""

import re
import subprocess
import sys

import numpy as np
import pytest

from onepass.runtime.cpu import intrinsics
from onepass.runtime.cpu.vectormath import plain_python
from tests.runtime.cpu.vectormath.compiled import (
    INF,
    NAN,
    REAL,
    STRAIGHT,
    TWO_OPERANDS,
    Compiled,
    evaluated,
    plainly,
    ulps,
)


@pytest.mark.parametrize("name", STRAIGHT)
def test_plain_python_gives_the_same(name):
    function, width = re.fullmatch(r"(\w+?)(32|64)", name).groups()
    rng = np.random.default_rng(5)
    x, y = (rng.normal(size=(2, 200)) * np.exp(rng.normal(0, 2, (2, 200)))).astype(REAL[int(width)])
    operands = (x, y) if function in TWO_OPERANDS else (x,)
    got, want = plainly(function, *operands), evaluated(function, *operands)
    assert got.dtype == want.dtype
    fused = width == "32" or np.finfo(np.longdouble).nmant > 52
    assert ulps(got, want).max() <= (0 if fused else 4)


def test_both_namespaces_hold_the_same_names():
    assert set(plain_python.plain()) == set(intrinsics.words(None))


RANKED = """
def kernel(x, ranks, again, size, next_block_at=None):
    for i in range(size):
        write(ranks, i, rank(read(x, i)))
        write(again, i, of_rank(read(ranks, i)))
"""


@pytest.mark.parametrize("width", [32, 64])
def test_ranks_are_integers_in_the_order_of_the_reals(width):
    real = REAL[width]
    tiny, most = np.finfo(real).smallest_subnormal, np.finfo(real).max
    positive = np.array([0, tiny, 1e-30, 1, 1 + np.finfo(real).eps, 2, most, INF], real)
    x = np.concatenate([-positive[::-1], positive])
    compiled = Compiled(RANKED, f"float{width}", f"int{width}", f"float{width}")
    namespace = plain_python.plain()
    exec(RANKED, namespace)
    for kernel in (compiled, namespace["kernel"]):
        ranks, again = np.empty(x.size, np.dtype(f"int{width}")), np.empty_like(x)
        kernel(x, ranks, again, x.size)
        assert (np.diff(ranks.astype(object)) > 0).all()
        assert again.tobytes() == x.tobytes()


PRIMITIVES = """
def kernel(x, y, output, size, next_block_at=None):
    for i in range(size):
        a = read(x, i)
        b = read(y, i)
        positive = logical_and(a > float64(0.0), logical_not(logical_or(b < float64(0.0), a == b)))
        chosen = where(positive, fma(a, b, a), copysign(sqrt(absolute(a)), b))
        write(output, i, chosen + maximum(a, b) - minimum(nearest(a), b))
"""


def test_primitives_mean_the_same_in_both_modes():
    x, y = np.random.default_rng(6).normal(0, 3, (2, 500))
    namespace = plain_python.plain()
    exec(PRIMITIVES, namespace)
    got, want = np.empty((2, 500))
    namespace["kernel"](x, y, got, 500)
    Compiled(PRIMITIVES, *["float64"] * 3)(x, y, want, 500)
    np.testing.assert_allclose(got, want, rtol=1e-15)
    positive = (x > 0) & ~((y < 0) | (x == y))
    by_numpy = np.where(positive, x * y + x, np.copysign(np.sqrt(np.abs(x)), y))
    by_numpy += np.maximum(x, y) - np.minimum(np.rint(x), y)
    np.testing.assert_allclose(want, by_numpy, rtol=1e-12)


@pytest.mark.parametrize("name, want", [("maximum", NAN), ("minimum", NAN)])
@pytest.mark.parametrize("operands", [(NAN, 1.0), (1.0, NAN)])
def test_nan_wins_a_comparison(name, want, operands):
    line = f"write(output, 0, {name}(read(x, 0), read(y, 0)))"
    text = f"def kernel(x, y, output, next_block_at=None):\n    {line}\n"
    x, y, output = np.array([[operands[0]], [operands[1]], [0.0]])
    Compiled(text, *["float64"] * 3, integers=())(x, y, output)
    assert np.isnan(output[0])
    with np.errstate(invalid="ignore"):
        assert np.isnan(plain_python.plain()[name](*map(np.float64, operands)))


@pytest.mark.parametrize(
    "line",
    [
        "write(output, 0, read(x, 0))",  # a float32 into float64
        "write(output, 0, where(True, float64(1.0), float32(1.0)))",
        "write(output, 0, fma(float64(1.0), float32(1.0), float64(1.0)))",
        "write(output, 0, float64(logical_and(1.0, True)))",
        "write_float16(x, 0, float32(1.0))",
    ],
)
def test_mixed_types_are_refused(line):
    text = f"def kernel(x, output, next_block_at=None):\n    {line}\n"
    with pytest.raises(TypeError):
        Compiled(text, "float32", "float64", integers=())


def test_vectormath_needs_no_compiler():
    code = "from onepass.runtime.cpu.vectormath import plain_python; plain_python.plain(); "
    code += "import sys; print('llvmlite' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
