"""The README says what the cards say."""

import json

from medsr.models.slices import models
from pipelines.readme import README, ROWS, filled, fmri_table, methods_table, models_table


def test_the_table_of_methods_is_that_of_the_cards():
    text = README.read_text(encoding="utf-8")
    assert methods_table() in text
    assert models_table() in text
    assert fmri_table() in text
    known = {w.sha256 for m in models().values() for w in m.weights}
    assert {r["sha256"] for r in json.loads(ROWS.read_text(encoding="utf-8")) if "sha256" in r} <= known, (
        "old weights"
    )
    assert filled(text) == text, "run: python -m pipelines.readme"
