"""Calls that are refused, and tensors that are not."""

import math
import warnings

import pytest
import torch

from onepass.testing import draw
from tests.twins import LOSSES, functions, names

NAN, INF = math.nan, math.inf
X = torch.linspace(-1, 1, 12).reshape(4, 3)


def assert_refused(error, message, function, *tensors, **options):
    """The call raises exactly this message."""
    with pytest.raises(error) as caught:
        function(*tensors, **options)
    assert type(caught.value) is error
    assert str(caught.value) == message


def fitting(loss, shape, **others):
    """Tensors of the loss's domains; `others` have shapes of their own."""
    generator = torch.Generator().manual_seed(1)
    shapes = [others.get(name, shape) for name in loss.tensors]
    return [
        draw(loss.domains[name], (math.prod(own),), generator).float().reshape(own)
        for name, own in zip(loss.tensors, shapes, strict=True)
    ]


def public(loss):
    """The loss's function, without kl_div's word about its mean."""
    function, _ = functions(loss.name)

    def quiet(*tensors, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*tensors, **options)

    return quiet


EVERY = pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
PAIR = "(Broadcasting would pair every element with every other.)"
