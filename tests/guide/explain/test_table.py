"""The table of an explanation, at every width, and as a dict."""

import json

import pytest
import torch
from rich.console import Console

from onepass import explain
from onepass.errors import ParameterError
from tests.guide.explain.calls import LOSSES, tensors_of
from tests.guide.explain.fitting import assert_fits


def assert_whole(shown):
    """No cell is broken into lines: the table is not wider than 80 columns would let it be."""
    wide = Console(width=200, color_system=None)
    with wide.capture() as capture:
        wide.print(shown.table())
    rows = [line for line in capture.get().splitlines() if line.startswith(" ")]
    assert max(map(len, map(str.rstrip, rows))) <= 80


@pytest.mark.parametrize("loss", LOSSES)
def test_the_narrow_table_fits_into_50_columns_without_broken_words(loss):
    shown = explain(loss, **tensors_of(loss))
    texts = []
    for columns in (50, 200):
        console = Console(width=columns, color_system=None)
        with console.capture() as capture:
            console.print(shown if columns == 50 else shown.table(width="narrow"))
        texts.append(capture.get())
    assert all(len(line) <= 50 for line in texts[0].splitlines())
    assert texts[0].replace("─", "").split() == texts[1].replace("─", "").split()
    assert f"{shown.largest[0].share:.1%}" in texts[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_table_fits_into_80_columns(loss):
    shown = explain(loss, **tensors_of(loss))
    assert_fits(shown)
    tables = [line for line in str(shown).splitlines() if not line.startswith("  ")]
    assert any("What the largest" in line for line in tables)
    for element in shown.largest[:5]:
        assert f"{element.share:.1%}" in str(shown)


def test_numbers_of_any_size_fit():
    input = -1e30 * torch.ones(200, 2, 3, 4, dtype=torch.float64)
    input[150, 1, 2, 3] = -1.23456e-30
    shown = explain("gaussian_nll_loss", input, -input, input.abs())
    assert_fits(shown)
    assert_whole(shown)


def test_the_table_says_what_the_numbers_are():
    tensors = tensors_of("cross_entropy")
    shown = explain("cross_entropy", **tensors)
    said = " ".join(str(shown).split())
    assert f"cross_entropy {shown.spread.value:.6g} (mean), 30 of 30 elements count" in said
    assert "What the largest 1 (1%) and 3 (10%) of the elements hold" in said
    assert "linear_cross_entropy: takes input, linear_weight, target" in said
    top = shown.groups["class"][0]
    row = next(line for line in str(shown).splitlines() if line.startswith(f" {top.key}  "))
    assert row.split()[1:4] == [str(top.elements), f"{top.mean:.4g}", f"{top.loss:.0%}"]
    assert "█" * 12 in row


def test_a_relative_of_other_elements_says_of_how_many():
    shown = explain("multilabel_soft_margin_loss", **tensors_of("multilabel_soft_margin_loss"))
    (relative,) = shown.relatives
    assert (relative.name, relative.elements) == ("binary_cross_entropy_with_logits", 150)
    assert "of 150" in str(shown)


def test_rich_prints_an_explanation():
    shown = explain("mse_loss", **tensors_of("mse_loss"))
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(shown)
    assert capture.get().rstrip() == str(shown)


def test_as_dict_has_everything():
    shown = explain("cross_entropy", **tensors_of("cross_entropy"))
    plain = shown.as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["tops"] == [0.01, 0.1]
    assert plain["spread"]["gradient"] == list(shown.spread.gradient)
    assert plain["largest"][0]["place"] == list(shown.largest[0].place)
    assert plain["groups"]["class"][0]["elements"] == shown.groups["class"][0].elements
    assert {spread["name"] for spread in plain["relatives"]} == {r.name for r in shown.relatives}


def test_a_width_that_there_is_not():
    with pytest.raises(ParameterError, match="`width` must be one of wide, narrow; got 'broad'"):
        explain("mse_loss", torch.ones(3), torch.zeros(3)).plot(width="broad")
    with pytest.raises(ParameterError, match="table: `width` must be one of wide, narrow"):
        explain("mse_loss", torch.ones(3), torch.zeros(3)).table(width="broad")
