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
SMOOTHED: bool  # label_smoothing
CAPPED: bool  # softcap
SQUARED: bool  # z_loss
ADJACENT: bool  # rows lie side by side, their classes apart
GRADIENT_TARGET: bool
IN_PLACE: bool  # the first tensor becomes its own gradient
KEEPS: bool  # an element of a gradient has the precision of the arithmetic

real: Any
float64: Any
int32: Any
int64: Any
inf: Any
nan: Any

load: Any  # (pointer, index): an element of the tensors, as a `real`
store: Any  # (pointer, index, real)
store_value: Any  # the same for the result
read: Any  # (pointer, index): the element as it stands there
write: Any
turn: Any
room: Any  # (like, count): memory of the kernel's own, for elements of the type of `like`

accumulate: Any  # a + b, in any order
largest: Any  # the larger one, and not the nan
absolute: Any
both: Any
either: Any
sqrt: Any
where: Any

exp: Any
log: Any
log1p: Any
power: Any
sign: Any
tanh: Any
