"""What onepass depends on: each has a lower bound, and the files of versions agree with it."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]


def declared():
    """Each dependency of pyproject.toml and what it allows, the extras' too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    found = map(Requirement, sum(extras, project["dependencies"]))
    return {requirement.name: requirement.specifier for requirement in found}


def pinned(file):
    """Each package of a file of versions and its version."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name: Version(version) for name, version in pairs}


DEPENDENCIES = declared()


@pytest.mark.parametrize("name", DEPENDENCIES)
def test_each_has_a_lower_bound_and_no_other(name):
    assert [bound.operator for bound in DEPENDENCIES[name]] == [">="]


@pytest.mark.parametrize("name", DEPENDENCIES)
def test_the_version_that_is_tested_with_is_allowed(name):
    assert pinned("constraints.txt")[name] in DEPENDENCIES[name]


def test_the_oldest_versions_are_the_bounds():
    bounds = {name: Version(bound.version) for name, (bound,) in DEPENDENCIES.items()}
    assert pinned("constraints-lowest.txt") == bounds
