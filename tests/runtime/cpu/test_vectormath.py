"""The functions of kernel text: right to the last places, vectorised, the same as plain Python."""

import itertools
import math
import platform
import re
import subprocess
import sys
from array import array
from functools import cache

import mpmath
import numpy as np
import pytest
import torch
from scipy import special

from onepass.runtime.cpu import compiler, intrinsics, kernels, processor
from onepass.runtime.cpu.vectormath import functions, plain_python, trigonometric

INF, NAN = math.inf, math.nan
REAL = {32: np.float32, 64: np.float64}
SMOOTH = [
    *("decay", "exp", "expm1", "log", "log1p", "log2", "log10"),
    *("sigmoid", "softplus", "log_sigmoid", "tanh", "erf"),
]
STRAIGHT = [name for name, _ in functions.by_name().items()]
TWO_OPERANDS = ("power", "logaddexp", "xlogy")
# Units in the last place, beside the exact value: 0.5 is a perfect rounding.
LIMIT = {"sigmoid": 3.0, "softplus": 2.5, "log_sigmoid": 2.5, "tanh": 3.0, "erf": 3.5} | {
    "lgamma": 0.51,
    "digamma": 0.51,
}
ON_X86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 code")

_numbered = itertools.count()


class Compiled:
    """Kernel text as machine code; called with arrays for pointers, then with integers."""

    def __init__(self, text, *dtypes, integers=("size",)):
        pointers = tuple((f"pointer{k}", dtype) for k, dtype in enumerate(dtypes))
        signature, symbol = kernels.Signature(pointers, (), integers), f"tested_{next(_numbered)}"
        module = compiler.module(text, signature, symbol)
        machine = processor.machine()
        self.llvm, self.assembly = str(module), machine.emit_assembly(module)
        loaded = kernels.Loaded(machine.emit_object(module), symbol, signature)
        self.function = loaded.entry
        self._loaded = loaded

    def __call__(self, *arguments):
        arguments = [x.ctypes.data if isinstance(x, np.ndarray) else x for x in arguments]
        frame = array("q", [*arguments, 0])
        self.function(frame.buffer_info()[0])


@cache
def loop(name, width):
    operands = "read(x, i), read(y, i)" if name in TWO_OPERANDS else "read(x, i)"
    text = f"""
def kernel(x, y, output, size, next_block_at=None):
    for i in range(size):
        write(output, i, {name}{width}({operands}))
"""
    return Compiled(text, *[f"float{width}"] * 3)


def evaluated(name, x, y=None):
    output = np.empty_like(x)
    loop(name, 8 * x.itemsize)(x, x if y is None else y, output, x.size)
    return output


def plainly(name, *operands):
    function = plain_python.plain()[f"{name}{8 * operands[0].itemsize}"]
    with np.errstate(all="ignore"):
        return np.array([function(*each) for each in zip(*operands, strict=True)])


def ulps(got, want):
    """Distance in units of the last place of `got`'s format; infinite where the kind differs."""
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype)
        distance = np.abs(got.astype(want.dtype) - want) / np.spacing(np.abs(rounded))
    settled = ~np.isfinite(got) | ~np.isfinite(rounded)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(settled, np.where(same, 0.0, INF), distance)


# Accuracy, float32

EXACT = {
    "decay": np.exp,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sigmoid": special.expit,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "log_sigmoid": lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
    "tanh": np.tanh,
    "erf": special.erf,
    "sin": np.sin,
    "cos": np.cos,
    "log2": np.log2,
    "log10": np.log10,
    "lgamma": lambda x: np.where(np.isinf(x), INF, special.gammaln(x)),
    "digamma": special.digamma,
}


def every_exponent():
    """Two million patterns of float32: some 4000 in every exponent of either sign."""
    return np.arange(0, 2**32, 2039, dtype=np.uint32).view(np.float32)


