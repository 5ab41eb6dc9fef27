"""The same two columns in any kind of file."""

import numpy as np
import pytest

from tests.guide.files.reading import ROWS, save_columns


@pytest.fixture
def score():
    return np.random.default_rng(0).normal(size=ROWS)


@pytest.fixture
def write(tmp_path, score):
    """Writes the same two columns in any kind of file that has names for them."""

    def write(suffix):
        path = tmp_path / f"data{suffix}"
        columns = {"score": score, "label": np.arange(ROWS) % 3}
        save_columns(path, columns)
        return path

    return write
