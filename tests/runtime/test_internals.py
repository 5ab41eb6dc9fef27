"""A torch that lacks one of its private names is served all the same."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "onepass"
INTERNALS = SOURCE / "runtime" / "internals.py"

WITHOUT = """
import functools
import torch

lookup = functools.reduce

def lacking(function, parts, *start):
    if ".".join(parts) == {path!r}:
        raise AttributeError({path!r})
    return lookup(function, parts, *start)

functools.reduce = lacking
import onepass.runtime.internals  # reads them all
functools.reduce = lookup
if {path!r} == "autograd.forward_ad._current_level":  # which is read at every call
    del torch.autograd.forward_ad._current_level

from tests.every import EVERY

for every in EVERY:
    for _ in range(3):
        tensors = [t.requires_grad_() if k in every.learned else t
                   for k, t in enumerate(every.drawn(6))]
        value = every.ours(*tensors, reduction="sum")
        value.backward()
        grads = [tensors[k].grad.clone() for k in every.learned]
        for k in every.learned:
            tensors[k].grad = None
        expected = every.theirs(*tensors, reduction="sum")
        expected.backward()
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
        for k, grad in zip(every.learned, grads):
            torch.testing.assert_close(grad, tensors[k].grad, rtol=1e-4, atol=1e-5)
print("served")
"""


def names():
    """The dotted names that internals.py looks up."""
    calls = (n for n in ast.walk(ast.parse(INTERNALS.read_text())) if isinstance(n, ast.Call))
    named = [ast.literal_eval(c.args[0]) for c in calls if getattr(c.func, "id", "") == "_named"]
    return [*named, "autograd.forward_ad._current_level"]


def test_the_names_are_found():
    assert len(names()) >= 11
    assert "_C._get_tracing_state" in names()


@pytest.mark.slow
@pytest.mark.parametrize("path", names())
def test_a_torch_without_it_is_served(path):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT.format(path=path)],
        cwd=SOURCE.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip() == "served"


def test_nothing_else_reads_a_private_name_of_torch():
    for path in SOURCE.rglob("*.py"):
        if path == INTERNALS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                dotted = ast.unparse(node)
                parts = dotted.split(".")
                private = [p for p in parts[1:] if p.startswith("_") and not p.startswith("__")]
                assert not (parts[0] == "torch" and private), f"{path}: {dotted}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch"):
                assert "._" not in node.module, f"{path}: {node.module}"
                assert not any(alias.name.startswith("_") for alias in node.names), path
