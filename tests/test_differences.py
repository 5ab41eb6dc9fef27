"""docs/differences.md is true: each row is run with torch and with onepass."""

import math
import re
import warnings
from pathlib import Path

import pytest
import torch

import onepass.functional

PAGE = Path(__file__).parents[1] / "docs" / "differences.md"
ROW = re.compile(r"^\| `(?P<call>.+?)` \| (?P<torch>.+?) \| (?P<onepass>.+?) \|$", re.MULTILINE)


def gradient(function, *tensors, **options):
    """The gradient by the first floating tensor, for an upstream of ones."""
    leaf = tensors[0].clone().requires_grad_()
    value = function(leaf, *tensors[1:], **options)
    return torch.autograd.grad(value, leaf, torch.ones_like(value))[0]


def outcome(call, module):
    """What a call gives, as the page says it: numbers, or the name of the error."""
    names = {
        "F": module, "T": torch.tensor, "inf": math.inf, "nan": math.nan, "gradient": gradient,
        "torch": torch, "zeros": torch.zeros, "ones": torch.ones,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = eval(call, names)
        except (ValueError, RuntimeError, TypeError) as error:
            return type(error).__name__
    return shown(result)


def shown(result):
    if isinstance(result, torch.Size):
        return "x".join(map(str, result))
    numbers = [f"{number:.6g}" for number in result.flatten().tolist()]
    return ", ".join(dict.fromkeys(numbers))


def rows():
    return [pytest.param(row, id=row["call"]) for row in ROW.finditer(PAGE.read_text())]


def test_the_page_has_rows():
    assert len(rows()) >= 20


@pytest.mark.parametrize("row", rows())
def test_the_page_says_what_torch_does(row):
    assert outcome(row["call"], torch.nn.functional) == row["torch"]


@pytest.mark.parametrize("row", rows())
def test_the_page_says_what_onepass_does(row):
    assert outcome(row["call"], onepass.functional) == row["onepass"]
    assert row["onepass"] != row["torch"]
