"""Rows of the test runs of raw data: renewed in place, and shown in the order of runs and methods."""

from pipelines.benchmarks.fmri_rows import read, table, write
from pipelines.benchmarks.fmri_runs import TEST


def test_rows_are_renewed_and_put_in_order(tmp_path):
    path = tmp_path / "rows.json"
    first, second = TEST[0].name, TEST[1].name
    write(path, second, "8 x 8", [{"method": "kt", "nrmse": 0.5}])
    write(path, first, "8 x 8", [{"method": "kt", "nrmse": 0.123456}, {"method": "gridding", "nrmse": 1.0}])
    write(path, second, "8 x 8", [{"method": "kt", "nrmse": 0.25, "auc": None}])
    rows = read(path)
    assert [(r["run"], r["method"], r["nrmse"]) for r in rows] == [
        (first, "kt", 0.123456),
        (first, "gridding", 1.0),
        (second, "kt", 0.25),
    ]
    text = table(rows)
    assert text.index(first) < text.index("gridding") < text.index("kt") < text.index(second)
    assert "0.2500" in text and "0.5000" not in text and text.endswith("\n")
