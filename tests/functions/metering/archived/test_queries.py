"""The archive is read as it lies, by the query that docs/billing.md gives (PySpark: `make spark`)."""

import duckdb

from tests.spark.archive import query, write


def test_the_documented_query_counts_each_live_call_once(tmp_path):
    expected = write(tmp_path)
    database = duckdb.connect()
    database.execute(
        "CREATE VIEW usage AS SELECT * FROM read_json(?, format = 'newline_delimited', "
        "hive_partitioning = true, hive_types_autocast = false)".replace("?", f"'{tmp_path}/usage/*/*.gz'")
    )
    found = database.execute(query())
    names = [column[0] for column in found.description]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    by = ("customer", "plan", "model", "kind", "day")
    assert sorted(rows, key=lambda row: [row[name] for name in by]) == expected
