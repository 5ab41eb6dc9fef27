"""exp, log and their relatives, written so that LLVM can vectorise the loop around them.

primitives.py       the few operations that all are written in, such as fma, where and bits
formats.py          float32 and float64: what their widths decide
exponentials.py     exp, expm1, and exp of what is not positive
logarithms.py       log, log2, log10, log1p, x log y
sigmoids.py         sigmoid, its logarithm, softplus, tanh, logaddexp
powers.py           x to the power of y
error_function.py   erf
gamma.py            the logarithm of the gamma function, and its derivative
trigonometric.py    sin and cos
functions.py        all of them, by the names that kernel text calls them by
plain_python.py     kernel text as plain Python over numpy arrays

Every function is a straight line: no branch, no table, no call to libm; a choice is a `where`, and
evaluates both sides. The last argument, a `Format`, holds all that differs between float32 and
float64. The primitives are the only instructions in use; here they act on numpy scalars, in
`intrinsics` the same functions run on LLVM values instead.

Plain runs overflow and make nan on purpose: wrap them in `numpy.errstate(all="ignore")`.
"""
