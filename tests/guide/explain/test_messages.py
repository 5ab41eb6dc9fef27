"""What cannot be explained is refused."""

import pytest
import torch

from onepass import explain
from onepass.errors import DomainError, DtypeError, ParameterError, ShapeError


@pytest.mark.parametrize("call, error, says", [
    (lambda: explain("huberr", 1, 2), ParameterError, r"Did you mean 'huber_loss'\?"),
    (lambda: explain("mse", torch.ones(2)), ParameterError, "got no `target`"),
    (lambda: explain("mse", torch.ones(2), torch.ones(2), dleta=1), ParameterError, "`dleta`"),
    (lambda: explain("huber", torch.ones(2), torch.ones(2), delta=-1.0), ParameterError, "delta"),
    (lambda: explain("mse", torch.ones(2, 1), torch.ones(2)), ShapeError, "squeeze"),
    (lambda: explain("mse", [1.0], torch.ones(1)), DtypeError, "input"),
    (
        lambda: explain("cross_entropy", torch.ones(2, 3), torch.tensor([0, 7])),
        DomainError, r"7 at \(1,\)",
    ),
    (
        lambda: explain("mse", torch.ones(2, device="meta"), torch.ones(2, device="meta")),
        DtypeError, "explain: mse_loss of these tensors has no numbers that can be read; .* meta",
    ),
    (
        lambda: explain("l1", torch.ones(2), torch.ones(2, dtype=torch.complex64)), DtypeError,
        r"`target` must be real, got torch.complex64. Write torch.view_as_real\(target\)",
    ),
])  # fmt: skip
def test_what_cannot_be_explained_is_refused(call, error, says):
    with pytest.raises(error, match=says):
        call()
