"""The code of the README and of the guide's page runs, in order, and prints what they say."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onepass.cli import app

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(python|text|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ onepass (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def words(text):
    """Line breaks in prose and output are the page's, not the program's."""
    return text.split()


def shown(line):
    """What a command prints, cut as `| head -n` or `| tail -n` cuts it."""
    command, _, cut = line.partition(" | ")
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.stderr == "", line
    lines = result.stdout.splitlines()
    if cut:
        end, option, count = cut.split()
        assert option == "-n"
        lines = {"head": lines[: int(count)], "tail": lines[-int(count) :]}[end]
    return "\n".join(lines)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("page, blocks, commands", [("README.md", 8, 5), ("docs/guide.md", 2, 8)])
def test_the_code_runs_and_prints_what_the_page_says(page, blocks, commands):
    names, printed, run = {}, "", 0
    found = BLOCK.findall((ROOT / page).read_text())
    assert len(found) >= blocks
    for language, content in found:
        if language == "python":
            captured = io.StringIO()
            with contextlib.redirect_stdout(captured):
                exec(compile(content, page, "exec"), names)
            printed = captured.getvalue()
        elif language == "text":
            assert words(content) == words(printed)
        else:
            for line, expected in COMMAND.findall(content):
                assert words(expected) == words(shown(line)), line
                run += 1
    assert run >= commands
