"""What the cards declare is true, and what they do not declare is not; the cards are complete."""

import re
from collections import Counter
from dataclasses import fields, replace
from functools import partial

import pytest
import torch

import onepass
from onepass import Card
from tests.guide.facts import (
    LINKS,
    STATISTICS,
    TARGETS,
    Subject,
    best_constant,
    close,
    inputs,
    is_convex,
    is_proper,
    is_robust,
    is_smooth,
    mean_loss,
    settings,
    steepest,
    subject,
    target_samples,
    targets,
)

LOSSES = onepass.catalogue()
EVERY = pytest.mark.parametrize("name", LOSSES)
SETTINGS = [
    pytest.param(found, id=" ".join([found.name, *(f"{k}={v}" for k, v in found.options.items())]))
    for loss in LOSSES.values()
    for found in settings(loss)
]
SUBJECTS = pytest.mark.parametrize("loss", SETTINGS)
REAL = "any real number"


@pytest.fixture(autouse=True)
def one_thread():
    """Many small tensors: more threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Each asserts one fact of a card, which a loss may declare or not.


def assert_smooth_as_declared(loss: Subject):
    assert is_smooth(loss) == loss.card.smooth


def assert_convex_as_declared(loss: Subject):
    assert is_convex(loss) == loss.card.convex


def assert_proper_as_declared(loss: Subject):
    assert is_proper(loss) == loss.card.proper


def assert_bounded_as_declared(loss: Subject):
    bound, found = loss.card.gradient_bound, steepest(loss)
    if bound is None:
        assert found > 100
    else:
        bound = loss.option(bound) if isinstance(bound, str) else bound
        assert 0.99 * bound <= found <= (1 + 1e-12) * bound


def assert_robust_as_derived(loss: Subject):
    if loss.card.target == REAL:
        assert is_robust(loss) == loss.card.robust
    else:
        assert not loss.card.robust


def assert_minimised_as_declared(loss: Subject):
    if loss.card.minimised_by is None:
        return
    for target in target_samples(loss).values():
        statistic = STATISTICS[loss.card.minimised_by](loss, target)
        claimed = dict(zip(loss.inputs, statistic, strict=True))
        found = best_constant(loss, target)
        least = mean_loss(loss, found, target)
        assert mean_loss(loss, claimed, target) <= least + 1e-9 * (1 + abs(least))
        assert all(close(claimed[name], found[name]) for name in loss.inputs)


FACTS = (
    assert_smooth_as_declared,
    assert_convex_as_declared,
    assert_proper_as_declared,
    assert_bounded_as_declared,
    assert_robust_as_derived,
    assert_minimised_as_declared,
)


@SUBJECTS
@pytest.mark.parametrize("assert_fact", FACTS)
def test_the_cards_declare_what_is_true(loss, assert_fact):
    assert_fact(loss)


# What has no best constant input that is a statistic: there is nothing to choose it for (the
# input is two or three tensors that are compared), it runs off to the end of the domain, or it is
# the feature of a layer.
WITHOUT_STATISTIC = {
    "linear_cross_entropy",
    "multi_margin_loss",
    "margin_ranking_loss",
    "hinge_embedding_loss",
    "cosine_embedding_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
}


def test_losses_that_estimate_something_say_what():
    silent = {name for name, loss in LOSSES.items() if loss.card.minimised_by is None}
    assert silent == WITHOUT_STATISTIC


# Remarks that can be put to the test.


@pytest.mark.parametrize(
    "name, alone",
    [
        ("gaussian_nll_loss", "input"),
        ("linear_cross_entropy", "input"),
        ("linear_cross_entropy", "linear_weight"),
    ],
)
def test_some_losses_are_convex_in_one_tensor_alone(name, alone):
    loss = subject(LOSSES[name])
    assert is_convex(loss, by=(alone,))
    assert not loss.card.convex
    assert any("alone" in remark for remark in loss.card.remarks)


def test_gaussian_nll_is_not_convex_in_the_variance():
    assert not is_convex(subject(LOSSES["gaussian_nll_loss"]), by=("var",))


def test_the_squared_margin_is_smooth_and_without_bound():
    squared = subject(LOSSES["multi_margin_loss"], p=2)
    assert is_smooth(squared)
    assert is_convex(squared)
    assert steepest(squared) > 10


def test_smooth_l1_without_its_beta_is_l1():
    cornered = subject(LOSSES["smooth_l1_loss"], beta=0.0)
    assert not is_smooth(cornered)
    assert_minimised_as_declared(replace(cornered, card=LOSSES["l1_loss"].card))


def test_a_rate_that_is_no_logarithm_is_minimised_by_the_mean():
    loss = subject(LOSSES["poisson_nll_loss"], log_input=False)
    card = replace(loss.card, input="distances", minimised_by="mean")  # drawn positive
    assert_minimised_as_declared(replace(loss, card=card))


def test_the_cosine_loss_has_its_range_and_a_gradient_across_the_vector():
    loss = subject(LOSSES["cosine_embedding_loss"])
    given, target = inputs(loss, 5, seed=1), targets(loss, 5, seed=2)
    value = loss(given, target)
    assert value.min() >= 0
    assert 1.5 < value.max() <= 2
    for vector, slope in zip(given.values(), loss.gradient(given, target), strict=True):
        assert slope.abs().max() > 0.1
        torch.testing.assert_close((vector * slope).sum(-1), torch.zeros(len(value)).double())


# The tests are tested: cards with a fact that is wrong, and losses that are not what they say.

FLIPS = {
    assert_smooth_as_declared: lambda card: replace(card, smooth=not card.smooth),
    assert_convex_as_declared: lambda card: replace(card, convex=not card.convex),
    assert_proper_as_declared: lambda card: replace(card, proper=not card.proper),
    assert_bounded_as_declared: lambda card: replace(
        card, gradient_bound=0.4 if card.gradient_bound is None else None
    ),
}


@EVERY
@pytest.mark.parametrize("assert_fact", FLIPS)
def test_a_flipped_fact_is_noticed(name, assert_fact):
    loss = subject(LOSSES[name])
    with pytest.raises(AssertionError):
        assert_fact(replace(loss, card=FLIPS[assert_fact](loss.card)))


@pytest.mark.parametrize("factor", [0.97, 1.03])
@pytest.mark.parametrize("name", [n for n, x in LOSSES.items() if x.card.gradient_bound])
def test_a_bound_that_is_off_by_3_percent_is_noticed(name, factor):
    loss = subject(LOSSES[name])
    bound = loss.card.gradient_bound
    bound = loss.option(bound) if isinstance(bound, str) else bound
    with pytest.raises(AssertionError):
        assert_bounded_as_declared(
            replace(loss, card=replace(loss.card, gradient_bound=factor * bound))
        )


@pytest.mark.parametrize("name", [n for n, x in LOSSES.items() if x.card.minimised_by])
def test_a_statistic_that_is_off_is_noticed(name, monkeypatch):
    loss = subject(LOSSES[name])
    right = STATISTICS[loss.card.minimised_by]
    for place in range(len(loss.inputs)):

        def nudged(loss, target, place=place):
            parts = [part.clone() for part in right(loss, target)]
            parts[place][0, 0] += 0.01
            return parts

        monkeypatch.setitem(STATISTICS, loss.card.minimised_by, nudged)
        with pytest.raises(AssertionError):
            assert_minimised_as_declared(loss)


SWAPS = [
    ("l1_loss", "mean"),
    ("mse_loss", "median"),
    ("huber_loss", "mean"),
    ("smooth_l1_loss", "median"),
    ("poisson_nll_loss", "mean"),
    ("binary_cross_entropy", "median"),
    ("binary_cross_entropy_with_logits", "mean"),
    ("soft_margin_loss", "logit of the mean"),
]


@pytest.mark.parametrize("name, other", SWAPS)
def test_another_statistic_is_noticed(name, other):
    loss = subject(LOSSES[name])
    with pytest.raises(AssertionError):
        assert_minimised_as_declared(replace(loss, card=replace(loss.card, minimised_by=other)))


DECLARED = Card(task="regression", input=REAL, target=REAL, best_for="tests", not_for="others")


def absolute(input, target):
    return torch.abs(input - target)


def squared(input, target):
    return (input - target) ** 2


def cauchy(input, target):
    return torch.log1p((input - target) ** 2)


def tilted(input, target):
    return torch.maximum(0.3 * (input - target), 0.7 * (target - input))


def stepped(input, target):
    return torch.where(torch.abs(input - target) < 1.345, squared(input, target), 2.0)


def cornered(input, target):  # of slope 2 and 2.001
    return torch.where(input > target + 1, 2.001 * (input - target - 1), 2 * (input - target - 1))


def distance_of_probabilities(input, target):
    return torch.abs(input - target)


def sharpened(input, target):
    return -torch.log(torch.where(target == 1, input, 1 - input)) + 0.1 * input


BINARY = replace(DECLARED, input="probabilities", target="labels 0 and 1, or probabilities")
WRONG = [
    (absolute, assert_smooth_as_declared, replace(DECLARED, smooth=True)),
    (cornered, assert_smooth_as_declared, replace(DECLARED, smooth=True)),
    (stepped, assert_smooth_as_declared, replace(DECLARED, smooth=True)),
    (squared, assert_smooth_as_declared, replace(DECLARED, smooth=False)),
    (cauchy, assert_convex_as_declared, replace(DECLARED, convex=True)),
    (stepped, assert_convex_as_declared, replace(DECLARED, convex=True)),
    (absolute, assert_convex_as_declared, replace(DECLARED, convex=False)),
    (squared, assert_bounded_as_declared, replace(DECLARED, gradient_bound=1)),
    (tilted, assert_bounded_as_declared, replace(DECLARED, gradient_bound=1)),
    (tilted, assert_bounded_as_declared, replace(DECLARED, gradient_bound=0.5)),
    (absolute, assert_bounded_as_declared, DECLARED),
    (squared, assert_robust_as_derived, replace(DECLARED, gradient_bound=1)),
    (absolute, assert_robust_as_derived, DECLARED),
    (tilted, assert_minimised_as_declared, replace(DECLARED, minimised_by="median")),
    (cauchy, assert_minimised_as_declared, replace(DECLARED, minimised_by="mean")),
    (distance_of_probabilities, assert_proper_as_declared, replace(BINARY, proper=True)),
    (sharpened, assert_proper_as_declared, replace(BINARY, proper=True)),
]


@pytest.mark.parametrize("formula, assert_fact, card", WRONG)
def test_a_loss_that_is_not_what_its_card_says_is_noticed(formula, assert_fact, card):
    with pytest.raises(AssertionError):
        assert_fact(subject(onepass.pointwise(formula), card))


RIGHT = [
    (absolute, replace(DECLARED, convex=True, gradient_bound=1, minimised_by="median")),
    (squared, replace(DECLARED, smooth=True, convex=True, minimised_by="mean")),
    (tilted, replace(DECLARED, convex=True, gradient_bound=0.7)),
    (distance_of_probabilities, replace(BINARY, convex=True, gradient_bound=1)),
]


@pytest.mark.parametrize("formula, card", RIGHT)
@pytest.mark.parametrize("assert_fact", FACTS)
def test_a_loss_that_is_what_its_card_says_passes(formula, assert_fact, card):
    assert_fact(subject(onepass.pointwise(formula), card))


# Words.

FACT_FIELDS = {"smooth", "convex", "proper", "gradient_bound", "minimised_by"}


@EVERY
def test_every_field_is_filled(name):
    card = LOSSES[name].card
    for field in fields(card):
        if field.name not in FACT_FIELDS:
            assert getattr(card, field.name), field.name
            assert all(getattr(card, field.name)), field.name


@EVERY
def test_inputs_and_targets_are_among_the_words_that_the_tests_draw(name):
    card = LOSSES[name].card
    assert card.input in LINKS
    assert card.target in TARGETS


@EVERY
def test_properties_are_the_facts_and_the_remarks(name):
    card = LOSSES[name].card
    for fact in ("smooth", "convex", "proper", "robust"):
        assert (fact in card.properties) == getattr(card, fact)
    if card.minimised_by:
        assert f"minimised by the {card.minimised_by}" in card.properties
    if card.gradient_bound:
        bound = card.gradient_bound
        assert f"gradient within [-{bound}, {bound}]" in card.properties
    assert card.properties[-len(card.remarks) :] == card.remarks
    assert len(set(card.properties)) == len(card.properties)


@EVERY
def test_relatives_are_losses_of_the_catalogue_and_know_it(name):
    relatives = LOSSES[name].card.relatives
    assert len(set(relatives)) == len(relatives)
    for relative in relatives:
        assert name in LOSSES[relative].card.relatives, relative
        assert relative != name


YEAR = r"\((1[789]|20)\d\d\)"
DOI = r"doi:10\.\d{4,}/\S+"
SOURCE = re.compile(rf"[^\d()]+ {YEAR}, ({DOI}|.+, no DOI: .+)")


@EVERY
def test_every_source_has_a_year_and_a_doi_or_a_reason(name):
    for source in LOSSES[name].card.sources:
        assert SOURCE.fullmatch(source), source


@pytest.mark.parametrize(
    "source",
    [
        "Huber, doi:10.1214/aoms/1177703732",
        "Huber (1964)",
        "Huber (1964), Robust estimation",
        "Huber (1964), doi:1214",
        "(1964), doi:10.1214/aoms/1177703732",
        "Gauss (1809), Theoria motus, no DOI: ",
    ],
)
def test_a_source_that_lacks_something_is_noticed(source):
    assert not SOURCE.fullmatch(source)


def phrases(text):
    return [phrase.strip() for phrase in re.split(r"[,;:]| or ", text) if phrase.strip()]


@pytest.mark.parametrize("field", ["best_for", "not_for"])
def test_no_two_losses_are_for_the_same(field):
    texts = Counter(getattr(loss.card, field) for loss in LOSSES.values())
    assert texts.most_common(1)[0][1] == 1


@EVERY
def test_a_card_says_nothing_twice(name):
    card = LOSSES[name].card
    said = [*phrases(card.best_for), *phrases(card.not_for), *card.properties]
    assert Counter(said).most_common(1)[0][1] == 1


SINGLE = partial(re.findall, r"\b(?:\w+_(?:loss|div|entropy|with_logits)|\w*cross_entropy\w*)\b")


@EVERY
def test_losses_that_a_card_names_exist(name):
    card = LOSSES[name].card
    for text in (card.best_for, card.not_for, *card.remarks):
        assert set(SINGLE(text)) <= LOSSES.keys(), text


def test_names_of_losses_are_found():
    assert SINGLE("a huber_los, huber_loss; cross_entropy: kl_div") == [
        "huber_loss",
        "cross_entropy",
        "kl_div",
    ]
