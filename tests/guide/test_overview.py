"""The two tables are those of the cards, on the terminal and in docs/losses.md."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

import onepass
from onepass.guide import overview
from tests.kernels import assert_golden

PAGE = Path(__file__).parents[2] / "docs" / "losses.md"
LOSSES = onepass.catalogue()
CONTINUOUS = [
    "l1_loss", "mse_loss", "huber_loss", "smooth_l1_loss", "gaussian_nll_loss",
    "poisson_nll_loss", "kl_div",
]  # fmt: skip


def test_the_page_is_what_the_cards_give(request):
    page = PAGE.read_text(encoding="utf-8")
    assert_golden(PAGE, overview.rewritten(page), request)


def test_a_page_of_other_cards_is_rewritten():
    page = f"before\n{overview.BEGIN}\n| stale |\n{overview.END}\nafter"
    again = overview.rewritten(page)
    assert again.startswith(f"before\n{overview.BEGIN}\n")
    assert again.endswith(f"{overview.END}\nafter")
    assert overview.markdown() in again
    assert "stale" not in again
    assert overview.rewritten(again) == again


@pytest.mark.parametrize("marker", [overview.BEGIN, overview.END])
def test_a_page_without_a_marker_is_refused(marker):
    page = f"{overview.BEGIN}\n{overview.END}".replace(marker, "")
    with pytest.raises(ValueError, match="substring not found"):
        overview.rewritten(page)


def test_every_loss_is_in_one_table():
    continuous, discrete = overview.tables().values()
    assert list(continuous) == CONTINUOUS
    assert [*continuous, *discrete] == list(LOSSES)


def test_every_row_of_the_markdown_has_all_cells():
    lines = [line for line in overview.markdown().splitlines() if line.startswith("| `")]
    for line, (name, loss) in zip(lines, LOSSES.items(), strict=True):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        card = loss.card
        told = f"{card.input}; target: {card.target}"
        assert cells == [
            f"`{name}`", told, card.best_for, card.not_for, "; ".join(card.properties)
        ]  # fmt: skip


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_terminal_shows_everything(width):
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(overview.overview())
    text = file.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    columns = ["".join(column) for column in zip(*cells(text), strict=True)]
    for name, loss in LOSSES.items():
        card = loss.card
        wanted = (name + overview.takes(card), card.best_for, card.not_for)
        for column, told in zip(columns, (*wanted, "; ".join(card.properties)), strict=True):
            assert bare(told) in column, name


def cells(text):
    """The four columns of each line, without blanks: they stand where their headers begin."""
    starts = None
    for line in text.splitlines():
        if "best for" in line:
            starts = [line.index(head) for head in ("loss", "best for", "not for", "properties")]
        elif starts and not set(line) <= {"─", " "}:
            ends = [*starts[1:], len(line)]
            yield [bare(line[a:b]) for a, b in zip(starts, ends, strict=True)]


def bare(text):
    return re.sub(r"\s", "", text)
