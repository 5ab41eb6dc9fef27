"""What cannot be drawn is said."""

import math

import pytest
import torch

import onepass
from onepass.errors import DomainError, DtypeError, ParameterError
from onepass.guide.plot import plot


@pytest.mark.parametrize(
    "options, error, says",
    [
        ({"loss": "hubber_loss"}, ParameterError, ["hubber_loss", "huber_loss"]),
        (
            {"loss": "huber_loss", "delt": 1},
            ParameterError,
            ["huber_loss: there is no `delt`; it takes delta.", "Did you mean `delta`?"],
        ),
        (
            {"loss": "gaussian_nll_loss", "variance": 1},
            ParameterError,
            ["there is no `variance`", "eps, full, var"],
        ),
        ({"loss": "huber_loss", "delta": [1, -1]}, ParameterError, ["`delta` must be", "got -1"]),
        ({"loss": "huber_loss", "delta": "big"}, ParameterError, ["`delta` must be", "'big'"]),
        ({"loss": "huber_loss", "delta": []}, ParameterError, ["`delta` must be", "got []"]),
        ({"loss": "soft_margin_loss", "target": 0}, DomainError, ["`target`", "-1, 1", "got 0.0"]),
        ({"loss": "soft_margin_loss", "target": "yes"}, ParameterError, ["`target`", "'yes'"]),
        ({"loss": "gaussian_nll_loss", "var": [[1, 2]]}, ParameterError, ["`var`", "[1, 2]"]),
        ({"loss": "gaussian_nll_loss", "var": -1}, DomainError, ["`var`", ">= 0", "got -1.0"]),
        (
            {"loss": "cross_entropy", "classes": 1},
            ParameterError,
            ["`classes` must be an integer from 2 to 100; got 1."],
        ),
        (
            {"loss": "huber_loss", "delta": list(range(1, 10))},
            ParameterError,
            ["9 curves are too many", "at most 8", "fewer values"],
        ),
        (
            {"loss": "mse_loss", "alternatives": ["cross_entropy"]},
            ParameterError,
            [
                "cross_entropy is drawn over 'score of the true class, others 0'",
                "mse_loss over 'error = input − target'",
                "one by one",
            ],
        ),
        (
            {"loss": "poisson_nll_loss", "log_input": [True, False]},
            ParameterError,
            ["'rate'", "'log of the rate'", "share no axis"],
        ),
        (
            {"loss": "mse_loss", "width": "huge"},
            ParameterError,
            ["`width` must be one of wide, narrow; got 'huge'."],
        ),
        (
            {"loss": "mse_loss", "residuals": ["a"]},
            DtypeError,
            ["`residuals` must be a tensor, an array or a list of numbers", "['a']"],
        ),
        (
            {"loss": "mse_loss", "residuals": torch.ones(2, dtype=torch.complex64)},
            DtypeError,
            ["`residuals`", "complex"],
        ),
        (
            {"loss": "mse_loss", "residuals": [math.nan]},
            ParameterError,
            ["`residuals` holds no finite number"],
        ),
        (
            {"loss": "mse_loss", "surface": True},
            ParameterError,
            ["mse_loss has no surface", "gaussian_nll_loss, kl_div, cross_entropy"],
        ),
        (
            {"loss": "kl_div", "surface": True, "residuals": [1.0]},
            ParameterError,
            ["a surface takes no `alternatives` and no `residuals`"],
        ),
        (
            {"loss": "cross_entropy", "surface": True, "label_smoothing": 2.0},
            ParameterError,
            ["`label_smoothing` must be", "got 2.0"],
        ),
        ({"loss": "kl_div", "surface": True, "p": 1}, ParameterError, ["no `p`", "log_target"]),
    ],
    ids=lambda thing: None if not isinstance(thing, dict) else "-".join(map(str, thing)),
)
def test_what_cannot_be_drawn_is_said(options, error, says):
    with pytest.raises(error) as raised:
        plot(**options)
    for part in says:
        assert part in str(raised.value)


def test_loss_of_labels_only_has_no_axis():
    @onepass.pointwise(input=onepass.SIGN, target=onepass.SIGN)
    def disagreement(input, target):
        return 1 - input * target

    with pytest.raises(ParameterError, match="disagreement has no axis to draw over"):
        plot(disagreement)