@pytest.mark.parametrize("name", EXACT)
def test_float32_is_accurate_in_every_exponent(name):
    x = -np.abs(every_exponent()) if name == "decay" else every_exponent()
    got = evaluated(name, x)
    with np.errstate(all="ignore"):
        want = EXACT[name](x.astype(np.float64))
    distance = ulps(got, want)
    if name in ("sin", "cos"):  # nan beyond the largest angle
        large = np.abs(x) > trigonometric.LARGEST_ANGLE
        assert np.isnan(got[large]).all()
        distance = np.where(large, 0.0, distance)
    if name in ("lgamma", "digamma"):  # zeros left of 0: absolutely accurate
        distance = np.where((x < 0) & (np.abs(want) < 1), 0.0, distance)
    worst = np.argmax(distance)
    assert distance[worst] < LIMIT.get(name, 2.0), (x[worst], got[worst], want[worst])


@pytest.mark.parametrize("name", ["power", "xlogy"])
def test_float32_of_two_operands_is_accurate(name):
    x = every_exponent()
    y = np.random.default_rng(0).normal(0, 3, x.size).astype(np.float32)
    with np.errstate(all="ignore"):
        want = {"power": np.power, "xlogy": special.xlogy}[name](*map(np.float64, (x, y)))
    got = evaluated(name, x, y)
    assert ulps(got, want).max() < {"power": 0.51, "xlogy": 2.0}[name]


@pytest.mark.parametrize("width", [32, 64])
def test_logaddexp_is_accurate_beside_the_larger_operand(width):
    a, b = np.random.default_rng(1).normal(0, 20, (2, 10**5)).astype(REAL[width])
    want = np.logaddexp(a.astype(np.longdouble), b.astype(np.longdouble))
    error = np.abs(evaluated("logaddexp", a, b) - want)
    assert np.all(error <= 2 * np.finfo(a.dtype).eps * np.maximum(np.hypot(a, b), 1))


# Accuracy, float64

PRECISE = {
    "decay": mpmath.exp,
    "exp": mpmath.exp,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "expm1": mpmath.expm1,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "erf": mpmath.erf,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "log2": lambda x: mpmath.log(x, 2),
    "log10": mpmath.log10,
}


