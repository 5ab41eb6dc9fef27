"""The program: its commands, its help, and how it ends."""

import subprocess
import sys

import pytest

import onepass
from tests.cli.commands import assert_refused, printed

COMMANDS = (
    "list", "show", "plot", "recommend", "diagnose", "explain", "evaluate", "demo", "bench",
    "build", "cache",
)  # fmt: skip


def test_without_a_command_all_are_listed():
    shown = printed()
    assert all(f"  {command} " in shown for command in COMMANDS)
    assert "..." not in shown.split("Commands:")[1]  # each says it in one line


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command):
    shown = printed(command, "--help")
    assert f"Usage: onepass {command}" in shown.replace("root", "onepass")
    assert "<" not in shown.replace("LOSS <", "").replace("FILE <", "")  # types of Python's


def test_the_version():
    assert printed("--version") == f"onepass {onepass.__version__}\n"


@pytest.mark.parametrize("arguments,says", [
    (("frob",), "No such command 'frob'. See root --help"),
    (("shw",), ("No such command 'shw'. ", "See root --help")),  # a newer typer names 'show'
    (("show",), "Missing argument 'LOSS'. See root show --help"),
    (("show", "huber", "--sauce"), "No such option"),
    (("show", "huber", "--source", "tpu"), "--source must be cpu or eager; got 'tpu'"),
    (("plot", "huber"), "Missing option"),
    (("recommend",), "Missing argument 'FILE'"),
    (("recommend", "x.csv", "--rows", "0"), "--rows"),
    (("demo", "--loss"), "requires an argument"),
])  # fmt: skip
def test_commands_that_make_no_sense(arguments, says):
    assert_refused(*arguments, says=says)


def test_python_m_onepass():
    command = [sys.executable, "-m", "onepass", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Usage: onepass" in shown
    assert "demo" in shown


def test_a_reader_that_stops_reading_is_no_error():
    command = f"{sys.executable} -m onepass show cross_entropy --source cpu | head -n 1"
    shown = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    assert shown.stdout.count("\n") == 1
