"""`make spark`: PySpark reads the archive as it lies and comes to what the ledger says.

Apart from `make test`, because PySpark is a download of 450 MB that takes minutes to install. The
same query runs there on DuckDB, over the same files.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cloud.emulator.provision import cache_folder, environment
from tests.spark.archive import query, write


def main() -> int:
    """Install, write, query, compare."""
    python = environment(cache_folder(), "spark")
    with tempfile.TemporaryDirectory() as folder:
        expected = write(Path(folder))
        command = [str(python), str(Path(__file__).with_name("query.py")), f"{folder}/usage", query()]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    agrees = found == expected
    sys.stdout.write(f"PySpark read {len(found)} groups: {'they agree' if agrees else 'they DIFFER'}\n")
    return int(not agrees)


if __name__ == "__main__":
    sys.exit(main())
