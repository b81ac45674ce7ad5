"""Files that appear whole or not at all."""

import pytest

from ferlab.files import write_json, write_text


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "metrics.json"
    write_text(path, "before")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"loss": float("nan")})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half a pair: \ud800")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_made(tmp_path):
    write_json(tmp_path / "a/b/c.json", {"é": 1})
    assert (tmp_path / "a/b/c.json").read_text(encoding="utf-8") == '{\n  "é": 1\n}\n'
