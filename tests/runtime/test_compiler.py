"""The compiler: what kernels of one process share, and what they must not."""

import pytest

from onepass.runtime import compiler, kernels

SIGNATURE = kernels.Signature((("partials", "float64"),), ("scale",), ("count",))
TEXT = """
factor = {factor}
{loud}

def moved(x):
    return x + factor

def doubled(x):
    return moved(x) * 2.0 if loud else moved(x)

def kernel(partials_at, scale, count, turn_at):
    if turn(turn_at) == 0:
        write(partials_at, 0, doubled(scale))
"""


def run(factor, loud=True, scale=1.0):
    source = TEXT.format(factor=factor, loud=f"loud = {loud}")
    return kernels.load(source, SIGNATURE)((), (scale,), (1,), 1)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(tmp_path / "kernels"))


@pytest.fixture
def shared(monkeypatch):
    """The functions that kernels share, none as yet."""
    functions = {}
    monkeypatch.setattr(compiler, "_shared", functions)
    return functions


def test_functions_of_one_text_and_other_constants_are_others(shared):
    assert run(1.0) == 4
    assert run(2.0) == 6
    assert run(2.0, loud=False) == 3
    assert len(shared) == 5  # `moved` of 1 and of 2, and `doubled` with each `moved`, loud and not


def test_a_constant_of_another_type_is_another(shared):
    assert run(1) == run(True) == run(1.0) == 4
    assert len(shared) == 6


def test_what_is_the_same_is_made_once(shared):
    run(3.0)
    made = dict(shared)
    source = "\n" + TEXT.format(factor=3.0, loud="loud = True")  # a line lower
    assert kernels.load(source, SIGNATURE)((), (2.0,), (1,), 1) == 10
    assert shared == made


def test_numba_is_left_with_nothing_of_it():
    from numba.core.registry import cpu_target

    engine = cpu_target.target_context.codegen()._engine
    known = set(engine._defined_symbols)
    assert run(5.0) == 12
    assert engine._defined_symbols == known
