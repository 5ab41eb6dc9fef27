"""A recommendation as JSON, as code and as a table."""

import json

import torch
from rich.console import Console

import onepass
import onepass.functional as F
from onepass.guide.recommend import Recommendation, recommend, table
from tests.guide.recommend.planted import PLANTED, planted


def test_recommendations_are_json_and_deterministic():
    for name in PLANTED:
        recommendations = recommend(*planted(name))
        rows = [recommendation.as_dict() for recommendation in recommendations]
        assert json.loads(json.dumps(rows, allow_nan=False)) == rows
        assert recommend(*planted(name)) == recommendations


def test_the_public_name_is_this_function():
    assert onepass.recommend is recommend


def test_the_call_is_code_that_runs():
    found = Recommendation("cross_entropy", {"weight": [1.0, 2.0], "dim": -1}, [], [])
    assert found.call == "F.cross_entropy(input, target, weight=torch.tensor([1.0, 2.0]), dim=-1)"
    scope = {"input": torch.randn(3, 2), "target": torch.tensor([0, 1, 1]), "F": F, "torch": torch}
    assert eval(found.call, scope).isfinite()


def rendered(recommendations, width=100):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table(recommendations))
    return " ".join(capture.get().split())


def test_the_table_says_a_thing_once():
    target = planted("10 classes")[0]
    recommendations = recommend(target)
    shown = rendered(recommendations, width=4000)
    lines = {line for r in recommendations for line in r.evidence}
    for line in lines:
        assert shown.count(f"+ {line}") == sum(other.startswith(line) for other in lines)
    assert all(f"- {line}" in shown for r in recommendations for line in r.against)
    assert shown.index("F.cross_entropy(") < shown.index("F.poisson_nll_loss(")


def test_the_table_shortens_a_long_weight():
    found = Recommendation("cross_entropy", {"weight": [1.0] * 9}, ["[bold]plain[/]"], [])
    assert "1.0, ... 3 more])" in rendered([found], width=4000)
    assert "[bold]plain[/]" in rendered([found])
