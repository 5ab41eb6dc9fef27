"""The words of row-wise kernels, for those who read and check them.

A kernel's text is executed with these names bound: `real` and the functions to the precision of
the arithmetic, `load` and `store` to the dtype of the tensors, flags (in capitals) to True or
False. Nothing here runs.
"""

from typing import Any

EACH: bool  # reduction='none': a value per row instead of their sum
GRADIENT_INPUT: bool  # the gradient of that tensor is written
WEIGHTED: bool  # rows have weights of their own
CLASS_WEIGHTED: bool  # classes have weights
SQUARED_HINGE: bool  # p = 2
SMOOTHED: bool  # label_smoothing
CAPPED: bool  # softcap
SQUARED: bool  # z_loss
ADJACENT: bool  # rows lie side by side, their classes apart
GRADIENT_TARGET: bool
GRADIENT_INPUT1: bool
GRADIENT_INPUT2: bool
GRADIENT_ANCHOR: bool
GRADIENT_POSITIVE: bool
GRADIENT_NEGATIVE: bool
SWAPS: bool  # the negative is measured from the nearer of anchor and positive
ONE: bool  # the p of a norm
TWO: bool
INFINITE: bool
IN_PLACE: bool  # the first tensor becomes its own gradient
ALONE: bool  # one turn does all, and divides by what its rows count
CHECKED: bool  # an out-of-range label makes the loss nan
KEEPS: bool  # an element of a gradient has the precision of the arithmetic

real: Any
float64: Any
int32: Any
int64: Any
inf: Any
max_finite: Any  # the largest finite real
nan: Any

load: Any  # (pointer, index): an element of the tensors, as a `real`
store: Any  # (pointer, index, real)
store_value: Any  # the same for the result
read: Any  # (pointer, index): the element as it stands there
write: Any
next_block: Any
scratch: Any  # (like, count): memory of the kernel's own, for elements of the type of `like`

accumulate: Any  # a + b, in any order
largest: Any  # the larger one, and not the nan
rank: Any  # an integer for each real, in their order: the largest is found in any order
of_rank: Any
minimum: Any  # nan if either is
absolute: Any
bits: Any  # the pattern of a real as an integer of its width
logical_and: Any
logical_or: Any
from_bits: Any
logical_not: Any
sqrt: Any
where: Any

decay: Any  # exp of what is not positive
exp: Any
exp64: Any  # in float64, whatever the precision of the arithmetic
log: Any
log64: Any
log1p: Any
power: Any
sign: Any
tanh: Any
