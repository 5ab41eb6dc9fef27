"""The README's code runs, in order, and prints what the README says."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def words(text):
    """Line breaks in prose and output are the page's, not the program's."""
    return text.split()


def test_the_code_runs_and_prints_what_the_page_says():
    names, printed = {}, ""
    blocks = BLOCK.findall(README.read_text())
    assert len(blocks) >= 8
    for language, content in blocks:
        if language == "python":
            captured = io.StringIO()
            with contextlib.redirect_stdout(captured):
                exec(compile(content, "README.md", "exec"), names)
            printed = captured.getvalue()
        else:
            assert words(content) == words(printed)
