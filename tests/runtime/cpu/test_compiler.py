"""Kernel text compiled means what it means as plain Python; what means nothing is refused."""

import math

import numpy as np
import pytest

from onepass.runtime.cpu import compiler, kernels
from onepass.runtime.cpu.language import TextError

INF, NAN = math.inf, math.nan
SIGNATURE = kernels.Signature(
    (("x", "float64"), ("n", "int64"), ("out", "float64"), ("partials", "float64")),
    ("scale",),
    ("count",),
)
HEAD = "def kernel(x, n, out, partials, scale, count, next_block_at):"
OTHER = "def other(a):\n    return a\n"
LOOP = f"""{HEAD}
    for i in range(count):
        a, b, k = read(x, i), read(x, i + 1), read(n, i)
"""

# What a loop writes of neighbours `a` and `b`, of an integer `k` and of its place `i`, and the
# functions that it calls.
LINES = {
    "a quotient is rounded down": "write(out, i, float64(k // 3) + float64(k // -3))",
    "the rest has the sign of the divisor": "write(out, i, float64(k % 3) + float64(k % -3))",
    "the first of two that are not ordered": "write(out, i, max(a, b) - min(b, a))",
    "the larger integer": "write(out, i, float64(max(k, 2) * min(i, 3)))",
    "conditions in a row": "write(out, i, 1.0 * scale if -1.0 < a <= b else scale)",
    "either of two": "write(out, i, a if a > 1.0 or k == 2 else b)",
    "neither": "write(out, i, a if not (a > 1.0 and not k == 2) else b)",
    "an integer beside a number": "write(out, i, float64(k if a > 0.0 else -1))",
    "a number beside a float32": "write(out, i, float64(2.5 if a > 0.0 else float32(b)))",
    "a number beside a register": "write(out, i, 2.0 if a > 0.0 else b)",
    "a wider partner": "write(out, i, float32(2.5) * a)",
    "minus": "write(out, i, -a + float64(-k))",
    "inequality": "write(out, i, a if a != b else 7.0)",
    "a condition that guards a read": "write(out, i, a if i > 0 and read(x, 1 // i) > 0.0 else b)",
}
FUNCTIONS = {
    "an early return": """
def f(a, k):
    for j in range(2, 20, 3):
        if float64(j) > a:
            return float64(j)
        if j == k:
            continue
        if j == 5:
            pass
        if a > 10.0:
            break
    return a
""",
    "two results": """
def pair(a, k):
    if a > 0.0:
        return a, k
    return -a, 2

def f(a, k):
    size, place = pair(a, k)
    return size * float64(place)
""",
    "a loop without end": """
def f(a, k):
    total, j = 1.0, 0
    while True:
        total = total + a
        j = j + 1
        if j > 5:
            return total
""",
    "loops in a loop": """
def f(a, k):
    total = float64(0.0)
    for p in range(3):
        q = 0
        while q < p:
            total = total + a * float64(q + p)
            q = q + 1
    return total
""",
    "arguments that are changed": """
def step(a, j=0, up=True):
    j = j + 1
    a = a + float64(j) if up else a - float64(j)
    return a

def f(a, k):
    return step(a, k, up=False) + step(a, j=2) + step(a)
""",
    "a name for another type": """
def f(a, k):
    value = k + 1
    value = float64(value) * a
    return value
""",
    "a number that may become another": """
def f(a, k):
    size = float32(a)
    if a > 0.0:
        size = 3
    return float64(size)
""",
    "what is known is decided": """
def f(a, k):
    if WIDE:
        return a
    return write(a, a, a) + k + nothing
""",
    "a condition that is known": """
def f(a, k):
    return a if logical_and(WIDE, logical_or(a > 0.0, not WIDE)) else float64(k)
""",
    "an alias of memory": """
def f(a, k):
    at = scratch(a, 4)
    for j in range(4):
        write(at, j, a * float64(j))
    other = at
    return read(other, 3) - read(at, 1)
""",
}


def both_ways(body, symbol):
    """What a text writes as machine code, and as Python."""
    x = np.array([0.0, -0.0, 1.5, -2.5, INF, -INF, NAN, 12.0, 3.0, 2.0, 1.0, -7.0, 5.0])
    n = np.arange(-6, 6)
    frame, outs = [], []
    for run in ("compiled", "plain"):
        out = np.full(n.size, 99.0)
        outs.append(out)
        if run == "plain":
            with np.errstate(all="ignore"):
                compiler.plain(body)(x, n, out, np.zeros(1), 0.5, n.size, [0])
        else:
            kernel = kernels.load(body, SIGNATURE)
            frame = [each.ctypes.data for each in (x, n, out)]
            kernels.Launch(kernel, (n.size,), 1)(frame, (0.5,))
    return outs


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_lines_mean_what_python_means(line):
    compiled, plain = both_ways(f"{LOOP}        {line}\n", "line")
    np.testing.assert_array_equal(compiled, plain)
    assert not (plain == 99).any()


@pytest.mark.parametrize("functions", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_mean_what_python_means(functions):
    text = f"WIDE = True\n{functions}\n{LOOP}        write(out, i, f(a, k))\n"
    compiled, plain = both_ways(text, "function")
    np.testing.assert_array_equal(compiled, plain)
    assert not (plain == 99).any()


@pytest.mark.parametrize(
    "body, why",
    [
        ("total = 1\nif scale > 0.0:\n    total = scale", "double does not become i64"),
        ("total = 1\nif scale > 0.0:\n    total = 0.5", "0.5 is no integer"),
        ("at = x\nif scale > 0.0:\n    at = out", "`at` may or may not be another pointer"),
        ("write(out, 0, scale * count)", "double and i64: an integer and a real"),
        ("write(out, 0, float32(scale))", "a float is written where elements are float64"),
        ("write(out, 0, scale if scale else 1.0)", "a condition must be true or false"),
        ("if count:\n    write(out, 0, scale)", "a condition must be true or false"),
        ("while count:\n    write(out, 0, scale)", "a condition must be true or false"),
        ("write(out, 0, scale // 2.0)", "no such operation on double"),
        ("write(out, 0, count / 2)", "no such operation on i64"),
        ("write(out, 0, missing)", "`missing` has no meaning"),
        ("write(out, 0, other(scale, 1))", "too many positional arguments"),
        ("write(out, 0, other())", "missing a required argument: 'a'"),
        ("scale += 1.0", "kernel text has no AugAssign"),
        ("write(out, 0, scale ** 2)", "kernel text has no Pow"),
        ("write(out, 0, x[0])", "kernel text has no Subscript"),
    ],
)
def test_what_means_nothing_is_refused(body, why):
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    with pytest.raises(TextError) as refused:
        compiler.module(f"{OTHER}\n{HEAD}\n{lines}", SIGNATURE, "refused")
    said = str(refused.value)
    assert said.startswith(f"{why}, in `")
    assert any(f"in `{line.strip()}" in said for line in body.splitlines())
