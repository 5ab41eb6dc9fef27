"""A file that commands read."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def houses(tmp_path):
    source = np.random.default_rng(0)
    table = pd.DataFrame({
        "estimate": source.normal(size=200),
        "price": source.normal(size=200),
        "city": source.choice(["Oslo", "Rome"], 200),
        "weight": source.uniform(size=200),
        "sold": source.choice(["no", "yes"], 200),
    })  # fmt: skip
    table.round(6).to_csv(tmp_path / "houses.csv", index=False)  # every pandas reads them alike
    return tmp_path / "houses.csv"
