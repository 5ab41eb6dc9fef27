"""What the demo shows: the table, and the JSON file."""

import json
import math
from dataclasses import replace
from importlib import metadata

import pytest
import torch

import onepass
from onepass.guide.demo import known, report, steps
from onepass.guide.demo.tasks import comparisons
from tests.guide.demo.comparison import rendered

LOSSES = list(onepass.catalogue())


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits_and_tells_everything(results, width):
    shown = list(results.values())
    text = rendered(width, report.table(shown), report.summary(shown))
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for name, result in results.items():
        assert name in text or all(line in text for line in report.fold(name).splitlines())
        assert f"{result.ours.after:{result.task.metric.format}}" in text
    assert f"{len(shown)} of {len(shown)} losses train as with torch.nn" in text


def test_a_training_that_ends_otherwise_is_marked(results):
    result = results["mse_loss"]
    ours = replace(result.ours, after=result.theirs.before)
    result = replace(result, ours=ours)
    text = rendered(80, report.table([result]))
    assert "apart ✗" in text
    assert f"torch.nn's metric {result.theirs.after:.1%}" in text
    assert "✗ 0 of 1 losses" in rendered(80, report.summary([result]))


def test_what_was_compared_is_said(results):
    right = results["mse_loss"]
    result = replace(right, difference=steps.Difference(2e-7, 3e-7), ours=right.theirs)
    table = rendered(80, report.table([result]))
    for line in ("value and gradient", "of every step", "3e-07 apart ✓"):
        assert line in table
    summary = " ".join(rendered(80, report.summary([result])).split())
    assert "value and gradient of every step differ by at most 3e-07" in summary
    assert "the metrics differ by at most 0.0% of what training gains" in summary


def test_sparkline():
    assert report.sparkline([float(x) for x in range(8, 0, -1)], 8) == "█▇▆▅▄▃▂▁"
    assert report.sparkline([1.0] * 100, 5) == "▁" * 5
    assert len(report.sparkline([2.0, 1.0], 20)) == 2
    assert report.sparkline([2.0, math.nan, 1.0, math.inf], 4) == "█·▁·"
    assert report.sparkline([math.nan] * 9, 3) == "···"


def test_long_names_are_folded_before_underscores():
    lines = report.fold("binary_cross_entropy_with_logits").split("\n")
    assert lines == ["binary_cross_entropy", "_with_logits"]


def test_arguments_are_written_as_json_knows_them():
    assert report.plain(torch.tensor([9.0])) == [9.0]
    assert report.plain(comparisons.cosine_distance) == "cosine_distance"
    assert report.plain(0.5) == 0.5


def test_the_json_file_holds_everything(results, tmp_path):
    path = tmp_path / "demo.json"
    report.write(path, known.check(), list(results.values()))
    written = json.loads(path.read_text(encoding="utf-8"))
    assert [row["loss"] for row in written["losses"]] == LOSSES
    assert len(written["known_numbers"]) == len(known.KNOWN)
    assert written["versions"]["torch"] == metadata.version("torch")
    assert written["machine"]["threads"] == torch.get_num_threads()
    for row in written["losses"]:
        points = len(row["onepass"]["trajectory"])
        assert points == len(row["torch"]["trajectory"])
        assert report.KEPT // 2 <= points <= report.KEPT
        result = results[row["loss"]]
        assert row["agrees"] is True
        assert row["difference"] == {
            "value": result.difference.value,
            "gradient": result.difference.gradient,
            "metric": result.metric_difference,
        }
        assert row["torch"]["metric_after"] == result.theirs.after
        assert row["onepass"]["metric_after"] == result.ours.after
        assert row["race"]["speedup"] > 0
