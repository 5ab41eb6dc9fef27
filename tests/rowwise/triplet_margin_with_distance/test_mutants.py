"""Mutants of triplets with a distance, which the checks catch."""

import pytest

from onepass.printers import rows as printer
from tests.rowwise.triplet_margin_with_distance.checks import (
    assert_cosines_are_torchs,
    assert_kinks_are_torchs,
    assert_long_and_short_float32_have_a_direction,
    assert_many_tiles_are_torchs,
    assert_short_vectors_are_torchs,
    assert_squares_are_torchs,
    assert_what_does_not_count_is_nothing,
)

MUTANTS = [
    ("if SQUARED:\n        return total", "if False:\n        return total",
     assert_squares_are_torchs),
    ("real(2.0 * factor)", "real(factor)", assert_squares_are_torchs),
    ("(1.0 - near) - distance", "near - distance", assert_cosines_are_torchs),
    ("1.0 - far, float64(1.0)", "1.0 - far, float64(0.5)", assert_cosines_are_torchs),
    ("weight * value", "value", assert_what_does_not_count_is_nothing),
    ("scale * weight)", "scale)", assert_what_does_not_count_is_nothing),
    ("logical_or(beyond, weight == 0.0)", "weight == 0.0", assert_cosines_are_torchs),
    ("value < 0.0\n", "value <= 0.0\n", assert_kinks_are_torchs),
    ("float64(0.5), float64(1.0)", "float64(1.0), float64(1.0)", assert_kinks_are_torchs),
    ("far > other", "far < other", assert_cosines_are_torchs),
    ("a * size_a", "a * a", assert_short_vectors_are_torchs),
    ("turn_p = by_far * far - factor * near, by_other * other - factor * near",
     "turn_p = by_far * far - factor * near, by_other * other", assert_cosines_are_torchs),
    ("turn_n = by_far * far + by_other * other", "turn_n = by_far * far",
     assert_cosines_are_torchs),
    ("lengths != 0.0", "lengths == lengths", assert_short_vectors_are_torchs),
    ("size < least", "size < 0.0", assert_cosines_are_torchs),
    ("eps * float64(read(shrink_at, ANCHOR + k))", "eps", assert_short_vectors_are_torchs),
    ("size = real(eps)", "size = real(0.0)", assert_long_and_short_float32_have_a_direction),
    ("if not logical_and(\n", "if False and not logical_and(\n",
     assert_long_and_short_float32_have_a_direction),
    ("logical_and(square > LOW, square < HIGH)", "logical_and(square >= 0.0, square < HIGH)",
     assert_long_and_short_float32_have_a_direction),
    ("shrink_n * (far * a", "(far * a", assert_short_vectors_are_torchs),
    ("near * p + far * n - own_a * a", "near * p + far * n", assert_cosines_are_torchs),
    ("near * a + other * n", "near * a - other * n", assert_cosines_are_torchs),
    ("far + float64(an)", "float64(an)", assert_cosines_are_torchs),
    ("block * at_once\n", "block * at_once + (block == 3)\n", assert_many_tiles_are_torchs),
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
    for check in {check for _, _, check in MUTANTS}:
        check()
