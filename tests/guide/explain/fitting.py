"""That a table fits into a terminal."""


def assert_fits(shown):
    """Every line of the table, at 80 columns."""
    assert all(len(line) <= 80 for line in str(shown).splitlines())
