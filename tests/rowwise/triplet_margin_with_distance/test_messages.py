"""What is refused of a distance, and which errors are its own."""

import pytest

import onepass
from onepass import functional as F
from tests.rowwise.embeddings.calls import triplets
from tests.rowwise.triplet_margin_with_distance.distances import written

WRONG = {
    "torch.cdist(a, b)": "returned (6, 6) for anchor (6, 4)",
    "(a - b).square().sum()": "returned () for anchor (6, 4)",
    "(a - b).norm(dim=0)": "returned (4,) for anchor (6, 4)",
}


@pytest.mark.parametrize("text, message", WRONG.items(), ids=WRONG)
def test_a_wrong_shape_is_refused(text, message):
    function = written(text)
    for _ in range(2):
        with pytest.raises(onepass.ShapeError) as caught:
            F.triplet_margin_with_distance_loss(*triplets((6, 4)), distance_function=function)
        assert message in str(caught.value)


def test_an_error_of_the_function_is_its_own():
    def broken(a, b):
        raise ZeroDivisionError("mine")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match=r"^mine$") as caught:
            F.triplet_margin_with_distance_loss(*triplets((6, 4)), distance_function=broken)
        assert caught.value.__context__ is None


@pytest.mark.parametrize("given", [(1, 2, 3), ("norm", 1e-6, 2.0), 5, "cosine"], ids=repr)
def test_what_is_no_function_is_refused(given):
    with pytest.raises(onepass.ParameterError, match="`distance_function` must be a function of"):
        F.triplet_margin_with_distance_loss(*triplets((6, 4)), distance_function=given)
    with pytest.raises(onepass.ParameterError, match="`distance_function` must be a function of"):
        onepass.nn.TripletMarginWithDistanceLoss(distance_function=given)
