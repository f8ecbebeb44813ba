import os
import zipfile

from layers import archive

FILES = {"b/two.txt": b"two" * 100, "a/one.txt": b"one"}


def test_the_same_content_is_the_same_bytes_whenever_it_is_written(tmp_path):
    first = archive.write("one", FILES, tmp_path / "a")
    second = archive.write("one", dict(reversed(FILES.items())), tmp_path / "b")
    assert first.path.read_bytes() == second.path.read_bytes()


def test_an_unchanged_zip_is_left_alone_and_a_changed_one_replaced(tmp_path):
    first = archive.write("one", FILES, tmp_path)
    os.utime(first.path, (1, 1))
    archive.write("one", FILES, tmp_path)
    assert first.path.stat().st_mtime == 1
    changed = archive.write("one", FILES | {"a/one.txt": b"changed"}, tmp_path)
    assert zipfile.ZipFile(changed.path).read("a/one.txt") == b"changed"
    assert [path.name for path in tmp_path.iterdir()] == ["one.zip"]


def test_what_is_inside_is_known_unzipped(tmp_path):
    written = archive.write("one", FILES, tmp_path)
    assert written.files == {"a/one.txt": 3, "b/two.txt": 300}
    assert written.unzipped == 303
    assert written.zipped == written.path.stat().st_size
