"""What a user sees: names, docstrings, what an import costs; and how long functions may be."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import onepass
from onepass import functional, nn

ROOT = Path(onepass.__file__).parent
PUBLIC = [
    "COUNT", "Card", "Depending", "DeviceError", "Domain", "DomainError", "DtypeError",
    "EngineError", "EngineWarning", "FileError", "FormulaError", "LOG_PROBABILITY", "NONNEGATIVE",
    "OnepassError", "POSITIVE", "PROBABILITY", "ParameterError", "Pointwise", "REAL", "SIGN",
    "ShapeError", "VARIANCE", "catalogue", "checking", "empty_cache", "enforced", "engine",
    "functional", "get", "nn", "pointwise", "with_slope",
]  # fmt: skip
GUIDE = ["diagnose", "explain", "recommend"]  # imported at their first use
HEAVY = ("llvmlite", "triton", "matplotlib", "sklearn", "rich", "typer")
SUBPACKAGES = {"define", "errors", "formula", "pointwise", "printers", "rowwise", "runtime"}
LONGEST, LONGEST_FORMULA = 80, 12  # lines


# Names


def exported():
    """What __init__.py binds itself; submodules that an import leaves behind do not count."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    bound = [alias.asname or alias.name for node in imports for alias in node.names]
    return [name for name in bound if not name.startswith("_")]


def test_public_names_are_these():
    assert sorted(exported()) == PUBLIC
    found = {name for name in vars(onepass) if not name.startswith("_")}
    modules = {name for name in found if inspect.ismodule(getattr(onepass, name))}
    assert found - modules - {*GUIDE} | {"functional", "nn"} == set(PUBLIC)


@pytest.mark.parametrize("name", GUIDE)
def test_the_guide_is_offered(name):
    assert getattr(onepass, name).__module__.startswith("onepass.guide")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"onepass.*'huber'"):
        _ = onepass.huber


def test_init_only_exports():
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    for node in tree.body[1:]:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:  # re-exported, for checkers
                assert alias.asname in (alias.name, f"_{alias.name}")
        else:
            told = ast.unparse(node)
            assert told.startswith(("__version__", "if _TYPE_CHECKING:", "def __getattr__"))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring(name):
    thing = getattr(onepass, name)
    owner = type(thing) if isinstance(thing, onepass.Domain) else thing
    assert inspect.getdoc(owner)


def public_of(module):
    return {
        name: thing
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    }


LOSSES = onepass.catalogue()
DATED = re.compile(r"\((1[789]|20)\d\d\)")


@pytest.mark.parametrize("name", LOSSES)
def test_every_function_has_a_docstring_with_its_source(name):
    text = inspect.getdoc(getattr(functional, name))
    assert DATED.search(text)
    assert text.splitlines()[0].endswith(".")
    if isinstance(LOSSES[name], onepass.Pointwise):
        assert DATED.search(inspect.getdoc(LOSSES[name].formula))


@pytest.mark.parametrize("name", LOSSES)
def test_every_card_has_its_source_and_known_relatives(name):
    card = LOSSES[name].card
    assert card.task
    assert card.best_for
    assert card.not_for
    assert card.properties
    assert all(DATED.search(source) for source in card.sources)
    assert card.sources
    assert name not in card.relatives


@pytest.mark.parametrize("name", LOSSES)
def test_every_class_has_a_docstring_that_names_its_function(name):
    assert f"functional.{name}" in inspect.getdoc(LOSSES[name].module)


@pytest.mark.parametrize("module", [functional, nn], ids=lambda module: module.__name__)
def test_everything_public_has_a_docstring_of_its_own(module):
    found = public_of(module)
    assert len(found) >= len(LOSSES)
    for name, thing in found.items():
        assert thing.__doc__, name
        for method in vars(thing).values() if inspect.isclass(thing) else ():
            if inspect.isfunction(method) and not method.__name__.startswith("_"):
                assert method.__doc__, f"{name}.{method.__name__}"


def test_functions_and_classes_are_in_the_order_of_the_guide():
    functions = [name for name in public_of(functional) if name in LOSSES]
    assert functions == list(LOSSES)
    classes = [loss.module.__name__ for loss in LOSSES.values()]
    assert [name for name in public_of(nn) if name in classes] == classes


def test_the_errors_are_drawn_as_they_are():
    drawn = re.findall(r"[├└]── (\w+) .*?(?:\(([\w, ]+)\))?$", onepass.errors.__doc__, re.MULTILINE)
    raised = [c for c in onepass.OnepassError.__subclasses__() if c.__module__ == "onepass.errors"]
    classes = {c.__name__: c for c in raised}
    assert {name for name, _ in drawn} == set(classes)
    for name, bases in drawn:
        builtin = [base.__name__ for base in classes[name].__bases__[1:]]
        assert builtin == (bases.split(", ") if bases else [])


# Imports


def imported(statements):
    """Which of the heavy packages a fresh interpreter has after these statements."""
    report = f"import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    return ast.literal_eval(printed(f"{statements}; {report}"))


def printed(text):
    command = [sys.executable, "-W", "ignore", "-c", text]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def test_an_import_loads_nothing_heavy():
    # torch itself imports triton where it can
    with_torch = imported("import torch")
    assert imported("import onepass, onepass.functional, onepass.nn, onepass.testing") == with_torch


@pytest.mark.parametrize("name", ["llvmlite", "rich"])
def test_a_heavy_import_would_be_found(name):
    assert name in imported(f"import onepass, {name}")


def test_an_import_costs_little_beside_torchs():
    timed = (
        "import torch, time; start = time.perf_counter(); import onepass; "
        "print(time.perf_counter() - start)"
    )
    assert min(float(printed(timed)) for _ in range(3)) < 0.5


# Lengths


def functions_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(function):
    """Lines of code, the docstring apart."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_function_is_long(path):
    for function in functions_of(path):
        length = function.end_lineno - function.lineno + 1
        assert length <= LONGEST, f"{function.name}: {length} lines"


@pytest.mark.parametrize("path", sorted((ROOT / "pointwise").glob("*.py")), ids=lambda p: p.stem)
def test_a_formula_is_short(path):
    for function in functions_of(path):
        assert body_lines(function) <= LONGEST_FORMULA, function.name
        signature = function.body[0].lineno - function.lineno
        assert signature <= LONGEST_FORMULA, function.name


def test_the_lengths_are_measured():
    lines = {f.name: f.end_lineno - f.lineno + 1 for f in functions_of(Path(__file__))}
    assert lines["functions_of"] == 3
    assert body_lines(next(f for f in functions_of(Path(__file__)) if f.name == "body_lines")) == 4
