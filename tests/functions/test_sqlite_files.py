"""Files of ours that several processes and connections use at once."""

import sqlite3
import subprocess
import sys

from functions.sqlite import connect

SCHEMA = ("CREATE TABLE t (x)",)


def test_another_process_that_lets_go_takes_no_row_with_it(tmp_path):
    """POSIX locks belong to the process: a second connection must not drop those of the first."""
    path = str(tmp_path / "some.db")
    first = connect(path, SCHEMA)
    second = connect(path, SCHEMA)
    visit = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('select * from t').fetchall(); c.close()"
    subprocess.run([sys.executable, "-c", visit, path], check=True)
    first.execute("INSERT INTO t VALUES (1)")
    subprocess.run([sys.executable, "-c", visit, path], check=True)
    seen = sqlite3.connect(path)
    assert seen.execute("SELECT x FROM t").fetchall() == [(1,)]
    for connection in (first, second, seen):
        connection.close()


def test_only_the_owner_can_read_a_file(tmp_path):
    path = tmp_path / "some.db"
    connection = connect(str(path), SCHEMA)
    connection.execute("INSERT INTO t VALUES (1)")
    assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == dict.fromkeys(
        ("some.db", "some.db-wal", "some.db-shm"), 0o600
    )
    connection.close()
