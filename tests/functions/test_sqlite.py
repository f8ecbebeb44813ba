import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from functions.sqlite import UnusableDatabase, connect, connect_to_read

FIRST = "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1)"
SECOND = "CREATE TABLE b (y INTEGER) STRICT"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "state" / "file.db")


def pragma(connection, name):
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_file_is_private_durable_and_has_its_schema(path):
    with closing(connect(path, [FIRST])) as connection:
        assert connection.execute("SELECT x FROM a").fetchall() == [(1,)]
        assert (pragma(connection, "journal_mode"), pragma(connection, "synchronous")) == ("wal", 2)
        assert pragma(connection, "user_version") == 1
        assert {stat.S_IMODE(f.stat().st_mode) for f in Path(path).parent.iterdir()} == {0o600}


def test_an_erasable_file_overwrites_and_keeps_no_log(path):
    for _ in range(2):  # made, then found
        with closing(connect(path, [FIRST], erasable=True)) as connection:
            assert pragma(connection, "journal_mode") == "delete"
            assert (pragma(connection, "secure_delete"), pragma(connection, "synchronous")) == (1, 3)


def test_an_older_file_is_brought_up_to_date_and_keeps_its_rows(path):
    connect(path, [FIRST]).close()
    with closing(connect(path, [FIRST, SECOND])) as connection:
        assert connection.execute("SELECT x FROM a").fetchall() == [(1,)]
        assert connection.execute("SELECT y FROM b").fetchall() == []
        assert pragma(connection, "user_version") == 2


def test_reading_an_older_file_brings_it_up_to_date_too(path):
    connect(path, [FIRST]).close()
    with closing(connect_to_read(path, [FIRST, SECOND])) as connection:
        assert connection.execute("SELECT x FROM a").fetchall() == [(1,)]
        assert connection.execute("SELECT y FROM b").fetchall() == []


def test_a_step_that_fails_leaves_the_file_as_it_was(path):
    connect(path, [FIRST]).close()
    with pytest.raises(UnusableDatabase):
        connect(path, [FIRST, SECOND + "; CREATE TABLE a (z INTEGER)"])
    with closing(connect(path, [FIRST, SECOND])) as connection:
        assert pragma(connection, "user_version") == 2


@pytest.mark.parametrize("opener", [connect, connect_to_read])
def test_a_newer_file_is_refused(path, opener):
    connect(path, [FIRST, SECOND]).close()
    with pytest.raises(UnusableDatabase, match=r"schema version 2"):
        opener(path, [FIRST])


@pytest.mark.parametrize("opener", [connect, connect_to_read])
def test_a_file_that_is_no_database_is_refused(path, opener):
    Path(path).parent.mkdir()
    Path(path).write_text("coins and calls " * 100)
    with pytest.raises(UnusableDatabase, match="not a database"):
        opener(path, [FIRST])
    assert Path(path).read_text().startswith("coins")


def test_a_folder_in_its_place_is_refused(tmp_path):
    with pytest.raises(UnusableDatabase, match=str(tmp_path)):
        connect(str(tmp_path), [FIRST])


def test_a_locked_file_is_refused_not_waited_for_forever(path):
    connect(path, [FIRST]).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnusableDatabase, match="locked"):
            connect(path, [FIRST, SECOND])


def test_a_file_is_made_once_however_many_open_it(path):
    start = threading.Barrier(8)

    def open_it(_):
        start.wait()
        connect(path, [FIRST]).close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_it, range(8)))
    with closing(connect(path, [FIRST])) as connection:
        assert connection.execute("SELECT x FROM a").fetchall() == [(1,)]


def test_a_reader_can_not_write(path):
    connect(path, [FIRST]).close()
    with closing(connect_to_read(path, [FIRST])) as reader, pytest.raises(sqlite3.OperationalError):
        reader.execute("INSERT INTO a VALUES (2)")


def test_another_process_that_lets_go_takes_no_row_with_it(path):
    """POSIX locks belong to the process: a second connection must not drop those of the first."""
    visit = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT x FROM a'); c.close()"
    with closing(connect(path, [FIRST])) as first, closing(connect(path, [FIRST])):
        subprocess.run([sys.executable, "-c", visit, path], check=True)
        first.execute("INSERT INTO a VALUES (2)")
        subprocess.run([sys.executable, "-c", visit, path], check=True)
        with closing(sqlite3.connect(path)) as seen:
            assert seen.execute("SELECT x FROM a").fetchall() == [(1,), (2,)]
