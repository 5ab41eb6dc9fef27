"""A declaration that is incomplete, or contradicts its function, is refused when it is made."""

import pytest
import torch

import onepass
from onepass.catalogue import register
from onepass.define import POSITIVE, SCORES, Card, Laid, Loss, Variant, rowwise
from onepass.define.sampling import sample, settings, variants
from onepass.runtime import keywords

CARD = Card(task="a task", input="scores", target="none", best_for="tests", not_for="others")


def softened(input, *, weight=None, softness):
    return (softness * torch.logsumexp(input / softness, -1)).clone()


def lay_out(input, softness=1.0):
    return Laid(OF_ROWS, (input,), {"softness": softness})


OF_ROWS = Variant("lay_out", ("input",), softened, None, cpu=None)


def declared(function=lay_out, **arguments):
    return rowwise(card=CARD, variants=(OF_ROWS,), **arguments)(function)


def test_what_is_complete_is_a_loss():
    loss = declared(input=SCORES, softness=POSITIVE)
    assert isinstance(loss, Loss)
    assert (loss.tensors, loss.optional, loss.options) == (("input",), (), {"softness": 1.0})
    tensors = sample(loss, 3, torch.Generator().manual_seed(0))
    with onepass.engine("eager"):
        for options in settings(loss):
            value = loss(**tensors, **options)
            softness = options.get("softness", 1.0)
            torch.testing.assert_close(value, softened(tensors["input"], softness=softness).mean())
    assert variants(loss) == 1


@pytest.mark.parametrize("arguments, message", [
    ({"input": SCORES}, "lay_out: softness must be declared and be an argument"),
    ({"softness": POSITIVE}, "lay_out: input must be declared and be an argument"),
    (
        {"input": SCORES, "softness": POSITIVE, "margin": POSITIVE},
        "lay_out: margin must be declared and be an argument; declared are input, softness, margin",
    ),
])  # fmt: skip
def test_what_is_missing_is_named(arguments, message):
    with pytest.raises(onepass.FormulaError) as caught:
        declared(**arguments)
    assert str(caught.value).startswith(message)


def test_an_option_has_a_legal_default():
    def without(input, softness):
        return lay_out(input, softness)

    with pytest.raises(onepass.FormulaError, match="without: the option `softness` must have a"):
        declared(without, input=SCORES, softness=keywords.flag)

    def negative(input, softness=-1.0):
        return lay_out(input, softness)

    with pytest.raises(onepass.FormulaError, match=r"`softness` must be .*That is its default"):
        declared(negative, input=SCORES, softness=POSITIVE)
    with pytest.raises(onepass.FormulaError, match=r"`delta` must be .*That is its default"):

        @onepass.pointwise(delta=POSITIVE)
        def scaled(input, target, *, delta: float = 0.0):
            return (input - target) * delta


def test_two_losses_of_one_name_are_refused():
    @onepass.pointwise
    def huber_loss(input, target):
        return torch.abs(input - target)

    known = onepass.catalogue()
    with pytest.raises(onepass.FormulaError, match="huber_loss: there is another loss of this"):
        register(huber_loss, None)
    assert onepass.catalogue() == known


@pytest.mark.parametrize("loss", onepass.catalogue().values(), ids=lambda loss: loss.name)
def test_a_loss_of_the_catalogue_is_called_as_its_function(loss):
    function = getattr(onepass.functional, loss.name)
    for variant in range(variants(loss)):
        tensors = sample(loss, 6, torch.Generator().manual_seed(1), variant=variant)
        torch.testing.assert_close(
            loss(**tensors, reduction="sum"), function(**tensors, reduction="sum")
        )
    with pytest.raises(onepass.ParameterError, match="there is no `qqq`; it takes"):
        loss(**tensors, qqq=1)
    with pytest.raises(TypeError, match=f"missing `{loss.tensors[0]}`"):
        loss()
