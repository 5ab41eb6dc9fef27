"""Mutants of the losses of vectors, which the checks catch."""

import pytest

from onepass.printers import rows as printer
from tests.rowwise.embeddings.calls import COSINE, INF, TRIPLET
from tests.rowwise.embeddings.checks import (
    assert_distances_do_not_overflow,
    assert_euclidean_triplets_are_torchs,
    assert_kinks_are_torchs,
    assert_pairs_are_torchs,
    assert_short_and_long_vectors_have_a_direction,
    assert_triplets_are_torchs,
    assert_what_does_not_count_is_nothing,
    rows_of_many_blocks,
)

MUTANTS = [
    ("1.0 - cosine", "1.0 + cosine", assert_pairs_are_torchs),
    ("cosine - margin", "cosine", assert_pairs_are_torchs),
    ("within = excess < 0.0", "within = excess <= -1.0", assert_pairs_are_torchs),
    ("shrink1 * (cross * x2 - own1 * x1)", "shrink1 * (cross * x2)", assert_pairs_are_torchs),
    ("cross * x1 - own2 * x2", "cross * x1 - own1 * x2", assert_pairs_are_torchs),
    ("dot + float64(part)", "float64(part)", assert_pairs_are_torchs),
    ("not logical_and(ordinary(square1), ordinary(square2))", "False",
     assert_short_and_long_vectors_have_a_direction),
    ("weight = read(weight_at, row + p)", "weight = float64(1.0)",
     lambda: assert_what_does_not_count_is_nothing(COSINE)),
    ("total = accumulate(total, loss)", "total = loss", assert_pairs_are_torchs),
    ("load(y_at, i) + eps", "load(y_at, i)", assert_triplets_are_torchs),
    ("load(y_at, i) + eps", "load(y_at, i) - eps", assert_triplets_are_torchs),
    ("near - far", "far - near", assert_triplets_are_torchs),
    ("margin + near", "near", assert_triplets_are_torchs),
    ("weight * value", "value", lambda: assert_what_does_not_count_is_nothing(TRIPLET)),
    ("scale * weight)", "scale)", lambda: assert_what_does_not_count_is_nothing(TRIPLET)),
    ("-near - other", "-near + other", assert_euclidean_triplets_are_torchs),
    ("logical_or(beyond, weight == 0.0)", "weight == 0.0", assert_euclidean_triplets_are_torchs),
    ("beyond = value < 0.0", "beyond = value <= 0.0", assert_kinks_are_torchs),
    ("float64(0.5), float64(1.0)", "float64(1.0), float64(1.0)", assert_kinks_are_torchs),
    (
        "read(pull_at, place) / ties",
        "read(pull_at, place)",
        lambda: assert_kinks_are_torchs(norms=(INF,)),
    ),
    ("logical_or(factor == 0.0, total == 0.0)", "factor == 0.0", assert_kinks_are_torchs),
    ("1.0 / p - 1.0", "1.0 / p", lambda: assert_triplets_are_torchs(norms=(3.0,))),
    ("TWO and not SQUARED and not ordinary(total)", "False",
     assert_distances_do_not_overflow),
    ("block * at_once\n", "block * at_once + (block == 3)\n", rows_of_many_blocks),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("was, becomes, check", MUTANTS, ids=[f"{a} -> {b}" for a, b, _ in MUTANTS])
@pytest.mark.usefixtures("fresh")
def test_a_mutant_is_caught(was, becomes, check, monkeypatch):
    right, changed = printer.text, []

    def wrong(*arguments):
        text = right(*arguments)
        changed.append(was in text)
        return text.replace(was, becomes)

    monkeypatch.setattr(printer, "text", wrong)
    with pytest.raises(AssertionError):
        check()
    assert any(changed)


def test_the_checks_hold_without_a_mutant():
    rows_of_many_blocks()
    assert_short_and_long_vectors_have_a_direction()
