"""A picture as a file."""

import matplotlib as mpl
import pytest

from onepass.errors import ParameterError
from onepass.guide.plot import plot, save


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
@pytest.mark.parametrize("surface", [False, True], ids=["curves", "surface"])
def test_same_picture_is_the_same_file(tmp_path, suffix, surface):
    paths = [tmp_path / f"{k}.{suffix}" for k in range(2)]
    for path in paths:
        save(plot("gaussian_nll_loss", surface=surface), path)
    one, other = (path.read_bytes() for path in paths)
    assert one == other
    assert len(one) > 5000


def test_other_suffix_is_refused(tmp_path):
    with pytest.raises(ParameterError) as error:
        save(plot("l1_loss"), tmp_path / "loss.gif")
    assert "save: the path must end with one of .svg, .png, .pdf; got" in str(error.value)
    assert "loss.gif" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_figure_is_transparent(tmp_path):
    save(plot("l1_loss"), tmp_path / "loss.png")
    picture = mpl.image.imread(tmp_path / "loss.png")
    assert picture[2, -2, 3] == 0
