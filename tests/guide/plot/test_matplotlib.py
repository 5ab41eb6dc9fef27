"""matplotlib stays as it is, and is imported by who needs it."""

import subprocess
import sys

import matplotlib as mpl
import pytest

from onepass.guide.plot import plot, save


def test_settings_of_matplotlib_stay_as_they_are(tmp_path):
    before = dict(mpl.rcParams)
    save(plot("huber_loss", residuals=[1.0]), tmp_path / "loss.svg")
    plot("kl_div", surface=True)
    assert dict(mpl.rcParams) == before


def run(program):
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


IMPORTED = "import sys, onepass, onepass.guide.plot as p; {}; print('matplotlib{}' in sys.modules)"


def test_pyplot_is_never_imported(tmp_path):
    picture = f"p.save(p.plot('l1_loss'), {str(tmp_path / 'loss.svg')!r})"
    assert run(IMPORTED.format(picture, ".pyplot")).stdout == "False\n"
    assert (tmp_path / "loss.svg").exists()


def test_matplotlib_is_imported_by_the_first_picture():
    assert run(IMPORTED.format("0", "")).stdout == "False\n"
    assert run(IMPORTED.format("p.plot('l1_loss')", "")).stdout == "True\n"


def test_missing_matplotlib_is_named(monkeypatch):
    for name in ("matplotlib.backends.backend_agg", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'onepass\[guide\]'"):
        plot("l1_loss")
