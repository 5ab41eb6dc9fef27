"""Engines that there are not, and such as cannot run a call."""

import re

import pytest
import torch

import onepass
from onepass import functional as F
from tests.errors.calls import X, assert_refused


@pytest.mark.parametrize("name", ["cuda", "CPU", "", None, 1], ids=repr)
def test_an_unknown_engine_lists_all(name):
    with pytest.raises(onepass.ParameterError) as caught, onepass.engine(name):
        pass
    assert re.fullmatch(
        r"engine: must be one of auto, eager, cpu(, gpu)?; got " + re.escape(f"{name!r}."),
        str(caught.value),
    )


def test_an_engine_that_cannot_run_the_call_says_why():
    meta = X.to("meta")
    with onepass.engine("cpu"):
        assert_refused(
            onepass.EngineError,
            "mse_loss: the cpu engine cannot run this call: a tensor is torch.float32, "
            "torch.strided, on meta.",
            F.mse_loss, meta, meta,
        )  # fmt: skip
        assert_refused(
            onepass.EngineError,
            "mse_loss: the cpu engine cannot run this call: a weight or the normalizer is "
            "asking for its gradient, torch.float32, torch.strided, on cpu.",
            F.mse_loss, X, X, sample_weight=torch.ones(4, 3, requires_grad=True),
        )  # fmt: skip
