"""Errors are builtin ones too, and those that torch raises."""

import pytest
import torch

import onepass
from tests.errors.calls import NAN
from tests.twins import functions


@pytest.mark.parametrize(
    "error, bases",
    [
        (onepass.FormulaError, ()),
        (onepass.ShapeError, (ValueError, RuntimeError)),
        (onepass.DtypeError, (TypeError, RuntimeError)),
        (onepass.DeviceError, (ValueError, RuntimeError)),
        (onepass.DomainError, (ValueError, RuntimeError)),
        (onepass.ParameterError, (ValueError, TypeError)),
        (onepass.EngineError, (RuntimeError,)),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_an_error_is_a_builtin_one_too(error, bases):
    for base in (onepass.OnepassError, *bases):
        assert issubclass(error, base)
    assert not issubclass(error, AttributeError)


A, P = torch.ones(4, 3), torch.full((4, 3), 0.5)
SAME_PLACES = {
    "mse shapes": ("mse_loss", (A, torch.ones(3, 4)), {}),
    "l1 shapes": ("l1_loss", (A, torch.ones(5)), {}),
    "smooth_l1 shapes": ("smooth_l1_loss", (A, torch.ones(3, 4)), {}),
    "bce shapes": ("binary_cross_entropy", (P, torch.ones(3, 4)), {}),
    "logits shapes": ("binary_cross_entropy_with_logits", (A, torch.ones(3, 4)), {}),
    "ranking shapes": ("margin_ranking_loss", (A, A, torch.ones(4)), {}),
    "gaussian shapes": ("gaussian_nll_loss", (A, A, torch.ones(5)), {}),
    "mse weight": ("mse_loss", (A, A), {"weight": torch.ones(4)}),
    "huber weight": ("huber_loss", (A, A), {"weight": torch.ones(4)}),
    "pos_weight": ("binary_cross_entropy_with_logits", (A, A), {"pos_weight": torch.ones(4)}),
    "bce above 1": ("binary_cross_entropy", (P + 1, P), {}),
    "bce nan": ("binary_cross_entropy", (P * NAN, P), {}),
    "negative var": ("gaussian_nll_loss", (A, A, -A), {}),
    "negative float var": ("gaussian_nll_loss", (A, A, -1.0), {}),
    "var of a string": ("gaussian_nll_loss", (A, A, "1"), {}),
    "reduction": ("mse_loss", (A, A), {"reduction": "avg"}),
    "reduction of huber": ("huber_loss", (A, A), {"reduction": "avg"}),
    "reduction of gaussian": ("gaussian_nll_loss", (A, A, A), {"reduction": "avg"}),
    "reduction of poisson": ("poisson_nll_loss", (A, A), {"reduction": "avg"}),
    "delta of a string": ("huber_loss", (A, A), {"delta": "1"}),
    "margin of None": ("hinge_embedding_loss", (A, A), {"margin": None}),
    "devices": ("mse_loss", (A, A.to("meta")), {}),
    "a target that is a list": ("soft_margin_loss", (A, [1.0]), {}),
    "an unknown keyword": ("l1_loss", (A, A), {"delta": 1.0}),
}


@pytest.mark.parametrize("name, tensors, options", SAME_PLACES.values(), ids=SAME_PLACES)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_what_catches_torchs_error_catches_ours(name, tensors, options):
    ours, torchs = functions(name)
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        torchs(*tensors, **options)
    with pytest.raises(type(theirs.value)):
        ours(*tensors, **options)
