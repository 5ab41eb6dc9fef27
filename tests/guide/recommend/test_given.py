"""What cannot be read says what to write."""

import numpy as np
import pandas as pd
import pytest
import torch

from onepass.errors import DomainError, DtypeError, ParameterError, ShapeError
from onepass.guide.recommend import recommend


@pytest.mark.parametrize(
    "target, input, error, says",
    [
        ([], None, ShapeError, "`target` is empty, its shape is (0,); give at least one value"),
        ([np.nan] * 3, None, DomainError, "all 3 values of `target` are missing or nan"),
        ([np.inf] * 3, None, DomainError, "no value of `target` is finite"),
        ([1.5, 2.5], [np.inf] * 2, DomainError, "no value of `input` is finite"),
        ([1e200, 1.0], None, DomainError, "Divide target by its unit first"),
        ([1j, 2.0], None, DtypeError, "Write target.real"),
        (torch.tensor([1j]), None, DtypeError, "got complex64"),
        (pd.to_datetime(["2024-01-01"]), None, DtypeError, "Write the time since a date"),
        (pd.to_timedelta(["1h"]), None, DtypeError, "numpy.timedelta64(1, 's')"),
        (np.array([b"a"]), None, DtypeError, "Convert target to numbers first"),
        ([1, "a", 2], None, DtypeError, "numbers or only strings"),
        (np.array([1, "a"], dtype=object), None, DtypeError, "such as 'a' at position 1"),
        ([{}, {}], None, DtypeError, "such as {} at position 0"),
        ([[1, 2], [3]], None, ShapeError, "rows of different lengths"),
        ([1.5, 2.5], [1.0] * 3, ShapeError, "`input` (3,) and `target` (2,) do not go together"),
        ([1.5, 2.5], [[1.0, 2.0]] * 2, ShapeError, "write (input[:, 0], input[:, 1])"),
        ([0, 5], [[1.0, 2.0]] * 2, DomainError, "`input` has scores of 2 classes, 0 to 1"),
        (["a", "b", "c"], [1.0] * 3, ShapeError, "give a score per class, of shape (N, 3)"),
        ([1.5], ["a"], DtypeError, "`input` holds strings, such as 'a'"),
        (None, None, DtypeError, "only triplets allow"),
        ([1], ([[1.0]],) * 3, ParameterError, "write recommend(None, (anchor, positive"),
        ([1], ([[1.0]],) * 4, ParameterError, "`input` is a tuple of 4"),
        (None, ([[1.0]], [[1.0]], [[1.0, 2.0]]), ShapeError, "must have one shape"),
        (None, ([[np.inf]],) * 3, DomainError, "every triplet has a value that is not finite"),
        ([1.5, 2], ([[1.0], [2]],) * 2, DomainError, "1 or -1; got 1.5, 2"),
        ([1, -1], ([np.inf] * 2,) * 2, DomainError, "every pair or its label is not finite"),
        ([1.5, 2], ([1.0], [2.0]), ShapeError, "give a mean and a variance of the target's shape"),
        ([1.5, 2, 3], ([1.0] * 3, [1.0] * 2), ShapeError, "give one per target, or one per row"),
        (list("abc"), ([1.0] * 3, [1.0] * 3), DtypeError, "belong to a target of numbers"),
    ],
)
def test_what_cannot_be_read_says_what_to_write(target, input, error, says):
    with pytest.raises(error) as caught:
        recommend(target, input)
    assert str(caught.value).startswith("recommend: ")
    assert says in str(caught.value)
