"""The README says what the cards say."""

from pipelines.readme import README, filled, methods_table, models_table


def test_the_table_of_methods_is_that_of_the_cards():
    text = README.read_text(encoding="utf-8")
    assert methods_table() in text
    assert models_table() in text
    assert filled(text) == text, "run: python -m pipelines.readme"
