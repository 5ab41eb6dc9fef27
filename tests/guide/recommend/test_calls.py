"""Every recommended loss can be called with what is suggested, on the data."""

import numpy as np
import pytest
import torch

import onepass.functional as F
from onepass.errors import ParameterError
from onepass.guide.recommend import Recommendation, recommend
from tests.guide.recommend.planted import PLANTED, REGRESSION, planted


def prediction_of(target, input, activation):
    """The input, if it is one prediction per target, or a draw of the target's shape."""
    if input is not None and not isinstance(input, tuple) and np.shape(input) == np.shape(target):
        return torch.as_tensor(input, dtype=torch.float64)
    return activation(torch.randn(np.shape(target), dtype=torch.float64))


def codes(target):
    return torch.from_numpy(np.unique(np.asarray(target), return_inverse=True)[1])


def elementwise(target, input, activation=lambda x: x, labels=None):
    values = torch.as_tensor(np.asarray(target), dtype=torch.float64)
    if labels is not None:
        values = codes(target).double() * (labels[1] - labels[0]) + labels[0]
    return prediction_of(target, input, activation), values


def classwise(target, input, activation=lambda x: x):
    """Logits and class indices, or probabilities of classes."""
    array = np.asarray(target)
    if array.dtype.kind == "f" and array.ndim > 1:
        return activation(torch.randn(array.shape, dtype=torch.float64)), torch.from_numpy(array)
    indices = torch.from_numpy(array) if array.dtype.kind == "i" else codes(target)
    if input is not None and np.ndim(input) > array.ndim:
        return activation(torch.as_tensor(input, dtype=torch.float64)), indices
    classes = int(indices.max()) + 1
    return activation(torch.randn(len(array), classes, dtype=torch.float64)), indices


def numbers(*parts):
    return tuple(torch.as_tensor(np.asarray(part), dtype=torch.float64) for part in parts)


def log_softmax(scores):
    return scores.log_softmax(1)


def compared_distance(target, input):
    if not isinstance(input, tuple):
        return elementwise(target, input, torch.abs)
    first, second, label = numbers(*input, target)
    return torch.pairwise_distance(first, second), label


def compared_scores(target, input):
    if not isinstance(input, tuple):
        return elementwise(target, input, labels=(-1, 1))
    first, second, label = numbers(*input, target)
    return first - second, label


TENSORS = {
    "gaussian_nll_loss": lambda y, x: (*numbers(x[0], y), *numbers(x[1])),
    "poisson_nll_loss": elementwise,
    "kl_div": lambda y, x: elementwise(y, x, log_softmax),
    "binary_cross_entropy": lambda y, x: elementwise(y, x, torch.sigmoid),
    "binary_cross_entropy_with_logits": lambda y, x: elementwise(
        y, x, labels=(0, 1) if -1 in np.asarray(y) else None
    ),
    "multilabel_soft_margin_loss": elementwise,
    "soft_margin_loss": compared_scores,
    "hinge_embedding_loss": compared_distance,
    "cross_entropy": classwise,
    "nll_loss": lambda y, x: classwise(y, x, log_softmax),
    "multi_margin_loss": classwise,
    "margin_ranking_loss": lambda y, x: numbers(*x, y),
    "cosine_embedding_loss": lambda y, x: numbers(*x, y),
    "triplet_margin_loss": lambda y, x: numbers(*x),
    "triplet_margin_with_distance_loss": lambda y, x: numbers(*x),
}
POINTS = dict.fromkeys(REGRESSION - {"gaussian_nll_loss"}, elementwise)


def predicted_mean(target, input):
    return elementwise(target, input[0] if isinstance(input, tuple) else input)


def computed(recommendation, target, input):
    make = (TENSORS | dict.fromkeys(POINTS, predicted_mean))[recommendation.loss]
    torch.manual_seed(0)
    arguments = recommendation.arguments(dtype=torch.float64)
    return getattr(F, recommendation.loss)(*make(target, input), **arguments)


@pytest.mark.parametrize("name", PLANTED)
def test_every_recommended_loss_can_be_called_with_what_is_suggested(name):
    target, input = planted(name)
    for recommendation in recommend(target, input):
        value = computed(recommendation, target, input)
        assert value.shape == ()
        assert value.isfinite()


def test_a_suggestion_that_is_not_legal_would_be_noticed():
    wrong = Recommendation("huber_loss", {"delta": -1.0}, [], [])
    with pytest.raises(ParameterError, match="delta"):
        computed(wrong, *planted("normal noise"))