def stratified(name):
    """Three of every fourth exponent, and many where the function bends."""
    rng = np.random.default_rng(2)
    significands = rng.uniform(1, 2, (3, 2098 // 4))
    every = np.ldexp(significands, np.arange(-1074, 1022, 4)).ravel()
    bends = np.abs(np.concatenate([rng.normal(0, 1, 500), rng.uniform(0, 745, 500)]))
    x = np.concatenate([every, bends])
    if name.startswith("log") and name not in ("log1p", "log_sigmoid"):
        return np.concatenate([x, 1 + rng.normal(0, 0.1, 500)])
    if name == "decay":
        return -x[x < 709]
    x = np.concatenate([x, -x])
    return x[x > -1] if name == "log1p" else x[np.abs(x) < 709]


@pytest.mark.parametrize("name", PRECISE)
def test_float64_is_accurate_in_every_exponent(name):
    x = stratified(name)
    got = evaluated(name, x)
    with mpmath.workprec(160):
        for each, result in zip(x.tolist(), got.tolist(), strict=True):
            want = PRECISE[name](mpmath.mpf(each))
            distance = abs(result - want) / np.spacing(abs(float(want)))
            assert distance < LIMIT.get(name, 2.0), (each, result, want)


def test_float64_power_is_accurate():
    rng = np.random.default_rng(3)
    x = np.exp(rng.normal(0, 20, 3000)) * rng.choice([-1, 1], 3000)
    y = np.where(x < 0, np.rint(rng.normal(0, 3, 3000)), rng.normal(0, 3, 3000))
    finite = np.abs(y * np.log(np.abs(x))) < 700
    x, y = x[finite], y[finite]
    for base, exponent, got in zip(x.tolist(), y.tolist(), evaluated("power", x, y), strict=True):
        want = mpmath.mpf(base) ** mpmath.mpf(exponent)
        assert abs(got - want) <= 2.1 * np.spacing(abs(float(want))), (base, exponent)


@pytest.mark.parametrize("name, exact", [("lgamma", mpmath.loggamma), ("digamma", mpmath.digamma)])
def test_float64_gamma_functions_are_accurate(name, exact):
    rng = np.random.default_rng(4)
    x = np.concatenate([np.exp(rng.uniform(-700, 700, 500)), rng.uniform(-30, 30, 1500)])
    for each, got in zip(x.tolist(), evaluated(name, x).tolist(), strict=True):
        want = mpmath.re(exact(mpmath.mpf(each)))
        steep = abs(each - round(each)) if each < 0 else 1  # close to a pole
        assert abs(got - want) <= 4e-14 * max(1, abs(want)) + 1e-16 / steep, (each, want)


# Limits

LIMITS = [
    ("exp", -INF, 0.0), ("exp", INF, INF), ("exp", 0.0, 1.0), ("exp", -1e4, 0.0), ("exp", 1e4, INF),
    ("decay", -INF, 0.0), ("decay", -1e4, 0.0), ("decay", 0.0, 1.0), ("decay", -0.0, 1.0),
    ("log", 0.0, -INF), ("log", -0.0, -INF), ("log", -1.0, NAN), ("log", -INF, NAN),
    ("log", INF, INF), ("log", 1.0, 0.0), ("log2", 8.0, 3.0), ("log2", 2.0**-20, -20.0),
    ("log2", 0.0, -INF), ("log2", INF, INF), ("log10", 0.0, -INF), ("log10", -1.0, NAN),
    ("log1p", -1.0, -INF), ("log1p", -1.5, NAN), ("log1p", INF, INF), ("log1p", -INF, NAN),
    ("log1p", 0.0, 0.0), ("log1p", -0.0, -0.0), ("expm1", -INF, -1.0), ("expm1", INF, INF),
    ("expm1", 0.0, 0.0), ("expm1", -0.0, -0.0), ("sigmoid", -INF, 0.0), ("sigmoid", INF, 1.0),
    ("sigmoid", 0.0, 0.5), ("softplus", -INF, 0.0), ("softplus", INF, INF),
    ("log_sigmoid", -INF, -INF), ("log_sigmoid", INF, -0.0), ("tanh", INF, 1.0),
    ("tanh", -INF, -1.0), ("tanh", -0.0, -0.0), ("erf", INF, 1.0), ("erf", -INF, -1.0),
    ("erf", -0.0, -0.0), ("lgamma", 0.0, INF), ("lgamma", -3.0, INF), ("lgamma", INF, INF),
    ("lgamma", -INF, INF), ("digamma", 0.0, -INF), ("digamma", -0.0, INF), ("digamma", -2.0, NAN),
    ("digamma", INF, INF), ("digamma", -INF, NAN), ("sign", NAN, 0.0), ("sign", -3.0, -1.0),
    ("sign", 0.0, 0.0), ("sign", INF, 1.0),
]  # fmt: skip


def same(got, want):
    return (
        np.isnan(got)
        if math.isnan(want)
        else got == want and math.copysign(1, got) == math.copysign(1, want)
    )


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("how", [evaluated, plainly])
@pytest.mark.parametrize("name, x, want", LIMITS)
def test_limits_are_exact(name, x, want, how, width):
    (got,) = how(name, np.array([x], REAL[width]))
    assert same(got, want), got


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("how", [evaluated, plainly])
@pytest.mark.parametrize("name", [*SMOOTH, "lgamma", "digamma"])
def test_nan_stays_nan(name, how, width):
    assert np.isnan(how(name, np.array([NAN], REAL[width]))).all()


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    INF,
    -INF,
    NAN,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    1e30,
    -1e30,
    1e-30,
]


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("how", [evaluated, plainly])
@pytest.mark.parametrize(
    "name, theirs",
    [("power", torch.pow), ("xlogy", torch.xlogy), ("logaddexp", torch.logaddexp)],
)
def test_two_operands_have_the_limits_of_torch(name, theirs, how, width):
    x, y = (each.ravel() for each in np.meshgrid(*[np.array(SPECIAL, REAL[width])] * 2))
    want = theirs(torch.tensor(x), torch.tensor(y)).numpy()
    got = how(name, x, y)
    assert ulps(got, want).max() <= 2
    if name == "power":
        assert np.array_equal(
            np.signbit(got), np.signbit(want) & ~np.isnan(want) | np.signbit(got) & np.isnan(want)
        )


# The same text as plain Python


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


# Machine code

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


# Memory

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
